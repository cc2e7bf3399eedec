"""The audit against the leaks that are known of public data: each detectable one is caught, nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.companies import third_party
from tests.known_leaks import PAGE, SETS, leaks, listed, page, shipped
from training.audit_rules import Audit, Mark

WHOLE_LIFE = "bpic2012"  # a row with the whole life of a case: every later step is a leak, listed or not


pytestmark = pytest.mark.timeout(120)  # the largest set has 119,390 rows


@pytest.fixture(scope="module", params=SETS)
def audited(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Audit]:
    name: str = request.param
    return name, SETS[name](tmp_path_factory.mktemp(name))


def test_the_list_is_held(audited: tuple[str, Audit]) -> None:
    name, found = audited
    for leak in leaks(name):
        finding = found.of(leak.field)
        if leak.detectable == "true":
            assert leak.rule in {s.rule for s in finding.signs if s.mark == Mark.QUARANTINED}, finding
        elif leak.detectable == "suspect":
            assert finding.mark == Mark.WARNING, finding
            assert leak.rule in {s.rule for s in finding.signs}
        else:
            assert finding.mark == Mark.CLEAN, finding


def test_no_other_column_is_quarantined(audited: tuple[str, Audit]) -> None:
    name, found = audited
    known = {leak.field for leak in leaks(name) if leak.detectable == "true"}
    if name != WHOLE_LIFE:
        known |= {each["field"] for each in listed()[name].get("also", ())}
    got = {f.field for f in found.quarantined}
    assert got >= known if name == WHOLE_LIFE else got == known


@pytest.mark.parametrize(("name", "data"), [("maven", "maven_crm"), ("bpic2012", "bpic2012/events.parquet")])
def test_the_shipped_configs_are_clean(name: str, data: str, tmp_path: Path) -> None:
    assert shipped(name, third_party(data), tmp_path).quarantined == ()


def test_the_list_says_why_of_each_and_by_which_rule() -> None:
    assert set(listed()) == set(SETS)
    for name in SETS:
        for leak in leaks(name):
            assert leak.why
            assert bool(leak.rule) == (leak.detectable != "false"), leak


def test_the_page_is_made_of_the_list() -> None:
    assert PAGE.read_text() == page(), "run: python -m tests.known_leaks"
