"""Files of scores, example requests and the commands that write them."""

from __future__ import annotations

import csv
import json
import socket
from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow.parquet
import pytest
import typer
from typer.testing import CliRunner, Result

from configs.errors import InSampleError, StateError
from configs.writing import guarded, write_text
from features.periods import DAY, parse_as_of
from models.store import write_pointer
from serving.batch import CLOSE_DATES, cells, columns, open_deals, score_file
from serving.cli import register
from serving.scoring import score
from tests.served import AS_OF, World

pytestmark = pytest.mark.timeout(120)

app = typer.Typer()
register(app)


def run(world: World, command: str, *arguments: str) -> Result:
    """Run a command on the world's config."""
    words = [*command.split(), str(world.config_path), *arguments]
    return CliRunner().invoke(app, [*words, *(word for each in world.overrides for word in ("--set", each))])


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_file_has_a_row_per_open_deal_and_as_of(world: World, ids: list[str], tmp_path: Path) -> None:
    out = tmp_path / "deep" / "scores.csv"
    got = run(world, "score", "--as-of", AS_OF, "--as-of", "2025-06-02T12:00:00Z", "--out", str(out), "--json")
    assert got.exit_code == 0, got.output
    told = json.loads(got.stdout.splitlines()[-1])
    rows = rows_of(out)
    assert told["rows"] == len(rows)
    assert told["as_of"] == ["2025-05-05T04:00:00Z", "2025-06-02T12:00:00Z"]
    assert told["model_version"] == world.bundle.version
    assert tuple(rows[0]) == columns("in_period")
    first = [row for row in rows if row["as_of"] == "2025-05-05T00:00:00-04:00"]
    assert sorted(row["deal_id"] for row in first) == ids
    assert {row["as_of"] for row in rows} == {"2025-05-05T00:00:00-04:00", "2025-06-02T08:00:00-04:00"}
    assert {row["period_end"] for row in rows} == {"2025-06-30"}
    assert {row["model_version"] for row in rows} == {world.bundle.version}
    for row in rows:
        p = float(row["p_won_in_period"])
        assert row["score"] == str(int(100 * p + 0.5))
        assert json.loads(row["reasons"])[0]["factor"] == "baseline"
        assert isinstance(json.loads(row["data_notes"]), list)
    assert list(out.parent.iterdir()) == [out]


def test_parquet_holds_the_same(world: World, tmp_path: Path) -> None:
    for suffix in (".csv", ".parquet"):
        score_file(world.config, [world.as_of], tmp_path / f"scores{suffix}", "live", False, lambda _: None)
    table = pyarrow.parquet.read_table(tmp_path / "scores.parquet").to_pylist()
    rows = rows_of(tmp_path / "scores.csv")
    assert [{name: "" if value is None else str(value) for name, value in row.items()} for row in table] == rows
    for name in ("p_won_in_period", "p_won", "p_lost", "p_open", "amount_expected"):
        assert isinstance(table[0][name], float), name


def test_columns_stand_in_the_order_of_the_contract() -> None:
    assert columns("in_period") == (
        "deal_id", "as_of", "period_end", "p_won_in_period", "p_won", "p_lost", "p_open",
        "close_date_p10", "close_date_p50", "close_date_p90", "amount_expected", "score", "flags", "reasons",
        "slip_risk", "rung", "data_notes", "model_version", "schema_version",
    )  # fmt: skip


def test_a_row_tells_what_every_head_says(world: World, tmp_path: Path) -> None:
    score_file(world.config, [world.as_of], tmp_path / "x.csv", "live", False, lambda _: None)
    rows = rows_of(tmp_path / "x.csv")
    for row in rows:
        shares = [float(row[name]) for name in ("p_won", "p_lost", "p_open")]
        assert abs(sum(shares) - 1) < 1e-12
        days = [date.fromisoformat(row[name]) for name in CLOSE_DATES]
        assert days == sorted(days)
        assert float(row["amount_expected"]) > 0
        assert (row["slip_risk"] == "") or 0 <= float(row["slip_risk"]) <= 1
        assert (row["rung"], row["schema_version"]) == (world.bundle.model.rung, "3")


def test_cells_of_absent_heads_are_empty(world: World) -> None:
    asked = open_deals(world.seen.record, world.as_of).take(slice(0, 1))
    bare = replace(world.bundle, timing=None, amount=None)
    (one,) = score(world.seen.record, asked, bare, False, world.seen.as_of)
    row = dict(zip(columns("in_period"), cells(one, "America/New_York"), strict=True))
    empty = [name for name, cell in row.items() if cell is None]
    assert empty == ["p_won", "p_lost", "p_open", *CLOSE_DATES, "amount_expected", "flags", "slip_risk"]


def test_an_eventual_head_has_columns_of_its_own() -> None:
    assert "p_eventual" in columns("eventual")
    assert not {"p_won_in_period", "period_end"} & set(columns("eventual"))


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "\nx"])
def test_no_text_is_a_formula(text: str) -> None:
    assert guarded(text) == f"'{text}"


def test_numbers_and_plain_text_stay() -> None:
    assert [guarded(cell) for cell in (-1, -0.5, "a-b", "", "2025-05-05")] == [-1, -0.5, "a-b", "", "2025-05-05"]


def test_an_as_of_before_training_is_refused(world: World, tmp_path: Path) -> None:
    early = world.bundle.about.trained_as_of - 1
    with pytest.raises(InSampleError, match="--in-sample"):
        score_file(world.config, [world.as_of, early], tmp_path / "x.csv", "live", False, lambda _: None)
    assert not list(tmp_path.iterdir())
    assert score_file(world.config, [early], tmp_path / "x.csv", "live", True, lambda _: None).rows[0] > 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--as-of", "yesterday", "--out", "x.csv"], 2, "--as-of"),
        (["--as-of", AS_OF, "--out", "x.txt"], 2, "--out"),
        (["--as-of", AS_OF, "--out", "x.csv", "--model", "candidate"], 1, "forecastle train"),
        (["--as-of", AS_OF, "--out", "x.csv", "--model", "../../etc"], 2, "--model"),
        (["--as-of", AS_OF, "--out", "x.csv", "--model", "0123abcd"], 1, "0123abcd"),
        (["--as-of", "2025-01-01", "--out", "x.csv"], 2, "trained_as_of"),
        (["--as-of", "1955-01-01", "--out", "x.csv"], 2, "calendar"),
        (["--as-of", AS_OF, "--out", "x.csv", "--set", "target=eventual"], 1, "target: eventual; expected in_period"),
        (["--as-of", AS_OF, "--out", "x.csv", "--set", "source.path=nowhere"], 4, "nowhere"),
        (["--as-of", AS_OF, "--out", "/proc/x.csv"], 1, "/proc/x.csv"),
    ],
)
def test_what_cannot_be_done_is_one_message(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    got = run(world, "score", *arguments)
    assert got.exit_code == code, got.output
    assert words in got.stderr
    assert "Traceback" not in got.output
    assert got.stdout == ""


def test_a_run_names_its_model(world: World, tmp_path: Path) -> None:
    state = tmp_path / "state"
    root = state / "candidates"
    (root / "runs").mkdir(parents=True)
    (root / world.bundle.sha).symlink_to(world.config.state_dir / "bundles" / world.bundle.sha)
    write_pointer(root / "CANDIDATE", world.bundle.sha)
    write_pointer(root / "runs" / "0123abcd", world.bundle.sha)
    simulated = world.config.source.model_copy(
        update={"path": next((world.config.state_dir / "simulated").iterdir()) / "export"}
    )
    config = world.config.model_copy(update={"state_dir": state, "source": simulated})
    for model in ("candidate", "0123abcd"):
        written = score_file(config, [world.as_of], tmp_path / "x.csv", model, False, lambda _: None)
        assert written.bundle_sha256 == world.bundle.sha


def test_a_file_that_cannot_be_written_leaves_the_old_one(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "x.csv"
    out.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("serving.table_files.write_csv", full)
    with pytest.raises(StateError, match="No space left"):
        score_file(world.config, [world.as_of], out, "live", False, lambda _: None)
    assert (out.read_text(), list(tmp_path.iterdir())) == ("old", [out])


def test_other_stages_than_the_models_are_refused(world: World, tmp_path: Path) -> None:
    text = Path("configs/mappings/canonical.yaml").read_text().replace("Discover, Evaluate", "Evaluate, Discover")
    (tmp_path / "mapping.yaml").write_text(text)
    got = run(
        world, "score", "--as-of", AS_OF, "--out", str(tmp_path / "x.csv"),
        "--set", f"source.mapping={tmp_path / 'mapping.yaml'}",
    )  # fmt: skip
    assert got.exit_code == 1
    assert "stages" in got.stderr


def test_one_instant_in_two_spellings_is_one_as_of(world: World, ids: list[str], tmp_path: Path) -> None:
    out = tmp_path / "x.csv"
    spellings = (AS_OF, "2025-05-05T04:00:00Z", "2025-05-05T00:00:00-04:00")
    got = run(world, "score", *(word for each in spellings for word in ("--as-of", each)), "--out", str(out), "--json")
    assert json.loads(got.stdout.splitlines()[-1])["as_of"] == ["2025-05-05T04:00:00Z"]
    assert sorted(row["deal_id"] for row in rows_of(out)) == ids


@pytest.mark.parametrize(("quiet_days", "stale"), [(0, False), (10, True)])
def test_what_is_told_later_leaves_a_file_as_it_is(world: World, tmp_path: Path, quiet_days: int, stale: bool) -> None:
    """Byte for byte, with the rows at and after the as-of and without; also after days in which nothing was told."""
    export = next((world.config.state_dir / "simulated").iterdir()) / "export"
    quiet = world.as_of - quiet_days * DAY
    written = []
    for later in (True, False):
        folder = tmp_path / f"export-{later}"
        folder.mkdir()
        gone: set[str] = set()  # deals that were told of in the quiet days, or too late
        for path in sorted(export.iterdir(), key=lambda path: path.stem != "deals"):
            rows = rows_of(path)
            clocks = [name for name in ("known_at", "submitted_at", "created_at") if name in rows[0]][:1]
            told = [parse_as_of(row[clock], "UTC") for row in rows for clock in clocks] or [0] * len(rows)
            kept = [at < quiet or (later and at >= world.as_of) for at in told]
            if path.stem == "deals":
                gone = {row["deal_id"] for row, stays in zip(rows, kept, strict=True) if not stays}
            with (folder / path.name).open("w", newline="") as file:
                writer = csv.DictWriter(file, rows[0])
                writer.writeheader()
                pairs = zip(rows, kept, strict=True)
                writer.writerows(row for row, stays in pairs if stays and row.get("deal_id") not in gone)
        config = world.config.model_copy(update={"source": world.config.source.model_copy(update={"path": folder})})
        score_file(config, [world.as_of], tmp_path / f"{later}.csv", "live", False, lambda _: None)
        written.append((tmp_path / f"{later}.csv").read_bytes())
    assert written[0] == written[1]
    assert (b"stale_reference" in written[0]) is stale


@pytest.mark.parametrize("command", ["score", "example-request"])
def test_an_unusable_out_is_told_before_the_work(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("the source was read")

    monkeypatch.setattr("serving.refresh.read_source", never)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.csv").mkdir()
    for out in ("file/x.csv", "file/deep/x.csv", "folder.csv"):
        got = run(world, command, "--as-of", AS_OF, "--out", out)
        assert (got.exit_code, got.stdout) == (2, ""), got.output
        assert f"{out}" in got.stderr
        assert "folder" in got.stderr
        assert "Traceback" not in got.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.csv"]


def test_a_half_written_file_is_not_what_the_message_names(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError) as caught:
        write_text(tmp_path / "file" / "x.json", "{}")
    assert str(tmp_path / "file" / "x.json") in str(caught.value)
    assert ".x.json." not in str(caught.value)


def test_an_example_request_is_written(world: World, ids: list[str], tmp_path: Path) -> None:
    out = tmp_path / "request.json"
    got = run(world, "example-request", "--as-of", AS_OF, "--out", str(out), "--deals", "4")
    assert got.exit_code == 0, got.output
    body = json.loads(out.read_text())
    assert (body["as_of"], [deal["deal_id"] for deal in body["deals"]]) == ("2025-05-05T04:00:00Z", ids[:4])
    known = [row["known_at"] for deal in body["deals"] for row in (*deal["history"], *deal["activities"])]
    assert known
    assert max(known) < body["as_of"]


def test_keys_are_made_listed_and_revoked(world: World, tmp_path: Path) -> None:
    file = ("--set", f"serving.api_keys_file={tmp_path / 'keys.json'}")
    assert "no API keys" in run(world, "keys list", *file).stderr
    made = run(world, "keys create", "--name", "crm", "--expires", "2999-01-01", *file)
    (key,) = made.stdout.split()
    assert key.startswith("fc_")
    told = json.loads(run(world, "keys create", "--name", "two", "--json", *file).stdout)
    assert told["key"].split("_")[1] == told["prefix"]
    listed = run(world, "keys list", *file).stdout
    assert key.split("_")[1] in listed
    assert key not in listed
    assert run(world, "keys revoke", "crm", *file).exit_code == 0
    states = {
        entry["name"]: entry["state"] for entry in json.loads(run(world, "keys list", "--json", *file).stdout)["keys"]
    }
    assert states == {"crm": "revoked", "two": "active"}
    assert run(world, "keys revoke", "crm", *file).exit_code == 2
    assert run(world, "keys create", "--name", "west", "--scope", "read", *file).exit_code == 2
    rights = ("--scope", "read", "--scope", "score", "--team", "West")
    west = json.loads(run(world, "keys create", "--name", "west", *rights, "--json", *file).stdout)
    assert (west["scopes"], west["teams"]) == (["read", "score"], ["West"])
    fresh = json.loads(run(world, "keys rotate", "west", "--overlap", "3", "--json", *file).stdout)
    assert fresh["old"]["prefix"] == west["prefix"] != fresh["prefix"]
    listed = run(world, "keys list", *file).stdout
    assert listed.count("(read, score; 1 teams)") == 2
    assert fresh["key"] not in listed
    assert run(world, "keys create", "--name", "three", "--expires", "soon", *file).exit_code == 2


def test_serve_says_that_no_model_is_live(world: World, tmp_path: Path) -> None:
    words = ["serve", str(world.config_path), "--set", f"state_dir={tmp_path}", "--set", "serving.port=59999"]
    got = CliRunner().invoke(app, words)
    assert got.exit_code == 1
    assert "forecastle promote" in got.stderr


def test_serve_says_that_the_port_is_taken(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        got = run(world, "serve", "--port", str(taken.getsockname()[1]))
    assert got.exit_code == 2
    assert "listens there already" in got.stderr
