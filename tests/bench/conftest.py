"""Where third-party data lies: FORECASTLE_DATA, else ../shared/data. Named and incomplete is a failure, not a skip."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

NEEDED = (
    "bpic2012/events.parquet",
    "maven_crm/sales_pipeline.csv.gz",
    "hotel_bookings/hotel_bookings.csv.gz",
    "olist_mql/olist_closed_deals_dataset.csv.gz",
    "xeducation_leads/Leads.csv.gz",
)


@pytest.fixture(scope="session")
def third_party_data() -> Path:
    named = os.environ.get("FORECASTLE_DATA")
    folder = Path(named) if named else Path(__file__).parents[3] / "shared" / "data"
    lacking = [name for name in NEEDED if not (folder / name).exists()]
    if lacking and named:
        pytest.fail(f"FORECASTLE_DATA={folder} lacks {', '.join(lacking)}")
    if lacking:
        pytest.skip(f"{folder} lacks {', '.join(lacking)}; set FORECASTLE_DATA")
    return folder.resolve()
