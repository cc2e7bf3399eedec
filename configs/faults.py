"""From pydantic's errors to our faults: each with its place, its dotted path, what was expected and what to do."""

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from configs.base import did_you_mean
from configs.document import Document, KeyPath, Place, dotted
from configs.errors import Fault

_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "string": "text",
    "path": "a path",
    "date": "a date such as 2024-03-31",
    "datetime": "a timestamp with its offset, such as 2024-03-31T17:00:00Z",
    "timezone": "a timestamp with its offset, such as 2024-03-31T17:00:00Z",
    "list": "a list",
    "tuple": "a list",
    "dict": "keys with values",
    "model": "keys with values",
}
MAX_TEXT = 40
_LIMITS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
_LENGTHS = ("too_short", "too_long", "string_too_short", "string_too_long")


class Spot:
    """What the schema says at the place that an error points to.

    ``path`` is the error's location without union tags; ``owner`` the model that has (or should have) its last key;
    ``field`` that key's declaration; ``kind`` its type; ``is_key`` whether the key itself is wrong.
    """

    def __init__(self, schema: type[BaseModel], loc: tuple[str | int, ...]) -> None:
        self.path: KeyPath = ()
        self.owner: type[BaseModel] | None = None
        self.field: FieldInfo | None = None
        self.is_key = False
        self.kind: Any = schema
        for element in loc:
            self._step(element)

    def _step(self, element: str | int) -> None:
        if element == "[key]":
            self.is_key = True
            return
        kind = self.kind
        variants = _models(kind)
        if len(variants) > 1:
            self.kind = next((model for model in variants if element in _tags(model)), None)
            return
        self.path = (*self.path, element)
        self.owner, self.field, self.kind = None, None, _item_type(kind)
        if variants:
            self.owner = variants[0]
            self.field = self.owner.model_fields.get(str(element))
            self.kind = self.field.annotation if self.field else None


def _bare(kind: Any) -> Any:
    """Return a type without ``Annotated`` and without ``| None``."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    some = [arg for arg in get_args(kind) if arg is not type(None)]
    return _bare(some[0]) if type(None) in get_args(kind) and len(some) == 1 else kind


def _models(kind: Any) -> list[type[BaseModel]]:
    """Return the models that a type is one of: one for a section, several for a union, none for a plain value."""
    kind = _bare(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [kind]
    args = () if get_origin(kind) in (list, tuple, dict) else get_args(kind)
    return [arg for arg in args if isinstance(arg, type) and issubclass(arg, BaseModel)]


def _tags(model: type[BaseModel]) -> list[str]:
    """Return the values of ``kind`` that choose this variant of a union."""
    kind = model.model_fields.get("kind")
    return [str(arg) for arg in get_args(kind.annotation)] if kind else []


def _item_type(kind: Any) -> Any:
    kind = _bare(kind)
    if get_origin(kind) in (list, tuple):
        return get_args(kind)[0]
    return get_args(kind)[1] if get_origin(kind) is dict else None


def schema_paths(schema: type[BaseModel], above: str = "") -> Iterator[str]:
    """Yield the dotted path of every key that a schema has, lists and free mappings left out."""
    for name, field in schema.model_fields.items():
        yield f"{above}{name}"
        for model in _models(field.annotation):
            yield from schema_paths(model, f"{above}{name}.")


def schema_faults(document: Document, schema: type[BaseModel], error: ValidationError) -> list[tuple[Place, Fault]]:
    """Turn the errors of pydantic into faults with the places to sort them by, without those that follow from others.

    Left out: a fault at a place where the document already has one; that a list is too short when an item of it is
    wrong (pydantic counts the good ones); that a default could not be derived.
    """
    details = error.errors(include_url=False)
    inner = {detail["loc"][:depth] for detail in details for depth in range(len(detail["loc"]))}
    kept = [
        detail
        for detail in details
        if detail["type"] != "default_factory_not_called"
        and not (detail["type"] == "too_short" and detail["loc"] in inner)
    ]
    known = {place for place, _ in document.faults}
    found = [_place_and_fault(document, schema, detail) for detail in kept]
    return [(place, fault) for place, fault in found if place.overridden or place not in known]


def _place_and_fault(document: Document, schema: type[BaseModel], error: ErrorDetails) -> tuple[Place, Fault]:
    """Turn one error of pydantic into a fault and the place to sort it by."""
    spot = Spot(schema, error["loc"])
    path, context = spot.path, error.get("ctx", {})
    of_key = spot.is_key
    if error["type"] == "extra_forbidden" or spot.is_key:
        code, got, expected, remedy = _unknown_key(schema, spot)
        of_key = True
    elif error["type"] == "missing":
        code, got, expected, remedy = _missing(spot)
        place = document.place(path[:-1], of_key=True) if len(path) > 1 else document.start
        return place, Fault(code, str(place), got, expected, remedy, dotted(path))
    elif "got" in context and "expected" in context:
        code, got, expected, remedy = error["type"], context["got"], context["expected"], context["remedy"]
        path = (*path, *(context["field"].split(".", 1) if context["field"] else ()))
    else:
        code, got, expected, remedy = _wrong_value(spot, error)
        path = (*path, "kind") if error["type"].startswith("union_tag") else path
    place = document.place(path, of_key=of_key)
    return place, Fault(code, str(place), got, expected, remedy, dotted(path))


def _unknown_key(schema: type[BaseModel], spot: Spot) -> tuple[str, str, str, str]:
    name = str(spot.path[-1])
    known = list(spot.owner.model_fields) if spot.owner else _key_words(schema, spot)
    remedy = did_you_mean(name, known) or _other_home(schema, spot, name)
    if not known:
        return (
            "bad_name",
            f"the name {_short(name)!r}",
            "lower-case letters, digits and _, beginning with a letter",
            "rename it",
        )
    return "unknown_key", f"unknown key {_short(name)!r}", "" if remedy else f"one of {', '.join(known)}", remedy


def _other_home(schema: type[BaseModel], spot: Spot, name: str) -> str:
    """Say where a key would be right: with another ``kind`` of its section, or in another section."""
    variants = _models(Spot(schema, spot.path[:-1]).kind) if len(spot.path) > 1 else []
    kinds = [tag for model in variants if name in model.model_fields for tag in _tags(model)]
    if kinds:
        return f"it goes with kind: {' or '.join(kinds)}"
    elsewhere = [path for path in schema_paths(schema) if path.rpartition(".")[2] == name]
    return f"did you mean {elsewhere[0]!r}?" if elsewhere else ""


def _key_words(schema: type[BaseModel], spot: Spot) -> list[str]:
    """Return the words that may be keys of the mapping that ``spot`` is in, or none if any may."""
    kind = _bare(Spot(schema, spot.path[:-1]).kind)
    words = get_args(kind)[0] if get_origin(kind) is dict else None
    return [str(word.value) for word in words] if isinstance(words, type) and issubclass(words, Enum) else []


def _missing(spot: Spot) -> tuple[str, str, str, str]:
    name = str(spot.path[-1])
    says = spot.field.description if spot.field and spot.field.description else "it"
    return "missing", f"{name!r} is missing", says, f"add {name}: ..."


def _wrong_value(spot: Spot, error: ErrorDetails) -> tuple[str, str, str, str]:
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "union_tag_not_found":
        return "missing", "'kind' is missing", "the kind of the section", "add kind: ..."
    if kind in ("enum", "literal_error", "union_tag_invalid"):
        return _not_allowed(spot, value, context)
    if kind in ("greater_than", "greater_than_equal", "less_than", "less_than_equal"):
        return "out_of_range", str(value), _range(spot.field) or error["msg"], ""
    if kind in _LENGTHS:
        return "wrong_length", _describe(value), _length(error), ""
    if kind == "string_pattern_mismatch":
        says = spot.field.description if spot.field and spot.field.description else f"text like {context['pattern']}"
        return "bad_format", _describe(value), says, ""
    expected = next((text for prefix, text in _TYPES.items() if kind.split("_")[0] == prefix), error["msg"])
    if kind == "int_from_float":
        expected = "a whole number"
    bounds = _range(spot.field)
    return "wrong_type", _describe(value), f"{expected}, {bounds}" if bounds else expected, _type_remedy(kind, value)


def _not_allowed(spot: Spot, value: Any, context: Mapping[str, Any]) -> tuple[str, str, str, str]:
    variants = _models(spot.kind)
    if variants:  # a union: the word is its kind
        word, allowed = value.get("kind"), [tag for model in variants for tag in _tags(model)]
    else:
        word, allowed = value, context["expected"].replace("'", "").replace(" or ", ", ").split(", ")
    return "not_allowed", _describe(word), f"one of {', '.join(allowed)}", did_you_mean(str(word), allowed)


def _describe(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, dict | list | tuple):
        return "an empty list" if not value else "keys with values" if isinstance(value, dict) else "a list"
    return f"the text {_short(str(value))!r}"


def _short(text: str) -> str:
    """Return enough of a text to find it: a file that is no config at all must not be printed whole."""
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 3] + "..."


def _type_remedy(kind: str, value: Any) -> str:
    if value is None:
        return "give a value, or remove the key"
    if kind.startswith(("string", "path")) and isinstance(value, int | float):
        return "put it in quotes"
    if kind.startswith(("list", "tuple")) and not isinstance(value, dict):
        return f"write it as a list: [{value}]"
    if kind.startswith(("int", "float")) and isinstance(value, str) and value.replace(".", "", 1).isdigit():
        return "remove the quotes"
    return ""


def _range(field: FieldInfo | None) -> str:
    """Return the range of a number as words, such as ``at least 1, at most 50``."""
    bounds = field.metadata if field else []
    found = [(says, getattr(item, name)) for item in bounds for name, says in _LIMITS.items() if hasattr(item, name)]
    return ", ".join(f"{says} {limit:.12g}" for says, limit in found)


def _length(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    thing = "character" if error["type"].startswith("string") else "item"
    least, most = context.get("min_length"), context.get("max_length")
    count, says = (least, "at least") if error["type"].endswith("short") else (most, "at most")
    return f"{says} {count} {thing}{'' if count == 1 else 's'}"
