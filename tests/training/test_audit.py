"""The audit of a record: a clean company raises nothing, each planted leak is caught, and training leaves it out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from configs.load import load_config
from configs.schema import SimulatedSource
from features.ingest import Ingest
from features.periods import DAY
from features.sources.base import open_source
from features.sources.simulated import EXPORT, generated
from features.tables import NAT, Coded
from forecastle import app
from tests.companies import DEMO, demo_config, small_company
from tests.leaky import ACTIVITIES, ATTRIBUTES, HONEST, drawn, facts, planted, prepared_with, with_activities
from tests.training.lead_company import Leads
from training.audit import audit, audit_verdicts
from training.audit_facts import BUCKETS
from training.audit_report import text_table
from training.audit_rules import Audit, Mark
from training.gates import passed
from training.prepare import Prepared, prepare

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def clean(state: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Prepared, Ingest, Audit]:
    prepared, ingest = prepared_with(state, HONEST, tmp_path_factory.mktemp("clean"))
    return prepared, ingest, audit(prepared, ingest)


@pytest.fixture(scope="module")
def leaky(state: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Prepared, Ingest, Audit]:
    names = (*HONEST, *ATTRIBUTES)
    prepared, ingest = prepared_with(state, names, tmp_path_factory.mktemp("leaky"))
    return prepared, ingest, audit(prepared, ingest)


def test_a_clean_company_and_honest_attributes_raise_nothing(clean: tuple[Prepared, Ingest, Audit]) -> None:
    prepared, _, found = clean
    assert [f for f in found.findings if f.mark != Mark.CLEAN] == []
    assert prepared.left_out == ()
    assert passed(audit_verdicts(found, ()))
    assert {f.field for f in found.findings} >= {*HONEST, *prepared.plan.names, "stage", "amount", "account_id"}


@pytest.mark.parametrize("seed", [31, 32])
def test_other_clean_companies_raise_nothing(seed: int, state: Path) -> None:
    config = demo_config(state, f"source.simulate.seed={seed}", "source.simulate.wins_per_period=40")
    ingest = open_source(config).read()
    assert [f for f in audit(prepare(config, ingest), ingest).findings if f.signs] == []


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_each_planted_attribute_is_caught_by_its_rule(name: str, leaky: tuple[Prepared, Ingest, Audit]) -> None:
    finding = leaky[2].of(name)
    assert finding.mark == Mark.QUARANTINED
    assert ATTRIBUTES[name] in finding.rules
    assert "audit.trust" in finding.remedy


def test_honest_attributes_beside_leaks_stay(leaky: tuple[Prepared, Ingest, Audit]) -> None:
    assert {f.field for f in leaky[2].quarantined} == set(ATTRIBUTES)


def test_training_leaves_out_what_is_quarantined_and_nothing_else(
    leaky: tuple[Prepared, Ingest, Audit], clean: tuple[Prepared, Ingest, Audit]
) -> None:
    prepared, _, found = leaky
    assert set(prepared.left_out) == set(ATTRIBUTES)
    assert prepared.plan.names == clean[0].plan.names
    np.testing.assert_array_equal(prepared.examples.matrix.values, clean[0].examples.matrix.values)
    (verdict,) = audit_verdicts(found, prepared.left_out)
    assert verdict.passed
    assert "left out: loss_code" in audit_verdicts(found, ("loss_code", *prepared.left_out))[0].note


def test_refuse_builds_them_and_fails_the_gate(state: Path, tmp_path: Path) -> None:
    prepared, ingest = prepared_with(state, ("loss_code", "final_discount"), tmp_path, "audit.action=refuse")
    found = audit(prepared, ingest)
    assert prepared.left_out == ()
    assert {"loss_code_lift", "attr_final_discount"} <= set(prepared.plan.names)
    assert {"loss_code", "final_discount", "attr_final_discount"} <= {f.field for f in found.quarantined}
    (verdict,) = audit_verdicts(found, prepared.left_out)
    assert not passed([verdict])
    assert "final_discount" in verdict.note
    assert found.of("attr_final_discount").remedy == "leave it out: features.drop: [attr_final_discount]"


def test_what_is_trusted_is_told_and_used(state: Path, tmp_path: Path) -> None:
    prepared, ingest = prepared_with(state, ("handover",), tmp_path, "audit.trust=[handover, nonsense]")
    found = audit(prepared, ingest)
    assert found.of("handover").mark == Mark.TRUSTED
    assert found.of("handover").rules == ("one_outcome",)
    assert found.quarantined == ()
    assert "handover_lift" in prepared.plan.names
    assert "nonsense" in found.notes[0]


def test_activities_that_know_the_outcome(state: Path) -> None:
    ingest = with_activities(state, small_company(state))
    prepared = prepare(demo_config(state), ingest)
    found = audit(prepared, ingest)
    for name, rule in ACTIVITIES.items():
        assert found.of(name).mark == Mark.QUARANTINED
        assert rule in found.of(name).rules
    early, late = (found.of(name) for name in ACTIVITIES)
    assert early.usable
    assert not late.usable  # nothing is known of it before the close
    (verdict,) = audit_verdicts(found, prepared.left_out)
    assert not verdict.passed  # an activity can't be left out as an attribute can
    assert early.field in verdict.note
    assert late.field not in verdict.note


def test_distances_are_what_was_known_then(clean: tuple[Prepared, Ingest, Audit], state: Path) -> None:
    """The AUC of the amount, again from the history by a slow loop."""
    found, history, closed = clean[2], small_company(state).tables.deal_history, facts(state).closed
    rows: dict[str, list[tuple[int, int, int]]] = {}
    ids, known_at, seq = history.coded("deal_id").strings(), history.ints("known_at"), history.ints("seq")
    for i, deal in enumerate(ids):
        rows.setdefault(str(deal), []).append((int(known_at[i]), int(seq[i]), int(history.ints("amount")[i])))
    names = facts(state).record.deal_ids.strings()
    for distance in found.of("amount").distances:
        filled = {True: 0, False: 0}
        there = {True: 0, False: 0}
        for deal, born, closed_at, won in zip(closed.deal, closed.born, closed.closed_at, closed.won, strict=True):
            as_of = closed_at - distance.days * DAY
            if born < as_of:
                seen = [row for row in sorted(rows[str(names[deal])]) if row[0] < as_of]
                there[bool(won)] += 1
                filled[bool(won)] += bool(seen) and seen[-1][2] != NAT
        assert (distance.won.count, distance.won.of) == (filled[True], there[True])
        assert (distance.lost.count, distance.lost.of) == (filled[False], there[False])
    assert [each.days for each in found.of("amount").distances] == list(BUCKETS)


def test_change_at_close_is_told_by_outcome(clean: tuple[Prepared, Ingest, Audit]) -> None:
    changed = clean[2].of("amount").changed
    assert changed is not None
    assert changed.won.rate > 0.5  # the simulated company signs for another amount than it asked
    assert changed.lost.rate < 0.1
    assert 0.02 < changed.ordinary.rate < 0.4


def test_nothing_known_at_or_after_the_cut_is_seen(state: Path, tmp_path: Path) -> None:
    """At a cut in mid-history, later rows are told differently and the leaks' later values vanish: no figure moves."""
    config, ingest = planted(state, tuple(ATTRIBUTES), tmp_path)
    cut = int(np.quantile(ingest.tables.deal_history.ints("known_at"), 0.7))
    before = audit(prepare(config, ingest, cut), ingest)
    history = ingest.tables.deal_history
    later = history.ints("known_at") >= cut
    stages = [
        "Closed Won" if after else word for word, after in zip(history.coded("stage").strings(), later, strict=True)
    ]
    amount = np.where(later, 1, history.ints("amount"))
    bent = replace(ingest.tables, deal_history=history.replace({"stage": Coded.of(stages), "amount": amount}))
    after = audit(prepare(config, replace(ingest, tables=bent), cut), replace(ingest, tables=bent))
    assert {f.field: f for f in after.findings} == {f.field: f for f in before.findings}
    assert after.facts == before.facts


def test_short_cycles_are_said_not_to_be_judged_over_time(clean: tuple[Prepared, Ingest, Audit]) -> None:
    prepared, ingest, _ = clean
    patient = prepared.config.model_copy(
        update={"audit": prepared.config.audit.model_copy(update={"days_ahead": 3000})}
    )
    found = audit(replace(prepared, config=patient), ingest)
    assert "lasted more than 3000 days" in found.notes[0]
    assert found.of("stage").alone is None
    assert found.of("source").alone is not None  # constants are judged over all deals then


def test_the_command_tells_and_ends_with_3(state: Path, tmp_path: Path) -> None:
    """Through the files: the export of the small company with one leak more, by its own mapping."""
    config = demo_config(state)
    assert isinstance(config.source, SimulatedSource)
    source = generated(config.source.simulate, config.time_zone, state) / EXPORT
    export = tmp_path / "export"
    export.mkdir()
    for file in source.iterdir():
        (export / file.name).write_bytes(file.read_bytes())
    codes = drawn(facts(state))["loss_code"]
    assert isinstance(codes, Coded)
    told = dict(zip(facts(state).record.deal_ids.strings(), codes.strings(), strict=True))
    lines = (export / "deals.csv").read_text().splitlines()
    body = [f"{line},{told.get(line.split(',')[0]) or ''}" for line in lines[1:]]
    (export / "deals.csv").write_text("\n".join([f"{lines[0]},loss_code", *body]) + "\n")
    mapping = config.source.mapping
    assert mapping is not None
    (tmp_path / "m.yaml").write_text(mapping.read_text() + "attributes: {loss_code: {kind: category}}\n")
    arguments = ["--set", f"source.path={export}", "--set", f"state_dir={tmp_path}"]
    out = tmp_path / "audit.md"
    done = CliRunner().invoke(
        app,
        ["audit", str(DEMO), *arguments, "--set", f"source.mapping={tmp_path / 'm.yaml'}", "--out", str(out), "--json"],
    )
    assert done.exit_code == 3, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["quarantined"] == ["loss_code"]
    assert last["left_out"] == ["loss_code"]
    assert "quarantined: loss_code (fill_by_outcome): filled for" in done.stdout
    assert "1 of " in done.stderr
    assert "| loss_code | deals, declared constant |" in out.read_text()
    assert "28 days before" in out.read_text()
    done = CliRunner().invoke(app, ["audit", str(DEMO), *arguments])
    assert done.exit_code == 0, done.stderr
    assert "0 of " in done.stdout


def test_a_company_of_few_deals_is_told_that_nothing_was_judged(tmp_path: Path) -> None:
    rows = [("D1", "Qualify", "01-02"), ("D1", "Won", "02-02"), ("D2", "Propose", "01-03"), ("D3", "Qualify", "01-04")]
    (tmp_path / "deals.csv").write_text("deal_id,created_at\n" + "".join(f"D{i},2024-01-0{i + 1}\n" for i in (1, 2, 3)))
    told = "".join(f"{deal},2024-{day}T12:00:00Z,{stage}\n" for deal, stage, day in rows)
    (tmp_path / "deal_history.csv").write_text("deal_id,known_at,stage\n" + told)
    (tmp_path / "m.yaml").write_text("stages: {order: [Qualify, Propose], won: [Won], lost: [Lost]}\n")
    (tmp_path / "c.yaml").write_text(
        "name: few\ntime_zone: UTC\ntarget: in_period\nperiod: {kind: quarter}\n"
        f"source: {{kind: files, path: {tmp_path}, mapping: m.yaml}}\nstate_dir: {tmp_path / 'state'}\n"
    )
    done = CliRunner().invoke(app, ["audit", str(tmp_path / "c.yaml"), "--json"])
    assert done.exit_code == 0, done.stderr
    assert "1 won and 0 lost deals, at least 30 of each are needed: no field was held" in done.stdout
    assert json.loads(done.stdout.splitlines()[-1])["quarantined"] == []


def test_out_must_name_a_format(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["audit", str(DEMO), "--out", str(tmp_path / "audit.txt")])
    assert done.exit_code == 2
    assert ".md or .json" in done.stderr


def test_audit_table_command(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    won = rng.random(400) < 0.4
    rows = [f"{i},{'yes' if w else 'no'},{'Select' if w else 'gone'},{i % 5}" for i, w in enumerate(won)]
    (tmp_path / "t.csv").write_text("\n".join(["id,won,reason,day", *rows]) + "\n")
    base = ["audit-table", str(tmp_path / "t.csv"), "--outcome", "won", "--positive", "yes", "--id", "id"]
    done = CliRunner().invoke(app, [*base, "--missing", "Select", "--json"])
    assert done.exit_code == 3
    assert json.loads(done.stdout.splitlines()[-1])["quarantined"] == ["reason"]
    done = CliRunner().invoke(app, [*base, "--id", "reason", "--out", str(tmp_path / "t.json")])
    assert done.exit_code == 0
    assert json.loads((tmp_path / "t.json").read_text())["quarantined"] == []
    assert CliRunner().invoke(app, [*base, "--order", "when"]).exit_code == 4
    assert CliRunner().invoke(app, ["audit-table", str(tmp_path / "no.csv"), *base[2:]]).exit_code == 4


def test_the_settings_are_part_of_the_config() -> None:
    config = load_config(DEMO, ["audit.max_auc=0.9", "audit.trust=[amount]", "audit.action=refuse"])
    assert (config.audit.max_auc, config.audit.trust, config.audit.action) == (0.9, ("amount",), "refuse")


def test_an_audit_of_leads_speaks_of_leads_and_of_what_they_have(leads: Leads) -> None:
    found = audit(leads.prepared, leads.ingest)
    sources = {finding.source for finding in found.findings}
    assert sources == {"feature", "leads", "leads, declared constant", "lead_history", "lead_activities"}
    assert [finding.field for finding in found.findings if finding.source == "lead_history"] == ["stage"]
    assert "deals" not in text_table(found)
