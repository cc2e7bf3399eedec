"""Time texts by the million: ISO 8601 as most exports write it, read by Arrow; all else is left to `features.parsing`.

What is read here has the value that `features.parsing` gives it, to the microsecond. Only texts whose form leaves no
doubt are taken: a year from 1900 to 2099, a day that every such month has, whole seconds or up to six digits after the
point, and ``Z``, an offset or neither. The others (bare dates, 29 February, blanks around it) are few or faults.
"""

from __future__ import annotations

from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.parsing import localise
from features.tables import NAT, IntArray

_DAYS = r"(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
_WALL = rf"^(?:19|20)\d\d-{_DAYS}[T ](?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{{1,6}})?"
_ZONE = r"(?:Z|[+-](?:[01]\d|2[0-3]):?[0-5]\d)"
_MILLISECONDS = r"^\d{11,14}$"  # since 1970; fewer digits may be seconds, and are not guessed at
EXACT, WALL = rf"{_WALL}{_ZONE}$", rf"{_WALL}$"


def quick_times(texts: pa.Array, zone: ZoneInfo) -> tuple[IntArray, NDArray[np.bool_]]:
    """Read a string column: (int64[n] microseconds UTC, bool[n] of the cells that are settled). Nulls are settled."""
    stamps = np.full(len(texts), NAT, dtype=np.int64)
    done = texts.is_null().to_numpy(zero_copy_only=False).copy()
    for form, unit in ((EXACT, pa.timestamp("us", "UTC")), (WALL, pa.timestamp("us"))):
        fits = _flags(pc.match_substring_regex(texts, form))
        if not fits.any():
            continue
        some = texts if fits.all() else texts.filter(pa.array(fits))
        try:
            read = some.cast(unit).cast(pa.int64()).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid:  # a form that this Arrow does not take: the slow way knows
            continue
        stamps[fits] = read if unit.tz else localise(read, zone)
        done |= fits
        if done.all():
            break
    return stamps, done


def iso_times(texts: pa.Array) -> pa.Array:
    """Return a column of times with milliseconds since 1970 written as ISO 8601; all other cells as they are."""
    if pa.types.is_dictionary(texts.type):
        return pa.DictionaryArray.from_arrays(texts.indices, iso_times(texts.dictionary))
    whole = texts.cast(pa.string()) if pa.types.is_integer(texts.type) else texts
    if not pa.types.is_string(whole.type):
        return texts
    fits = pc.match_substring_regex(whole, _MILLISECONDS)
    if not pc.any(fits).as_py():
        return texts
    stamps = pc.if_else(fits, whole, pa.scalar(None, pa.string())).cast(pa.int64()).cast(pa.timestamp("ms"))
    return pc.if_else(fits, pc.strftime(stamps, format="%Y-%m-%dT%H:%M:%SZ"), whole)


def _flags(found: pa.Array) -> NDArray[np.bool_]:
    flags: NDArray[np.bool_] = found.fill_null(False).to_numpy(zero_copy_only=False)
    return flags
