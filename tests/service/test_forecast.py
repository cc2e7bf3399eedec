"""`forecastle forecast`: the file, its windows and scenarios, and one message for what cannot be asked."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
import typer
from typer.testing import CliRunner, Result

from configs.errors import BundleDamagedError, InSampleError, UsageError
from configs.schema import Config
from features.known import known_before
from features.record import build_record
from features.tables import CrmTables
from models.arrivals import Window
from models.bookings import BOOKINGS
from models.bundle import Bundle, Store, load, save
from models.scenarios import AS_IT_IS, Scenario
from models.store import MANIFEST, sha256
from serving.batch import stale_source
from serving.cli import register
from serving.forecast import (
    COLUMNS,
    Asked,
    Company,
    Outcome,
    bookings_of,
    company_at,
    forecast_file,
    outcome,
    read_leaving,
    windows_of,
)
from serving.refresh import Sourced
from tests.served import AS_OF, World

pytestmark = pytest.mark.timeout(120)

app = typer.Typer()
register(app)
DAY = 24 * 3_600_000_000
MONEY = ("booked", "open_expected", "arrivals_expected", "mean")


def run(world: World, *arguments: str) -> Result:
    """Run `forecast` on the world's config."""
    words = ["forecast", str(world.config_path), *arguments]
    return CliRunner().invoke(app, [*words, *(word for each in world.overrides for word in ("--set", each))])


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def asked(world: World, out: Path, *arguments: str) -> list[dict[str, str]]:
    """The rows of a forecast as of the world's as-of."""
    done = run(world, "--as-of", AS_OF, "--out", str(out), *arguments)
    assert done.exit_code == 0, done.output
    return rows_of(out)


def cents(row: dict[str, str], name: str) -> int:
    return round(float(row[name]) * 100)


def quiet(_: str) -> None:
    return


# --- the file --------------------------------------------------------------------------------------------------------


def test_the_file_is_that_of_the_contract(world: World, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "forecast.csv"
    done = run(world, "--as-of", AS_OF, "--out", str(out), "--json")
    assert done.exit_code == 0, done.output
    rows, told = rows_of(out), json.loads(done.stdout.splitlines()[-1])
    assert tuple(rows[0]) == (
        "level", "node", "as_of", "period_start", "period_end", "booked", "open_expected", "arrivals_expected",
        "p10", "p50", "p90", "mean", "quota", "p_reach_quota", "model_version", "schema_version",
    )  # fmt: skip
    assert told["rows"] == len(rows)
    assert told["model_version"] == world.bundle.version
    assert {row["model_version"] for row in rows} == {world.bundle.version}
    assert {row["schema_version"] for row in rows} == {"1"}
    assert {(row["as_of"], row["period_start"], row["period_end"]) for row in rows} == {
        ("2025-05-05T00:00:00-04:00", "2025-04-01", "2025-06-30")
    }
    assert {row["level"] for row in rows} == {"company", "team", "rep"}
    assert list(out.parent.iterdir()) == [out]
    (whole,) = (row for row in rows if row["level"] == "company")
    assert whole["node"] == "all"
    for name in MONEY:
        assert cents(whole, name) > 0
        for level in ("team", "rep"):
            assert cents(whole, name) == sum(cents(row, name) for row in rows if row["level"] == level), (name, level)
        assert told["windows"][0]["company"][name] == float(whole[name])
    for row in rows:
        assert cents(row, "mean") == sum(cents(row, name) for name in MONEY[:3])
        assert cents(row, "booked") <= cents(row, "p10") <= cents(row, "p50") <= cents(row, "p90")
        assert (row["quota"] == "") == (row["p_reach_quota"] == "")
        assert row["quota"] == "" or 0 <= float(row["p_reach_quota"]) <= 1
    assert cents(whole, "quota") == sum(cents(row, "quota") for row in rows if row["level"] == "rep" and row["quota"])


def test_what_is_booked_and_open_is_that_of_the_record(world: World, tmp_path: Path) -> None:
    """Counted again from the tables: wins of the quarter so far, and p x amount as money counts them."""
    whole = asked(world, tmp_path / "x.csv", "--level", "company")[0]
    tables, start = world.seen.tables, int(world.bundle.calendar.bounds(np.array([world.as_of]))[0][0])
    history = tables.deal_history
    at, stage, amount = history.ints("known_at"), history.coded("stage").strings(), history.ints("amount")
    deal = history.coded("deal_id").strings()
    booked, closed = 0, set()
    for row in np.lexsort((history.ints("seq"), at)).tolist():
        if at[row] < world.as_of:
            won = stage[row] in world.bundle.about.stages.won
            if won and deal[row] not in closed and at[row] >= start:
                booked += max(int(amount[row]), 0)
            (closed.add if won or stage[row] in world.bundle.about.stages.lost else closed.discard)(deal[row])
    assert cents(whole, "booked") == booked
    company = company_at(world.seen, world.bundle, world.as_of)
    window = windows_of(world.config, world.bundle, world.as_of, Asked())[0]
    weighted = float((company.chance(window) * company.amount).sum())
    assert float(whole["open_expected"]) == pytest.approx(weighted, rel=1e-4)


def test_parquet_holds_the_same(world: World, tmp_path: Path) -> None:
    for suffix in (".csv", ".parquet"):
        forecast_file(world.config, [world.as_of], tmp_path / f"x{suffix}", Asked(periods=2), "live", False, quiet)
    table = pyarrow.parquet.read_table(tmp_path / "x.parquet").to_pylist()
    rows = rows_of(tmp_path / "x.csv")
    assert [{name: "" if value is None else str(value) for name, value in row.items()} for row in table] == rows
    assert isinstance(table[0]["mean"], float)
    assert {type(row["quota"]) for row in table} == {float, type(None)}  # no quota is known of the next period


@pytest.mark.parametrize("level", ["company", "team", "rep"])
def test_one_level_is_those_rows_of_the_whole(world: World, tmp_path: Path, level: str) -> None:
    rows = asked(world, tmp_path / "x.csv", "--level", level)
    assert rows == [row for row in asked(world, tmp_path / "all.csv") if row["level"] == level]
    assert rows


def test_the_same_is_said_twice(world: World, tmp_path: Path) -> None:
    asked(world, tmp_path / "a.csv")
    asked(world, tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_several_as_ofs_are_one_file(world: World, tmp_path: Path) -> None:
    """Each as alone; one instant in two spellings is one."""
    out = tmp_path / "x.csv"
    spelled = ("2025-06-02", AS_OF, "2025-05-05T04:00:00Z")
    done = run(world, *(word for each in spelled for word in ("--as-of", each)), "--out", str(out))
    assert done.exit_code == 0, done.output
    rows = rows_of(out)
    assert list(dict.fromkeys(row["as_of"] for row in rows)) == [
        "2025-06-02T00:00:00-04:00",
        "2025-05-05T00:00:00-04:00",
    ]
    assert [row for row in rows if row["as_of"].startswith("2025-05-05")] == asked(world, tmp_path / "alone.csv")
    assert len(done.stdout.splitlines()) >= 2


# --- windows ---------------------------------------------------------------------------------------------------------


def test_periods_follow_each_other(world: World, tmp_path: Path) -> None:
    rows = asked(world, tmp_path / "x.csv", "--periods", "3", "--level", "company")
    spans = [(row["period_start"], row["period_end"]) for row in rows]
    assert spans == [("2025-04-01", "2025-06-30"), ("2025-07-01", "2025-09-30"), ("2025-10-01", "2025-12-31")]
    assert rows[0] == asked(world, tmp_path / "y.csv", "--level", "company")[0]
    assert [cents(row, "booked") for row in rows[1:]] == [0, 0]
    assert [row["quota"] for row in rows[1:]] == ["", ""]
    assert float(rows[2]["open_expected"]) < float(rows[1]["open_expected"])  # what is open now closes before long
    assert float(rows[1]["arrivals_expected"]) > float(rows[0]["arrivals_expected"])


def test_months_add_up_to_their_quarter(world: World, tmp_path: Path) -> None:
    """As of May: April is over, so that its wins are missing; what is to come of May and June is the quarter's."""
    rows = asked(world, tmp_path / "x.csv", "--months", "--level", "company")
    (quarter,) = asked(world, tmp_path / "y.csv", "--level", "company")
    spans = [(row["period_start"], row["period_end"]) for row in rows]
    assert spans == [("2025-05-01", "2025-05-31"), ("2025-06-01", "2025-06-30")]
    company = company_at(world.seen, world.bundle, world.as_of)
    monthly, (whole,) = (
        windows_of(world.config, world.bundle, world.as_of, each) for each in (Asked(months=True), Asked())
    )
    assert np.allclose(sum(company.chance(window) for window in monthly), company.chance(whole), rtol=0, atol=1e-12)
    total = cents(quarter, "open_expected")
    cents_off = len(company.amount)  # every deal's part of a month is rounded to a cent
    assert abs(sum(cents(row, "open_expected") for row in rows) - total) <= cents_off
    assert min(cents(row, "open_expected") for row in rows) > 0
    assert cents(rows[0], "booked") <= cents(quarter, "booked")
    assert all(row["quota"] == "" for row in rows)


def test_months_of_two_quarters_and_on_the_first_day(world: World, tmp_path: Path) -> None:
    out = tmp_path / "x.csv"
    done = run(world, "--as-of", "2025-07-01", "--out", str(out), "--months", "--periods", "2", "--level", "company")
    assert done.exit_code == 0, done.output
    assert [row["period_start"][:7] for row in rows_of(out)] == [f"2025-{month:02d}" for month in range(7, 13)]


def test_the_first_instant_and_the_last_second_of_a_period(world: World, tmp_path: Path) -> None:
    """The one begins with nothing booked and no quota known yet; the other has next to nothing to come."""
    out = tmp_path / "x.csv"
    instants = ("2025-04-01", "2025-06-30T23:59:59-04:00")
    done = run(
        world, *(word for each in instants for word in ("--as-of", each)), "--out", str(out), "--level", "company"
    )
    assert done.exit_code == 0, done.output
    first, last = rows_of(out)
    assert (first["period_start"], last["period_end"]) == ("2025-04-01", "2025-06-30")
    assert (first["booked"], first["quota"]) == ("0.0", "")
    assert float(last["booked"]) > 0
    assert float(last["quota"]) > 0
    assert float(first["arrivals_expected"]) > float(last["arrivals_expected"])


# --- time ------------------------------------------------------------------------------------------------------------


def told(world: World, tables: CrmTables, as_of: int, ahead: int) -> tuple[tuple[str, ...], list[Outcome], list[bytes]]:
    about = world.bundle.about
    record = build_record(tables, about.stages, world.bundle.calendar, about.schema)
    company = company_at(Sourced(tables, record, as_of), world.bundle, as_of)
    windows = windows_of(world.config, world.bundle, as_of, Asked(periods=ahead))
    learnt = bookings_of(world.bundle)
    found = [outcome(company, window, learnt, world.config.seed, AS_IT_IS) for window in windows]
    return company.ground.deals, found, [company.amount.tobytes(), *(company.chance(w).tobytes() for w in windows)]


def test_what_is_known_later_changes_no_bit_of_a_forecast(world: World) -> None:
    """The whole chain: heads, arrivals, paths, quotas; the file's own `as_of` and the windows after it."""
    for as_of in (world.as_of, int(world.bundle.calendar.bounds(np.array([world.as_of]))[1][0]) - 1):
        cut = known_before(world.seen.tables, as_of)
        assert told(world, world.seen.tables, as_of, 2) == told(world, cut, as_of, 2)
        assert cut.deal_history.n < world.seen.tables.deal_history.n or as_of > world.as_of


# --- scenarios -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def company(world: World) -> Company:
    return company_at(world.seen, world.bundle, world.as_of)


def biggest(company: Company, world: World) -> tuple[str, str]:
    """(deal, rep) that bring most of what is expected."""
    p = company.chance(windows_of(world.config, world.bundle, world.as_of, Asked())[0])
    top = int(np.argmax(p * company.amount))
    return company.ground.deals[top], company.ground.tree.reps[company.ground.rep[top]]


def test_a_scenario_stands_beside_the_forecast(world: World, company: Company, tmp_path: Path) -> None:
    deal, rep = biggest(company, world)
    plain = asked(world, tmp_path / "plain.csv")
    rows = asked(world, tmp_path / "x.csv", "--lose", deal)
    assert list(rows[0]) == [*COLUMNS, "scenario", "model_version", "schema_version"]
    base = [{name: row[name] for name in row if name != "scenario"} for row in rows if row["scenario"] == "as it is"]
    other = {(row["level"], row["node"]): row for row in rows if row["scenario"] == "what if"}
    assert base == plain
    for row in plain:
        if row["level"] == "rep" and row["node"] != rep:
            changed = {name: other[row["level"], row["node"]][name] for name in COLUMNS}
            assert changed == {name: row[name] for name in COLUMNS}
        else:
            assert cents(other[row["level"], row["node"]], "open_expected") <= cents(row, "open_expected")
    gone = cents(plain[0], "mean") - cents(other["company", "all"], "mean")
    p = company.chance(windows_of(world.config, world.bundle, world.as_of, Asked())[0])
    at = company.ground.deals.index(deal)
    assert abs(gone - p[at] * company.amount[at] * 100) <= 0.01 * gone


def test_every_option_of_a_scenario(world: World, company: Company, tmp_path: Path) -> None:
    _, rep = biggest(company, world)

    def means(*options: str) -> tuple[int, int, int, int]:
        rows = asked(world, tmp_path / "x.csv", *options)
        whole = [row for row in rows if row["level"] == "company"]
        own = [row for row in rows if (row["level"], row["node"]) == ("rep", rep)]
        (base, other), (mine, changed) = whole, own
        assert base["scenario"] == "as it is"
        return tuple(
            cents(one, name) - cents(two, name)
            for one, two, name in (
                (other, base, "open_expected"),
                (other, base, "arrivals_expected"),
                (changed, mine, "open_expected"),
                (changed, mine, "arrivals_expected"),
            )
        )  # type: ignore[return-value]

    open_more, to_come, *_ = means("--win-rate", "1.1")
    assert open_more > 0
    assert to_come == 0
    open_more, to_come, *_ = means("--arrivals", "0.5")
    assert open_more == 0
    assert to_come < 0
    open_more, to_come, own_open, own_to_come = means("--leaves", f"{rep}=0")
    assert open_more == own_open < 0
    assert abs(to_come - own_to_come) <= 1


def test_the_defaults_are_no_scenario(world: World, tmp_path: Path) -> None:
    rows = asked(world, tmp_path / "x.csv", "--win-rate", "1", "--arrivals", "1.0")
    assert "scenario" not in rows[0]


def test_a_rep_id_may_hold_an_equals_sign() -> None:
    assert read_leaving(["a=b=0.25", "R1=1"]) == {"a=b": 0.25, "R1": 1.0}


def test_a_scenario_of_what_is_not_there(world: World, company: Company) -> None:
    window = windows_of(world.config, world.bundle, world.as_of, Asked())[0]
    learnt = bookings_of(world.bundle)
    with pytest.raises(UsageError, match="--lose: never; expected ids of deals that are open at 2025-05-05"):
        outcome(company, window, learnt, 1, Scenario(lost=frozenset({"never"})))
    with pytest.raises(UsageError, match="--leaves: nemo"):
        outcome(company, window, learnt, 1, Scenario(leaving={"nemo": 0.5}))


# --- what cannot be asked --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--lose", "never"], 2, "--lose: never"),
        (["--leaves", "R0001=2"], 2, "--leaves: 'R0001=2'"),
        (["--leaves", "R0001"], 2, "--leaves: 'R0001'"),
        (["--leaves", "R0001=nan"], 2, "--leaves: 'R0001=nan'"),
        (["--leaves", "=0.5"], 2, "--leaves: '=0.5'"),
        (["--leaves", "nemo=0.5"], 2, "--leaves: nemo"),
        (["--win-rate", "nan"], 2, "--win-rate"),
        (["--arrivals", "nan"], 2, "--arrivals"),
        (["--win-rate", "-1"], 2, "--win-rate"),
        (["--arrivals", "many"], 2, "--arrivals"),
        (["--level", "foo"], 2, "--level: 'foo'; expected company or team or rep"),
        (["--periods", "0"], 2, "--periods"),
        (["--periods", "9"], 2, "--periods"),
        (["--periods", "8"], 2, "the longest horizon of the timing head"),
        (["--periods", "8", "--months"], 2, "the longest horizon of the timing head"),
        (["--out", "x.txt"], 2, "--out: 'x.txt'"),
        (["--as-of", "yesterday"], 2, "--as-of: 'yesterday'"),
        (["--as-of", "2025-01-01"], 2, "trained_as_of"),
        (["--as-of", "1955-01-01"], 2, "calendar"),
        (["--model", "candidate"], 1, "forecastle train"),
        (["--set", "source.path=nowhere"], 4, "nowhere"),
    ],
)
def test_what_cannot_be_done_is_one_message(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [] if "--as-of" in arguments else ["--as-of", AS_OF]
    given += [] if "--out" in arguments else ["--out", "x.csv"]
    done = run(world, *given, *arguments)
    assert done.exit_code == code, done.output
    assert words in done.stderr, done.stderr
    assert "Traceback" not in done.output
    assert not list(tmp_path.glob("x.*"))


def test_an_as_of_before_training_may_be_asked_in_sample(world: World, tmp_path: Path) -> None:
    early = world.bundle.about.trained_as_of - 1
    with pytest.raises(InSampleError, match="--in-sample"):
        forecast_file(world.config, [early], tmp_path / "x.csv", Asked(), "live", False, quiet)
    assert not list(tmp_path.iterdir())
    written, _ = forecast_file(world.config, [early], tmp_path / "x.csv", Asked(), "live", True, quiet)
    assert written.rows[0] > 0


def live(world: World, bundle: Bundle, folder: Path) -> tuple[Config, str]:
    """The config of a state directory in which another bundle is live, and its override."""
    state = folder / "state"
    (state / "bundles").mkdir(parents=True)
    (state / "simulated").symlink_to(world.config.state_dir / "simulated")
    save(bundle, folder / "bundle")
    store = Store(state / "bundles")
    store.point(store.publish(folder / "bundle"))
    return world.config.model_copy(update={"state_dir": state}), f"state_dir={state}"


@pytest.mark.parametrize("gone", [("bookings",), ("bookings", "amount")])
def test_a_model_that_knows_nothing_of_bookings(world: World, tmp_path: Path, gone: tuple[str, ...]) -> None:
    """An earlier version's bundle loads and scores; only a forecast can't be had."""
    _, override = live(world, replace(world.bundle, **dict.fromkeys(gone)), tmp_path)
    assert load(Store(tmp_path / "state" / "bundles").current()).bookings is None
    words = ["forecast", str(world.config_path), "--as-of", AS_OF, "--out", str(tmp_path / "x.csv")]
    sets = [word for each in (*world.overrides, override) for word in ("--set", each)]
    done = CliRunner().invoke(app, [*words, *sets])
    assert done.exit_code == 2, done.output
    assert "has no bookings model" in done.stderr
    assert "forecastle train" in done.stderr
    assert not (tmp_path / "x.csv").exists()


def test_without_a_timing_head_only_the_running_period_can_be_foretold(world: World) -> None:
    bare = replace(world.bundle, timing=None)
    whole = windows_of(world.config, bare, world.as_of, Asked())
    assert whole == windows_of(world.config, world.bundle, world.as_of, Asked())
    for more, option in ((Asked(periods=2), "--periods"), (Asked(months=True), "--months")):
        with pytest.raises(UsageError, match=f"{option}: the model has no timing head"):
            windows_of(world.config, bare, world.as_of, more)
    company = company_at(world.seen, bare, world.as_of)
    assert np.array_equal(company.chance(whole[0]), company_at(world.seen, world.bundle, world.as_of).chance(whole[0]))


def test_a_window_past_the_calendar_is_refused(world: World) -> None:
    near = int(world.bundle.calendar.starts[-2])
    assert len(windows_of(world.config, world.bundle, near, Asked())) == 1
    with pytest.raises(UsageError, match="fiscal calendar"):
        windows_of(world.config, world.bundle, near, Asked(periods=2))


def test_an_eventual_head_goes_by_its_timing_curves(world: World) -> None:
    """Its probability is met at the longest horizon; a quarter has only its part of that."""
    timing = world.bundle.timing
    assert timing is not None
    about = replace(world.bundle.about, target="eventual")
    assert world.bundle.bookings is not None
    even = replace(world.bundle.bookings, late=0.0)  # a tilt by days would tell two horizons apart
    bundle = replace(world.bundle, about=about, timing=replace(timing, target="eventual"), bookings=even)
    company = company_at(world.seen, bundle, world.as_of)
    windows = windows_of(world.config, bundle, world.as_of, Asked(periods=2))
    said = bundle.model.predict
    parts = [company.chance(window) for window in windows]
    whole = company.chance(Window(world.as_of, world.as_of, world.as_of + round(timing.longest * DAY)))
    assert said is not None
    assert (parts[0] > 0).all()
    assert (parts[0] + parts[1] <= whole + 1e-12).all()
    assert np.allclose(company.chance(Window(world.as_of, windows[0].start, windows[1].end)), parts[0] + parts[1])
    own = company_at(world.seen, replace(world.bundle, bookings=even), world.as_of)
    assert np.allclose(whole, own.chance(windows_of(world.config, world.bundle, world.as_of, Asked())[0]))


# --- a damaged bundle ------------------------------------------------------------------------------------------------


NOT_FINITE = {"shocks": ["0x0p+0", "0x0p+0", "nan"], "ratios": [], "scale": "0x1p+0", "periods": 0, "residuals": 0}


@pytest.mark.parametrize("text", ["{", "[]", "{}", json.dumps(NOT_FINITE)])
@pytest.mark.parametrize("listed", [True, False])
def test_a_damaged_file_of_bookings_is_refused_with_its_place(
    world: World, tmp_path: Path, text: str, listed: bool
) -> None:
    """By its digest; and where the manifest agrees with it, by what it holds."""
    folder = tmp_path / "bundle"
    save(world.bundle, folder)
    (folder / BOOKINGS).write_text(text)
    if listed:
        manifest = json.loads((folder / MANIFEST).read_text())
        manifest["files"][BOOKINGS] = sha256(text.encode())
        (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BundleDamagedError, match="bundle"):
        load(folder)


def test_what_a_bundle_knows_of_bookings_is_loaded_to_the_bit(world: World, tmp_path: Path) -> None:
    sha = save(world.bundle, tmp_path / "bundle")
    again, before = load(tmp_path / "bundle", sha).bookings, world.bundle.bookings
    assert again is not None
    assert before is not None
    assert again.ratios.tobytes() == before.ratios.tobytes()
    assert replace(again, ratios=before.ratios) == before


# --- how fresh the source is -----------------------------------------------------------------------------------------


def test_a_source_that_ended_before_the_as_of_is_told(world: World, tmp_path: Path) -> None:
    """A week without a fact is said of nothing, a moment more is; the file is written all the same."""
    last, zone = world.seen.as_of, world.config.time_zone
    assert stale_source(world.seen, last - 30 * DAY, zone) is None
    assert stale_source(world.seen, last + 7 * DAY, zone) is None
    warning = stale_source(world.seen, last + 7 * DAY + 1, zone)
    assert warning is not None
    assert "7 days after the source's last fact" in warning
    said: list[str] = []
    forecast_file(world.config, [world.as_of, last + 20 * DAY], tmp_path / "x.csv", Asked(), "live", False, said.append)
    (line,) = (line for line in said if "last fact" in line)
    assert line.startswith("warning: ")
    assert "is 20 days after" in line


def test_a_source_without_facts_is_told(world: World) -> None:
    empty = CrmTables.of({})
    from serving.facts import last_fact

    record = build_record(empty, world.bundle.about.stages, world.bundle.calendar, world.bundle.about.schema)
    warning = stale_source(Sourced(empty, record, last_fact(empty)), world.as_of, world.config.time_zone)
    assert warning == "warning: the source holds no fact at all"


def test_without_an_open_deal_nothing_is_open(world: World) -> None:
    """Every head is asked of no row at all; what is booked and to come is told all the same."""
    first = int(world.seen.tables.deals.ints("known_at").min())
    tables = known_before(world.seen.tables, first + 1)
    record = build_record(tables, world.bundle.about.stages, world.bundle.calendar, world.bundle.about.schema)
    company = company_at(Sourced(tables, record, first), world.bundle, first)
    assert company.ground.deals == ()
    for window in windows_of(world.config, world.bundle, first, Asked(periods=2)):
        got = outcome(company, window, bookings_of(world.bundle), 1, Scenario(win_rate=0.5))
        assert [(each.name, each.mean, each.quantiles[-1]) for each in (*got.nodes, *got.what_if)] == [
            ("all", 0, 0)
        ] * 2
        assert (got.closing, got.weighted, got.gap) == ((), 0.0, None)
