"""The tables of the store, the same in SQLite and PostgreSQL. Instants are UTC microseconds; JSON is text.

===================  ====================================================================================
``deals``            a deal as the source tells it (a body of ``/v1/deals/score``), whose it is, and names to show
``reps``             names of reps to show
``events``           what a CRM pushed, as received, in the order received; an event_id counts once
``tombstones``       deals that were deleted, merged away, or are no longer in the source
``scores``           the latest score of every open deal, written by ``forecastle refresh``
``deal_states``      how every open deal, and every win of the period, stood at each refresh: a row while it holds
``score_flags``      the flags of these scores that the alert budget lets through
``forecasts``        bookings by node and window, a set for each as-of
``outcomes``         what came of deals: every won or lost episode
``ledger``           every score that was given, with what it takes to compute it again; append-only
``ledger_outcomes``  a view: the ledger with what came of the deal after the as-of
``replies``          answers to requests with an Idempotency-Key
``jobs``             requests that are worked off later, and where each stands
``job_chunks``       their deals until they are scored, and then what came of them
``sessions``         who is logged in to the pages
``overrides``        what managers say of deals beside the model; append-only
``calls``            what reps had called of the period at each forecast, added up by node and category
``bridges``          what moved since the Monday before, by node and part, beside each forecast
``node_facts``       pipeline figures of the company, each team and each rep, as JSON, of the last as-ofs
``refreshes``        what was read from the source at each of these as-ofs, as JSON
``bridge_moves``     the deals with the largest moves of each part, of the newest forecast alone
``lead_scores``      the score of every open lead, written by ``forecastle refresh`` of a config of leads
``lead_refreshes``   counts, queue and funnel of leads at each of the last refreshes, as JSON
===================  ====================================================================================
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    text,
)

METADATA = MetaData()
METADATA_OF_VIEWS = MetaData()
STILL = 2**62
"""`until` of what holds as of the latest refresh."""
_ROW_ID = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up only what it calls INTEGER


def told_columns() -> tuple[Column[Any], ...]:
    """Return columns for what the CRM says of an open deal. close_date: ISO; amount_cents: null where none is told."""
    words = (Column("stage", Text), Column("close_date", Text), Column("category", Text))
    return (*words, Column("amount_cents", BigInteger))


DEALS = Table(
    "deals",
    METADATA,
    Column("deal_id", Text, primary_key=True),
    Column("body", Text),  # null: known from events alone
    Column("facts_sha256", Text),
    Column("last_event", BigInteger, nullable=False, server_default=text("0")),
    Column("owner_id", Text),
    Column("team", Text),
    Column("name", Text),  # for display, as is the account's
    Column("account_name", Text),
    Index("deals_named", "deal_id", "name", "account_name"),
)
REPS = Table(
    "reps",
    METADATA,
    Column("rep_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
)
EVENTS = Table(
    "events",
    METADATA,
    Column("seq", _ROW_ID, primary_key=True, autoincrement=True),
    Column("event_id", Text, nullable=False, unique=True),
    Column("deal_id", Text, nullable=False),
    Column("part", Text, nullable=False),  # deal, change, activity or contact
    Column("known_at", BigInteger, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("principal", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("body_sha256", Text, nullable=False),
    Column(
        "fact_sha256", Text, nullable=False
    ),  # of what it says in our words: the same fact from the source counts once
    Index("events_of_deal", "deal_id", "seq"),
)
TOMBSTONES = Table(
    "tombstones",
    METADATA,
    Column("deal_id", Text, primary_key=True),
    Column("kind", Text, nullable=False),  # deleted, merged or vanished
    Column("origin", Text, nullable=False),  # source or event
    Column("known_at", BigInteger, nullable=False),
)
SCORES = Table(
    "scores",
    METADATA,
    Column("deal_id", Text, primary_key=True),
    Column("as_of", BigInteger, nullable=False),
    Column("day", BigInteger, nullable=False),  # local day of the as-of
    Column("p", Double, nullable=False),
    Column("amount_expected", Double),
    Column("owner_id", Text),
    Column("team", Text),
    Column("answer", Text, nullable=False),  # JSON, as the endpoint answers; flags: all that were raised
    Column("facts_sha256", Text),
    Column("last_event", BigInteger, nullable=False),
    Column("bundle_sha256", Text, nullable=False),
    Column("model_version", Text, nullable=False),
    *told_columns(),
    Column("stage_since", BigInteger),
    Column("pushes", Integer),
    Column("created_at", BigInteger),
    Column("last_buyer_at", BigInteger),
    Column("next_meeting_at", BigInteger),
    Column("p_before", Double),  # a week before the as-of
    Index("scores_by_p", "p", "deal_id"),
    Index("scores_by_team", "team"),
    Index(  # lists are chosen and sorted over it: `answer` makes the rows themselves long
        "scores_listed",
        *("team", "owner_id", "stage", "category", "close_date", "amount_cents", "p", "p_before", "amount_expected"),
        *("stage_since", "pushes", "last_buyer_at", "as_of", "deal_id"),
    ),
)
DEAL_STATES = Table(
    "deal_states",
    METADATA,
    Column("deal_id", Text, primary_key=True),
    Column("slot", SmallInteger, primary_key=True),  # 0: it stands open; 1 and more: its wins of the period
    Column("as_of", BigInteger, primary_key=True),  # of the refresh that first saw it so
    Column("until", BigInteger, nullable=False),  # as-of of the refresh that saw otherwise; `STILL` while it holds
    Column("state", Text, nullable=False),  # open or won; why it ended (until = as_of): won, lost, deleted, ...
    Column("cents", BigInteger, nullable=False),  # what the forecast counts for it: expected, or booked
    Column("model_cents", BigInteger),  # of these by another model than before; null: the old one could not be asked
    Column("p", Double),  # as it was shown
    Column("p_money", Double),  # as money counts it
    Column("worth", Double),  # E[amount | won] in currency
    *told_columns(),
    Column("owner_id", Text),
    Column("team", Text),
    Column("created_at", BigInteger),
    Column("bundle_sha256", Text, nullable=False),
    Index("deal_states_until", "until", "as_of"),
    Index("deal_states_as_of", "as_of"),
)
SCORE_FLAGS = Table(
    "score_flags",
    METADATA,
    Column("code", Text, primary_key=True),
    Column("deal_id", Text, primary_key=True),
)
FORECASTS = Table(
    "forecasts",
    METADATA,
    Column("as_of", BigInteger, primary_key=True),
    Column("period_start", Text, primary_key=True),
    Column("period_end", Text, primary_key=True),
    Column("level", Text, primary_key=True),
    Column("node", Text, primary_key=True),
    *(
        Column(name, Double, nullable=False)
        for name in ("booked", "open_expected", "arrivals_expected", "p10", "p50", "p90", "mean")
    ),
    Column("quota", Double),
    Column("p_reach_quota", Double),
    Column("team", Text),  # that a key must see: of a team itself, or of a rep then; null: for everyone's keys
    Column("bundle_sha256", Text, nullable=False),
    Column("model_version", Text, nullable=False),
)
OUTCOMES = Table(
    "outcomes",
    METADATA,
    Column("deal_id", Text, primary_key=True),
    Column("closed_at", BigInteger, primary_key=True),
    Column("outcome", Text, nullable=False),  # won or lost
    Column("amount_cents", BigInteger),
)
LEDGER = Table(
    "ledger",
    METADATA,
    Column("id", _ROW_ID, primary_key=True, autoincrement=True),
    Column("request_id", Text, nullable=False),
    Column("principal", Text, nullable=False),  # prefix of the key, or the command
    Column("route", Text, nullable=False),
    Column("asked_at", BigInteger, nullable=False),
    Column("latency_ms", Double, nullable=False),
    Column("deal_id", Text, nullable=False),
    Column("as_of", BigInteger, nullable=False),
    Column("window_end", BigInteger),  # end of the period that p speaks of; null: in the end
    Column("features", LargeBinary, nullable=False),  # float64, little-endian, in the order of the bundle's plan
    Column("features_sha256", Text, nullable=False),
    Column("feature_hash", Text, nullable=False),
    Column("told", Text, nullable=False),  # JSON: what the other heads were given beside the features
    Column("reference_as_of", BigInteger, nullable=False),
    Column("reference_sha256", Text, nullable=False),
    Column("bundle_sha256", Text, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("p", Double, nullable=False),
    Column("log_odds", Double, nullable=False),
    Column("heads", Text, nullable=False),  # JSON: what the other heads said
    Column("reasons", Text),  # JSON; null: not asked for
    Index("ledger_of_deal", "deal_id", "as_of"),
    Index("ledger_of_request", "request_id"),
    Index("ledger_by_time", "asked_at"),
    Index("ledger_by_as_of", "as_of"),
)
REPLIES = Table(
    "replies",
    METADATA,
    Column("principal", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("received_at", BigInteger, nullable=False),
    Column("body_sha256", Text, nullable=False),
    Column("answer", LargeBinary, nullable=False),
)
JOBS = Table(
    "jobs",
    METADATA,
    Column("job_id", Text, primary_key=True),
    Column("principal", Text, nullable=False),  # prefix of the key that made it
    Column("state", Text, nullable=False),  # queued, running, done or failed
    Column("as_of", BigInteger, nullable=False),
    Column("explain", SmallInteger, nullable=False),  # 0 or 1, as in_sample
    Column("in_sample", SmallInteger, nullable=False),
    Column("deals", Integer, nullable=False),
    Column("done", Integer, nullable=False),
    Column("size", BigInteger, nullable=False),  # bytes of the body
    Column("received_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    Column("expires_at", BigInteger, nullable=False),
    Column("worker", Text),  # that holds it
    Column("leased_until", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),  # since the last whole chunk
    Column("problem", Text),  # JSON: why it failed
    Index("jobs_by_state", "state", "received_at"),
)
JOB_CHUNKS = Table(
    "job_chunks",
    METADATA,
    Column("job_id", Text, primary_key=True),
    Column("first", Integer, primary_key=True),  # place of its first deal in the request
    Column("deals", LargeBinary),  # JSON, deflated; null: scored
    Column("result", LargeBinary),  # JSON, deflated; null: not scored yet
)
SESSIONS = Table(
    "sessions",
    METADATA,
    Column("token_sha256", Text, primary_key=True),
    Column("key_prefix", Text, nullable=False),
    Column("key_hash", Text, nullable=False),
    Column("began_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
)
OVERRIDES = Table(
    "overrides",
    METADATA,
    Column("id", _ROW_ID, primary_key=True, autoincrement=True),
    Column("deal_id", Text, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("principal", Text, nullable=False),  # prefix of the key
    Column("name", Text, nullable=False),  # of the key, as it was then
    Column("p", Double),  # null: the word is taken back
    Column("reason", Text, nullable=False),
    Column("model_p", Double, nullable=False),  # what the model said beside it
    Column("as_of", BigInteger, nullable=False),
    Column("window_end", Text),  # ISO day that both speak of; null: in the end
    Column("model_version", Text, nullable=False),
    Index("overrides_of_deal", "deal_id", "id"),
)
CALLS = Table(
    "calls",
    METADATA,
    Column("as_of", BigInteger, primary_key=True),
    Column("level", Text, primary_key=True),
    Column("node", Text, primary_key=True),
    Column("category", Text, primary_key=True),
    Column("period_start", Text, nullable=False),
    Column("team", Text),  # as in ``forecasts``
    Column("cents", BigInteger, nullable=False),
    Column("reps", Integer, nullable=False),  # who called
)
BRIDGES = Table(
    "bridges",
    METADATA,
    Column("as_of", BigInteger, primary_key=True),  # where it ends
    Column("level", Text, primary_key=True),
    Column("node", Text, primary_key=True),
    Column("part", Text, primary_key=True),
    Column("from_as_of", BigInteger, nullable=False),
    Column("team", Text),  # as in ``forecasts``
    Column("cents", BigInteger, nullable=False),
    Column("deals", Integer, nullable=False),
)
NODE_FACTS = Table(
    "node_facts",
    METADATA,
    Column("as_of", BigInteger, primary_key=True),
    Column("level", Text, primary_key=True),
    Column("node", Text, primary_key=True),
    Column("team", Text),  # that a key must see; null: for everyone's keys
    Column("body", Text, nullable=False),
)
REFRESHES = Table(
    "refreshes",
    METADATA,
    Column("as_of", BigInteger, primary_key=True),
    Column("ran_at", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)
BRIDGE_MOVES = Table(
    "bridge_moves",
    METADATA,
    Column("as_of", BigInteger, primary_key=True),
    Column("level", Text, primary_key=True),
    Column("node", Text, primary_key=True),
    Column("part", Text, primary_key=True),
    Column("place", Integer, primary_key=True),  # 0: the largest move
    Column("deal_id", Text, nullable=False),
    *(Column(name, BigInteger, nullable=False) for name in ("cents", "before_cents", "after_cents")),
    Column("owner_id", Text),  # as the deal stands at the end, or last stood
    Column("team", Text),
    Column("stage", Text),
    Column("close_date", Text),
    Column("amount_cents", BigInteger),
)
LEAD_SCORES = Table(
    "lead_scores",
    METADATA,
    Column("lead_id", Text, primary_key=True),
    Column("as_of", BigInteger, nullable=False),
    Column("within_days", Integer, nullable=False),
    Column("p_convert", Double, nullable=False),
    Column("p_won", Double),
    Column("amount_expected", Double),
    Column("value_expected", Double),
    Column("score", Integer, nullable=False),
    Column("grade", Text, nullable=False),
    Column("queue_rank", Integer),  # null: beyond the capacity
    Column("queue_why", Text),
    Column("reasons", Text, nullable=False),  # JSON
    Column("model_version", Text, nullable=False),
    Column("name", Text),  # for display
    Column("source", Text),
    Column("status", Text),
    Column("created_at", BigInteger),
    Column("last_act", Text),  # its kind
    Column("last_act_at", BigInteger),
)
LEAD_REFRESHES = Table(
    "lead_refreshes",
    METADATA,
    Column("as_of", BigInteger, primary_key=True),
    Column("ran_at", BigInteger, nullable=False),
    Column("body", Text, nullable=False),
)
VERSION = Table("store_version", METADATA, Column("version", SmallInteger, nullable=False))

LEDGER_OUTCOMES_SQL = """
CREATE VIEW ledger_outcomes AS
SELECT ledger.id, ledger.request_id, ledger.deal_id, ledger.as_of, ledger.window_end, ledger.model_version, ledger.p,
       outcomes.outcome, outcomes.closed_at, outcomes.amount_cents,
       CASE WHEN outcomes.closed_at IS NULL THEN NULL
            WHEN outcomes.outcome = 'won' AND outcomes.closed_at < coalesce(ledger.window_end, outcomes.closed_at + 1)
            THEN 1 ELSE 0 END AS came_true
FROM ledger LEFT JOIN outcomes ON outcomes.deal_id = ledger.deal_id AND outcomes.closed_at = (
    SELECT min(closed_at) FROM outcomes AS first
    WHERE first.deal_id = ledger.deal_id AND first.closed_at >= ledger.as_of)
"""
APPEND_ONLY = {
    "sqlite": (
        "CREATE TRIGGER ledger_no_update BEFORE UPDATE ON ledger "
        "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END",
        "CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger "
        "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END",
        # INSERT OR REPLACE deletes without asking the trigger above.
        "CREATE TRIGGER ledger_no_replace BEFORE INSERT ON ledger WHEN EXISTS (SELECT 1 FROM ledger WHERE id = NEW.id) "
        "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END",
    ),
    "postgresql": (
        "CREATE FUNCTION ledger_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$",
        "CREATE TRIGGER ledger_no_change BEFORE UPDATE OR DELETE ON ledger "
        "FOR EACH ROW EXECUTE FUNCTION ledger_refuse()",
        "CREATE TRIGGER ledger_no_truncate BEFORE TRUNCATE ON ledger "
        "FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse()",
    ),
}
"""What makes the ledger append-only, by dialect."""
