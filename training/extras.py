"""Other heads in the backtest: what each fits at a cut, and the sections that tell what it is worth.

To add one: a `Head` in `heads_of`. Its columns are kept with the fold, stand in predictions.parquet as ``name.column``,
and reach its sections through `Tested.extra`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from configs.schema import Config
from training.backtest import Extra, Tested
from training.prepare import Prepared
from training.sections import Section


@dataclass(frozen=True)
class Head:
    """extra: fits at a cut and predicts columns for the test rows. sections: told of all test rows together."""

    extra: Extra
    sections: Callable[[Prepared, Tested], Sequence[Section]]


Heads = Mapping[str, Head]
NO_HEADS: Heads = MappingProxyType({})


def heads_of(config: Config) -> Heads:
    """Return the heads that a config's backtest walks along with the close model."""
    from training import amount_section, timing_section

    heads: dict[str, Head] = {}
    if config.timing.enabled:
        heads[timing_section.NAME] = Head(timing_section.fit_and_foretell, timing_section.sections)
    heads[amount_section.NAME] = Head(amount_section.fit_and_expect, amount_section.sections)
    return heads
