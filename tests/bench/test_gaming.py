"""How far a score can be talked up from within the CRM, and what is left of its skill where that could not be done.

Moves are in log-odds, over all open deals of the period after the model's cut. Ten meetings typed in at once must weigh
as one does; what one entry moves is what the company's past taught the model that such an entry is worth, so it
is bounded per trick and flagged. The bounds are those that held on development seeds, rounded up; but for a call of
commit on the simulated company, where 2.0 was missed on a fresh one (2.28).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from configs.load import load_config
from configs.schema import Config
from features.ingest import Ingest
from features.sources.base import open_source
from models.baselines import STAGE_TIME
from tests.bench.gaming import TRICKS, Company, Played, company, editable, meeting, meetings, play
from tests.bench.measure import held, say
from tests.companies import DEMO
from tests.worlds.world import config, world
from training.backtest import CLOSE, run_backtest
from training.evaluate import DealBootstrap, row_loss
from training.groups import narrowed
from training.prepare import prepare
from training.report_text import interval

SEED = 0
LIGHT = ("backtest.ablations=[]", "backtest.test_periods=2", "model.seeds=2")
BOUNDS = {
    "planted W1": {"20 mails sent": 0.5, "called commit": 0.5, "close date moved into the period": 0.5},
    "planted W5": {"20 mails sent": 0.5, "called commit": 0.5, "close date moved into the period": 0.5},
    "simulated": {"20 mails sent": 0.5, "called commit": 3.0, "close date moved into the period": 0.8},
}
"""By company: the largest 95th percentile of the moves of a trick, log-odds."""
FLAGGED = {
    "10 meetings logged": ("logged_in_bulk",),
    "called commit": ("raised_late",),
    "all of it": ("logged_in_bulk", "raised_late"),
}
pytestmark = [pytest.mark.timeout(3 * 3600)]


def read(name: str, state: Path) -> tuple[Config, Ingest]:
    """Return a company and its config."""
    if name.startswith("planted"):
        return config(state, *LIGHT), world(name.split()[1], SEED, 30).ingest
    told = load_config(DEMO, [f"state_dir={state}", f"source.simulate.seed={SEED + 1}", *LIGHT])
    return told, open_source(told).read()


@pytest.fixture(scope="module", params=list(BOUNDS))
def game(request: pytest.FixtureRequest) -> Iterator[tuple[str, Company]]:
    with tempfile.TemporaryDirectory() as state:
        yield request.param, company(*read(request.param, Path(state)))


def told(name: str, what: str, played: Played) -> None:
    """Print how a trick moved scores, and which of the two flags it raised."""
    low, middle, high = np.quantile(played.moves, [0.05, 0.5, 0.95])
    shares = ", ".join(f"{code} {played.share_flagged(code):.0%}" for code in ("logged_in_bulk", "raised_late"))
    say(
        f"        {name}, {what}, {len(played.moves)} deals: moves {low:+.2f} {middle:+.2f} {high:+.2f} "
        f"(5, 50, 95 %), most {played.moves.max():+.2f}; flagged {shares}"
    )


def test_moves_are_bounded_and_flagged(game: tuple[str, Company]) -> None:
    name, made = game
    played = {what: play(made, trick) for what, trick in TRICKS.items()}
    for what, one in played.items():
        told(name, what, one)
    for what, bound in BOUNDS[name].items():
        high = float(np.quantile(played[what].moves, 0.95))
        held(f"{name}, {what}: 95th percentile of the moves", high, f"at most {bound}", high <= bound)
    for what, codes in FLAGGED.items():
        share = played[what].share_flagged(*codes)
        held(f"{name}, {what}: flagged as {' or '.join(codes)}", share, "at least 0.95", share >= 0.95)


def test_ten_meetings_typed_in_at_once_weigh_as_one(game: tuple[str, Company]) -> None:
    name, made = game
    more = float(np.abs(play(made, meetings).moves - play(made, meeting).moves).max())
    held(f"{name}, nine meetings more: largest move", more, "at most 0.05", more <= 0.05)


@pytest.mark.parametrize("name", list(BOUNDS))
def test_skill_without_what_a_rep_can_write(name: str, tmp_path: Path) -> None:
    """Skill is by what share log loss lies below that of the company's constant rate."""
    prepared = prepare(*read(name, tmp_path))
    gone = set(editable(prepared.plan))
    tested = run_backtest(prepared)
    left = narrowed(prepared, tuple(each for each in prepared.plan.names if each not in gone))
    without = run_backtest(left, baselines={})
    loss = {each: row_loss(tested.y, tested.p[each]) for each in (CLOSE, STAGE_TIME, "constant")}
    bare = row_loss(without.y, without.p[CLOSE])
    skill, kept, table = (
        1 - float(each.mean() / loss["constant"].mean()) for each in (loss[CLOSE], bare, loss[STAGE_TIME])
    )
    costs = DealBootstrap.of(tested.deal, 500, SEED).mean(bare - loss[CLOSE])
    say(
        f"        {name}: {len(gone)} of {len(prepared.plan.names)} features can be written by a rep; log loss "
        f"{loss[CLOSE].mean():.4f} with, {bare.mean():.4f} without, {interval(costs, '+.4f')} dearer; skill "
        f"{skill:.3f}, {kept:.3f} without, {table:.3f} of stage x time left alone"
    )
    held(f"{name}: share of the skill kept without them", kept / skill, "at least 0.5", kept >= 0.5 * skill)
