"""The charts of the pages: Vega-Lite specs that `tools/draw_charts.py` wrote with Altair, and the data of one page.

A spec names its data ``rows``; the page puts them in. `spec` is called from the templates.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "specs"


def spec(name: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return a spec with its data. Raises OSError where there is no spec of the name."""
    return _read(name) | {"datasets": {"rows": list(rows)}}


@cache
def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return found
