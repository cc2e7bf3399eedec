"""What every registered flag owes: documented thresholds and sentences, a sick deal that raises it and a healthy one
that does not, facts with numbers, no names, no causes."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from configs.flags import FlagRule, Flags
from features.record import Record
from models.flags import FLAGS, Flag, load_flags
from tests.flagged import HEALTHY, NAMES, SICK, flags_of, tables_of
from tests.tiny import record

load_flags()
CODES = tuple(FLAGS)
SENTENCES = tuple((code, name) for code, rule in FLAGS.items() for name in rule.templates)
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "flags.md").read_text(encoding="utf-8")
CAUSAL = re.compile(
    r"\b(because|caus\w*|due to|therefore|leads? to|led to|results? in|will|should|must|would raise|improv\w*|"
    r"sandbag\w*|happy ears|fault|blame|lazy)\b",
    re.IGNORECASE,
)
EVERY = {"healthy": HEALTHY, **{f"{code}-{name}": deal for (code, name), deal in SICK.items()}}


@cache
def made() -> Record:
    return record(tables_of(EVERY))


@cache
def found() -> dict[str, tuple[Flag, ...]]:
    return flags_of(EVERY, made=made())


def said(code: str, name: str) -> Flag:
    (flag,) = (flag for flag in found()[f"{code}-{name}"] if flag.code == code)
    return flag


def test_every_flag_has_a_section_and_every_section_a_flag() -> None:
    sections = {name for name, field in Flags.model_fields.items() if _is_rule(field.annotation)}
    assert set(CODES) == sections


def _is_rule(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, FlagRule)


@pytest.mark.parametrize("code", CODES)
def test_thresholds_are_typed_and_described(code: str) -> None:
    section = getattr(Flags(), code)
    assert type(section).model_fields["enabled"].default is True
    for name, field in type(section).model_fields.items():
        assert field.description, name
    named = set(re.findall(r"`(\w+)`", f"{FLAGS[code].rule} {FLAGS[code].excess}"))
    assert named
    assert named <= set(type(section).model_fields), "a rule names its thresholds as the config does"


@pytest.mark.parametrize("code", CODES)
def test_the_page_documents_it(code: str) -> None:
    rule = FLAGS[code]
    assert f"`{code}`" in PAGE
    for text in (rule.rule, rule.excess, rule.at_stake, rule.next_look, *rule.templates.values()):
        assert text in PAGE, text


def test_every_sentence_has_a_deal() -> None:
    assert set(SICK) == set(SENTENCES)


@pytest.mark.parametrize(("code", "name"), SENTENCES)
def test_a_sick_deal_raises_it(code: str, name: str) -> None:
    flag = said(code, name)
    pattern = re.sub(r"\\\{\w+\\\}", ".+?", re.escape(FLAGS[code].templates[name]))
    assert re.search(pattern, flag.evidence), flag.evidence
    assert flag.severity in ("low", "medium", "high")
    assert flag.money_at_stake is not None
    assert flag.money_at_stake > 0


def test_the_healthy_twin_raises_none() -> None:
    assert found()["healthy"] == ()


@pytest.mark.parametrize(("code", "name"), SENTENCES)
def test_a_sick_deal_raises_no_other(code: str, name: str) -> None:
    assert [flag.code for flag in found()[f"{code}-{name}"]] == [code]


@pytest.mark.parametrize(("code", "name"), SENTENCES)
def test_evidence_can_be_checked_and_names_nobody(code: str, name: str) -> None:
    flag = said(code, name)
    assert re.search(r"\d", flag.evidence)
    assert not re.search(r"[{}]|\bnan\b|\binf\b|@", flag.evidence), flag.evidence
    for text in (flag.evidence, flag.next_look):
        assert not CAUSAL.search(text), text
        assert not [each for each in NAMES if each.lower() in text.lower()]


@pytest.mark.parametrize("code", CODES)
def test_words_say_no_cause(code: str) -> None:
    rule = FLAGS[code]
    for text in (*rule.templates.values(), rule.next_look, rule.at_stake):
        assert not CAUSAL.search(text), text
        assert text == text.strip()
        assert text[0].islower() or text[0] in "{1"


@pytest.mark.parametrize("code", CODES)
def test_it_can_be_switched_off(code: str) -> None:
    off = Flags.model_validate({code: {"enabled": False}})
    left = flags_of(EVERY, off, made())
    assert code not in {flag.code for flags in left.values() for flag in flags}
    assert {flag.code for flags in left.values() for flag in flags} == set(CODES) - {code}


NEED_NO_PAST = {"overdue", "likely_duplicate"}


@pytest.mark.parametrize("code", [code for code in CODES if code not in NEED_NO_PAST])
def test_without_a_past_nothing_is_unusual(code: str) -> None:
    """Below the least number of past deals there is no usual value, and no flag that needs one."""
    deals = {name: deal for name, deal in EVERY.items() if name.startswith(f"{code}-") and not name.endswith("-risk")}
    young = flags_of(deals, made=record(tables_of(deals, past=19)))
    assert {flag.code for flags in young.values() for flag in flags} <= NEED_NO_PAST


def test_the_order_is_the_registrys_whoever_was_imported_first() -> None:
    code = "import models.flag_twins, models.flag_calls; from models.flags import load_flags; print(*load_flags())"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert told.split() == list(load_flags())
