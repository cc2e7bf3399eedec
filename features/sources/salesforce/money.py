"""One currency: amounts of several are turned into the base one by the mapping's rates, or the read is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np

from configs.errors import Fault
from configs.salesforce import Currency
from features.parsing import MAX_CENTS
from features.sources.exports import Export
from features.sources.salesforce.fields import FIELD_HISTORY, FieldLog
from features.tables import NAT, Coded, IntArray

CODE = "CurrencyIsoCode"
IN_CURRENCY = ("Opportunity", "OpportunityHistory", "ForecastingQuota")


def currencies(export: Export, log: FieldLog) -> dict[str, str]:
    """Every currency that the export names, and where it does so first."""
    named: dict[str, str] = {}
    columns = [(export[name], export[name].coded(CODE), np.arange(export[name].n)) for name in IN_CURRENCY]
    if changes := log.by_field.get("currency"):
        sides = (data for data in (changes.old, changes.new) if isinstance(data, Coded))
        columns += [(export[FIELD_HISTORY], data, changes.rows) for data in sides]
    for rows, data, where in columns:
        for code, first in zip(*np.unique(data.codes, return_index=True), strict=True):
            if code >= 0:
                named.setdefault(data.values[code], rows.place(int(where[first])))
    return named


def currency_faults(named: Mapping[str, str], currency: Currency | None) -> Iterator[Fault]:
    """Why amounts can't be brought into one currency."""
    if currency is None:
        if len(named) > 1:
            codes = sorted(named)
            yield Fault(
                "several_currencies",
                named[codes[0]],
                f"amounts in {', '.join(codes[:10])}",
                "one currency, or rates",
                "add currency: {base: ..., rates: {...}} to the mapping",
                CODE,
            )
        return
    for code in sorted(set(named) - {currency.base, *currency.rates}):
        known = ", ".join([currency.base, *currency.rates])
        remedy = f"add its rate to the mapping under currency.rates (there are: {known})"
        yield Fault("unknown_currency", named[code], repr(code), "a currency with a rate", remedy, CODE)


def in_base(cents: IntArray, code: Coded, currency: Currency | None) -> IntArray:
    """Cents in the base currency, rounded half to even; an amount without a code is in it already."""
    if currency is None:
        return cents
    rates = {code: Decimal(str(rate)) for code, rate in currency.rates.items() if code != currency.base}
    amounts = cents.copy()
    for value in sorted(set(code.values) & set(rates)):
        rows = np.flatnonzero((code.codes == code.values.index(value)) & (cents != NAT))
        distinct, which = np.unique(cents[rows], return_inverse=True)
        turned = [
            int((Decimal(amount) * rates[value]).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))
            for amount in distinct.tolist()
        ]
        turned = [max(-MAX_CENTS, min(amount, MAX_CENTS)) for amount in turned]  # far above any: the checks name it
        amounts[rows] = np.array(turned, dtype=np.int64)[which]
    return amounts
