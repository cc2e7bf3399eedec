"""`since` of a mapping: rows of days before the source told what became of them are left out, and counted."""

from __future__ import annotations

from pathlib import Path

from features.sources.base import open_source
from tests.lead_world import lead_config, write_leads

SINCE = """
tables:
  leads:
    - file: leads.csv
      columns: {lead_id: lead_id, created_at: created_at, source: source, size: size, seats: seats}
      since: {created_at: 2023-07-01}
"""


def test_earlier_rows_and_their_history_are_left_out_and_counted(tmp_path: Path) -> None:
    write_leads(tmp_path, n=300)
    whole = open_source(lead_config(tmp_path)).read().tables.deals
    with (tmp_path / "mapping.yaml").open("a") as file:
        file.write(SINCE)
    read = open_source(lead_config(tmp_path)).read()
    counted = {report.table: {r.reason: r.rows for r in report.refused} for report in read.report.tables}
    early = counted["leads"]["created_at is before 2023-07-01"]
    assert 0 < early < 300
    assert counted["lead_history"]["its lead is left out"] > 0
    first = read.tables.deals.ints("created_at").min()
    assert first >= 1_688_169_600_000_000  # 2023-07-01 in UTC
    assert first == min(at for at in whole.ints("created_at") if at >= 1_688_169_600_000_000)
