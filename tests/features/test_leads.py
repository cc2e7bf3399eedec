"""Leads in the shape of deals: what is kept, counted and left out, and every feature against plain loops."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import log, log1p, nan
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from configs.errors import TooLittleDataError
from configs.load import mapping_of, source_mapping_of
from configs.schema import Config
from features.asof import Requests
from features.build import FeatureMatrix, build_features
from features.ingest import Ingest
from features.leads import STAGES
from features.periods import local_hours
from features.record import Record, build_record
from features.registry import GROUPS
from features.schema import schema_of
from features.sources.base import open_source
from features.stages import LOST, WON
from features.tables import NAT, Table
from tests.lead_world import lead_config, write_leads
from training.prepare import calendar_of, plan_of, prepare

DAY = 86_400_000_000
ZONE = "America/New_York"


@dataclass(frozen=True)
class Files:
    """The company as files and as read. rows: the files' rows by table."""

    config: Config
    ingest: Ingest
    rows: dict[str, list[dict[str, object]]]

    def record(self) -> Record:
        schema = schema_of(self.ingest.tables, mapping_of(self.config), self.config.target)
        return build_record(self.ingest.tables, self.ingest.stages, calendar_of(self.config), schema)


def at(text: object) -> int:
    return round(datetime.fromisoformat(str(text)).timestamp() * 1_000_000)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("leads")
    write_leads(folder, 300, seed=9)
    export, rng = folder / "export", np.random.default_rng(3)
    acts = pd.read_csv(export / "lead_activities.csv", keep_default_na=False)
    few = rng.choice(len(acts), 300, replace=False)
    acts.loc[few, "outcome"] = ""
    acts.loc[few[:100], ["kind", "direction"]] = ["email", "inbound"]
    acts.loc[few[100:150], ["kind", "direction"]] = ["campaign", "inbound"]
    acts.loc[few[150:200], ["kind", "direction"]] = ["campaign", "outbound"]
    acts.loc[few[200:250], ["kind", "direction"]] = ["call", "inbound"]
    acts.loc[few[250:], ["kind", "direction", "outcome"]] = ["call", "outbound", "connected"]
    acts.to_csv(export / "lead_activities.csv", index=False)
    leads = pd.read_csv(export / "leads.csv", keep_default_na=False)
    leads.loc[rng.choice(len(leads), 20, replace=False), "source"] = "word of mouth"  # too few for a column
    leads.to_csv(export / "leads.csv", index=False)
    history = pd.read_csv(export / "lead_history.csv", keep_default_na=False)
    converted = history[history.event == "converted"]
    late = converted.assign(event="disqualified", deal_id="", known_at=[_later(text) for text in converted.known_at])
    unlinked = history.index[history.event == "converted"][:3]
    history.loc[unlinked, "deal_id"] = ["", "D-not-there", ""]
    pd.concat([history, late]).to_csv(export / "lead_history.csv", index=False)
    config = lead_config(folder, f"time_zone={ZONE}")
    rows = {
        path.stem: pd.read_csv(path, keep_default_na=False).to_dict("records") for path in sorted(export.glob("*.csv"))
    }
    return Files(config, open_source(config).read(), rows)


def _later(text: str) -> str:
    return (datetime.fromisoformat(text) + timedelta(days=2)).isoformat()


def in_time(files: Files, lead: str, table: str, clock: str, before: int) -> list[dict[str, object]]:
    """Rows of a lead known before an instant, oldest first; of the history none after its conversion."""
    found = sorted((row for row in files.rows[table] if row["lead_id"] == lead), key=lambda row: at(row[clock]))
    if table == "lead_history":
        end = next((k for k, row in enumerate(found) if row["event"] == "converted"), len(found))
        found = found[: end + 1]
    return [row for row in found if at(row[clock]) < before]


# --- shape ----------------------------------------------------------------------------------------------------------


def test_leads_that_opted_out_are_gone_whole_and_counted(files: Files) -> None:
    out = {row["lead_id"] for row in files.rows["leads"] if row["opted_out"]}
    assert out
    tables = files.ingest.tables
    for table in (tables.deals, tables.deal_history, tables.activities):
        assert not out & set(table.coded("deal_id").strings())
    notice = next(each for each in files.ingest.report.notices if each.code == "opted_out")
    assert notice.rows == len(out)
    assert tables.deals.n + len(out) == len(files.rows["leads"])


def test_rows_are_kept_or_counted(files: Files) -> None:
    """Of leads that did not opt out: a row for each creation and event; what comes after a conversion is counted."""
    tables = files.ingest.tables
    kept = set(tables.deals.coded("deal_id").strings())
    events = [row for row in files.rows["lead_history"] if row["lead_id"] in kept]
    late = sum(len(in_time(files, str(lead), "lead_history", "known_at", 2**62)) for lead in kept) - len(events)
    assert late < 0
    assert tables.deal_history.n == tables.deals.n + len(events) + late
    assert next(each.rows for each in files.ingest.report.notices if each.code == "after_conversion") == -late
    acts = [row for row in files.rows["lead_activities"] if row["lead_id"] in kept]
    assert tables.activities.n == len(acts)


def test_stages_are_the_funnel(files: Files) -> None:
    assert STAGES.order == ("new", "worked", "mql", "sql")
    kinds = STAGES.outcomes(("new", "converted", "disqualified"))
    assert kinds.tolist()[1:] == [WON, LOST]
    assert files.ingest.stages is STAGES


def test_what_became_of_a_lead_by_a_loop(files: Files) -> None:
    became, tables = files.ingest.became, files.ingest.tables
    assert became is not None
    deals = {row["deal_id"] for row in files.rows["deals"]}
    seen = {"won": 0, "lost": 0, "unlinked": 0}
    for k, lead in enumerate(tables.deals.coded("deal_id").strings()):
        events = in_time(files, str(lead), "lead_history", "known_at", 2**62)
        converted = next((row for row in events if row["event"] == "converted"), None)
        assert became.converted_at[k] == (NAT if converted is None else at(converted["known_at"]))
        deal = None if converted is None else converted["deal_id"]
        assert became.linked[k] == (deal in deals)
        closes = [row for row in files.rows["deal_history"] if row["deal_id"] == deal and row["stage"] != "Open"]
        won = [row for row in closes if row["stage"] == "Closed Won"]
        assert became.won_at[k] == (at(won[0]["known_at"]) if won else NAT)
        assert became.lost_at[k] == (at(closes[0]["known_at"]) if closes and not won else NAT)
        assert became.cents[k] == (round(float(str(won[0]["amount"])) * 100) if won else NAT)
        seen["won"] += bool(won)
        seen["lost"] += bool(closes) and not won
        seen["unlinked"] += converted is not None and deal not in deals
    assert min(seen.values()) > 0, seen


def test_became_goes_with_the_leads_that_training_knows(files: Files) -> None:
    """Leads known after the cut are gone from both, and the places still agree."""
    cut = at("2024-01-15T00:00:00+00:00")
    prepared = prepare(files.config, files.ingest, cut)
    whole = files.ingest.became
    assert whole is not None
    assert prepared.became is not None
    ids = files.ingest.tables.deals.coded("deal_id").strings()
    place = {lead: k for k, lead in enumerate(ids)}
    kept = prepared.record.deal_ids.strings()
    assert 0 < len(kept) < len(ids)
    rows = np.array([place[lead] for lead in kept])
    assert np.array_equal(prepared.became.converted_at, whole.converted_at[rows])
    assert np.array_equal(prepared.became.cents, whole.cents[rows])


def test_unworked_leads_are_left_out_and_counted(files: Files) -> None:
    """Nobody reached out by hand and no status moved by the end of the window, and it did not convert."""
    leads = files.config.leads
    keep = files.config.model_copy(update={"leads": leads.model_copy(update={"unworked": "keep"})})
    every, some = (prepare(config, files.ingest) for config in (keep, files.config))

    def keys(prepared: object) -> Iterator[tuple[str, int, float, int]]:
        rows, ids = prepared.examples, prepared.record.deal_ids  # type: ignore[attr-defined]
        for deal, as_of, y, end in zip(rows.deal, rows.as_of, rows.y, rows.label_end, strict=True):
            yield str(ids.decode(int(deal))), int(as_of), float(y), int(end)

    left = set(keys(every)) - set(keys(some))
    assert len(left) == some.unworked > 0
    assert set(keys(some)) < set(keys(every))
    for lead, as_of, y, end in keys(every):
        acts = in_time(files, lead, "lead_activities", "occurred_at", end)
        by_hand = any(row["direction"] == "outbound" and row["kind"] != "campaign" for row in acts)
        moved = bool(in_time(files, lead, "lead_history", "known_at", end))
        unworked = y == 0 and not by_hand and not moved and end <= every.until
        assert ((lead, as_of, y, end) in left) == unworked


def test_a_record_that_tells_of_no_work_is_not_learnt_from_as_if_all_leads_converted(files: Files) -> None:
    """Only conversions are told: without the others every lead would be sure to convert."""
    tables = files.ingest.tables
    history = tables.deal_history
    told = history.take(np.isin(history.coded("stage").strings(), ["new", "converted"]))
    silent = replace(tables, deal_history=told, activities=Table.empty("activities"))
    ingest = replace(files.ingest, tables=silent)
    with pytest.raises(TooLittleDataError, match=r"nobody worked any lead that did not convert.*leads\.unworked: keep"):
        prepare(files.config, ingest)
    leads = files.config.leads.model_copy(update={"unworked": "keep"})
    kept = prepare(files.config.model_copy(update={"leads": leads}), ingest).examples
    assert 0 < kept.y.mean() < 0.5


def test_a_source_of_deals_alone_is_as_it_was(files: Files) -> None:
    """The same files without the target of leads give the deals that leads turned into."""
    config = files.config.model_copy(update={"target": "eventual"})
    told = open_source(config).read()
    assert told.became is None
    assert told.tables.deals.n == len(files.rows["deals"])
    assert source_mapping_of(config).stages.order == ("Open",)


# --- features --------------------------------------------------------------------------------------------------------

Lead = dict[str, object]
Known = tuple[Lead, list[Lead], list[Lead], int]  # the lead, its events and acts known before the as-of, the as-of


def mine(kind: str, direction: str, days: int | None = None) -> Callable[[Known], float]:
    """Count acts of a kind ("" any, "hand" all but campaigns) and direction within so many days."""

    def count(known: Known) -> float:
        found = [act for act in known[2] if act["direction"] == direction]
        if days is not None:
            found = [act for act in found if at(act["occurred_at"]) >= known[3] - days * DAY]
        if kind == "hand":
            return float(sum(act["kind"] != "campaign" for act in found))
        return float(sum(kind in ("", act["kind"]) for act in found))

    return count


def since(direction: str) -> Callable[[Known], float]:
    def days(known: Known) -> float:
        kinds = [
            a for a in known[2] if a["direction"] == direction and (direction == "inbound" or a["kind"] != "campaign")
        ]
        return (known[3] - at(kinds[-1]["occurred_at"])) / DAY if kinds else nan

    return days


def fading(days: int) -> Callable[[Known], float]:
    def total(known: Known) -> float:
        acts = [at(a["occurred_at"]) for a in known[2] if a["direction"] == "inbound"]
        return log1p(sum(0.5 ** ((known[3] - when) / (days * DAY)) for when in acts))

    return total


def first_touch(known: Known) -> float:
    touched = [at(a["occurred_at"]) for a in known[2] if a["direction"] == "outbound" and a["kind"] != "campaign"]
    return log1p(max(touched[0] - at(known[0]["created_at"]), 0) / (DAY / 24)) if touched else nan


def owed(known: Known) -> float:
    theirs, ours = since("inbound")(known), since("outbound")(known)
    return 0.0 if theirs != theirs or ours <= theirs else theirs


def spoke_first(known: Known) -> float:
    acts = [a for a in known[2] if a["direction"] == "inbound"]
    first = [a for a in acts if a["occurred_at"] == acts[0]["occurred_at"]]
    return float(any(a["kind"] in ("email", "call") for a in first)) if acts else nan


def came(known: Known) -> datetime:
    return datetime.fromtimestamp(at(known[0]["created_at"]) / 1e6, UTC).astimezone(ZoneInfo(ZONE))


def last_change(known: Known) -> int:
    return at(known[1][-1]["known_at"]) if known[1] else at(known[0]["created_at"])


ORACLE: dict[str, Callable[[Known], float]] = {
    "stage_rank": lambda k: float(STAGES.order.index(str(k[1][-1]["event"])) if k[1] else 0),
    "days_open": lambda k: (k[3] - at(k[0]["created_at"])) / DAY,
    "days_in_status": lambda k: (k[3] - last_change(k)) / DAY,
    "given_up_before": lambda k: float(sum(row["event"] == "disqualified" for row in k[1])),
    "came_on_a_weekend": lambda k: float(came(k).weekday() >= 5),
    "came_in_working_hours": lambda k: float(came(k).weekday() < 5 and 8 <= came(k).hour < 18),
    "came_at_hour": lambda k: float(came(k).hour),
    "seats": lambda k: float(str(k[0]["seats"])),
    "seats_log": lambda k: log1p(float(str(k[0]["seats"]))),
    **{
        f"{name}_is_{value}": lambda k, name=name, value=value: float(k[0][name] == value)  # type: ignore[misc]
        for name, values in {"source": ("referral", "web", "list"), "size": ("small", "large")}.items()
        for value in values
    },
    "acts_total": mine("", "inbound"),
    "acts_1d": mine("", "inbound", 1),
    "acts_7d": mine("", "inbound", 7),
    "acts_30d": mine("", "inbound", 30),
    "acts_fading_3d": fading(3),
    "acts_fading_14d": fading(14),
    "days_since_act": since("inbound"),
    "spoke_first": spoke_first,
    "ways_to_reach_us": lambda k: float(len({a["kind"] for a in k[2] if a["direction"] == "inbound"})),
    "web_7d": mine("web", "inbound", 7),
    "web_total": mine("web", "inbound"),
    "content_total": mine("content", "inbound"),
    "mails_in": mine("email", "inbound"),
    "campaign_answers": mine("campaign", "inbound"),
    "calls_in": mine("call", "inbound"),
    "meetings_held": mine("meeting", "mutual"),
    "meetings_ahead": mine("meeting", "mutual"),
    "our_acts_total": mine("hand", "outbound"),
    "our_acts_7d": mine("hand", "outbound", 7),
    "calls_connected": lambda k: float(sum(a["direction"] == "outbound" and a["outcome"] == "connected" for a in k[2])),
    "campaigns_sent": mine("campaign", "outbound"),
    "hours_to_first_touch": first_touch,
    "days_since_our_act": since("outbound"),
    "owed_days": owed,
}


@pytest.fixture(scope="module")
def asked(files: Files) -> tuple[FeatureMatrix, list[Known]]:
    """Features of some rows, and what a loop knows of each."""
    prepared = prepare(files.config, files.ingest)
    some = np.random.default_rng(1).choice(len(prepared.examples), 150, replace=False)
    record, rows = files.record(), prepared.examples.take(some)
    lead_of = {str(row["lead_id"]): row for row in files.rows["leads"]}
    known = []
    for deal, as_of in zip(rows.deal.tolist(), rows.as_of.tolist(), strict=True):
        lead = str(record.deal_ids.decode(deal))
        events = in_time(files, lead, "lead_history", "known_at", as_of)
        known.append((lead_of[lead], events, in_time(files, lead, "lead_activities", "occurred_at", as_of), as_of))
    plan = plan_of(files.config, prepared.plan.context.schema)
    return build_features(record, Requests(rows.deal, rows.as_of), plan), known


def test_every_feature_has_an_oracle(asked: tuple[FeatureMatrix, list[Known]]) -> None:
    assert set(asked[0].names) == {*ORACLE, "source_lift"}  # all leads have a size with a column: no rate of it


@pytest.mark.parametrize("name", ORACLE)
def test_a_feature_is_that_of_a_loop(asked: tuple[FeatureMatrix, list[Known]], name: str) -> None:
    matrix, known = asked
    loop = np.array([ORACLE[name](each) for each in known])
    np.testing.assert_allclose(matrix.column(name), loop, rtol=1e-9, atol=1e-9)


def test_the_loops_see_something(asked: tuple[FeatureMatrix, list[Known]]) -> None:
    flat = [
        name for name, tell in ORACLE.items() if len({tell(each) for each in asked[1] if tell(each) == tell(each)}) < 2
    ]
    assert set(flat) <= {"meetings_held", "meetings_ahead", "content_total", "given_up_before"}


def test_lifts_are_shrunken_rates_by_a_loop(files: Files, asked: tuple[FeatureMatrix, list[Known]]) -> None:
    """(converted + m p) / (came + m) of the same source among leads known before, as log-odds above the company's."""
    matrix, known = asked
    shrink, out = files.config.features.shrink, {row["lead_id"] for row in files.rows["leads"] if row["opted_out"]}
    from features.lead_rates import LEAST_WON
    from features.rates import PRIOR_CLOSED, PRIOR_WINS

    leads = [row for row in files.rows["leads"] if row["lead_id"] not in out]
    converted = {
        row["lead_id"]: at(row["known_at"]) for row in files.rows["lead_history"] if row["event"] == "converted"
    }

    born = {row["lead_id"]: at(row["created_at"]) for row in leads}

    def rate(as_of: int, source: object | None, parent: float, m: float) -> float:
        here = [r["lead_id"] for r in leads if source in (None, r["source"])]
        won = sum(converted.get(lead, 2**62) < as_of for lead in here)
        waited = [converted[lead] - born[lead] for lead in born if converted.get(lead, 2**62) < as_of]
        wait = round(sum(each // 1_000_000 for each in waited) / len(waited)) * 1_000_000 if waited else 0
        came = max(sum(born[lead] < as_of - wait for lead in here), won)
        return (won + m * parent) / (came + m)

    for row in range(0, len(known), 5):
        as_of, source = known[row][3], known[row][0]["source"]
        base = rate(as_of, None, PRIOR_WINS / PRIOR_CLOSED, PRIOR_CLOSED)
        own = rate(as_of, source, base, max(shrink, LEAST_WON / base))
        wanted = log(own / (1 - own)) - log(base / (1 - base))
        assert matrix.column("source_lift")[row] == pytest.approx(wanted, abs=1e-9)


def test_hours_are_those_of_the_wall() -> None:
    texts = ("2024-03-10T06:59:59+00:00", "2024-03-10T07:00:00+00:00", "2024-07-01T03:30:00+00:00")
    instants = np.array([at(text) for text in texts])
    assert local_hours(instants, ZONE).tolist() == [1, 3, 23]  # the clock is put forward in between
    assert local_hours(instants, "Asia/Kolkata").tolist() == [12, 12, 9]


def test_no_name_is_a_feature(files: Files) -> None:
    tables = files.ingest.tables
    there = files.record()
    schema = schema_of(tables, mapping_of(files.config), files.config.target)
    assert set(schema.dimensions) == {"source", "size"}
    assert not {"name", "email", "phone"} & {f.name for g in ("lead", "lead_rates") for f in GROUPS[g].specs(schema)}
    assert len(there.deal_ids.strings()) == tables.deals.n


def test_a_mapping_names_what_is_fixed(files: Files, tmp_path: Path) -> None:
    """What the mapping doesn't declare is no feature, whatever the file holds."""
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text("stages: {order: [Open], won: [Closed Won], lost: [Closed Lost]}\n")
    source = files.config.source.model_copy(update={"mapping": mapping})
    config = files.config.model_copy(update={"source": source})
    told = open_source(config).read()
    schema = schema_of(told.tables, mapping_of(config), config.target)
    assert (schema.dimensions, schema.numbers) == ((), ())
    assert replace(told.report, notices=()).tables
