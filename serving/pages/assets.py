"""The files that the pages ship: styles, scripts, marks. Each is asked for by a name that holds its digest.

So a browser may keep a file for a year, and asks anew the moment it changes.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

FOLDER = Path(__file__).parent / "assets"
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
MANIFEST = "MANIFEST.json"
FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class Asset:
    """One file. name: with its digest, as it is asked for; packed: the same bytes, gzipped."""

    name: str
    media_type: str
    body: bytes
    packed: bytes


@cache
def assets() -> dict[str, Asset]:
    """Return every file by its plain name."""
    return {path.name: _asset(path) for path in sorted(FOLDER.iterdir()) if path.suffix in TYPES}


@cache
def by_address() -> dict[str, Asset]:
    """Return every file by the name it is asked for."""
    return {asset.name: asset for asset in assets().values()}


def address(name: str) -> str:
    """Return the path of a file. Raises KeyError where there is none of this name."""
    return f"/assets/{assets()[name].name}"


def shipped() -> list[dict[str, str]]:
    """Return the manifest of the scripts that are others' work, one entry a file (`tools/vendor_assets.py`)."""
    found: list[dict[str, str]] = json.loads((FOLDER / MANIFEST).read_text(encoding="utf-8"))
    return found


def _asset(path: Path) -> Asset:
    body = path.read_bytes()
    name = f"{path.stem}.{sha256(body).hexdigest()[:16]}{path.suffix}"
    return Asset(name, TYPES[path.suffix], body, gzip.compress(body, 9, mtime=0))
