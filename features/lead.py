"""The lead as it stands: how far it came, how old it is, when it arrived, and attributes fixed at creation.

A lead's status is a fact with an instant of its own like any other; one without a history is not used at all.
"""

from __future__ import annotations

import numpy as np

from features.asof import AsOfView
from features.columns import log1p_or_missing, number
from features.periods import local_days, local_hours
from features.registry import OWN, Columns, Context, Feature, Float, Schema, Word, feature_group
from features.timeline import Bool, Int

CONVERTED = ("converted",)
_MONDAY = 3  # day 0 of the epoch was a Thursday
_SATURDAY = 5
_WORK = (8, 18)  # hours of a working day

_FIXED = (
    Feature(
        "stage_rank",
        "rank",
        "its status is {value}",
        missing="status not known",
        words=("new", "worked", "marketing qualified", "sales qualified"),
        targets=CONVERTED,
        factor="status_and_age",
    ),
    Feature(
        "days_open",
        "days",
        "it came in {value} days ago; leads like this usually {usual}",
        missing="lead not known",
        style=".1f",
        targets=CONVERTED,
        factor="status_and_age",
    ),
    Feature(
        "days_in_status",
        "days",
        "its status has stood for {value} days; usually {usual}",
        missing="lead not known",
        style=".1f",
        targets=CONVERTED,
        factor="status_and_age",
    ),
    Feature(
        "given_up_before",
        "times",
        "it was given up {value} times before; usually {usual}",
        targets=CONVERTED,
        factor="status_and_age",
    ),
    Feature(
        "came_on_a_weekend",
        "0 or 1",
        "it came in on a weekend: {value}",
        missing="lead not known",
        words=("no", "yes"),
        targets=CONVERTED,
        factor="arrival",
    ),
    Feature(
        "came_in_working_hours",
        "0 or 1",
        "it came in on a working day between 8 and 18 o'clock: {value}",
        missing="lead not known",
        words=("no", "yes"),
        targets=CONVERTED,
        factor="arrival",
    ),
    Feature(
        "came_at_hour",
        "hour",
        "it came in at {value} o'clock; leads like this usually at {usual}",
        missing="lead not known",
        targets=CONVERTED,
        factor="arrival",
    ),
)


def _specs(schema: Schema) -> tuple[Feature, ...]:
    numbers = (_number(name, logged) for name in schema.numbers for logged in (False, True))
    return (*_FIXED, *map(_word, schema.words), *numbers)


def _number(name: str, logged: bool) -> Feature:
    """Return the feature of a declared number, or of its size: what is counted or paid often goes by that."""
    named = name.replace("_", " ")
    return Feature(
        f"{name}_log" if logged else name,
        "log1p" if logged else "as declared",
        f"{named} is {{value}}; leads like this usually {{usual}}",
        missing="not recorded, or below 0" if logged else "not recorded",
        unknown=f"its {named} is not recorded",
        style=",.6g",
        exp=logged,
        targets=CONVERTED,
        factor="fit",
    )


def _word(word: Word) -> Feature:
    """Return the feature of a usual value: a rate is known of it too, but a model need not wait for it to settle."""
    named = f"{word.dimension.replace('_', ' ')} is {word.value[:60]}".replace("{", "{{").replace("}", "}}")
    return Feature(
        word.column,
        "0 or 1",
        f"{named}: {{value}}",
        missing="not recorded",
        unknown=f"its {word.dimension.replace('_', ' ')} is not recorded",
        words=("no", "yes"),
        targets=CONVERTED,
        factor="fit",
    )


@feature_group("lead", _specs, source=OWN)
def lead(view: AsOfView, context: Context) -> Columns:
    """Return the lead's own columns for every request; see the module docstring."""
    history = view.of("history")
    schema = context.schema
    words = {word.column: np.asarray(view.fixed(word.column), dtype=np.float64) for word in schema.words}
    return {
        "stage_rank": number(history.last("stage")),
        "days_open": view.days_since_created(),
        "days_in_status": history.days_since(),
        "given_up_before": history.count("closed"),
        **_arrival(view),
        **words,
        **_numbers(view, schema),
    }


def _numbers(view: AsOfView, schema: Schema) -> Columns:
    """Return each declared number, and its size in logs."""
    told: Columns = {}
    for name in schema.numbers:
        told[name] = np.asarray(view.fixed(name), dtype=np.float64)
        told[f"{name}_log"] = log1p_or_missing(told[name])
    return told


def _arrival(view: AsOfView) -> Columns:
    """Return when the lead came in by the clock on the wall; missing where it is not known yet."""
    known, zone = view.exists(), view.calendar.zone
    created = np.where(known, np.asarray(view.fixed("created_at"), dtype=np.int64), 0)
    weekend, hour = (local_days(created, zone) + _MONDAY) % 7 >= _SATURDAY, local_hours(created, zone)
    working = ~weekend & (hour >= _WORK[0]) & (hour < _WORK[1])

    def told(values: Bool | Int) -> Float:
        return np.where(known, values.astype(np.float64), np.nan)

    return {"came_on_a_weekend": told(weekend), "came_in_working_hours": told(working), "came_at_hour": told(hour)}
