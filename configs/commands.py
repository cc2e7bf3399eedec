"""The ``forecastle config`` commands as pure functions: a path in, text out; faults leave as ``ConfigError``."""

from collections.abc import Sequence
from pathlib import Path

from configs.errors import ConfigError
from configs.load import CANONICAL_MAPPING, config_hash, load_config, load_mapping, trace_config
from configs.mapping import LEAD_STAGES, Mapping
from configs.render import json_schema, resolved
from configs.schema import Config
from configs.vocab import Target


def check(path: Path, overrides: Sequence[str] = ()) -> str:
    """Check a config and the mapping it names; return one line that says what they are.

    Raises ``ConfigError`` with every fault of the config, or else of the mapping. The data are not looked at.
    """
    config = load_config(path, overrides)
    mapping_path = config.source.mapping or CANONICAL_MAPPING
    try:
        mapping = load_mapping(mapping_path, config.source.kind)
    except ConfigError as error:
        message = error.message or f"The mapping that {path} names is wrong"
        raise ConfigError(message, error.faults) from None
    digest = config_hash(config, mapping)[:8]
    return (
        f"{path}: good. {config.name} {digest}: {config.source.kind} source, target {config.target}, "
        f"periods by {config.period.kind} in {config.time_zone}, {_steps(config, mapping)}."
    )


def _steps(config: Config, mapping: Mapping) -> str:
    """Return how many steps the mapping's deals or leads go through while they are open."""
    if config.target is Target.CONVERTED:
        return f"{len(LEAD_STAGES.order)} statuses of leads"
    return f"{sum(map(len, mapping.stage_orders()))} open stages"


def summary(config: Config) -> dict[str, str]:
    """Return what ``config check --json`` prints: name, hash of config and mapping, source kind, target."""
    mapping = load_mapping(config.source.mapping or CANONICAL_MAPPING, config.source.kind)
    return {
        "name": config.name,
        "config_hash": config_hash(config, mapping),
        "source": str(config.source.kind),
        "target": str(config.target),
    }


def schema() -> str:
    """Return the JSON Schema of a config file."""
    return json_schema()


def show(path: Path, overrides: Sequence[str] = ()) -> str:
    """Return a config with every value and where it comes from; ``ConfigError`` when it is wrong."""
    return resolved(trace_config(path, overrides))
