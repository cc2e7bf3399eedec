"""The report: what stands on the page stands in the JSON; nothing is fetched, nothing of a CRM is markup."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from configs.errors import ConfigError
from configs.vocab import Baseline
from features.build import FeatureMatrix
from features.sources.base import open_source
from models.baselines import CATEGORY, PROBABILITY
from tests.companies import demo_config
from training import report_shap
from training.backtest import CLOSE, AtCut, run_backtest
from training.backtest import Tested as Rows
from training.evaluate import Interval, row_loss
from training.extras import Head
from training.gates import Verdict
from training.groups import group_figures
from training.plotting import mpl
from training.prepare import Prepared, prepare
from training.report import Report, markdown, report_of, write
from training.report_data import BETTER, EVEN, clustered_p_value, first_rows, holm
from training.report_html import page
from training.report_parts import FEWEST_ROWS, MOST_VALUES
from training.report_text import interval, p_value, sections_of
from training.sections import Chart, Section

LIGHT = (
    "features.groups=[deal, clock, engagement]",
    "model.max_rounds=20",
    "model.num_threads=1",
    "backtest.bootstrap=100",
)
HOSTILE = "<script>alert(\"x\")</script><img src=http://evil.example/x onerror=1> $\\frac$ & 'q' | `x`"


class Page(HTMLParser):
    """The page taken apart: tags with their attributes, tables by the heading above them, visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, Mapping[str, str | None]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.text: list[str] = []
        self._heading, self._within = "", ""
        self._row: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("h2", "h3"):
            self._heading = ""
        if tag == "tr":
            self._row = []
        if tag in ("td", "th"):
            self._row.append("")
        self._within = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == "tr":
            self.tables.setdefault(self._heading, []).append(self._row)
        self._within = ""

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if self._within in ("h2", "h3"):
            self._heading += data
        if self._within in ("td", "th"):
            self._row[-1] += data


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    config = demo_config(tmp_path_factory.mktemp("state"), *LIGHT)
    return prepare(config, open_source(config).read())


@pytest.fixture(scope="module")
def tested(prepared: Prepared) -> Rows:
    return run_backtest(prepared)


@pytest.fixture(scope="module")
def report(prepared: Prepared, tested: Rows) -> Report:
    assert tested.newest is not None
    verdicts = [Verdict("a gate", 0.01, 0.0, True), Verdict("another", -0.5, 0.0, False)]
    told = report_of(prepared, tested, "demo: two periods", verdicts, [planted_section()])
    return replace(told, groups=group_figures(prepared, tested, tested.newest, {}))


@pytest.fixture(scope="module")
def html(report: Report) -> str:
    return page([report])


@pytest.fixture(scope="module")
def parsed(html: str) -> Page:
    return Page(html)


def planted_section() -> Section:
    chart = Chart("days", "error", (7.0, 28.0), {"ours": (1.0, 2.0), "theirs": (3.0, float("nan"))})
    return Section("timing", "When deals close", ("what", "days"), (("ours", "12.5"),), ("A note.",), chart)


# --- one page, nothing fetched ---------------------------------------------------------------------------------------


def test_nothing_is_fetched(html: str, parsed: Page) -> None:
    assert not re.findall(r"(?:https?:)?//[\w.-]+\.\w+", html)
    policy = next(attrs for tag, attrs in parsed.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    names = {tag for tag, _ in parsed.tags}
    assert not {"script", "link", "iframe", "object", "base", "form"} & names
    for tag, attrs in parsed.tags:
        assert not [name for name in attrs if name.startswith("on")]
        for name in ("src", "href", "xlink:href"):
            assert (attrs.get(name) or "#").startswith(("#", "data:image/png;base64,")), (tag, attrs)
    assert "url(" not in html.replace("url(#", "")
    assert len(html.encode()) < 2_000_000


def test_ids_are_unique_and_found(parsed: Page) -> None:
    ids = [attrs["id"] for _, attrs in parsed.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    asked = [attrs["href"] for _, attrs in parsed.tags if (attrs.get("href") or "").startswith("#")]
    assert asked
    assert {str(each)[1:] for each in asked} <= set(ids)


def test_everyone_can_read_it(parsed: Page) -> None:
    assert dict(parsed.tags[0][1])["lang"] == "en"
    for tag, attrs in parsed.tags:
        if tag == "svg":
            assert attrs["role"] == "img"
            assert len(str(attrs["aria-label"])) > 20
        if tag == "img":
            assert len(str(attrs["alt"])) > 20
        if tag == "th":
            assert attrs["scope"] in ("col", "row")
    assert sum(tag == "svg" for tag, _ in parsed.tags) >= 5


def test_the_same_bytes_each_time(report: Report, html: str) -> None:
    before = dict(mpl.rcParams)
    state = np.random.get_state()  # noqa: NPY002 - what shap would draw from
    assert page([report]) == html
    assert dict(mpl.rcParams) == before
    assert str(np.random.get_state()) == str(state)  # noqa: NPY002


def test_hostile_names_stay_text(prepared: Prepared, tested: Rows, tmp_path: Path) -> None:
    vocabulary = prepared.record.reference.vocabulary
    values = dict(vocabulary.values)
    values["source"] = (HOSTILE, *values["source"][1:])
    reference = replace(prepared.record.reference, vocabulary=replace(vocabulary, values=values))
    stages = replace(prepared.record.stages, order=(HOSTILE + "2", *prepared.record.stages.order[1:]), processes=())
    record = replace(prepared.record, reference=reference, stages=stages)
    few = prepared.config.backtest.model_copy(update={"bootstrap": 0})
    config = prepared.config.model_copy(update={"backtest": few})
    report = report_of(replace(prepared, record=record, config=config), tested, HOSTILE, [])
    text = page([report])
    found = Page(text)
    assert not {"script"} & {tag for tag, _ in found.tags}
    assert "<img src=http" not in text
    assert found.tables["By source"][1:]
    assert HOSTILE in [row[0] for row in found.tables["By source"]]
    assert HOSTILE + "2" in [row[0] for row in found.tables["By stage"]]
    labels = " ".join(str(attrs["aria-label"]) for tag, attrs in found.tags if tag == "svg")
    assert HOSTILE in labels
    lines = markdown([report]).splitlines()
    table = [line for line in lines if "alert" in line and line.startswith("| ")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1  # no cell breaks out of its column


# --- the same figures everywhere -------------------------------------------------------------------------------------


def told_interval(told: dict[str, Any] | None, style: str) -> str:
    """A figure of the JSON as the page writes it."""
    if told is None:
        return ""
    return interval(
        Interval(*(np.nan if told[k] is None else told[k] for k in ("value", "low", "high", "above"))), style
    )


def test_the_page_says_what_the_json_says(report: Report, parsed: Page) -> None:
    told = json.loads(json.dumps(report.to_json(), allow_nan=False))
    models = parsed.tables["The model beside every baseline"]
    assert len(models) == len(told["table"]) + 1
    held = {each["name"]: [each["verdict"], p_value(each["adjusted"])] for each in told["standings"]}
    for shown, row in zip(models[1:], told["table"], strict=True):
        s = row["scores"]
        assert shown[0] == row["name"]
        assert shown[1:3] == [f"{s['log_loss']:.4f}", told_interval(row["gain"], "+.4f")]
        assert shown[3:5] == held.get(row["name"], ["", ""])
        assert shown[5:7] == [f"{s['brier']:.4f}", told_interval(told["brier_skill"][row["name"]], "+.1%")]
        assert shown[7:10] == [f"{s['auc']:.4f}", f"{s['ece']:.4f}", f"{s['ratio']:.3f}"]
        assert shown[10:] == [f"{s['slope']:.3f}", f"{s['intercept']:+.3f}"]
    for title, slices in (("By period", told["slices"]), *((part["title"], part["slices"]) for part in told["parts"])):
        shown = parsed.tables[title][1:]
        assert [row[0] for row in shown] == [each["name"] for each in slices]
        assert [row[3] for row in shown] == [f"{each['log_loss']:.4f}" for each in slices]
        assert [row[5] for row in shown] == [told_interval(each["brier_skill"], "+.1%") for each in slices]
    weeks = parsed.tables["Noise floor: what nobody could have known"][1:]
    assert [row[3] for row in weeks] == [f"{each['wins']:.1%}" for each in told["floor"]["weeks"]]
    assert [row[2] for row in parsed.tables["What the model goes by"][1:]] == [
        f"{each['log_odds']:.3f}" for each in told["factors"][:20]
    ]
    assert dict(parsed.tables["Config and fingerprints"][1:]) == told["about"]  # type: ignore[arg-type]
    assert parsed.tables["When deals close"] == [["what", "days"], ["ours", "12.5"]]
    assert told["sections"][0]["chart"]["lines"]["theirs"] == [3.0, None]
    assert told["headline"]["sentence"] in "".join(parsed.text)
    assert "look" not in told


def test_files_hold_the_same(report: Report, tested: Rows, prepared: Prepared, html: str, tmp_path: Path) -> None:
    write(tmp_path, [report], tested, prepared)
    assert (tmp_path / "backtest.html").read_text() == html
    assert json.loads((tmp_path / "backtest.json").read_text()) == [report.to_json()]
    assert report.headline is not None
    assert report.headline.sentence in (tmp_path / "backtest.md").read_text()
    frame = pd.read_parquet(tmp_path / "predictions.parquet")
    assert len(frame) == len(tested.y)
    assert frame["p_close"].tolist() == tested.p[CLOSE].tolist()


def test_the_first_screen(report: Report, prepared: Prepared, tested: Rows) -> None:
    head = report.headline
    assert head is not None
    first = first_rows(prepared, tested)
    assert len(np.unique(tested.deal[first & (tested.fold == 0)])) == (first & (tested.fold == 0)).sum()
    assert head.said == pytest.approx(tested.p[CLOSE][first].sum())
    assert head.came == tested.y[first].sum()
    ours, theirs = (row_loss(tested.y, tested.p[name]).mean() for name in (CLOSE, "stage_time_left"))
    assert head.skill.value == pytest.approx(1 - ours / theirs)
    assert f"{abs(head.skill.value):.1%}" in head.sentence
    assert f"said {head.said:,.0f} wins, {head.came:,} came" in head.sentence


def test_parts_hold_every_row_once_or_say_so(report: Report, tested: Rows) -> None:
    keys = [part.key for part in report.parts]
    assert {"week", "days_left", "stage", "seen", "segment.type"} <= set(keys)
    for part in report.parts:
        assert sum(each.rows for each in part.slices) + part.left_out == len(tested.y)
        assert min(each.rows for each in part.slices) >= FEWEST_ROWS
        assert len(part.slices) <= MOST_VALUES + 2 or not part.key.startswith("segment")
    assert sum(each.rows for each in report.slices) == len(tested.y)


def test_every_section_has_a_place(report: Report) -> None:
    keys = [section.key for section in sections_of(report)]
    assert len(keys) == len(set(keys))
    wanted = ["models", "reliability", "floor", "slices", "part.week", "timing", "factors", "groups", "gates", "about"]
    assert [key for key in keys if key in wanted] == wanted


def test_factors_add_up_to_the_model(report: Report, tested: Rows, prepared: Prepared) -> None:
    look = report.look
    assert look is not None
    assert tested.newest is not None
    _, phi, base = tested.newest.contributions(prepared.examples.take(tested.rows[-5:]).matrix)
    assert phi.sum(axis=1) + base == pytest.approx(tested.newest.logit(prepared.examples.take(tested.rows[-5:]).matrix))
    assert look.phi.shape == look.values.shape == (len(look.base), len(look.names))
    assert sum(look.sizes) == len(tested.newest.names) + 1
    sizes = np.abs(look.phi).mean(axis=0)
    assert (np.diff(sizes) <= 1e-12).all()
    assert [each.log_odds for each in report.factors] == pytest.approx(sizes.tolist())


def test_without_shap_the_page_says_so(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_shap, "find_spec", lambda _: None)
    text = page([replace(report, parts=[], slices=report.slices[:1])])
    assert report_shap.MISSING in text
    assert "data:image/png" not in text


# --- verdicts --------------------------------------------------------------------------------------------------------


def test_holm_by_hand() -> None:
    """0.01 x 4, 0.02 x 3, 0.03 x 2 and 0.2; none less than one before it."""
    assert holm(np.array([0.03, 0.01, 0.2, 0.02])).tolist() == pytest.approx([0.06, 0.04, 0.2, 0.06])
    assert holm(np.array([0.9, 0.6])).tolist() == [1.0, 1.0]


def test_rows_of_a_deal_are_no_new_evidence() -> None:
    rng = np.random.default_rng(2)
    gain = rng.normal(0.3, 1, 60)
    alone = clustered_p_value(gain, np.arange(60))
    assert clustered_p_value(np.repeat(gain, 10), np.repeat(np.arange(60), 10)) == pytest.approx(alone)
    assert clustered_p_value(np.repeat(gain, 10), np.arange(600)) < alone / 10
    assert clustered_p_value(np.zeros(5), np.arange(5)) == 1.0


def test_p_values_of_nothing_are_even() -> None:
    rng = np.random.default_rng(3)
    found = [clustered_p_value(np.repeat(rng.normal(0, 1, 100), 5), np.repeat(np.arange(100), 5)) for _ in range(400)]
    assert np.mean(np.array(found) < 0.1) == pytest.approx(0.1, abs=0.045)


def test_verdicts_go_with_the_gains(report: Report) -> None:
    gains = {row.name: row.gain for row in report.table}
    for each in report.standings:
        gain = gains[each.name]
        assert gain is not None
        if each.verdict == BETTER:
            assert gain.low > 0
        if gain.low < 0 < gain.high:
            assert each.verdict == EVEN


# --- baselines that a record lacks, and other heads ------------------------------------------------------------------


def without(prepared: Prepared, fact: str) -> Prepared:
    values = prepared.facts.values.copy()
    values[:, prepared.facts.names.index(fact)] = np.nan
    return replace(prepared, facts=FeatureMatrix(prepared.facts.names, values))


def test_notes_tell_what_each_fold_stands_on(report: Report, tested: Rows) -> None:
    for fold, chosen in zip(tested.folds, tested.notes, strict=True):
        (line,) = (note for note in report.notes if note.startswith(f"{fold.name}: trained on"))
        assert chosen.doubt is not None
        assert f"rung {chosen.rung}; penalty of the ridge {chosen.penalty:g} rows; " in line
        assert f"{chosen.trust[0].rounds} trees a seed at a share of {chosen.trust[0].share:.2f}; calibration" in line
        assert line.endswith(chosen.doubt.text())


def test_a_baseline_without_facts_is_left_out_and_said(prepared: Prepared) -> None:
    bare = without(prepared, PROBABILITY)
    tested = run_backtest(bare)
    assert "crm_probability" not in tested.p
    assert "category_time_left" in tested.p
    report = report_of(bare, tested, "x", [])
    assert any("crm_probability is not in the table" in note for note in report.notes)


def test_a_gate_on_a_baseline_that_is_not_there_is_refused(prepared: Prepared) -> None:
    gates = prepared.config.gates.model_copy(update={"beat": Baseline.CATEGORY_TIME_LEFT})
    config = prepared.config.model_copy(update={"gates": gates})
    with pytest.raises(ConfigError, match="category_time_left"):
        run_backtest(without(replace(prepared, config=config), CATEGORY))


def test_another_head_walks_along(prepared: Prepared, tested: Rows) -> None:
    cuts: list[int] = []

    def fit(case: AtCut) -> Mapping[str, np.ndarray]:
        cuts.append(case.ground.cut)
        assert case.ground.rows.label_end.max() <= case.ground.cut
        return {"double": 2 * case.p, "row": case.rows.astype(np.float64)}

    def told(_: Prepared, rows: Rows) -> list[Section]:
        return [Section("twice", "Twice", ("sum",), ((f"{rows.extra['twice.double'].sum():.3f}",),))]

    head = Head(fit, told)
    walked = run_backtest(prepared, extras={"twice": head.extra})
    assert cuts == [fold.cut for fold in walked.folds]
    assert np.array_equal(walked.extra["twice.double"], 2 * tested.p[CLOSE])
    assert np.array_equal(walked.extra["twice.row"], walked.rows)
    some = walked.take(walked.fold == 1)
    assert np.array_equal(some.extra["twice.row"], some.rows)
    assert head.sections(prepared, walked)[0].rows[0][0] == f"{2 * tested.p[CLOSE].sum():.3f}"


def test_a_head_without_periods_has_ages_and_no_weeks(prepared: Prepared) -> None:
    eventual = demo_config(prepared.config.state_dir, *LIGHT, "target=eventual", "snapshots.ages=[1d, 30d]")
    made = prepare(eventual, open_source(eventual).read())
    tested = run_backtest(made)
    report = report_of(made, tested, "eventual", [])
    assert [each.name for each in report.slices] == ["1 d", "30 d"]
    assert {"crm_probability", "category_time_left"} <= set(tested.p)
    assert report.floor is not None
    assert report.floor.weeks == ()
    assert not {"week", "days_left"} & {part.key for part in report.parts}
    first = first_rows(made, tested)
    assert first.sum() == len(np.unique(tested.deal))
    assert report.headline is not None
    assert report.headline.came == tested.y[first].sum()
    found = Page(page([report, replace(report, title="the other eligibility")]))
    ids = [attrs["id"] for _, attrs in found.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert "By age" in found.tables
