"""The examples of the contract: requests that are taken, one of each that is refused, and answers in full."""

from __future__ import annotations

from typing import Any

_REQUEST_ID = "2af285004200be50"
_OPEN = {
    "deal_id": "OPP-4711",
    "created_at": "2026-03-03T15:20:00Z",
    "type": "new",
    "source": "inbound",
    "history": [
        {
            "known_at": "2026-03-03T15:20:00Z",
            "stage": "Qualify",
            "amount": 48000,
            "close_date": "2026-06-30",
            "owner_id": "U0010",
        },
        {
            "known_at": "2026-05-04T09:41:00Z",
            "stage": "Propose",
            "amount": 52000,
            "close_date": "2026-08-15",
            "owner_id": "U0010",
        },
    ],
    "activities": [{"occurred_at": "2026-05-05T13:00:00Z", "kind": "email", "direction": "inbound"}],
    "contacts": [{"contact_id": "C-1", "known_at": "2026-03-03T15:20:00Z"}],
}
SCORE_REQUESTS: dict[str, Any] = {
    "one open deal": {"as_of": "now", "explain": True, "deals": [_OPEN]},
    "refused: no as_of": {"deals": [_OPEN]},
}
_LEAD = {
    "lead_id": "LEAD-901",
    "created_at": "2026-05-04T10:05:00Z",
    "source": "referral",
    "industry": "Logistics",
    "size": "200-500",
    "opted_out": False,
    "history": [{"known_at": "2026-05-04T15:30:00Z", "event": "worked"}],
    "activities": [
        {"occurred_at": "2026-05-04T10:01:00Z", "kind": "web", "direction": "inbound"},
        {"occurred_at": "2026-05-04T15:30:00Z", "kind": "call", "direction": "outbound", "outcome": "connected"},
    ],
}
LEADS_REQUESTS: dict[str, Any] = {
    "one open lead": {"as_of": "now", "explain": True, "leads": [_LEAD]},
    "refused: no as_of": {"leads": [_LEAD]},
}
_ROWS = {
    "as_of": "2026-05-06T04:00:00Z",
    "feature_hash": "069565e5866fcce4691cdddc620420c3238ca62081f69c2ae2889955b8c4144a",
    "columns": ["stage_rank", "days_left", "amount_log", "days_since_reply"],
    "ids": ["OPP-4711"],
    "rows": [[2, 55.0, 10.86, None]],
}
ROWS_REQUESTS: dict[str, Any] = {
    "a row of a model with four features": _ROWS,
    "refused: no feature_hash": {name: value for name, value in _ROWS.items() if name != "feature_hash"},
}
EVENTS_REQUESTS: dict[str, Any] = {
    "a new deal and its first stage": {
        "events": [
            {"event_id": "e-1", "deal_id": "OPP-9", "deal": {"created_at": "2026-03-02T09:00:00Z", "type": "new"}},
            {
                "event_id": "e-2",
                "deal_id": "OPP-9",
                "change": {"known_at": "2026-03-02T09:00:00Z", "stage": "Qualify", "amount": 12000},
            },
        ]
    },
    "refused: no events": {"events": []},
}

_IDENTITY = {
    "model_version": "our-company-67910bcb80ed",
    "bundle_sha256": "67910bcb80ed1cdcce218810e82eab21fc8e4193d5f78200754f024fbea4293b",
    "feature_hash": "069565e5866fcce4691cdddc620420c3238ca62081f69c2ae2889955b8c4144a",
    "reference_as_of": "2026-05-06T03:04:03Z",
    "horizon_days": 365,
    "rung": "trees",
    "doubt": None,
}
_SCORE = {
    "p_won_in_period": 0.12,
    "period_end": "2026-06-30",
    "p_won": 0.27,
    "p_lost": 0.7,
    "p_open": 0.03,
    "close_date": {"p10": "2026-06-11", "p50": "2026-07-23", "p90": "2026-09-17"},
    "slip_risk": 0.62,
    "amount_expected": 48313.38,
    "score": 12,
    "log_odds": -1.99,
    "rung": "trees",
    "reasons": [
        {
            "factor": "baseline",
            "log_odds": -1.99,
            "value": None,
            "usual": None,
            "sentence": "a deal with nothing unusual about it stands at 12%",
        }
    ],
    "flags": [],
    "data_notes": [],
}
_ASKED = {"as_of": "2026-05-06T04:00:00Z", "request_id": _REQUEST_ID}

SCORE_ANSWER = _IDENTITY | _ASKED | {"results": [{"deal_id": "OPP-4711", "ok": True} | _SCORE]}
_LEAD_SCORE = {
    "p_convert": 0.31,
    "p_won": 0.11,
    "amount_expected": 18250.5,
    "value_expected": 2007.56,
    "score": 31,
    "grade": "B",
    "log_odds": -0.8,
    "rung": "trees",
    "reasons": [
        {
            "factor": "baseline",
            "log_odds": -0.8,
            "value": None,
            "usual": None,
            "sentence": "a lead with nothing unusual about it stands at 31%",
        }
    ],
    "data_notes": [],
}
_OF_LEADS = _IDENTITY | {"model_version": "our-leads-1d7f70a4c0de", "horizon_days": 90}
LEADS_ANSWER = _OF_LEADS | _ASKED | {"results": [{"lead_id": "LEAD-901", "ok": True} | _LEAD_SCORE]}
ROWS_ANSWER = (
    _IDENTITY
    | _ASKED
    | {
        "results": [
            {
                "id": "OPP-4711",
                "ok": True,
                "p_won_in_period": 0.12,
                "period_end": "2026-06-30",
                "log_odds": -1.99,
                "rung": "trees",
            }
        ]
    }
)
STORED_ANSWER = _IDENTITY | _ASKED | {"result": {"deal_id": "OPP-4711"} | _SCORE}
LIST_ANSWER = {
    "request_id": _REQUEST_ID,
    "deals": [
        {
            "deal_id": "OPP-4711",
            "as_of": "2026-05-06T04:00:00Z",
            "owner_id": "U0010",
            "team": "West",
            "model_version": "our-company-67910bcb80ed",
            "change": -0.03,
            "deal": {
                "name": "Acme renewal",
                "account_name": "Acme",
                "owner_name": "Robin",
                "stage": "Propose",
                "stage_since": "2026-05-04T09:41:00Z",
                "amount": 52000.0,
                "close_date": "2026-08-15",
                "category": "pipeline",
                "pushes": 1,
                "created_at": "2026-03-03T15:20:00Z",
                "last_buyer_at": "2026-05-05T13:00:00Z",
                "next_meeting_at": None,
            },
        }
        | _SCORE
    ],
    "next_cursor": None,
}
_NODE = {
    "as_of": "2026-05-06T04:00:00Z",
    "level": "company",
    "node": "all",
    "booked": 410000.0,
    "open_expected": 655120.55,
    "arrivals_expected": 88000.1,
    "p10": 820000.0,
    "p50": 1140000.0,
    "p90": 1510000.0,
    "mean": 1153120.65,
    "quota": 1200000.0,
    "p_reach_quota": 0.41,
    "model_version": "our-company-67910bcb80ed",
}
_PERIOD = {"period_start": "2026-04-01", "period_end": "2026-06-30"}
FORECAST_ANSWER = (
    {"request_id": _REQUEST_ID}
    | _PERIOD
    | {"as_of": "2026-05-06T04:00:00Z", "periods": ["2026-04-01"], "nodes": [_NODE], "history": [_NODE]}
)
BRIDGE_ANSWER = (
    {"request_id": _REQUEST_ID}
    | _PERIOD
    | {
        "from_as_of": "2026-04-29T04:00:00Z",
        "to_as_of": "2026-05-06T04:00:00Z",
        "start": 1150000.0,
        "end": 1153120.65,
        "parts": [
            {"part": "won", "amount": 9120.65, "deals": 1},
            {"part": "arrivals", "amount": -6000.0, "deals": 0},
            {"part": "rounding", "amount": 0.0, "deals": 0},
        ],
        "deals": [
            {
                "deal_id": "OPP-4700",
                "part": "won",
                "amount": 9120.65,
                "before": 30879.35,
                "after": 40000.0,
                "name": "Globex first order",
                "owner_id": "U0010",
                "stage": None,
                "close_date": None,
                "deal_amount": None,
            }
        ],
        "next_cursor": None,
    }
)
_DRAWN = {"above": 1.0, "below": 0.0}
_FIGURE = {"value": 0.41, "low": 0.36, "high": 0.46}
_SAID = {"rows": 1800, "deals": 310, "said": 92.4, "came": 88, "log_loss": _FIGURE, "brier": _FIGURE}
_BINS = [{"rows": 180, "deals": 60, "said": 0.31, "came": _FIGURE}]
ACCURACY_ANSWER = {
    "request_id": _REQUEST_ID,
    "period_start": "2026-01-01",
    "periods": ["2026-01-01"],
    "live": _SAID | {"weeks": [{"week": 1} | _SAID | {"bins": _BINS}], "bins": _BINS, "merged": 1},
    "bookings": [
        {
            "week": 1,
            "booked_in_the_end": 1104000.0,
            "as_of": "2026-01-05T05:00:00Z",
            "level": "company",
            "node": "all",
            "booked": 12000.0,
            "mean": 1120000.0,
            "p10": 860000.0,
            "p50": 1101000.0,
            "p90": 1420000.0,
            "quota": 1200000.0,
        }
    ],
    "backtest": {
        "trained_as_of": "2026-04-01T04:00:00Z",
        "headline": {"said": 412.6, "came": 405, "rows": 18250, "deals": 1460},
        "models": [{"name": "close", "scores": {"rows": 18250, "log_loss": 0.261, "brier": 0.072}}],
        "periods": [{"name": "2026-01-01", "rows": 4210, "deals": 480, "log_loss": 0.258}],
        "weeks": [{"name": "week 4", "rows": 1390, "deals": 410, "log_loss": 0.266}],
        "bins": [{"rows": 1825, "said": 0.31, "came": _FIGURE}],
        "bookings": {
            "periods": [
                {
                    "period_start": "2026-01-01",
                    "period_end": "2026-03-31",
                    "came": 1104000.0,
                    "weeks": [
                        {
                            "week": 4,
                            "booked": 240000.0,
                            "mean": 1130000.0,
                            "p10": 910000.0,
                            "p50": 1118000.0,
                            "p90": 1370000.0,
                            "said": {"commit": 1310000.0, "stage_time_left+arrivals": 1205000.0},
                        }
                    ],
                }
            ],
            "misses": [
                {
                    "name": "model",
                    "week": 4,
                    "periods": 8,
                    "error": _DRAWN | {"value": 0.09, "low": 0.05, "high": 0.14},
                    "bias": {"value": 0.01, "low": -0.04, "high": 0.06, "above": 0.63, "below": 0.37},
                    "in_band": _DRAWN | {"value": 0.88, "low": 0.62, "high": 1.0},
                    "floor": 0.06,
                }
            ],
        },
        "floor_log_loss": 0.243,
    },
}
MODEL_ANSWER = _IDENTITY | {
    "request_id": _REQUEST_ID,
    "card": {"format": 1, "intended_use": {"for": "prioritising open deals and adding them up into a forecast"}},
    "why": "",
}
EVENTS_ANSWER = {
    "request_id": _REQUEST_ID,
    "received": 2,
    "results": [
        {"event_id": "e-1", "ok": True, "status": "stored"},
        {"event_id": "e-2", "ok": True, "status": "duplicate"},
    ],
}
_JOB = {
    "request_id": _REQUEST_ID,
    "job_id": "5f3c1d0a9b8e4c7d8a6b5c4d3e2f1a0b",
    "deals": 4000,
    "as_of": "2026-05-06T04:00:00Z",
    "explain": True,
    "received_at": "2026-05-06T04:00:00Z",
    "status_url": "/v1/jobs/5f3c1d0a9b8e4c7d8a6b5c4d3e2f1a0b",
    "result_url": "/v1/jobs/5f3c1d0a9b8e4c7d8a6b5c4d3e2f1a0b/result",
    "poll_after_seconds": 2,
}
JOB_QUEUED = _JOB | {"state": "queued", "done": 0, "finished_at": None, "expires_at": "2026-05-07T04:00:00Z"}
JOB_DONE = _JOB | {
    "state": "done",
    "done": 4000,
    "finished_at": "2026-05-06T04:00:12Z",
    "expires_at": "2026-05-07T04:00:12Z",
}
JOB_RESULT = SCORE_ANSWER | {"job_id": "5f3c1d0a9b8e4c7d8a6b5c4d3e2f1a0b", "next_cursor": "100"}
READY_ANSWER = {"status": "ready", "model_version": "our-company-67910bcb80ed"}
STATUS_ANSWER = _IDENTITY | {
    "name": "our-company",
    "target": "in_period",
    "time_zone": "America/New_York",
    "trained_as_of": "2026-04-01T04:00:00Z",
    "trained_on": {"rows": 31888, "deals": 2172, "since": "2023-01-10T05:00:00Z"},
    "features": 4,
    "feature_names": ["stage_rank", "days_left", "amount_log", "days_since_reply"],
    "heads": ["close", "timing", "amount"],
    "stages": ["Qualify", "Discover", "Propose", "Negotiate"],
    "reference": {"origin": "source", "fresh": True, "why": "", "closed_deals": 2040, "reps": 14},
    "limits": {
        "body_bytes": 20000000,
        "deals_plain": 1000,
        "deals_explained": 100,
        "events_per_deal": 10000,
        "events": 1000,
        "job_deals": 10000,
        "job_bytes": 50000000,
    },
    "ledger": {"mode": "durable", "written": 120, "dropped": 0},
    "watch": {"since": "2026-04-01T06:00:00Z", "swaps": 0, "refused": 0, "last_refusal": None},
    "leads": None,
}
METRICS_ANSWER = 'forecastle_requests_total{method="GET",route="/v1/health",status_class="2xx"} 3.0\n'
CONTRACT_ANSWER = {
    "openapi": "3.0.3",
    "info": {"title": "Forecastle", "version": "1.0.0"},
    "servers": [{"url": "/"}],
    "paths": {},
    "components": {},
}
