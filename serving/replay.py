"""`forecastle replay`: compute scores of the ledger again, from their feature vectors and the models that gave them.

A row agrees where probability, log-odds, the other heads and the reasons come out with the same bits, and the feature
vector still has its digest. No source, no clock and no reference facts are needed: the vector holds what they said.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np

from configs.errors import BundleError, Fault, NotReplayedError
from configs.schema import Config
from models.bundle import Bundle, load
from models.explain import explain
from models.store import MANIFEST, PUBLISHED
from serving.entries import UNTOLD, heads_text, matrix_of, text_of, told_of
from serving.scoring import ahead_of, amounts_of, reason_json, worths_of
from serving.store.engine import PATIENT_S, open_store
from serving.store.repository import Repository

SHOWN = 20  # rows that disagree, told one by one
PLACES = (PUBLISHED, "candidates")


@dataclass
class Tally:
    """Rows of the ledger: each agrees, disagrees, or cannot be rebuilt. differing: the first that disagree.

    gone: by SHA-256 of the bundle, rows whose model is not in the store any more, or is not read by this version.
    """

    agree: int = 0
    disagree: int = 0
    gone: dict[str, int] = field(default_factory=dict)
    differing: list[str] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """All rows that were looked at."""
        return self.agree + self.disagree + sum(self.gone.values())

    def told(self) -> dict[str, Any]:
        """Return what --json says."""
        gone = sum(self.gone.values())
        return {"rows": self.rows, "agree": self.agree, "disagree": self.disagree, "cannot_be_rebuilt": gone}


def replay(
    config: Config, request: str | None, deal: str | None, since: int | None, progress: Callable[[str], None]
) -> Tally:
    """Replay the rows of a request, of a deal, or since an instant (UTC microseconds) that are asked for; else all.

    Raises NotReplayedError, with a fault for each of the first rows that disagree, where any does; StoreError where
    the ledger cannot be read.
    """
    store = open_store(config, patience=PATIENT_S)
    bundles: dict[str, Bundle | None] = {}
    tally = Tally()
    try:
        for rows in Repository(store).ledger(request=request, deal=deal, since=since):
            for sha in dict.fromkeys(row.bundle_sha256 for row in rows):
                if sha not in bundles:
                    bundles[sha] = _bundle(config, sha, progress)
                _compare(bundles[sha], sha, [row for row in rows if row.bundle_sha256 == sha], tally)
    finally:
        store.close()
    if tally.disagree:
        counts = f"{tally.disagree:,} of {tally.rows:,} rows of the ledger are not what their models give"
        faults = [Fault("differs", place, "other bits than the ledger has") for place in tally.differing]
        raise NotReplayedError(f"{counts} ({tally.agree:,} agree)", faults)
    return tally


def _bundle(config: Config, sha: str, progress: Callable[[str], None]) -> Bundle | None:
    """Return a bundle of the local store, None where it is gone or cannot be used here; says so."""
    folders = [config.state_dir / place / sha for place in PLACES]
    try:
        folder = next(folder for folder in folders if (folder / MANIFEST).is_file())
        return load(folder, sha)
    except StopIteration:
        progress(f"model {sha[:12]} is not in the store any more: its rows cannot be rebuilt")
    except BundleError as error:
        progress(f"model {sha[:12]} cannot be used, so its rows cannot be rebuilt: {error}")
    return None


def _compare(bundle: Bundle | None, sha: str, rows: Sequence[Any], tally: Tally) -> None:
    """Count rows of one model."""
    if bundle is None:
        tally.gone[sha] = tally.gone.get(sha, 0) + len(rows)
        return
    width = len(bundle.plan.names) * 8
    sound = [row for row in rows if _sound(row, width)]
    kinds = [[row for row in sound if (row.told == UNTOLD) is untold] for untold in (False, True)]
    same = {
        row.id for some in kinds for row, again in zip(some, _again(bundle, some), strict=True) if again == _said(row)
    }
    for row in rows:
        if row.id in same:
            tally.agree += 1
        else:
            tally.disagree += 1
            if len(tally.differing) < SHOWN:
                tally.differing.append(f"ledger row {row.id}, request {row.request_id}")


def _sound(row: Any, width: int) -> bool:
    """Whether a feature vector is whole and what was written, and what the heads were told can be read."""
    try:
        if row.told != UNTOLD:
            told_of([json.loads(row.told)])
    except (KeyError, TypeError, ValueError):
        return False
    return len(row.features) == width and sha256(row.features).hexdigest() == row.features_sha256


def _said(row: Any) -> tuple[str, ...]:
    """What the ledger says of a row, floats as their bits."""
    return (row.p.hex(), row.log_odds.hex(), row.heads, row.reasons or "")


def _again(bundle: Bundle, rows: Sequence[Any]) -> list[tuple[str, ...]]:
    """Compute rows again, as `_said`; all of them had the heads told something, or none of them."""
    if not rows:
        return []
    matrix = matrix_of([row.features for row in rows], bundle.plan.names)
    told = None if rows[0].told == UNTOLD else told_of([json.loads(row.told) for row in rows])
    said = bundle.heads.predict(matrix, told)
    as_of = np.array([row.as_of for row in rows], dtype=np.int64)
    ahead = ahead_of(said.outlook, as_of, bundle.about.time_zone)
    rungs = bundle.heads.rungs(said.blind)
    reasons = explain(bundle.model, bundle.plan, bundle.profile, matrix)
    parts = zip(rows, ahead, amounts_of(said), rungs, worths_of(bundle, matrix, said.p), reasons, strict=True)
    texts = [
        (heads_text(days, money, rung, worth), "" if row.reasons is None else text_of(list(reason_json(tuple(listed)))))
        for row, days, money, rung, worth, listed in parts
    ]
    return [
        (p.hex(), log_odds.hex(), *rest)
        for p, log_odds, rest in zip(said.p.tolist(), said.log_odds.tolist(), texts, strict=True)
    ]
