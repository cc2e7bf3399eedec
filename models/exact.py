"""Floats in JSON, exactly: as hexadecimal text, one by one or in lists of lists."""

from __future__ import annotations

from typing import Any

import numpy as np


def to_hex(values: Any) -> Any:
    """Write a float or an array of floats."""
    if isinstance(values, np.ndarray) and values.ndim:
        return [to_hex(part) for part in values]
    return float(values).hex()


def from_hex(told: Any) -> Any:
    """Read what `to_hex` wrote: a float, or float64 of as many dimensions as there are levels of lists.

    Raises ValueError or TypeError for anything else.
    """
    if isinstance(told, list):
        return np.array([from_hex(part) for part in told], dtype=np.float64)
    return float.fromhex(told)
