"""The audit of a flat set: each rule catches its leak, and lets its clean twin pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from configs.errors import DataError, SchemaError, TooLittleDataError
from training.audit_commands import flat_frame
from training.audit_rules import Audit, Mark
from training.audit_table import Flat, audit_table

N = 4000
FLAT = Flat("outcome", "won", open=("open",), order="row", ids=("id",), missing=("Select",))


def table(seed: int = 1) -> pd.DataFrame:
    """Deals, a fifth of them open and most of the rest lost; the fields said nothing of the outcome when written."""
    rng = np.random.default_rng(seed)
    skill = rng.normal(size=N)
    p = 1 / (1 + np.exp(1.2 - skill))
    outcome = np.where(rng.random(N) < p, "won", "lost").astype(object)
    outcome[rng.random(N) < 0.2] = "open"
    words = [f"w{i}" for i in range(6)]
    return pd.DataFrame(
        {
            "id": [f"D{i}" for i in range(N)],
            "row": np.arange(N),
            "outcome": outcome,
            "skill": skill + rng.normal(size=N),  # an honest, strong field
            "noise": rng.normal(size=N),
            "agent": rng.choice([f"a{i}" for i in range(300)], N),
            "asked": rng.choice(words, N),
            "half": np.where(rng.random(N) < 0.5, rng.choice(words, N), None),
            "select": np.where(rng.random(N) < 0.6, "Select", "said"),
            "rare": np.where(rng.random(N) < 0.03, "rare", "usual"),
            "reference": [f"R{i}" for i in rng.permutation(N)],
        }
    )


def leaky(name: str, frame: pd.DataFrame) -> pd.Series:
    rng = np.random.default_rng(7)
    won, lost, closed = (frame.outcome == "won"), (frame.outcome == "lost"), frame.outcome != "open"
    chance = rng.random(N)
    told = {
        "discount": np.where(won, 0.2, 0.0) + rng.normal(size=N) * 0.06,  # a number set by the outcome
        "verdict": np.where(won, rng.choice(["fit", "budget"], N), rng.choice(["spam", "gone"], N)),
        "loss_code": np.where(lost & (chance < 0.9), rng.choice(["price", "timing"], N), None),
        "contract": np.where(won & (chance < 0.5), [f"C{i}" for i in range(N)], None),
        "onboarding": np.where(won & (chance < 0.2), "yes", "no"),
        "account": np.where(closed | (chance < 0.3), "known", None),
        "rating": np.where(
            chance < np.where(won, 0.7, 0.35),
            np.where(rng.random(N) < np.where(won, 0.7, 0.2), "hot", "cold"),
            "Select",
        ),
        "given": np.where((frame.outcome == "lost") & (chance < 0.3), "w0", frame.asked),
    }
    return pd.Series(told[name], index=frame.index)


EXPECTED = {
    "discount": "auc",
    "verdict": "auc",
    "loss_code": "fill_by_outcome",
    "contract": "fill_by_outcome",
    "onboarding": "one_outcome",
    "account": "fill_by_closing",
    "rating": "late_and_telling",
    "given": "twin",
}


@pytest.fixture(scope="module")
def clean() -> Audit:
    return audit_table(table(), FLAT)


def test_clean_fields_raise_nothing(clean: Audit) -> None:
    assert [f for f in clean.findings if f.signs] == []
    assert clean.of("reference").kind == "id"
    assert clean.of("select").filled.won.rate == pytest.approx(0.4, abs=0.05)
    skill = clean.of("skill").alone
    assert skill is not None
    assert 0.6 < skill.auc < 0.8


@pytest.mark.parametrize("seed", range(2, 12))
def test_clean_fields_raise_nothing_in_other_draws(seed: int) -> None:
    assert audit_table(table(seed), FLAT).quarantined == ()


@pytest.mark.parametrize("name", EXPECTED)
def test_each_rule_catches_its_leak(name: str) -> None:
    frame = table()
    found = audit_table(frame.assign(**{name: leaky(name, frame)}), FLAT)
    assert [f.field for f in found.quarantined] == [name]
    assert EXPECTED[name] in found.of(name).rules
    assert found.of(name).remedy


def test_what_only_fills_up_is_a_warning() -> None:
    frame = table()
    filled = np.random.default_rng(3).random(N) < np.where(frame.outcome == "won", 0.9, 0.6)
    found = audit_table(frame.assign(asked_later=np.where(filled, frame.half.fillna("w1"), None)), FLAT)
    assert found.of("asked_later").mark == Mark.WARNING
    assert found.quarantined == ()


def test_what_fills_up_until_the_close_is_a_warning() -> None:
    frame = table()
    filled = np.random.default_rng(3).random(N) < np.where(frame.outcome == "open", 0.5, 0.75)
    found = audit_table(frame.assign(later=np.where(filled, frame.half.fillna("w1"), None)), FLAT)
    assert [(s.rule, s.mark) for s in found.of("later").signs] == [("fill_by_closing", Mark.WARNING)]


def test_order_of_the_rows_and_of_the_columns_says_nothing(clean: Audit) -> None:
    shuffled = table().sample(frac=1, random_state=3)
    again = audit_table(shuffled[shuffled.columns[::-1]], FLAT)
    assert {f.field: f for f in again.findings} == {f.field: f for f in clean.findings}


def test_exact_duplicates_count_once(clean: Audit) -> None:
    frame = table()
    again = audit_table(pd.concat([frame, frame[frame.rare == "rare"]]), FLAT)
    assert again.findings == clean.findings
    assert "exact duplicates" in again.notes[0]


def test_ids_make_rows_distinct() -> None:
    frame = table()[["id", "row", "outcome", "rare"]]
    assert audit_table(frame, FLAT).facts["units"] == N


@pytest.mark.parametrize(
    ("flat", "error", "says"),
    [
        (Flat("result", "won"), SchemaError, "'result'"),
        (Flat("outcome", "won", order="when"), SchemaError, "'when'"),
        (Flat("outcome", "Won"), DataError, "the value that means won"),
    ],
)
def test_wrong_columns_and_values_are_told(flat: Flat, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        audit_table(table(), flat)


def test_too_few_outcomes() -> None:
    frame = table().head(60)
    with pytest.raises(TooLittleDataError, match="at least 30 of each"):
        audit_table(frame, FLAT)


def test_csv_and_parquet_are_read_alike(tmp_path: Path) -> None:
    frame = table().drop(columns=["noise", "skill"]).assign(count=lambda f: f.row % 7, flag=lambda f: f.row % 2 == 0)
    frame.to_csv(tmp_path / "t.csv.gz", index=False)
    frame.to_parquet(tmp_path / "t.parquet", index=False)
    one, other = (audit_table(flat_frame(tmp_path / name), FLAT) for name in ("t.csv.gz", "t.parquet"))
    assert {f.field: f.alone for f in one.findings} == {f.field: f.alone for f in other.findings}
    assert one.of("count").kind == "number"


def test_columns_of_other_types_are_read(tmp_path: Path) -> None:
    frame = table()
    frame = frame.assign(
        outcome=frame.outcome == "won",
        when=pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(frame.row, unit="D"),
        listed=[[i % 3] for i in frame.row],
        coded=frame.asked.astype("category"),
        whole=pd.array([i % 4 if i % 5 else None for i in frame.row], dtype="Int64"),
    )
    frame.to_parquet(tmp_path / "t.parquet", index=False)
    found = audit_table(flat_frame(tmp_path / "t.parquet"), Flat("outcome", "True", order="row", ids=("id", "row")))
    kinds = {name: found.of(name).kind for name in ("when", "listed", "coded", "whole")}
    assert kinds == {"when": "id", "listed": "category", "coded": "category", "whole": "number"}
    assert found.of("whole").filled.won.rate == pytest.approx(0.8, abs=0.03)
    assert found.quarantined == ()
