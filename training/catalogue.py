"""The tables that documents take from code: features, errors, canonical tables, keys of configs and mappings.

Pure: Markdown text out, nothing read or written. A page holds a table between ``<!-- generated:NAME -->`` and
``<!-- /generated:NAME -->``; `rendered` puts the current ones there. tools/render_docs.py writes the pages, and
tests/test_docs.py fails where a page differs from its code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from configs.errors import ForecastleError, error_classes
from configs.flags import Flags
from configs.load import MAPPINGS, mapping_of
from configs.schema import Config
from configs.vocab import LEAD_GROUPS, SourceKind, Target
from features.build import GROUP_MODULES, load_groups, plan_features
from features.registry import Context, Feature, Schema, Word, group_features
from features.schema import declared_schema
from features.sources.hubspot import objects as hubspot
from features.sources.objects import Field, ObjectSpec
from features.sources.salesforce.objects import NOT_STANDARD, OBJECTS, TRACKED
from features.tables import TABLES, Column
from models.flags import load_flags

NAME = "NAME"  # stands for what a company declares: a dimension, an attribute, a key of a mapping
ANY_COMPANY = Schema("in_period", dimensions=("type", NAME), numbers=(NAME,))
"""A schema with types of deals, one dimension more and one number attribute; the head `in_period` has every feature."""
ANY_LEADS = Schema(
    "converted",
    dimensions=("source", NAME),
    numbers=(NAME,),
    words=(Word("source_is_WORD", "source", "WORD"), Word(f"{NAME}_is_WORD", NAME, "WORD")),
    rated=("source", NAME),
)
"""The same for leads."""

_BLOCK = re.compile(r"<!-- generated:(?P<name>[a-z-]+) -->\n.*?<!-- /generated:(?P=name) -->", re.DOTALL)
LIFT = "_lift"  # ends the name of a dimension's rate
_SHRINK = 20.0  # no table shows it
_KINDS = {"int": "integer", "money": "amount", "float": "number", "bool": "true/false"}


def feature_table(schema: Schema) -> str:
    """Return a row per feature of every group, for a company's schema (`ANY_COMPANY` for documents)."""
    load_groups()
    leads = schema.target == Target.CONVERTED
    groups = tuple(name for name in GROUP_MODULES if (name in LEAD_GROUPS) is leads)
    listed = group_features(groups, Context(schema, _SHRINK))
    return _feature_rows([(group, feature) for group, features in listed.items() for feature in features])


def describe_features(config: Config, whole: bool = False) -> tuple[str, dict[str, Any]]:
    """Return what `forecastle features` prints for a config, and the same as plain values.

    One line a group, or the whole catalogue. The mapping tells which columns the company has; whether they hold values
    only the data could. Raises ConfigError where the config asks for features that cannot be.
    """
    load_groups()
    schema = declared_schema(mapping_of(config), config.target)
    plan = plan_features(Context(schema, config.features.shrink), config.features.groups, config.features.drop)
    group_of = {name: group for group, names in plan.members().items() for name in names}
    listed = [(group_of[feature.name], feature) for feature in plan.features]
    unsure = [f"{name}{LIFT}" for name in schema.dimensions if f"{name}{LIFT}" in group_of]
    lines = [f"{group}: {len(names)} features" for group, names in plan.members().items()]
    text = _feature_rows(listed) if whole else "\n".join(lines) + "\n"
    if unsure:
        text += f"where the data have them: {', '.join(unsure)}\n"
    told: dict[str, Any] = {
        "target": schema.target,
        "groups": {group: len(names) for group, names in plan.members().items()},
        "where_the_data_have_them": unsure,
    }
    if whole:
        told["features"] = [{"group": group, **asdict(feature)} for group, feature in listed]
    return f"{text}{len(plan.features)} features for target {schema.target}", told


def _feature_rows(listed: Sequence[tuple[str, Feature]]) -> str:
    head = ("feature", "group", "factor", "unit", "missing", "sign", "heads", "sentence", "source of the definition")
    return _table(head, [_feature_row(group, feature) for group, feature in listed])


def _feature_row(group: str, feature: Feature) -> tuple[str, ...]:
    sign = {1: "+", -1: "-", 0: ""}[feature.sign]
    factor = f"`{feature.factor or feature.name}`"
    heads = ", ".join(feature.targets) if len(feature.targets) == 1 else "both"
    return (
        f"`{feature.name}`",
        group,
        factor,
        feature.unit,
        feature.missing,
        sign,
        heads,
        feature.says,
        feature.source,
    )


def error_table() -> str:
    """Return a row per error that can be raised, in the order of the tree."""
    rows = [
        (f"`{error.code}`", str(error.status), str(error.exit_code), _first_line(error))
        for error in error_classes()
        if error is not ForecastleError
    ]
    return _table(("code", "HTTP status", "exit code", "meaning"), rows)


def _first_line(error: type[ForecastleError]) -> str:
    lines = (error.__doc__ or error.title).strip().splitlines()
    return lines[0].split(". ``")[0].rstrip(".").replace("``", "`") + "."


def record_table() -> str:
    """Return a row per canonical table: its columns with their kinds, required ones first."""
    rows = []
    for spec in TABLES.values():
        must = [column for column in spec.columns if column.required]
        may = [column for column in spec.columns if not column.required]
        key = ", ".join(spec.key) or "none"
        rows.append((f"`{spec.name}`", _needed(spec.required_for), _columns(must), _columns(may), key))
    return _table(("table", "must exist", "required columns", "optional columns", "one row for each"), rows)


def _needed(targets: Sequence[Target]) -> str:
    """Return which targets need a table or an object, in words."""
    if not targets:
        return "no"
    return "for leads" if Target.CONVERTED in targets else "for deals"


def _columns(columns: Sequence[Column]) -> str:
    return ", ".join(f"`{column.name}` {_KINDS.get(column.kind, column.kind)}" for column in columns)


def config_table() -> str:
    """Return a row per key of a config file."""
    return _keys(Config)


def mapping_table(kind: str) -> str:
    """Return a row per key of a mapping file of a source kind; ``simulated`` has that of ``files``."""
    return _keys(MAPPINGS[SourceKind(kind)])


def object_table(objects: Mapping[str, ObjectSpec]) -> str:
    """Return a row per object of a CRM's export: what it must have, and when a row of it is known."""
    rows = []
    for spec in objects.values():
        must = ", ".join(_called(field) for field in spec.fields if field.required)
        ours = ", ".join(_by_mapping(field) for field in spec.fields if field.ours)
        rows.append((f"`{spec.name}`", _needed(spec.required_for), spec.feeds, must, ours, spec.clock))
    head = ("object", "must exist", "becomes", "required columns", "by mapping (default)", "a row is known at")
    return _table(head, rows)


def _called(field: Field) -> str:
    return " or ".join(f"`{name}`" for name in dict.fromkeys((field.name, *field.aliases)))


def _by_mapping(field: Field) -> str:
    return f"{field.name} ({' or '.join(f'`{name}`' for name in field.names)})" if field.names else field.name


def _keys(model: type[BaseModel]) -> str:
    return _table(("key", "takes", "default", "meaning"), list(_key_rows(model, "", "")))


def _key_rows(model: type[BaseModel], above: str, note: str) -> Iterator[tuple[str, ...]]:
    """Yield the rows of a section and, after each of its keys that holds sections, theirs."""
    schema = model.model_json_schema()
    for name, field in model.model_fields.items():
        path = f"{above}{name}"
        sections = list(_sections(field.annotation, path))
        if not sections:
            takes = _takes(schema["properties"][name], schema.get("$defs", {}))
            yield (f"`{path}`{note}", takes, _default(field), field.description or "")
        elif any(deeper != path for deeper, _ in sections):  # a list or a mapping of sections is a key of its own
            yield (f"`{path}`{note}", "see below", _default(field), field.description or "")
        for deeper, section in sections:
            about = f" ({_kind(section)})" if len(sections) > 1 else note
            yield from _key_rows(section, f"{deeper}.", about)


def _sections(annotation: Any, path: str) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield (path, section) for each model that a field holds, itself or in a list, a mapping or a union."""
    origin, args = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield path, annotation
    elif origin is Annotated:
        yield from _sections(args[0], path)
    elif origin is tuple:
        yield from _sections(args[0], f"{path}[]")
    elif origin is dict:
        yield from _sections(args[1], f"{path}.{NAME}")
    elif origin in (Union, UnionType):
        for part in args:
            yield from _sections(part, path)


def _kind(section: type[BaseModel]) -> str:
    """The kind of a section that is one of several, as its field `kind` names it."""
    return str(get_args(section.model_fields["kind"].annotation)[0])


def _takes(node: Mapping[str, Any], defs: Mapping[str, Any]) -> str:
    """Say what a JSON Schema node accepts, in words."""
    if "$ref" in node:
        return _takes(defs[node["$ref"].rpartition("/")[2]], defs)
    if "enum" in node or "const" in node:
        return ", ".join(f"`{word}`" for word in node.get("enum", [node.get("const")]))
    if parts := node.get("anyOf") or node.get("oneOf"):
        return " or ".join(_takes(part, defs) for part in parts if part.get("type") != "null")
    if node.get("type") == "array":
        return f"list of {_takes(node['items'], defs)}"
    if node.get("type") == "object":
        values: Mapping[str, Any] = node.get("additionalProperties") or next(
            iter(node.get("patternProperties", {}).values()), {}
        )
        return f"mapping to {_takes(values, defs)}"
    if node.get("type") in ("integer", "number"):
        return f"{node['type']}{_range(node)}"
    if "examples" in node:
        return f"duration such as {node['examples'][0]}"
    return _WORDS.get(node.get("format", ""), _WORDS[""]) if node.get("type") == "string" else "a value"


_WORDS = {"": "text", "path": "path", "date": "date", "date-time": "timestamp with its offset"}


def _range(node: Mapping[str, Any]) -> str:
    low = f"from {_number(node['minimum'])}" if "minimum" in node else ""
    low = f"above {_number(node['exclusiveMinimum'])}" if "exclusiveMinimum" in node else low
    high = f"to {_number(node['maximum'])}" if "maximum" in node else ""
    high = f"below {_number(node['exclusiveMaximum'])}" if "exclusiveMaximum" in node else high
    return f" {low} {high}".rstrip() if low or high else ""


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    plain = _plain(value)
    return "none" if plain in (None, [], {}) else f"`{plain if isinstance(plain, str) else json.dumps(plain)}`"


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, BaseModel):
        return {}
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return str(value) if isinstance(value, Path) else value


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; cells are escaped."""
    lines = [head, ["---"] * len(head), *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def salesforce_queries() -> str:
    """Return the SOQL that exports each object, as a block of code."""
    listed = [spec for spec in OBJECTS.values() if spec.name not in NOT_STANDARD]
    whole = [_query(spec) for spec in listed if spec.deleted]
    rest = [_query(spec) for spec in listed if not spec.deleted]
    lines = ["# with --all-rows: deleted and archived rows count", *whole, "# without", *rest]
    return "\n".join(["```sql", *lines, "```"]) + "\n"


def _query(spec: ObjectSpec) -> str:
    named = [field.names if field.ours else (field.name,) for field in spec.fields]
    fields = ", ".join(name for names in named for name in names)
    words = ", ".join(f"'{name}'" for name in TRACKED)
    where = f" WHERE Field IN ({words})" if spec.name == "OpportunityFieldHistory" else ""
    return f"SELECT {fields} FROM {spec.name}{where}"  # noqa: S608  text for people, of our own names


def flag_table() -> str:
    """Return a row per flag: when it is raised, by which thresholds, what its money is, and where to look."""
    rows = []
    for code, rule in load_flags().items():
        section = getattr(Flags(), code)
        limits = ", ".join(f"`{name}` {value:g}" for name, value in section if name != "enabled")
        rows.append((f"`{code}`", rule.rule, limits, rule.excess, rule.at_stake, rule.first, rule.next_look))
    head = ("code", "raised where", "defaults", "severity goes by", "money at stake", "kept first", "next look")
    return _table(head, rows)


def flag_sentences() -> str:
    """Return a row per sentence of evidence."""
    rows = [(f"`{code}`", text) for code, rule in load_flags().items() for text in rule.templates.values()]
    return _table(("code", "evidence"), rows)


def flag_easing() -> str:
    """Return a row per threshold that eases for a flag that is up, with what it eases to by default."""
    limits = Flags()
    rows = []
    for code in load_flags():
        section = getattr(limits, code)
        eased = section.eased(limits.hold)
        for name in section.EASING:
            rows.append((f"`{code}`", f"`{name}`", f"{getattr(section, name):g}", f"{getattr(eased, name):.4g}"))
    return _table(("code", "threshold", "raised from", "stays up to"), rows)


BLOCKS: Mapping[str, Callable[[], str]] = {
    "features": lambda: feature_table(ANY_COMPANY),
    "features-leads": lambda: feature_table(ANY_LEADS),
    "errors": error_table,
    "tables": record_table,
    "config": config_table,
    "flag-rules": flag_table,
    "flag-sentences": flag_sentences,
    "flag-easing": flag_easing,
    "mapping-files": lambda: mapping_table("files"),
    "mapping-event-log": lambda: mapping_table("event_log"),
    "mapping-salesforce": lambda: mapping_table("salesforce"),
    "mapping-hubspot": lambda: mapping_table("hubspot"),
    "salesforce": lambda: object_table(OBJECTS),
    "hubspot": lambda: object_table(hubspot.OBJECTS),
    "salesforce-soql": salesforce_queries,
}
"""Every table by the name of its block."""


def blocks_of(page: str) -> list[str]:
    """Return the names of the blocks of a page, in order."""
    return [match["name"] for match in _BLOCK.finditer(page)]


def rendered(page: str) -> str:
    """Return a page with the current tables in its blocks. Raises ValueError for a block that nothing fills."""
    unknown = [name for name in blocks_of(page) if name not in BLOCKS]
    if unknown:
        raise ValueError(f"no table is called {unknown[0]!r}: expected one of {', '.join(BLOCKS)}")
    return _BLOCK.sub(
        lambda m: f"<!-- generated:{m['name']} -->\n{BLOCKS[m['name']]()}<!-- /generated:{m['name']} -->", page
    )
