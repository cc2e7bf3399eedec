"""One fit to ship: every head on what was known by the cut, packed with all that a prediction needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from configs.load import config_hash, mapping_of
from configs.schema import Config
from configs.vocab import Target
from features.asof import Requests
from features.told import told_at
from models.amount import AmountModel
from models.base import Examples, Int
from models.bookings import BookingsModel
from models.bundle import GOLDEN_ROWS, About, Bundle
from models.close import CloseModel, FitNotes, Shared
from models.ladder import TABLE_RUNG
from models.profile import profile_of
from models.timing import TimingModel
from training.amount_fit import try_amount
from training.bookings_fit import fit_bookings
from training.cuts import fit_on, ground_at
from training.fingerprint import fingerprint as fingerprint
from training.flag_record import SLIPPING, past_of, track_record
from training.prepare import Prepared, window_days
from training.timing_fit import try_timing


def fit_bundle(
    prepared: Prepared,
    data_fingerprint: str,
    shared: Shared | None = None,
    tell: Callable[[str], None] = lambda _: None,
    untested: bool = False,
) -> tuple[Bundle, FitNotes]:
    """Fit every head at the end of what was prepared and pack the bundle; its sha is known once it is saved.

    tell: gets a line for each head that there is not, with the reason. untested: no period of the record can be tested,
    so that the close head is the shrunken table, however many deals have closed.
    """
    ground = ground_at(prepared, prepared.until)
    if untested:
        ground = replace(ground, rung=TABLE_RUNG)
    model, notes = fit_on(prepared, ground, shared)
    timing, why = try_timing(prepared, prepared.until)
    if timing is None:
        tell(f"no close dates, p_won, p_lost, p_open: {why}")
    amount, why = try_amount(prepared, prepared.until)
    if amount is None:
        tell(f"no amount_expected: {why}")
    bookings = fit_bookings(prepared, ground, notes, amount) if amount is not None else None
    bundle = make_bundle(prepared, model, ground.rows, data_fingerprint, timing, amount, bookings)
    unmeasured = (SLIPPING,) if timing is not None else ()
    return replace(bundle, track_record=track_record(prepared, past_of(prepared, ground, notes), unmeasured)), notes


def make_bundle(
    prepared: Prepared,
    model: CloseModel,
    rows: Examples,
    data_fingerprint: str,
    timing: TimingModel | None = None,
    amount: AmountModel | None = None,
    bookings: BookingsModel | None = None,
) -> Bundle:
    """Pack fitted heads; rows are those that the close head was fitted on."""
    config, record = prepared.config, prepared.record
    mapping = mapping_of(config)
    about = About(
        name=config.name,
        target=str(config.target),
        time_zone=config.time_zone,
        trained_as_of=prepared.until,
        rows=len(rows),
        deals=len(np.unique(rows.deal)),
        first_as_of=int(rows.as_of.min(initial=prepared.until)),
        config_hash=config_hash(config, mapping),
        data_fingerprint=data_fingerprint,
        plan_fingerprint=prepared.plan.fingerprint(),
        groups=tuple(str(group) for group in config.features.groups),
        drop=config.features.drop,
        shrink=config.features.shrink,
        schema=prepared.plan.context.schema,
        stages=record.stages,
        horizon_days=window_days(config) if config.target is Target.CONVERTED else config.horizon_days,
        left_out=prepared.left_out,
    )
    profile = profile_of(rows.matrix, rows.y, len(record.stages.order))
    if not len(rows):  # a company without a past has no rate of its own, only the prior's
        profile = replace(profile, rate=model.table.overall)
    probed = rows if len(rows) else prepared.examples  # open deals can be probed, too: no label is looked at
    golden = probed.take(_golden(len(probed), config))
    told = told_at(record, Requests(golden.deal, golden.as_of))
    reference = record.reference.before(prepared.until)  # not what a period that still runs has yielded so far
    return Bundle(
        about, prepared.plan, model, reference, profile, record.calendar, golden.matrix, timing, amount, told, bookings
    )


def _golden(n: int, config: Config) -> Int:
    """Draw the rows that every load probes."""
    rng = np.random.default_rng(config.seed)
    return np.sort(rng.choice(n, size=min(GOLDEN_ROWS, n), replace=False))
