"""`forecastle replay`: past scores come out with the same bits, and a changed ledger does not go unnoticed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from configs.errors import NotReplayedError
from serving.replay import replay
from tests.service.test_events import told
from tests.stored import Office, service

pytestmark = pytest.mark.timeout(120)


def silent(_: str) -> None:
    """No progress."""


def used(office: Office, few: list[str]) -> str:
    """A store after a refresh, events, a stored score and posted deals; returns the request id of the last."""
    office.refresh()
    with service(office) as served:
        served.push(*told())
        assert served.score("N1").status_code == 200
        assert served.score(few[0], explain="false").status_code == 200
        return str(served.post(office.world.body(few[:3])).json()["request_id"])


def test_all_of_it_is_computed_again(either: Office, few: list[str]) -> None:
    request = used(either, few)
    tally = replay(either.config, None, None, None, silent)
    assert (tally.agree, tally.disagree, tally.gone) == (len(few) // 2 + 5, 0, {})
    assert replay(either.config, request, None, None, silent).rows == 3
    assert replay(either.config, None, "N1", None, silent).rows == 1
    assert replay(either.config, None, few[0], None, silent).rows == 3
    assert replay(either.config, None, None, either.now, silent).rows == tally.rows
    assert replay(either.config, None, None, either.now + 1, silent).rows == 0


FORGED = {
    "probability": "p = p + 1e-16 * 3",
    "log-odds": "log_odds = -log_odds",
    "digest": "features_sha256 = 'x'",
    "features": "features = zeroblob(length(features))",
    "a shorter vector": "features = zeroblob(8)",
    "other heads": "heads = replace(heads, 'rung', 'rang')",
    "reasons": "reasons = replace(reasons, 'baseline', 'base')",
    "what was told": "told = replace(told, 'amount_cents', 'amount')",
    "an amount that was told": "told = json_set(told, '$.amount_cents', 5, '$.period_days', 1.5)",
}


def test_every_forged_row_is_named_and_no_other(office: Office, few: list[str]) -> None:
    office.refresh()
    rows = len(few) // 2
    with office.store() as store, store.engine.begin() as connection:
        connection.execute(text("DROP TRIGGER ledger_no_update"))
        for k, change in enumerate(FORGED.values()):
            connection.execute(text(f"UPDATE ledger SET {change} WHERE id = {2 * k + 1}"))
    with pytest.raises(NotReplayedError, match=f"{len(FORGED)} of {rows} rows") as caught:
        replay(office.config, None, None, None, silent)
    assert caught.value.exit_code == 1
    named = [fault.where.partition(",")[0] for fault in caught.value.faults]
    assert named == [f"ledger row {2 * k + 1}" for k in range(len(FORGED))]


@pytest.mark.parametrize("harm", ["gone", "damaged"])
def test_a_model_that_is_gone_is_said(office: Office, few: list[str], harm: str) -> None:
    office.refresh()
    bundles = office.config.state_dir / "bundles"
    copied = shutil.copytree(bundles, office.config.state_dir / "copied")
    bundles.unlink()
    copied.rename(bundles)
    sha = office.world.bundle.sha
    change: dict[str, Callable[[], Any]] = {
        "gone": lambda: shutil.rmtree(bundles / sha),
        "damaged": lambda: (bundles / sha / "close.json").write_text("{}"),
    }
    change[harm]()
    said: list[str] = []
    tally = replay(office.config, None, None, None, said.append)
    assert tally.told() == {"rows": len(few) // 2, "agree": 0, "disagree": 0, "cannot_be_rebuilt": len(few) // 2}
    assert sha[:12] in said[0]
