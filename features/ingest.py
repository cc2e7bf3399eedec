"""What came of reading a source: the tables, and an account of every row that went in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from configs.vocab import AttributeKind
from features.stages import StageMap
from features.tables import CrmTables

if TYPE_CHECKING:
    from features.leads import Became

EXAMPLES = 5


@dataclass(frozen=True)
class Refusal:
    """Rows left out for one reason. places: the first few, as ``file:line``, ``file:row n`` or an id."""

    reason: str
    rows: int
    places: tuple[str, ...] = ()


@dataclass(frozen=True)
class Notice:
    """Something that a reader should know though every row concerned was kept. places: the first few."""

    code: str
    table: str
    rows: int
    message: str
    places: tuple[str, ...] = ()


@dataclass(frozen=True)
class TableReport:
    """One table's rows: each that went in was kept or refused. Raises ValueError if they don't add up."""

    table: str
    files: tuple[str, ...]
    rows_in: int
    rows_kept: int
    refused: tuple[Refusal, ...] = ()

    def __post_init__(self) -> None:
        if self.rows_in != self.rows_kept + self.rows_refused:
            kept, refused = self.rows_kept, self.rows_refused
            raise ValueError(f"{self.table}: {self.rows_in} rows in, but {kept} kept and {refused} refused")

    @property
    def rows_refused(self) -> int:
        """Rows left out, for all reasons."""
        return sum(refusal.rows for refusal in self.refused)

    def refused_for(self, reason: str) -> int:
        """Rows left out for one reason, 0 where there are none."""
        return sum(refusal.rows for refusal in self.refused if refusal.reason == reason)


@dataclass(frozen=True)
class IngestReport:
    """A report per table that had a file, and what else was noticed."""

    tables: tuple[TableReport, ...]
    notices: tuple[Notice, ...] = ()

    def __getitem__(self, table: str) -> TableReport:
        """The report of one table. Raises KeyError where no file filled it."""
        for report in self.tables:
            if report.table == table:
                return report
        raise KeyError(f"no file filled {table!r}")

    def noticed(self, code: str) -> int:
        """Rows that a notice of this code counts, 0 where there is none."""
        return sum(notice.rows for notice in self.notices if notice.code == code)

    def to_json(self) -> dict[str, Any]:
        """Plain dicts and lists."""
        return asdict(self)


@dataclass(frozen=True)
class Ingest:
    """One read of a source. attributes: the extra columns of deals; number is float64, category is coded text.

    became: of leads read in the place of deals, what became of the deals they turned into.
    """

    tables: CrmTables
    report: IngestReport
    stages: StageMap
    attributes: Mapping[str, AttributeKind]
    became: Became | None = None
