"""A YAML file, or ``--set`` overrides of one, as plain values that remember where they were written.

YAML 1.2 words: only ``true`` and ``false`` are booleans, ``1e-3`` is a number, ``012`` is twelve, ``1:30`` is text. A
date stays text until the schema says that a date is meant, so that a name may look like a date. Refused: a key given
twice, a tag such as ``!!python/name``, an alias that contains itself. Keys are always text.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import yaml

from configs.base import redacted
from configs.errors import ConfigError, Fault

KeyPath = tuple[str | int, ...]
"""The way to a value: keys of mappings and 0-based places in lists."""

Value = dict[str, "Value"] | list["Value"] | str | int | float | bool | None

MAX_NODES = 20_000  # stops aliases of aliases from growing without end
MAX_DEPTH = 40
MAX_PATH = 80
_TAG = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """SafeLoader with the implicit words of the YAML 1.2 core schema. Used to compose nodes, never to construct."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  PyYAML's own way


_WORDS = (
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
)
for _name, _pattern, _first in _WORDS:
    _starts = ["" if letter == "\0" else letter for letter in _first]
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"(?:{_pattern})\\Z"), _starts)


@dataclass(frozen=True, order=True)
class Place:
    """Where something was written: a file with line and column (both from 1), or an override (line and column 0)."""

    overridden: bool
    line: int
    column: int
    name: str

    def __str__(self) -> str:
        return (
            f"--set {redacted(self.name)[:MAX_PATH]}" if self.overridden else f"{self.name}:{self.line}:{self.column}"
        )


@dataclass
class Document:
    """Values and their places. ``faults`` are those found on the way; the values are then still usable for a check."""

    name: str
    data: dict[str, Value]
    keys: dict[KeyPath, Place] = field(default_factory=dict)
    values: dict[KeyPath, Place] = field(default_factory=dict)
    faults: list[tuple[Place, Fault]] = field(default_factory=list)

    @property
    def start(self) -> Place:
        """The first character of the file."""
        return Place(False, 1, 1, self.name)

    def place(self, path: KeyPath, *, of_key: bool = False) -> Place:
        """Return where ``path`` was written, or its nearest ancestor that was."""
        first, second = (self.keys, self.values) if of_key else (self.values, self.keys)
        if path in first or path in second:
            return first.get(path) or second[path]
        return self.place(path[:-1], of_key=True) if path else self.start

    def fault(self, place: Place, code: str, got: str, **parts: str) -> None:
        """Note a fault at ``place``."""
        self.faults.append((place, Fault(code, str(place), got, **parts)))


def dotted(path: KeyPath) -> str:
    """Return a path as people write it: ``source.path``, ``activities[2].kind``; at most MAX_PATH characters."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
    return text if len(text) <= MAX_PATH else text[: MAX_PATH - 3] + "..."


def read_document(path: Path, what: str) -> Document:
    """Read a YAML file whose top is a mapping; ``what`` is "config" or "mapping".

    Raises ``ConfigError`` where nothing can be read at all: no file, a folder, not UTF-8, not YAML, empty. Faults that
    leave the rest readable (a key given twice, a tag) are noted in the document.
    """
    name = str(path)
    text = _read_text(path, what)
    node = _compose(text, name)
    if node is None:
        raise ConfigError.at(name, f"the {what} file is empty", remedy="add its keys", code="empty_file")
    document = Document(name, {})
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError.at(
            str(_place(node, name)),
            f"the {what} file holds {_kind(node)}",
            expected="keys with values, such as name: demo",
            code="wrong_type",
        )
    value = _Reader(document).read(node, ())
    document.data = value if isinstance(value, dict) else {}
    return document


def override(document: Document, texts: Sequence[str]) -> None:
    """Put ``a.b=c`` overrides into the document, in order; the value is read as YAML. Faults are noted in it."""
    for text in texts:
        place = Place(True, 0, 0, text)
        dotted_key, equals, value_text = text.partition("=")
        keys = tuple(part.strip() for part in dotted_key.split("."))
        if not equals or not all(keys):
            document.fault(
                place, "bad_override", "not an override", expected="a.b=value", remedy="write --set model.seeds=3"
            )
            continue
        try:
            node = _compose(value_text, text)
        except ConfigError as error:
            remedy = f"quote the value: --set '{dotted_key}=\"...\"'"
            document.fault(place, "bad_yaml", error.faults[0].got, remedy=remedy, path=".".join(keys))
            continue
        _put(document, keys, node, place)


def _put(document: Document, keys: tuple[str, ...], node: yaml.Node | None, place: Place) -> None:
    """Set the value at ``keys``, making mappings on the way; all paths at or below it get the override's place."""
    fresh = Document(document.name, {})
    value = None if node is None else _Reader(fresh).read(node, keys)
    for places in (document.keys, document.values):
        for path in [path for path in places if path[: len(keys)] == keys]:
            del places[path]
    block = document.data
    for depth, key in enumerate(keys[:-1], start=1):
        below = block.get(key)
        if not isinstance(below, dict):
            below = block[key] = {}
            document.keys[keys[:depth]] = document.values[keys[:depth]] = place
        block = below
    block[keys[-1]] = value
    for path in (keys, *fresh.keys, *fresh.values):
        document.keys[path] = document.values[path] = place
    document.faults += [
        (place, Fault(f.code, str(place), f.got, f.expected, f.remedy, f.path)) for _, f in fresh.faults
    ]


def _read_text(path: Path, what: str) -> str:
    """Return the text of a file, or raise ``ConfigError`` with a remedy."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        _refuse(path, "missing_file", f"there is no such {what} file", f"check the path; here is {_neighbours(path)}")
    except IsADirectoryError:
        _refuse(path, "is_a_folder", "this is a folder", f"name a {what} file in it: {_neighbours(path / 'x')}")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        _refuse(path, "not_utf8", f"byte {error.start} (line {line}) is not UTF-8", "save the file as UTF-8")
    except OSError as error:
        _refuse(path, "unreadable_file", f"the file cannot be read: {error.strerror}", "check its permissions")


def _refuse(path: Path, code: str, got: str, remedy: str) -> NoReturn:
    raise ConfigError.at(str(path), got, remedy=remedy, code=code) from None


def _neighbours(path: Path) -> str:
    """Name the YAML files of the folder that ``path`` is in."""
    folder = path.parent
    names = sorted(item.name for item in folder.glob("*.yaml")) if folder.is_dir() else []
    return ", ".join(names[:8]) if names else "no YAML file"


def _compose(text: str, name: str) -> yaml.Node | None:
    """Parse one YAML document into nodes; None when it is empty. Raises ``ConfigError`` with line and column."""
    try:
        return yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context or "cannot be parsed"
        if "stream" in problem and error.context_mark:
            mark, problem = error.context_mark, "a bracket or quote that is never closed"
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        if "'\\t'" in problem:
            raise ConfigError.at(
                where, "a tab", expected="spaces", remedy="indent with spaces; YAML allows no tab", code="tab"
            ) from None
        remedy = _syntax_remedy(problem)
        raise ConfigError.at(where, f"not YAML: {problem}", remedy=remedy, code="bad_yaml") from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        where = f"{name}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
        got = f"the control character #x{ord(text[error.position]):02x}"
        raise ConfigError.at(where, got, remedy="remove it", code="bad_yaml") from None
    except RecursionError:
        raise ConfigError.at(name, "nested too deep", remedy="flatten the file", code="bad_yaml") from None


def _syntax_remedy(problem: str) -> str:
    """Return what usually mends a syntax error."""
    if "mapping values are not allowed" in problem:
        return "put a text that holds ': ' in quotes, or check the indentation"
    if "another document" in problem:
        return "keep one document a file: remove the '---' and what follows"
    if "expected <block end>" in problem or "could not find expected ':'" in problem:
        return "check the indentation of this line and that the key ends with ': '"
    if "never closed" in problem:
        return "close it"
    return "put the text in quotes, or check brackets and indentation"


def _place(node: yaml.Node, name: str) -> Place:
    return Place(False, node.start_mark.line + 1, node.start_mark.column + 1, name)


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.CollectionNode):
        return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"
    return "a single value"


class _Reader:
    """Turns nodes into values, noting places and faults in a document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.count = 0
        self.above: list[yaml.Node] = []

    def read(self, node: yaml.Node, path: KeyPath) -> Value:
        """Return the value of ``node``; a faulty part is left out or None."""
        place = _place(node, self.document.name)
        self.document.values[path] = place
        self.count += 1
        if self.count == MAX_NODES:
            self.document.fault(place, "too_large", f"over {MAX_NODES} values", remedy="remove aliases of aliases")
        if node in self.above:
            self.document.fault(place, "recursive", "an alias to what it is part of", path=dotted(path))
        elif len(self.above) == MAX_DEPTH:
            self.document.fault(place, "too_deep", f"nested over {MAX_DEPTH} deep", remedy="flatten it")
        if self.count >= MAX_NODES or node in self.above or len(self.above) >= MAX_DEPTH:
            return None
        self.above.append(node)
        value = self._value(node, path, place)
        self.above.pop()
        return value

    def _value(self, node: yaml.Node, path: KeyPath, place: Place) -> Value:
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return dict(self._items(node, path))
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return [self.read(item, (*path, place)) for place, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and node.tag.removeprefix(_TAG) in _SCALARS:
            return _scalar(node)
        self.document.fault(
            place, "bad_tag", f"the tag {node.tag!r}", expected="a plain value", remedy="remove it", path=dotted(path)
        )
        return None

    def _items(self, node: yaml.MappingNode, path: KeyPath) -> Iterator[tuple[str, Value]]:
        """Yield key and value of a mapping; the second of two equal keys is a fault and left out."""
        for key_node, value_node in node.value:
            place = _place(key_node, self.document.name)
            if not isinstance(key_node, yaml.ScalarNode):
                self.document.fault(
                    place, "wrong_type", f"{_kind(key_node)} as a key", expected="text", path=dotted(path)
                )
                continue
            key = key_node.value
            below = (*path, key)
            if below in self.document.keys:
                first = self.document.keys[below]
                self.document.fault(
                    place,
                    "duplicate_key",
                    f"this key again, first given at line {first.line}",
                    remedy="remove one of the two",
                    path=dotted(below),
                )
                continue
            self.document.keys[below] = place
            yield key, self.read(value_node, below)


def _scalar(node: yaml.ScalarNode) -> Value:
    """Return the value of a plain or quoted scalar with one of the tags in ``_SCALARS``."""
    return _SCALARS[node.tag.removeprefix(_TAG)](node.value)


def _integer(text: str) -> int | str:
    digits = text.lstrip("+-")
    if len(digits) > 4000:  # past what Python turns into an int; the schema refuses text and shows where
        return text
    base = {"0o": 8, "0x": 16}.get(digits[:2], 10)
    return int(text, 10) if base == 10 else int(digits[2:], base)


def _number(text: str) -> float:
    return float(text.casefold().replace(".inf", "inf").replace(".nan", "nan"))


_SCALARS: dict[str, Callable[[str], Value]] = {
    "null": lambda text: None,
    "bool": lambda text: text.casefold() == "true",
    "int": _integer,
    "float": _number,
    "str": lambda text: text,
}
