"""One currency: amounts of several are turned into the base one by the mapping's rates, or the read is refused."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import ROUND_HALF_EVEN, Decimal

import numpy as np

from configs.errors import Fault
from configs.salesforce import Currency
from features.sources.salesforce.fields import FieldLog
from features.sources.salesforce.reading import Export
from features.tables import NAT, Coded, IntArray

CODE = "CurrencyIsoCode"
IN_CURRENCY = ("Opportunity", "OpportunityHistory", "ForecastingQuota")


def currencies(export: Export, log: FieldLog) -> set[str]:
    """Every currency that the export names."""
    named = {value for name in IN_CURRENCY for value in export[name].coded(CODE).values}
    changes = log.by_field.get("currency")
    for data in (changes.old, changes.new) if changes is not None else ():
        named |= set(data.values) if isinstance(data, Coded) else set()
    return named


def currency_faults(export: Export, named: set[str], currency: Currency | None) -> Iterator[Fault]:
    """Why amounts can't be brought into one currency."""
    if currency is None:
        if len(named) > 1:
            yield Fault(
                "several_currencies",
                export["Opportunity"].label,
                f"amounts in {', '.join(sorted(named)[:10])}",
                "one currency, or rates",
                "add currency: {base: ..., rates: {...}} to the mapping",
                f"Opportunity.{CODE}",
            )
        return
    for code in sorted(named - {currency.base, *currency.rates}):
        for name in IN_CURRENCY:
            rows = np.flatnonzero(export[name].coded(CODE).codes == export[name].coded(CODE).code_of(code))
            if code in export[name].coded(CODE).values and len(rows):
                known = ", ".join([currency.base, *currency.rates])
                remedy = f"add its rate to the mapping under currency.rates (there are: {known})"
                where = export[name].place(int(rows[0]))
                yield Fault("unknown_currency", where, repr(code), "a currency with a rate", remedy, f"{name}.{CODE}")
                break


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
        amounts[rows] = np.array(turned, dtype=np.int64)[which]
    return amounts
