"""Other heads in the backtest: what each fits at a cut, and the sections that tell what it is worth.

To add one: a `Head` in `heads_of`. Its columns are kept with the fold, stand in predictions.parquet as ``name.column``,
and reach its sections through `Tested.extra`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from configs.schema import Config
from configs.vocab import Target
from training.backtest import Extra, Tested
from training.prepare import Prepared
from training.sections import Section


@dataclass(frozen=True)
class Head:
    """extra: fits at a cut and predicts columns for the test rows. sections: told of all test rows together.

    own_rows: extra's columns are of rows of its own, and are kept in `Tested.tables`.
    """

    extra: Extra
    sections: Callable[[Prepared, Tested], Sequence[Section]]
    own_rows: bool = False


Heads = Mapping[str, Head]
NO_HEADS: Heads = MappingProxyType({})


def published_heads(config: Config) -> Heads:
    """Return the heads that `train` walks too: what they foretold is published with the model (`Report.bookings`,
    `Report.leads`).
    """
    from training import bookings_section

    if config.target == Target.CONVERTED:
        return heads_of(config)
    if config.target != Target.IN_PERIOD:
        return NO_HEADS
    return {bookings_section.NAME: Head(bookings_section.forecast_looks, lambda *_: (), own_rows=True)}


def heads_of(config: Config) -> Heads:
    """Return the heads that a config's backtest walks along with the close model."""
    from training import amount_section, bookings_section, flag_section, timing_section

    if config.target == Target.CONVERTED:  # all others are about deals
        from training import lead_scores

        return {lead_scores.NAME: Head(lead_scores.fit_and_value, lambda *_: ())}
    heads: dict[str, Head] = {}
    if config.timing.enabled:
        heads[timing_section.NAME] = Head(timing_section.fit_and_foretell, timing_section.sections)
    heads[amount_section.NAME] = Head(amount_section.fit_and_expect, amount_section.sections)
    heads[bookings_section.NAME] = Head(bookings_section.forecast_looks, bookings_section.sections, own_rows=True)
    heads[flag_section.NAME] = Head(flag_section.nothing, flag_section.sections)
    return heads
