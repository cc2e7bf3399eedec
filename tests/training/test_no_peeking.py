"""Who may look at what, read off the source: comparisons with an as-of, imports of outcomes, and of what runs code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("configs", "features", "models", "serving", "training")
FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]

# Modules that compare something with an as-of, each with its reason. A feature group never does, and but for the
# gatekeeper and the labels nobody compares an as-of with the clock of a fact.
MAY_COMPARE = {
    "features/asof.py": "the gatekeeper",
    "features/lead_funnel.py": "how many periods to look back from a look",
    "features/sources/company_lead_activity.py": "the simulated company's own hazard: what its leads had done by a day",
    "features/sources/company_lead_export.py": "the truth beside the export: ages that the company lived to see",
    "models/arrivals.py": "the window of an earlier period tells only if it was over by the as-of",
    "models/close.py": "rows of an inner fold are halved by their as-ofs",
    "serving/accuracy.py": "whose forecasts a key sees first is asked as of a look",
    "serving/answers.py": "an as-of must lie within the calendar, not after today, not before what the model has seen",
    "serving/batch.py": "as in answers",
    "serving/explain_command.py": "of two as-ofs the earlier one comes first",
    "serving/forecast.py": "months that were over before the as-of are left out; the horizon has an end",
    "serving/lead_refresh.py": "as in refresh_command",
    "serving/notes.py": "an overdue close date, and how old the reference facts are",
    "serving/pages/forecast.py": "earlier looks to begin a bridge from",
    "serving/pages/look.py": "as in pages/forecast",
    "serving/pages/row.py": "shown: days in stage beside the usual, a close date that had passed at the look",
    "serving/refresh_command.py": "the store does not go back behind its newest as-of",
    "serving/report_command.py": "a refresh while a report is written",
    "serving/store/bridges.py": "rows of one look are those of its as-of",
    "serving/store/called.py": "as in store/bridges",
    "serving/store/leads.py": "earlier refreshes are forgotten",
    "serving/store/forecast_rows.py": "as in store/bridges; looks until an instant",
    "serving/store/page_facts.py": "as in store/bridges; the oldest looks are forgotten",
    "serving/store/refreshed.py": "as in store/bridges",
    "serving/store/states.py": "how deals stood at a look: each row says from which look until which it holds",
    "training/amount_fit.py": "rows that judge an inner fit are those of its period",
    "training/bookings_fit.py": "rows of one look are those of the same as-of",
    "training/bookings_past.py": "a look knows the looks before it",
    "training/bookings_section.py": "as in bookings_fit",
    "training/flag_record.py": "a list knows the lists of the two weeks before it",
    "training/lead_value_fit.py": "rows that teach amounts lie before the cut",
    "training/report_data.py": "the first as-of of each tested period and week, so that a deal counts once",
    "training/snapshots.py": "the grid of as-ofs ends before the end of the record",
    "training/splits.py": "folds are cut by the as-ofs of their rows",
    "training/tune_trial.py": "rows that judge a trial begin a week after the cut",
}
FACT_CLOCKS = {"known_at", "occurred_at", "created_at", "submitted_at"}
SIMULATED = "features/sources/company_lead_activity.py"  # draws what happens: no score is made from its clocks
MAY_COMPARE_FACTS = {"features/asof.py", "training/labels.py", SIMULATED}
COMPARING_CALLS = {"searchsorted", "digitize", "less", "less_equal", "greater", "greater_equal", "minimum", "maximum"}
RUNS_CODE = {"pickle", "cPickle", "_pickle", "dill", "joblib", "cloudpickle", "marshal", "shelve"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def identifiers(node: ast.AST) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            yield part.id
        elif isinstance(part, ast.Attribute):
            yield part.attr


def is_as_of(node: ast.AST) -> bool:
    """Whether an expression is, or is computed from, an as-of of a request."""
    return any(name in ("as_of", "as_ofs", "asof") for name in identifiers(node))


def comparisons_with_an_as_of(tree: ast.AST) -> Iterator[ast.expr]:
    """Yield what compares with an as-of, by operator or by a function that does; `is None` is no comparison."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            by_value = not all(isinstance(op, ast.Is | ast.IsNot) for op in node.ops)
            if by_value and any(is_as_of(part) for part in (node.left, *node.comparators)):
                yield node
        elif isinstance(node, ast.Call):
            called = next(iter(identifiers(node.func)), "")
            if called in COMPARING_CALLS and any(is_as_of(argument) for argument in node.args):
                yield node


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def calls(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id


def parsed(path: Path) -> ast.AST:
    return ast.parse(path.read_text())


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_only_the_gatekeeper_compares_with_an_as_of(path: Path) -> None:
    found = [] if name_of(path) in MAY_COMPARE else list(comparisons_with_an_as_of(parsed(path)))
    assert not found, f"{name_of(path)}:{found[0].lineno} compares with an as-of: ask features.asof instead"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nobody_else_compares_a_fact_with_an_as_of(path: Path) -> None:
    if name_of(path) not in MAY_COMPARE_FACTS:
        assert not [n.lineno for n in comparisons_with_an_as_of(parsed(path)) if FACT_CLOCKS & set(identifiers(n))]


@pytest.mark.parametrize("name", MAY_COMPARE)
def test_the_list_of_those_who_may_is_no_longer_than_it_must_be(name: str) -> None:
    assert list(comparisons_with_an_as_of(parsed(ROOT / name))), f"{name} compares nothing: take it off the list"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_features_models_and_serving_never_import_outcomes(path: Path) -> None:
    if name_of(path).startswith("training/"):
        return
    assert not [name for name in imports(parsed(path)) if name.startswith("training")]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_unpickles_or_evaluates(path: Path) -> None:
    tree = parsed(path)
    assert not [name for name in imports(tree) if name.split(".")[0] in RUNS_CODE]
    assert not {"eval", "exec", "compile", "__import__"} & set(calls(tree))


@pytest.mark.parametrize("path", [p for p in FILES if p.parts[-2] in ("features", "models")], ids=name_of)
def test_features_and_models_read_no_clock(path: Path) -> None:
    clocks = {"now", "utcnow", "today", "time_ns", "monotonic", "perf_counter"}
    tree = parsed(path)
    called = {n.func.attr for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute)}
    assert not clocks & called
    assert "time" not in set(imports(tree))


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("known_at < as_of", True),
        ("np.searchsorted(t, requests.as_of - w)", True),
        ("x[view.as_of <= t]", True),
        ("np.maximum(self.as_of, t)", True),
        ("as_of is None", False),
        ("view.as_of - t", False),
        ("a.trained_as_of == b", False),
    ],
)
def test_a_comparison_is_seen(source: str, found: bool) -> None:
    assert bool(list(comparisons_with_an_as_of(ast.parse(source)))) is found
