"""How the heads of leads are written: one JSON with exact floats, the texts of their trees beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from models.close import CloseModel
from models.close_files import close_json, read_close
from models.exact import from_hex, to_hex
from models.leads import WAYS, LeadAmount, LeadHeads
from models.reference_io import plain_json

LEADS, OPPORTUNITY_TREES, DIRECT_TREES = "leads.json", "lead_opportunity_trees.txt", "lead_direct_trees.txt"
_TREES = {"opportunity": OPPORTUNITY_TREES, "direct": DIRECT_TREES}


def leads_files(heads: LeadHeads) -> dict[str, bytes]:
    """Return the files of a bundle that hold the heads; trees are absent where there are none."""
    told: dict[str, Any] = {"ships": heads.ships, "why": heads.why, "won_within_days": heads.won_within_days}
    files = {}
    for name, path in _TREES.items():
        head: CloseModel | None = getattr(heads, name)
        told[name] = None if head is None else close_json(head)
        if head is not None and head.trees is not None:
            files[path] = head.trees.text.encode()
    told["amount"] = None if heads.amount is None else _amount_json(heads.amount)
    return {LEADS: plain_json(told), **files}


def read_leads(files: Mapping[str, bytes], names: tuple[str, ...]) -> LeadHeads:
    """Return the heads that `leads_files` wrote, over these feature columns.

    Raises KeyError, TypeError or ValueError where the files hold none.
    """
    told: dict[str, Any] = json.loads(files[LEADS])
    if told["ships"] not in WAYS or type(told["won_within_days"]) is not int:
        raise ValueError(f"{LEADS} ships {told['ships']!r}, expected one of {', '.join(WAYS)}")
    heads = {
        name: None if told[name] is None else read_close(told[name], names, files.get(path))
        for name, path in _TREES.items()
    }
    amount = None if told["amount"] is None else _amount(told["amount"], names)
    return LeadHeads(told["won_within_days"], **heads, amount=amount, ships=told["ships"], why=str(told["why"]))


def _amount_json(amount: LeadAmount) -> dict[str, Any]:
    exact = {each.name: to_hex(getattr(amount, each.name)) for each in fields(amount) if each.name != "names"}
    return exact | {"names": list(amount.names)}


def _amount(told: Mapping[str, Any], names: tuple[str, ...]) -> LeadAmount:
    looks_at = tuple(told["names"])
    parts = {each.name: from_hex(told[each.name]) for each in fields(LeadAmount) if each.name != "names"}
    numbers = np.concatenate([np.ravel(part) for part in parts.values()])
    sizes = {np.shape(parts[name]) for name in ("mean", "scale", "weights")}
    if set(looks_at) - set(names) or sizes != {(len(looks_at),)} or not np.isfinite(numbers).all():
        raise ValueError(f"{LEADS} holds no amounts")
    return LeadAmount(names=looks_at, **parts)
