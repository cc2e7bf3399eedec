"""What the pages ship: whole, as the manifest says, drawn up by the script, and never asked for from elsewhere."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from hashlib import sha256
from pathlib import Path
from types import ModuleType

import pytest

from serving.pages.assets import FOLDER, FOREVER, assets, shipped
from serving.pages.charts import FOLDER as SPECS
from serving.pages.render import TEMPLATES
from tests.paged import Visitor

ROOT = Path(__file__).parents[2]
TEST_ASSETS = Path(__file__).parent / "assets"


def tool(name: str) -> ModuleType:
    """A script of ``tools/`` as a module."""
    found = importlib.util.spec_from_file_location(name, ROOT / f"tools/{name}.py")
    assert found is not None
    assert found.loader is not None
    made = importlib.util.module_from_spec(found)
    sys.modules[name] = made  # dataclasses look there
    found.loader.exec_module(made)
    return made


@pytest.mark.parametrize("folder", [FOLDER, TEST_ASSETS], ids=["pages", "tests"])
def test_files_of_others_are_as_the_manifest_says(folder: Path) -> None:
    lines = shipped() if folder == FOLDER else json.loads((folder / "MANIFEST.json").read_text())
    for line in lines:
        assert sha256((folder / line["file"]).read_bytes()).hexdigest() == line["sha256"], line["file"]
        assert (folder / line["licence_file"]).stat().st_size > 100
    ours = {"pages.css", "charts.js", "mark.svg"}
    told = {line["file"] for line in lines} | {line["licence_file"] for line in lines} | {"MANIFEST.json"} | ours
    assert {path.name for path in folder.iterdir()} <= told


def test_specs_are_what_the_script_draws() -> None:
    drawn = tool("draw_charts")
    assert {path.stem for path in SPECS.glob("*.json")} == set(drawn.CHARTS)
    for name in drawn.CHARTS:
        assert (SPECS / f"{name}.json").read_text() == drawn.text_of(name), "run tools/draw_charts.py"


def test_an_es_module_of_another_form_is_refused() -> None:
    with pytest.raises(ValueError, match="vega-util"):
        tool("vendor_assets").as_script("import {x} from 'elsewhere';\nexport { x as y };\n")


def test_assets_are_kept_for_a_year_and_packed(stranger: Visitor) -> None:
    for name, asset in assets().items():
        answer = stranger.client.get(f"/assets/{asset.name}")
        assert answer.headers["cache-control"] == FOREVER, name
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.content == asset.body
        plain = stranger.client.get(f"/assets/{asset.name}", headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
    assert stranger.client.get("/assets/pages.css").status_code == 404
    assert stranger.client.get("/assets/..%2Fsite.py").status_code == 404


@pytest.mark.parametrize("path", sorted(TEMPLATES.iterdir()), ids=lambda path: path.name)
def test_templates_escape_everything(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"\|\s*safe|autoescape|style\s*=|\son[a-z]+\s*=|javascript:|https?://", text)
