"""What a report says of leads alone, as ready sections: ranking, lift, grades, a week's work, what they are worth."""

from __future__ import annotations

from collections.abc import Iterator

from configs.vocab import Unworked
from models.clustered import Estimate
from training.evaluate import Interval
from training.labels import unlinked
from training.lead_scores import GradeRow, LeadFigures, RankRow, WayRow, Week
from training.prepare import Prepared
from training.sections import Chart, Section, interval, number

RANK_HEAD = ("model", "PR-AUC [95 %]", "PR-AUC gained by close [95 %]", "precision of the top 10 % [95 %]", "lift")
LIFT_HEAD = ("rows on top", "lift [95 %]", "conversions among them [95 %]", "by stage x time")
GRADE_HEAD = ("grade", "chance from", "rows", "share", "leads", "said", "converted [95 %]")
WEEK_HEAD = ("leads a week", "weeks", "precision [95 %]", "without a queue", "conversions among them [95 %]")
WAY_HEAD = ("way to tell P(won)", "PR-AUC [95 %]", "log loss", "sum p / sum y [95 %]", "value said", "value came")


def lead_sections(told: LeadFigures) -> Iterator[Section]:
    """Yield the sections in the order of the page."""
    yield _ranks(told)
    yield _lift(told)
    yield _grades(told)
    if told.week is not None:
        yield _week(told.week)
    yield _value(told)


def lead_notes(prepared: Prepared) -> list[str]:
    """Say which leads are in no row, and what that means."""
    if prepared.became is None:
        return []
    leads = prepared.config.leads
    notes = [f"{prepared.opted_out:,} leads opted out: they are in no row"]
    if leads.unworked is Unworked.EXCLUDE:
        notes.append(
            f"{prepared.unworked:,} rows are left out, of leads that nobody worked by the end of their window and that "
            "did not convert: the figures are of leads that were worked, P(converts | worked)"
        )
    else:
        notes.append("leads that nobody worked count as not converted (leads.unworked: keep)")
    notes.append(
        f"{unlinked(prepared.became, prepared.until):,} leads converted into a deal that the record does not have: "
        "nobody can tell whether it was won, so they tell nothing of wins and amounts"
    )
    return notes


def _ranks(told: LeadFigures) -> Section:
    notes = (
        "PR-AUC: mean precision from the top down; of a model that knows nothing it is the share that converted, "
        f"{told.rate:.1%}. Lift: precision over that share.",
    )
    return Section("lead.ranks", "How well it ranks", RANK_HEAD, tuple(map(_rank_cells, told.ranks)), notes)


def _rank_cells(row: RankRow) -> tuple[str, ...]:
    gained = interval(row.gained)
    return (row.name, interval(row.pr_auc, ".4f"), gained, interval(row.precision, ".1%"), number(row.lift, ".2f"))


def _lift(told: LeadFigures) -> Section:
    rows = tuple(
        (f"{p.share:.0%}", interval(p.lift, ".2f"), interval(p.recall, ".1%"), number(p.by, ".1%")) for p in told.lift
    )
    x = (0.0, *(100 * p.share for p in told.lift))
    lines = {
        "the model": (0.0, *(100 * p.recall.value for p in told.lift)),
        "stage x time": (0.0, *(100 * p.by for p in told.lift)),
        "by chance": x,
    }
    chart = Chart("rows on top, %", "conversions among them, %", x, lines)
    notes = ("Rows from the most likely on; rows of the same probability share what came of them.",)
    return Section("lead.lift", "Lift", LIFT_HEAD, rows, notes, chart)


def _grades(told: LeadFigures) -> Section:
    notes = ("Grades go by the chance of converting (leads.grades); each should convert more often than the next.",)
    return Section("lead.grades", "By grade", GRADE_HEAD, tuple(map(_grade_cells, told.grades)), notes)


def _grade_cells(row: GradeRow) -> tuple[str, ...]:
    counts = (f"{row.rows:,}", f"{row.share:.1%}", f"{row.leads:,}")
    return (row.grade, f"{row.least:.0%}", *counts, number(row.said, ".1%"), _estimate(row.rate, ".1%"))


def _week(week: Week) -> Section:
    cells = (
        f"{week.capacity:,}",
        f"{week.weeks:,}",
        _estimate(week.precision, ".1%"),
        number(week.usual, ".1%"),
        _estimate(week.recall, ".1%"),
    )
    notes = (
        "Each calendar week's leads as they stood last in it, the most likely ones worked. Precision: share of those "
        "that converted; beside it that of all leads of the week.",
    )
    return Section("lead.week", "What a week's work finds", WEEK_HEAD, (cells,), notes)


def _value(told: LeadFigures) -> Section:
    value = told.value
    notes = [
        f"Ships: {value.choice.ships} ({value.choice.why}).",
        f"Won within {told.won_within_days} days of the score. product: P(converts within {told.within_days} days) x "
        "P(won | converts); direct: fitted on wins alone. The direct way ships where it is clearly better by PR-AUC or "
        "log loss and clearly worse by neither.",
        f"{value.rows:,} rows of {value.leads:,} later leads whose window is over judge, {value.won:,} of them won. "
        "Value: P(won) x expected amount, beside what their deals brought, in currency.",
    ]
    if value.pr_auc_gain is not None and value.log_loss_gain is not None:
        gains = f"{interval(value.pr_auc_gain)} PR-AUC and {interval(value.log_loss_gain)} nats a row"
        notes.append(f"direct gains {gains} over the product [95 %, paired over leads].")
    return Section("lead.value", "What leads are worth", WAY_HEAD, tuple(map(_way_cells, value.ways)), tuple(notes))


def _way_cells(way: WayRow) -> tuple[str, ...]:
    values = (number(way.value_said, ",.0f"), number(way.value_came, ",.0f"))
    return (way.name, interval(way.pr_auc, ".4f"), f"{way.log_loss:.4f}", _estimate(way.level, ".3f"), *values)


def _estimate(found: Estimate, style: str) -> str:
    return interval(Interval(found.value, found.low, found.high, float("nan")), style)
