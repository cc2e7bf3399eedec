"""From a YAML file to a ``Config`` or a ``Mapping``: every fault at once, each with its place and a remedy.

Paths in a config: ``source.path``, ``state_dir``, ``model.tuned`` and ``serving.api_keys_file`` are relative to the
working directory; ``source.mapping`` and ``serving.leads`` are relative to the config file, or to the working directory
when they come from ``--set``.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from configs.document import Document, KeyPath, override, read_document
from configs.errors import ConfigError
from configs.faults import schema_faults
from configs.hubspot import HubSpotMapping
from configs.mapping import EventLogMapping, FilesMapping, Mapping, lead_mapping
from configs.salesforce import SalesforceMapping
from configs.schema import LEAD_AGES, Config
from configs.tuned import Member, Tuned
from configs.vocab import LEAD_GROUPS, Grid, SourceKind, Target

CANONICAL_MAPPING = Path(__file__).parent / "mappings" / "canonical.yaml"
"""The mapping of a simulated source that names none."""

MAPPINGS: dict[SourceKind, type[Mapping]] = {
    SourceKind.FILES: FilesMapping,
    SourceKind.EVENT_LOG: EventLogMapping,
    SourceKind.SIMULATED: FilesMapping,
    SourceKind.SALESFORCE: SalesforceMapping,
    SourceKind.HUBSPOT: HubSpotMapping,
}

_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True)
class Traced:
    """A config and where each value was written: ``file:line:column`` or ``--set a.b=c``; defaults are absent."""

    config: Config
    origins: dict[KeyPath, str]


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read a config file and apply ``a.b=c`` overrides. Raises ``ConfigError`` with every fault."""
    return trace_config(path, overrides).config


def trace_config(path: Path, overrides: Sequence[str] = ()) -> Traced:
    """Read a config as ``load_config`` does, and keep where every value came from."""
    document = read_document(path, "config")
    override(document, overrides)
    _settle_leads(document.data)
    config = _validate(Config, document)
    for section, key in (("source", "mapping"), ("serving", "leads")):
        part = getattr(config, section)
        named = getattr(part, key)
        if named is not None and not document.place((section, key)).overridden:
            config = config.model_copy(update={section: part.model_copy(update={key: path.parent / named})})
    return Traced(config, {path: str(place) for path, place in document.values.items()})


def leads_of(config: Config) -> Config | None:
    """Read the config of the leads that ``serving.leads`` names, None where it names none.

    Raises ``ConfigError``, also where that is no config of leads, or has the state_dir of the deals.
    """
    path = config.serving.leads
    if path is None:
        return None
    leads = load_config(path)
    if leads.target is not Target.CONVERTED:
        expected = f"a config with target: {Target.CONVERTED}"
        raise ConfigError.at("serving.leads", f"{path} with target: {leads.target}", expected=expected)
    if leads.state_dir.absolute() == config.state_dir.absolute():
        remedy = f"give it one of its own, such as {config.state_dir / 'leads'}"
        raise ConfigError.at("serving.leads", f"{path} with the state_dir of the deals", remedy=remedy)
    return leads


def _settle_leads(said: Any) -> None:
    """Fill in how leads are usually looked at, where a config about them leaves it open."""
    if not isinstance(said, dict) or said.get("target") != Target.CONVERTED.value:
        return
    for section, key, value in (
        ("snapshots", "ages", list(LEAD_AGES)),
        ("features", "groups", [group.value for group in LEAD_GROUPS]),
    ):
        given = said.setdefault(section, {})
        if isinstance(given, dict) and given.get("grid") != Grid.WEEKLY.value:
            given.setdefault(key, value)


def load_mapping(path: Path, kind: SourceKind | str) -> Mapping:
    """Read the mapping file of a source of ``kind``, as the class that ``MAPPINGS`` names."""
    return _validate(MAPPINGS[SourceKind(kind)], read_document(path, "mapping"))


def source_mapping_of(config: Config) -> Mapping:
    """Read the mapping that ``config`` names; a simulated source that names none has the canonical one."""
    return load_mapping(config.source.mapping or CANONICAL_MAPPING, config.source.kind)


def mapping_of(config: Config) -> Mapping:
    """Read the mapping that ``config`` names, as its record sees it: where that is of leads, see `lead_mapping`."""
    mapping = source_mapping_of(config)
    return lead_mapping(mapping) if config.target is Target.CONVERTED else mapping


def load_tuned(path: Path) -> Tuned:
    """Read a file that `forecastle tune` wrote. Raises ``ConfigError`` with every fault."""
    return _validate(Tuned, read_document(path, "tuned"))


def tuned_members(config: Config) -> tuple[Member, ...]:
    """Return the settings that ``model.tuned`` names, none without it. Raises ``ConfigError``."""
    return () if config.model.tuned is None else _members(config.model.tuned.resolve())


@cache
def _members(path: Path) -> tuple[Member, ...]:
    """Read once a process: tuning may write the file anew while a run fits, and one run must not mix the two."""
    return load_tuned(path).members


def read_recorded(told: object) -> Config:
    """Return the config that `Config.model_dump(mode="json")` once wrote; raises ConfigError where it is none."""
    try:
        return Config.model_validate_json(json.dumps(told), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError.at(
            "recorded config", f"{where}: {first['msg']}", expected="a config that this version of forecastle can read"
        ) from None


def config_hash(config: Config, mapping: Mapping | None = None) -> str:
    """Return the SHA-256 (hex) of everything in a config that changes a model, and of its mapping where given.

    Left out: ``Config.NOT_HASHED``, the paths of the source, so that the same data elsewhere has the same hash, and
    what is fitted for comparison only. Of ``model.tuned`` the settings count, wherever they lie. Raises ``ConfigError``
    where that file is missing or wrong.
    """
    said = config.model_dump(mode="json", exclude=set(Config.NOT_HASHED) | {"source"})
    said["backtest"].pop("ablations")
    said["model"]["tuned"] = [member.model_dump(mode="json") for member in tuned_members(config)]
    said["source"] = config.source.model_dump(mode="json", exclude={"path", "mapping"})
    said["mapping"] = mapping.model_dump(mode="json") if mapping is not None else None
    return hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _validate(schema: type[_Model], document: Document) -> _Model:
    """Check a document against its schema. Raises ``ConfigError`` with the document's faults and the schema's."""
    faults = list(document.faults)
    model = None
    try:
        # Strict JSON mode: "12" is no number and 1 is no boolean, yet text becomes a date, a path or a closed word.
        model = schema.model_validate_json(json.dumps(document.data), strict=True)
    except ValidationError as error:
        faults += schema_faults(document, schema, error)
    if faults or model is None:
        raise ConfigError(faults=[fault for _, fault in sorted(faults, key=lambda pair: pair[0])])
    return model
