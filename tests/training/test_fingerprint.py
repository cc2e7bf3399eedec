"""The fingerprint of the data: any change in any cell of any column changes it, the order of rows does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from features.tables import NAT, Coded, CrmTables, Table
from tests.companies import small_company
from training.fingerprint import fingerprint, rows_by_table


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> CrmTables:
    return small_company(tmp_path_factory.mktemp("state")).tables


def taken(table: Table, rows: np.ndarray) -> Table:
    columns = {
        name: Coded.of([data.values[k] if k >= 0 else None for k in data.codes[rows]])
        if isinstance(data, Coded)
        else data[rows]
        for name, data in table.columns.items()
    }
    return Table(table.name, columns, len(rows))


@pytest.fixture(scope="module")
def few(tables: CrmTables) -> CrmTables:
    """The first rows of each table."""
    return replace(tables, **{name: taken(t, np.arange(min(t.n, 40))) for name, t in tables.by_name().items()})


def with_column(tables: CrmTables, table: str, name: str, column: Coded | np.ndarray) -> CrmTables:
    """Unchecked: a type that no reader would give is what some tests are about."""
    old = tables[table]
    return replace(tables, **{table: Table(table, {**old.columns, name: column}, old.n)})


def changed_cell(column: Coded | np.ndarray, row: int) -> Coded | np.ndarray:
    """The column with one other cell: another word, the next number, a value in place of a missing one."""
    if isinstance(column, Coded):
        words = column.strings()
        words[row] = f"{words[row]}x"
        return Coded.of(words)
    new = column.copy()
    if column.dtype.kind == "f":
        new[row] = 0.0 if np.isnan(new[row]) else np.nextafter(new[row], np.inf)
    else:
        new[row] += 1
    return new


def test_a_changed_cell_anywhere_changes_it(few: CrmTables) -> None:
    """In the first row, one amid and the last one, of every column of every table."""
    seen, count = {fingerprint(few)}, 1
    for name, table in few.by_name().items():
        for column, data in table.columns.items():
            for row in sorted({0, table.n // 2, table.n - 1}) if table.n else ():
                seen.add(fingerprint(with_column(few, name, column, changed_cell(data, row))))
                count += 1
    assert count > 100
    assert len(seen) == count


def test_rows_past_the_first_10_000_count(tables: CrmTables) -> None:
    """There MLflow's own digest has stopped reading."""
    stage = tables.deal_history.coded("stage")
    assert tables.deal_history.n > 16_000
    changed = with_column(tables, "deal_history", "stage", changed_cell(stage, 16_000))
    assert fingerprint(changed) != fingerprint(tables)
    assert len(fingerprint(tables)) == 64


def test_moved_dates_change_it(tables: CrmTables) -> None:
    """All by the same span, which MLflow's own digest does not see."""
    known = tables.activities.ints("known_at")
    assert fingerprint(with_column(tables, "activities", "known_at", known + 900)) != fingerprint(tables)


def test_another_type_changes_it(few: CrmTables) -> None:
    seq = few.deal_history.ints("seq")
    told = [seq, seq.astype(np.int32), seq.astype(np.float64), Coded.of([str(k) for k in seq])]
    assert len({fingerprint(with_column(few, "deal_history", "seq", column)) for column in told}) == 4


def test_a_renamed_or_swapped_column_changes_it(few: CrmTables) -> None:
    deals = few.deals
    renamed = {("kind" if name == "type" else name): data for name, data in deals.columns.items()}
    apart = {**deals.columns, "known_at": deals.ints("known_at") + 1}  # this company knows a deal as it is created
    swapped = {**apart, "created_at": apart["known_at"], "known_at": apart["created_at"]}
    told = [deals.columns, renamed, apart, swapped]
    assert len({fingerprint(replace(few, deals=Table("deals", columns, deals.n))) for columns in told}) == 4


def test_missing_values_count(tables: CrmTables) -> None:
    minutes = tables.activities.floats("minutes").copy()
    row = int(np.flatnonzero(~np.isnan(minutes))[0])
    minutes[row] = np.nan
    other = minutes.copy()
    other[row] = -np.nan  # one NaN is as good as another
    holed = with_column(tables, "activities", "minutes", minutes)
    assert fingerprint(holed) != fingerprint(tables)
    assert fingerprint(with_column(tables, "activities", "minutes", other)) == fingerprint(holed)
    amount = tables.deal_history.ints("amount").copy()
    amount[7] = NAT
    assert fingerprint(with_column(tables, "deal_history", "amount", amount)) != fingerprint(tables)


def test_an_empty_text_is_not_a_missing_one() -> None:
    teams = [Coded(np.array([0, 1], dtype=np.int32), ("a", "")), Coded(np.array([0, -1], dtype=np.int32), ("a",))]
    one, other = (replace(CrmTables.of({}), reps=Table("reps", {"team": team}, 2)) for team in teams)
    assert fingerprint(one) != fingerprint(other)


def test_a_row_more_or_less_changes_it(few: CrmTables) -> None:
    twice = taken(few.reps, np.array([*range(few.reps.n), 0]))
    fewer = taken(few.reps, np.arange(few.reps.n - 1))
    assert len({fingerprint(few), *(fingerprint(replace(few, reps=table)) for table in (twice, fewer))}) == 3


def test_the_order_of_rows_does_not_change_it(tables: CrmTables) -> None:
    turned = taken(tables.deal_history, np.random.default_rng(1).permutation(tables.deal_history.n))
    assert fingerprint(replace(tables, deal_history=turned)) == fingerprint(tables)


def test_the_numbering_of_words_does_not_change_it(few: CrmTables) -> None:
    stage = few.deal_history.coded("stage")
    turned = Coded((len(stage.values) - 1 - stage.codes).astype(np.int32), stage.values[::-1])
    assert turned.strings() == stage.strings()
    assert fingerprint(with_column(few, "deal_history", "stage", turned)) == fingerprint(few)


def test_the_profile_counts_rows(tables: CrmTables) -> None:
    assert rows_by_table(tables)["deals"] == tables.deals.n
    assert "leads" not in rows_by_table(tables)
