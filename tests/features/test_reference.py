"""What a close is credited to: the state known strictly before it, never what was written along with the outcome."""

from __future__ import annotations

from tests.tiny import company, record

CREATED, CLOSED = "2024-01-02T09:00", "2024-02-01T09:00"


def row(known_at: str, seq: int, stage: str, owner: str, category: str) -> dict[str, object]:
    told = {"deal_id": "D1", "known_at": known_at, "seq": seq}
    return told | {"stage": stage, "owner_id": owner, "forecast_category": category}


def test_rows_beside_the_close_were_written_with_it() -> None:
    """The CRM hands the deal over and calls it closed first, and moves the stage last, all in one second."""
    made = record(
        company(
            deals=[{"deal_id": "D1", "created_at": CREATED}],
            deal_history=[
                row(CREATED, 0, "Qualify", "ann", "commit"),
                row(CLOSED, 0, "Propose", "success", "closed"),
                row(CLOSED, 1, "Won", "success", "closed"),
            ],
        )
    )
    closes, reps = made.reference.closes.columns, made.reference.vocabulary.values["rep"]
    assert [reps[code] for code in closes["rep"]] == ["ann"]
    assert made.reference.events["visits"].columns["stage"].tolist() == [0]
    assert closes["categories"].tolist() == [1 << 3]
    assert closes["won"].tolist() == [1]
