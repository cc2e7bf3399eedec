"""What was told of a model when it was published, beside its bundle: its card, and the report of its backtest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from models.store import PUBLISHED

CARD, REPORT = ".card.json", ".json"
MOST_BYTES = 50_000_000


def paper(state_dir: Path, sha: str, ending: str) -> dict[str, Any] | None:
    """Return a paper of a published bundle; None where there is none that can be read, or it is another model's."""
    path = state_dir / PUBLISHED / f"{sha}{ending}"
    try:
        if path.stat().st_size > MOST_BYTES:
            return None
        told = json.loads(path.read_bytes())
        about = told["model"] if ending == CARD else told
        return told if about["bundle_sha256"] == sha else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
