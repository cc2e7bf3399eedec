"""From tables to rows: record, plan, snapshots, labels and features, made once for every fit that follows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import pairwise
from threading import Lock
from time import perf_counter
from zoneinfo import ZoneInfo

import numpy as np

from configs.errors import TooLittleDataError, UsageError
from configs.load import mapping_of
from configs.schema import Config
from configs.subject import Subject
from configs.vocab import Eligibility, Grid, Target, Unworked
from features.asof import Requests, known
from features.build import FeatureMatrix, build_features, plan_features
from features.ingest import Ingest
from features.known import known_before
from features.leads import OPTED_OUT, Became
from features.periods import DAY, EPOCH, MICRO, Calendar, fiscal_calendar, instant_text, local_days, local_midnight
from features.record import Record, build_record
from features.registry import Context, Plan, Schema
from features.schema import schema_of
from features.tables import NAT, CrmTables
from models.base import Bool, Examples, Float, Frame, Int
from models.penalty import USUAL
from training.audit_facts import quarantined_facts, without
from training.facts import facts_of
from training.labels import NEVER, Labels, labels_of, outcomes, resolved, unworked
from training.snapshots import at_ages, joined, weekly

GRACE = 7 * DAY  # a quiet last week of a period is no sign that the record ends there


@dataclass(frozen=True)
class Prepared:
    """All rows of a config as known before `until`.

    examples: every snapshot with the labels a fit trains on (label_end NEVER where it can't be told).
    told_y, told_end: the labels it is judged by (float64[n]) and when they were told (int64[n]); they differ for an
    `eventual` head. created: int64[n], the deal's created_at. facts: what the CRM itself says of each row, for the
    baselines (`models.baselines.FACTS`). seconds: what each feature group took.
    left_out: declared facts that know the outcome, by the leak audit; the plan has no feature of them.
    unworked: rows of leads that were left out because nobody worked them, see `training.labels.unworked`.
    opted_out: leads of the source that are in no row because they opted out.
    became: of leads, what became of the deals they turned into, by code of the lead; not cut at `until`.
    """

    config: Config
    record: Record
    plan: Plan
    frame: Frame
    until: int
    examples: Examples
    told_y: Float
    told_end: Int
    created: Int
    facts: FeatureMatrix
    seconds: Mapping[str, float] = field(default_factory=dict, compare=False)
    left_out: tuple[str, ...] = ()
    unworked: int = 0
    became: Became | None = None
    opted_out: int = 0

    @property
    def calendar(self) -> Calendar:
        """The fiscal calendar."""
        return self.record.calendar


class Stopwatch:
    """Adds up seconds by name, of all threads together. seconds: so far."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = Lock()

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Count the time inside towards `name`."""
        begun = perf_counter()
        try:
            yield
        finally:
            took = perf_counter() - begun
            with self._lock:
                self.seconds[name] = self.seconds.get(name, 0.0) + took


def calendar_of(config: Config) -> Calendar:
    """Return the fiscal calendar of a config."""
    period = config.period
    return fiscal_calendar(period.kind, period.fiscal_year_start, config.time_zone, period.table, period.holidays)


def end_of(tables: CrmTables, zone: str, target: Target = Target.IN_PERIOD) -> int:
    """Return the end of the record: the local midnight after the last change of a deal (UTC microseconds).

    Deals and their history decide, since it is their outcomes that a record can tell up to its end. Of leads what was
    done about them counts too: most have no history but their creation, so that a record whose last leads came early
    would end long before the CRM fell silent, and those that never converted would never be told.
    """
    told = (tables.deals, tables.deal_history, *((tables.activities,) if target is Target.CONVERTED else ()))
    last = max(int(table.ints("known_at").max(initial=NAT)) for table in told)
    if last == NAT:
        many = Subject.of(target).many
        raise TooLittleDataError(f"the record holds no facts: expected {many} with a history; check the source")
    day = EPOCH + timedelta(days=int(local_days(np.array([last]), zone)[0]) + 1)
    return local_midnight(day, ZoneInfo(zone))


def frame_of(config: Config, stage_count: int) -> Frame:
    """Return how tables cut time: ages of the config are told apart at the middle between neighbours."""
    ages = [age.total_seconds() * MICRO / DAY for age in config.snapshots.ages]
    edges = tuple((a + b) / 2 for a, b in pairwise(ages))
    length = float(np.median(np.diff(calendar_of(config).starts))) / DAY
    return Frame(config.target, stage_count, edges, config.model.ridge_penalty or USUAL, length)


def prepare(config: Config, ingest: Ingest, until: int | None = None) -> Prepared:
    """Build every row known before `until` (default: the end of the record).

    Raises UsageError for an `until` more than a week beyond the end of the record: nobody has written down what came
    of the deals since then, and to count them as not won would be made up.
    """
    end = end_of(ingest.tables, config.time_zone, config.target)
    if until is not None and until > end + GRACE:
        raise UsageError.at(
            "--as-of",
            f"{instant_text(until, config.time_zone)}, after the end of the record",
            expected=f"at most a week after {instant_text(end, config.time_zone)}, the end of its last day",
            remedy="leave --as-of out to train on the whole record, or read a newer export",
        )
    cut = end if until is None else until
    tables = known_before(ingest.tables, cut)
    schema = schema_of(tables, mapping_of(config), config.target)
    record = build_record(tables, ingest.stages, calendar_of(config), schema)
    left_out = quarantined_facts(record, tables, schema, config.audit)
    if left_out:
        schema = without(schema, left_out)
        record = build_record(tables, ingest.stages, record.calendar, schema)
    plan = plan_of(config, schema)
    asked = _snapshots(config, record, cut)
    found = outcomes(record, asked)
    labels = labels_of(config.target, config.training.eligibility, window_days(config), record, asked, found)
    if found.merged.any():  # rows of a deal that ends in a merge are never told
        kept = np.flatnonzero(~(found.merged & (labels.end == NEVER)))
        asked, labels, found = asked.take(kept), labels.take(kept), found.take(kept)
    idle = np.zeros(len(asked), dtype=bool)
    if config.target == Target.CONVERTED and config.leads.unworked is Unworked.EXCLUDE:
        idle = unworked(record, asked, labels) & (labels.end <= cut)
        kept = np.flatnonzero(~idle)
        asked, labels, found = asked.take(kept), labels.take(kept), found.take(kept)
        _refuse_survivors(labels, cut, int(idle.sum()))
    told = resolved(found) if config.target == Target.EVENTUAL else labels
    watch = Stopwatch()
    matrix = build_features(record, asked, plan, watch)
    examples = Examples(matrix, labels.y, asked.deal, asked.as_of, labels.end)
    created = np.asarray(record.deals.columns["created_at"], dtype=np.int64)[asked.deal]
    frame = frame_of(config, len(ingest.stages.order))
    facts = facts_of(record, asked)
    return Prepared(
        config=config,
        record=record,
        plan=plan,
        frame=frame,
        until=cut,
        examples=examples,
        told_y=told.y,
        told_end=told.end,
        created=created,
        facts=facts,
        seconds=watch.seconds,
        left_out=left_out,
        unworked=int(idle.sum()),
        became=_became(ingest, cut),
        opted_out=ingest.report.noticed(OPTED_OUT),
    )


def _refuse_survivors(labels: Labels, cut: int, unworked: int) -> None:
    """Refuse a record in which nobody worked any lead that did not convert: all would seem to convert."""
    if unworked and not ((labels.end <= cut) & (labels.y == 0)).any():
        raise TooLittleDataError(
            f"nobody worked any lead that did not convert: {unworked:,} rows are left out for it, and in all others "
            "the lead converts. Set leads.unworked: keep where the record does not tell who did what, or export "
            "lead_activities and the changes of status"
        )


def _became(ingest: Ingest, cut: int) -> Became | None:
    """Return what became of the leads that are known before the cut, in the order of their codes."""
    kept = np.flatnonzero(known(ingest.tables.deals.ints("known_at"), cut))
    return None if ingest.became is None else ingest.became.take(kept)


def window_days(config: Config) -> int:
    """Return how long the label window of a target without periods is, in days."""
    if config.target == Target.CONVERTED:
        return config.leads.within_days
    return config.training.horizon_days or config.horizon_days


def relabelled(prepared: Prepared, eligibility: Eligibility) -> Prepared:
    """Return the same rows with the training labels of another eligibility (heads `eventual` only)."""
    old = prepared.examples
    asked = Requests(old.deal, old.as_of)
    training = prepared.config.training.model_copy(update={"eligibility": eligibility})
    config = prepared.config.model_copy(update={"training": training})
    labels = labels_of(
        config.target, eligibility, window_days(config), prepared.record, asked, outcomes(prepared.record, asked)
    )
    return replace(prepared, config=config, examples=Examples(old.matrix, labels.y, old.deal, old.as_of, labels.end))


def plan_of(config: Config, schema: Schema) -> Plan:
    """Return the feature plan of a config."""
    context = Context(schema, config.features.shrink)
    return plan_features(context, config.features.groups, config.features.drop)


def _snapshots(config: Config, record: Record, until: int) -> Requests:
    asked = (
        weekly(record, until) if config.snapshots.grid == Grid.WEEKLY else at_ages(record, config.snapshots.ages, until)
    )
    if not len(asked):
        raise TooLittleDataError(
            f"no {Subject.of(config.target).one} is open at any as-of of the snapshot grid; check created_at, "
            f"{'events' if config.target is Target.CONVERTED else 'stages'} and snapshots"
        )
    order = np.lexsort((asked.deal, asked.as_of))
    return joined([asked.take(order)])


def trainable(prepared: Prepared, cut: int) -> Bool:
    """Return bool[n]: rows whose whole label window ended by `cut`."""
    end = prepared.examples.label_end
    told: Bool = (end <= cut) & (end != NEVER)
    return told
