"""The card of the model that serves, as the data page shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serving.pages.words import NOT_KNOWN


@dataclass(frozen=True)
class Test:
    """A row of the backtest. gain: log loss that the model gains over it with its interval, "" where none is told."""

    name: str
    deals: int
    log_loss: str
    auc: str
    gain: str
    reference: bool


@dataclass(frozen=True)
class Gate:
    """A gate of the promotion. word: passed, FAILED or reported; note: what a reader should know."""

    name: str
    word: str
    value: str
    note: str


@dataclass(frozen=True)
class Card:
    """What a published card tells. use, data, rung: as `training.card` names their parts."""

    use: Mapping[str, Any]
    data: Mapping[str, Any]
    rung: Mapping[str, Any]
    leaks: str
    limits: tuple[str, ...]
    tests: tuple[Test, ...]
    gates: tuple[Gate, ...]
    fingerprints: tuple[tuple[str, str], ...]


def read_card(told: Mapping[str, Any] | None) -> Card | None:
    """Read a card; None where there is none, or it is not one that this version knows."""
    if told is None:
        return None
    try:
        return Card(
            use={name: told["intended_use"][name] for name in ("predicts", "for", "not_for", "fairness", "contact")},
            data={name: told["data"][name] for name in ("rows", "deals")},
            rung={name: told["rung"][name] for name in ("name", "is", "doubt", "level")},
            leaks=told["leak_audit"]["says"],
            limits=(*told["limits"], *told["notes"]),
            tests=tuple(map(_test, told["metrics"])),
            gates=tuple(map(_gate, told["gates"])),
            fingerprints=tuple((name, str(value)) for name, value in told["fingerprints"].items()),
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _test(row: Mapping[str, Any]) -> Test:
    gain = row["close_gains"]
    told = (
        "" if not gain or gain["low"] is None else f"{gain['value']:+.4f} ({gain['low']:+.4f} to {gain['high']:+.4f})"
    )
    return Test(row["model"], row["deals"], _n(row["log_loss"], ".4f"), _n(row["auc"], ".3f"), told, row["reference"])


def _gate(row: Mapping[str, Any]) -> Gate:
    word = "reported" if row["rule"] == "reported" else "passed" if row["passed"] else "FAILED"
    return Gate(row["gate"], word, _n(row["value"], ".4g"), row["note"])


def _n(value: float | None, style: str) -> str:
    return NOT_KNOWN if value is None else format(value, style)
