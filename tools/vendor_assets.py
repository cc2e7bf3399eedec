"""Fetch the scripts that the manager's pages ship, and write their manifest. Run it to take up other versions.

``npm pack`` downloads each package at the version below and npm checks its digest. The minified file and the licence
are kept; `MANIFEST.json` beside them tells package, version, licence and SHA-256 of each, which a test holds them to.
Nothing of this runs when the pages are served.
"""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES, TESTS = ROOT / "serving/pages/assets", ROOT / "tests/pages/assets"
MANIFEST = "MANIFEST.json"


@dataclass(frozen=True)
class Script:
    """One file of a package. room: the folder it is kept in; member: its path in the package.

    plain: a script as it is; else an ES module of Vega's, which is made one.
    """

    package: str
    version: str
    member: str
    room: Path
    plain: bool = True


SCRIPTS = (
    Script("htmx.org", "2.0.11", "dist/htmx.min.js", PAGES),
    Script("vega", "6.4.0", "build/vega.min.js", PAGES),
    Script("vega-lite", "6.5.0", "build/vega-lite.min.js", PAGES),
    Script("vega-interpreter", "2.3.2", "build/vega-interpreter.js", PAGES, plain=False),
    Script("axe-core", "4.14.1", "axe.min.js", TESTS),
)


def fetched(script: Script, folder: Path) -> dict[str, str]:
    """Download a package, keep its script and licence, and return their line of the manifest."""
    command = ["npm", "pack", "--silent", f"{script.package}@{script.version}"]
    told = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)  # noqa: S603 -- words of ours
    packed = told.stdout.split()[-1]
    with tarfile.open(folder / packed) as package:

        def read(member: str) -> bytes:
            file = package.extractfile(f"package/{member}")
            if file is None:
                raise FileNotFoundError(member)
            return file.read()

        code, licence = read(script.member), read("LICENSE")
        about = json.loads(read("package.json"))
    name = Path(script.member).name
    script.room.mkdir(parents=True, exist_ok=True)
    # The map of the source is not shipped, so no browser should ask for it.
    text = re.sub(r"^//# sourceMappingURL=.*\n?", "", code.decode(), flags=re.M)
    code = (text if script.plain else as_script(text)).encode()
    (script.room / name).write_bytes(code)
    kept = f"{name.removesuffix('.js').removesuffix('.min')}.LICENSE.txt"
    (script.room / kept).write_bytes(licence)
    return {
        "file": name,
        "package": script.package,
        "version": script.version,
        "licence": about["license"],
        "licence_file": kept,
        "sha256": sha256(code).hexdigest(),
    }


def as_script(module: str) -> str:
    """Turn an ES module that takes from vega-util into a script that adds what it exports to the global ``vega``.

    Raises ValueError where the module is not of that form any more.
    """
    taken = re.match(r"import (\{[^}]*\}) from 'vega-util';\n", module)
    given = re.search(r"^export \{ (\w+) as (\w+) \};\n?\Z", module, flags=re.M)
    if taken is None or given is None:
        raise ValueError("not a module that imports from vega-util alone and exports one name at its end")
    body = module[taken.end() : given.start()]
    return f'(function () {{\n"use strict";\nconst {taken[1]} = vega;\n{body}vega.{given[2]} = {given[1]};\n}})();\n'


def main() -> None:
    """Fetch every script."""
    manifests: dict[Path, list[dict[str, str]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for script in SCRIPTS:
            manifests.setdefault(script.room, []).append(fetched(script, Path(folder)))
    for room, lines in manifests.items():
        (room / MANIFEST).write_text(json.dumps(lines, indent=1) + "\n")


if __name__ == "__main__":
    main()
