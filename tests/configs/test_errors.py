"""The error tree: drawn completely, coded uniquely, and able to travel."""

import ast
import pickle
import re
from pathlib import Path

import pytest

from configs import errors
from configs.errors import MAX_SHOWN, ConfigError, DataError, Fault, ForecastleError, RequestError, error_classes

CLASSES = list(error_classes())
ROOT = Path(__file__).parent.parent.parent


def test_the_drawing_is_the_tree() -> None:
    drawn = re.findall(r"^( {4,})(\w+) +(\w+) +(\d{3}) (\d)  \S", errors.__doc__ or "", re.MULTILINE)
    assert [(name, code, int(status), int(exit_code)) for _, name, code, status, exit_code in drawn] == [
        (cls.__name__, cls.code, cls.status, cls.exit_code) for cls in CLASSES
    ]
    depths = [(len(indent) - 4) // 2 for indent, *_ in drawn]
    assert depths == [cls.__mro__.index(ForecastleError) for cls in CLASSES]


def test_codes_are_unique_and_titles_are_sentences() -> None:
    assert len({cls.code for cls in CLASSES}) == len(CLASSES)
    assert len({cls.title for cls in CLASSES}) == len(CLASSES)
    for cls in CLASSES:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", cls.code)
        assert cls.__doc__


@pytest.mark.parametrize("family", [ConfigError, DataError, RequestError])
def test_a_family_shares_its_exit_code(family: type[ForecastleError]) -> None:
    assert {cls.exit_code for cls in error_classes(family)} == {family.exit_code}


@pytest.mark.parametrize("cls", CLASSES)
def test_survives_pickling(cls: type[ForecastleError]) -> None:
    error = cls("Refused", [Fault("x", "a.yaml:1:2", "got this", "that", "do so", "a.b")])
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is cls
    assert (str(again), again.faults) == (str(error), error.faults)


def test_a_fault_reads_as_a_sentence() -> None:
    fault = Fault("out_of_range", "a.yaml:3:4", "7", "at most 5", "use 5", "model.seeds")
    assert str(fault) == "a.yaml:3:4: model.seeds: 7; expected at most 5; use 5"
    assert str(Fault("x", "", "only this")) == "only this"
    assert str(Fault("x", "here", "this", remedy="do so")) == "here: this; do so"


def test_many_faults_are_capped_but_kept() -> None:
    error = DataError(faults=[Fault("x", f"row {i}", "bad") for i in range(MAX_SHOWN + 3)])
    lines = str(error).splitlines()
    assert lines[0] == "The data is refused:"
    assert lines[1:3] == ["  row 0: bad", "  row 1: bad"]
    assert len(lines) == 1 + MAX_SHOWN + 1
    assert lines[-1] == "  and 3 more"
    assert len(error.faults) == MAX_SHOWN + 3


def test_messages() -> None:
    assert str(DataError()) == "The data is refused"
    assert str(DataError("No deals")) == "No deals"
    assert str(DataError("No deals", [Fault("x", "a.csv:2", "bad")])) == "No deals:\n  a.csv:2: bad"
    error = DataError.at("a.csv:2", "no id", expected="an id", remedy="add it", path="deals.deal_id")
    assert str(error) == "a.csv:2: deals.deal_id: no id; expected an id; add it"
    assert error.faults[0].code == "data_error"
    assert repr(error) == f"DataError({str(error)!r})"


def test_no_other_module_defines_an_exception() -> None:
    own = {cls.__name__ for cls in CLASSES} | {"Exception", "ValueError", "RuntimeError", "KeyError", "TypeError"}
    for package in ("configs", "features", "models", "training", "serving"):
        for path in (ROOT / package).rglob("*.py"):
            if path != Path(errors.__file__):
                tree = ast.parse(path.read_text(encoding="utf-8"))
                bases = {
                    ast.unparse(base)
                    for node in ast.walk(tree)
                    if isinstance(node, ast.ClassDef)
                    for base in node.bases
                }
                assert not bases & own, f"{path.name} defines an exception: move it to configs/errors.py"
