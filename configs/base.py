"""Building blocks of the schemas: the strict base class and the field types that YAML has no word for."""

import difflib
import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated, Any, NoReturn
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"([1-9][0-9]{0,8})(s|min|h|d|w)")
_PASSWORD = re.compile(r"(?<=://)([^/@:?]*):.*@|(?<=[?&]password=)[^&]*")  # up to the last @: better too much
_MONTH_DAY = re.compile(r"(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])")


class Strict(BaseModel):
    """Base of every block of a config: immutable, no unknown key, no infinite number.

    Attribute docstrings are not used: every field has a ``description`` with its unit, which is also what editors show.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())


def refuse(code: str, *, got: str, expected: str, remedy: str = "", field: str = "") -> NoReturn:
    """Raise the one kind of validation error that carries the parts of a ``Fault``.

    ``field`` names the child key to blame when the check looks at several keys of one block.
    """
    parts = {"got": got, "expected": expected, "remedy": remedy, "field": field}
    template = "{got}; expected {expected}" + ("; {remedy}" if remedy else "")
    raise PydanticCustomError(code, template, parts)


def redacted(url: str) -> str:
    """Return a URL, or a text with one, with its passwords as ``***``."""
    return _PASSWORD.sub(lambda found: f"{found[1]}:***@" if found[1] is not None else "***", url)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``did you mean 'x'?`` for the known word that is nearest to ``word`` whatever the case, else ``""``."""
    by_folded = {item.casefold(): item for item in sorted(known)}
    near = difflib.get_close_matches(word.casefold(), by_folded, n=1, cutoff=0.6)
    return f"did you mean {by_folded[near[0]]!r}?" if near else ""


def parse_duration(value: object) -> timedelta:
    """Turn ``"29min"``, ``"6h"``, ``"3d"`` or ``"2w"`` into a timedelta. A day is 86,400 seconds."""
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        refuse(
            "bad_duration",
            got=f"{value!r} is not a duration",
            expected="a whole number above 0 and a unit: s, min, h, d or w",
            remedy="write it like 29min, 6h, 3d or 2w",
        )
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def format_duration(value: timedelta) -> str:
    """Return the text, in days or less, that ``parse_duration`` reads back as the same span (whole seconds)."""
    seconds = value.days * 86_400 + value.seconds
    unit = next(unit for unit in ("d", "h", "min", "s") if seconds % _UNITS[unit] == 0)
    return f"{seconds // _UNITS[unit]}{unit}"


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; not a relative path; a folder of zones such as "Europe"
        near = did_you_mean(name, available_timezones())
        refuse(
            "unknown_time_zone",
            got=f"no time zone is called {name!r}",
            expected="a name of the IANA time zone database, such as Europe/Amsterdam or UTC",
            remedy=near,
        )
    return name


def _fiscal_start(value: object) -> int | str:
    is_month = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 12
    if is_month or (isinstance(value, str) and _MONTH_DAY.fullmatch(value)):
        return value  # type: ignore[return-value]  # narrowed by the two tests above
    refuse(
        "bad_fiscal_start",
        got=f"{value!r} is not the start of a fiscal year",
        expected="a month from 1 to 12, or MM-DD with a day from 01 to 28",
        remedy="write 2 or 02-01 for a year that begins in February; give other calendars as period.table",
    )


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    repeated = sorted({str(value) for value in values if values.count(value) > 1})
    if repeated:
        refuse(
            "repeated", got=f"{', '.join(repeated)} more than once", expected="each once", remedy="remove the repeat"
        )
    return values


def _scalar(value: object) -> str | int | float | bool:
    if isinstance(value, str | int | float):  # a bool is an int
        return value
    refuse("wrong_type", got=f"{_named(value)} as a value", expected="a text, a number, true or false")


def _named(value: object) -> str:
    return {type(None): "nothing", dict: "a mapping", list: "a list"}.get(type(value), type(value).__name__)


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": f"^{_DURATION.pattern}$", "examples": ["29min", "6h", "3d", "2w"]}),
]
"""A span above zero, written with its unit; kept as a timedelta."""

TimeZone = Annotated[str, AfterValidator(_known_zone)]
"""An IANA time zone name."""

FiscalStart = Annotated[
    int | str,
    BeforeValidator(_fiscal_start),
    WithJsonSchema(
        {
            "oneOf": [
                {"type": "integer", "minimum": 1, "maximum": 12},
                {"type": "string", "pattern": f"^{_MONTH_DAY.pattern}$"},
            ]
        }
    ),
]
"""A month 1-12, or ``MM-DD``."""

Scalar = Annotated[
    str | int | float | bool,
    BeforeValidator(_scalar),
    WithJsonSchema({"type": ["string", "number", "boolean"]}),
]
"""One plain value of a cell."""

Distinct = AfterValidator(_distinct)
"""Marks a tuple whose values must differ."""
