"""An example request: open deals of the source as a body of ``POST /v1/deals/score``, which answers with the bits of
`score`; or open leads as one of ``POST /v1/leads/score``, with those of `score-leads`.

Only facts known before the as-of are written; instants to the microsecond, amounts to the cent, numbers in their
shortest form.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from features.known import known_before
from features.leads import BORN
from features.record import ACCOUNT_FIELDS
from features.schema import OWN
from features.tables import NAT, Coded, ColumnData, CrmTables
from models.bundle import Bundle
from serving.answers import iso
from serving.batch import open_deals
from serving.kinds import LEAD_FIELDS, LEADS, kind_of
from serving.refresh import Sourced
from serving.wire import ACTIVITIES, CONTACTS, DEALS, HISTORY, UNKNOWN_STAGE, cells, nested_rows, rows_about


def example_request(seen: Sourced, bundle: Bundle, as_of: int, deals: int, in_sample: bool) -> dict[str, Any]:
    """Return a body that asks for the first `deals` deals or leads open at the as-of, by id."""
    chosen = open_deals(seen.record, as_of)
    ids = seen.record.deal_ids.take(chosen.deal).strings()
    return request_of(seen.tables, bundle, as_of, sorted(name for name in ids if name)[:deals], in_sample)


def request_of(tables: CrmTables, bundle: Bundle, as_of: int, ids: list[str], in_sample: bool) -> dict[str, Any]:
    """Return a body that asks for these deals or leads as of an instant (UTC microseconds)."""
    kind = kind_of(bundle.about.schema.target)
    items = (leads_of if kind is LEADS else deals_of)(known_before(tables, as_of), bundle, ids)
    return {"as_of": iso(as_of), **({"in_sample": True} if in_sample else {}), kind.many: items}


def deals_of(tables: CrmTables, bundle: Bundle, ids: list[str]) -> list[dict[str, Any]]:
    """Return these deals as a request gives them, with all that the tables know of them."""
    nested = {
        "history": nested_rows(tables.deal_history, HISTORY, ids, tables.deal_history.ints("seq")),
        "activities": nested_rows(tables.activities, ACTIVITIES, ids, None),
        "contacts": nested_rows(tables.contacts, CONTACTS, ids, None),
    }
    heads = {str(row["deal_id"]): row for _, row in cells(tables.deals, DEALS, rows_about(tables.deals, ids))}
    fixed = _fixed(tables, bundle, ids)
    body = [heads[name] | fixed[name] | {part: rows[name] for part, rows in nested.items()} for name in ids]
    for deal in body:
        for row in deal["history"]:
            row.setdefault("stage", UNKNOWN_STAGE)
    return body


def leads_of(tables: CrmTables, bundle: Bundle, ids: list[str]) -> list[dict[str, Any]]:
    """Return these leads as a request gives them; the tables hold them in the shape of deals."""
    history = tables.deal_history
    told = replace(tables, deal_history=history.take(history.ints("seq") != BORN))
    return [_lead(deal) for deal in deals_of(told, bundle, ids)]


def _lead(deal: dict[str, Any]) -> dict[str, Any]:
    """Return a lead in the shape of a deal as a request gives it."""
    given = deal.get("attributes", {})
    attributes = {name: value for name, value in given.items() if name not in LEAD_FIELDS}
    return {
        "lead_id": deal["deal_id"],
        **{name: deal[name] for name in ("created_at", "known_at", "source") if name in deal},
        **{name: given[name] for name in LEAD_FIELDS if name in given},
        **({"attributes": attributes} if attributes else {}),
        "history": [{"known_at": row["known_at"], "event": row["stage"]} for row in deal["history"]],
        "activities": deal["activities"],
    }


def _fixed(tables: CrmTables, bundle: Bundle, ids: list[str]) -> dict[str, dict[str, Any]]:
    """Return ``account`` and ``attributes`` of each deal, as far as the model uses them."""
    schema = bundle.about.schema
    deals = tables.deals.take(rows_about(tables.deals, ids))
    place = {name: i for i, name in enumerate(deals.coded("deal_id").strings())}
    others = [name for name in schema.dimensions if name not in OWN]
    own = [name for name in (*others, *schema.numbers) if name in deals.columns]
    accounts = tables.accounts
    row = deals.coded("account_id").codes_in([name or "" for name in accounts.coded("account_id").strings()])
    found: dict[str, dict[str, Any]] = {}
    for name in ids:
        i = place[name]
        account = {
            field: accounts.coded(field).decode(int(row[i]))
            for field in others
            if field in ACCOUNT_FIELDS and field not in own and row[i] >= 0
        }
        attributes = {field: _attribute(deals[field], i) for field in own}
        found[name] = {
            part: kept
            for part, values in (("account", account), ("attributes", attributes))
            if (kept := {field: value for field, value in values.items() if value is not None})
        }
    return found


def _attribute(data: ColumnData, i: int) -> str | float | None:
    if isinstance(data, Coded):
        return data.decode(i)
    value = float(data[i])
    return None if np.isnan(value) or value == NAT else value
