"""Words of a report that stand for what a fit chose."""

from __future__ import annotations

from models.calibrate import Affine
from models.close import FitNotes
from models.ladder import Doubt
from models.rounds import Trust
from training.report_text import chosen_text

DOUBT = Doubt(0.5, 1.6, "wins")


def notes(**more: object) -> FitNotes:
    return FitNotes(300, (0.3,), (0.4,), Affine(-0.05, 1.1), doubt=DOUBT, **more)  # type: ignore[arg-type]


def test_each_member_is_told() -> None:
    told = chosen_text(notes(trust=(Trust(300, 0.4), Trust(120, 0.85)), penalty=30.0))
    assert told == (
        "rung trees; penalty of the ridge 30 rows; 300 trees a seed at a share of 0.40, 120 trees a seed at a share of "
        f"0.85; calibration intercept -0.050, slope 1.100; {DOUBT.text()}"
    )


def test_lower_rungs_have_no_trees_to_tell_of() -> None:
    assert chosen_text(notes(rung="ridge", penalty=0.5)) == f"rung ridge; penalty of the ridge 0.5 rows; {DOUBT.text()}"
    assert chosen_text(notes(rung="table")) == f"rung table; {DOUBT.text()}"
