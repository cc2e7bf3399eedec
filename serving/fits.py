"""Whether a model fits the config it is asked under: the one check of `score`, `serve` and `example-request`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np

from configs.errors import BundleMismatchError, ConfigError, Fault
from configs.load import config_hash, mapping_of
from configs.mapping import Mapping
from configs.schema import Config
from configs.vocab import AttributeKind, Target
from features.periods import Calendar, fiscal_calendar
from features.registry import Schema
from features.schema import OWN
from features.stages import StageMap
from models.bundle import Bundle, load
from models.store import LIVE, bundle_folder
from serving.facts import load_facts
from serving.intake import Loaded, ready


def load_fitting(config: Config, model: str = LIVE, tell: Callable[[str], None] = lambda _: None) -> Bundle:
    """Load ``live``, ``candidate`` or a run's bundle for a config that it fits.

    tell: gets a line where the config has moved on in what answers do not depend on, such as settings of the fit.
    Raises BundleError, a ConfigError for the mapping, or UsageError for a name that no run can have.
    """
    bundle = load(bundle_folder(config.state_dir, model))
    check_fits(bundle, config)
    try:
        here = config_hash(config, mapping_of(config))
    except ConfigError as error:  # the mapping was read above; a file of settings of the fit is nothing to an answer
        tell(f"whether the config has changed since {bundle.version} was trained is not known: {error}")
        return bundle
    if here != bundle.about.config_hash:
        tell(
            f"the config has changed since {bundle.version} was trained (config_hash {here[:12]}, "
            f"then {bundle.about.config_hash[:12]}); what its answers depend on is the same"
        )
    return bundle


def load_model(config: Config, folder: Path | None = None) -> Loaded:
    """Load a bundle (the live one unless given), its reference facts and the words of the mapping.

    Raises BundleError, or a ConfigError for the mapping.
    """
    bundle = load(folder or bundle_folder(config.state_dir))
    check_fits(bundle, config)
    return ready(bundle, load_facts(config.state_dir, bundle), mapping_of(config), config.flags)


def check_fits(bundle: Bundle, config: Config) -> None:
    """Raise BundleMismatchError, with a fault for each difference, where a bundle was trained under another config.

    What counts: name, target, time zone, calendar, features, stages, the declared attributes and account fields, and
    of leads the days within which they convert.
    """
    mapping = mapping_of(config)
    faults = [
        Fault("other_than_trained", "", got, f"{trained}, as it was trained", path=path)
        for path, got, trained in (*_settings(bundle, config), *_periods(bundle, config), *_words(bundle, mapping))
        if got != trained
    ]
    if faults:
        raise BundleMismatchError(
            f"{bundle.version} does not fit the config: use the one it was trained with, or train and promote again",
            faults,
        )


Compared = Iterator[tuple[str, str, str]]
"""(key, what the config says, what the model was trained with)."""


def _settings(bundle: Bundle, config: Config) -> Compared:
    about, features = bundle.about, config.features
    yield "name", config.name, about.name
    yield "target", str(config.target), about.target
    yield "time_zone", config.time_zone, about.time_zone
    yield "features.groups", _listed(sorted(map(str, features.groups))), _listed(sorted(about.groups))
    yield "features.drop", _listed(sorted(features.drop)), _listed(sorted(about.drop))
    yield "features.shrink", f"{features.shrink:g}", f"{about.shrink:g}"
    if config.target is Target.CONVERTED:
        yield "leads.within_days", str(config.leads.within_days), str(about.horizon_days)


def _periods(bundle: Bundle, config: Config) -> Compared:
    """Compare the calendars by their first difference; instants of the same days follow from the time zone."""
    period, trained = config.period, bundle.calendar
    here = fiscal_calendar(period.kind, period.fiscal_year_start, config.time_zone, period.table, period.holidays)
    if not np.array_equal(here.days, trained.days):
        place = next(i for i, (a, b) in enumerate(zip_longest(here.days, trained.days)) if a != b)
        yield "period", _starts(here, place), _starts(trained, place)
    elif not np.array_equal(here.holidays, trained.holidays):
        yield "period.holidays", f"{len(here.holidays)} days", f"{len(trained.holidays)}, other days"
    elif config.time_zone == trained.zone and not np.array_equal(here.starts, trained.starts):
        yield "period", "days that begin at other instants", f"those of {trained.zone} by the older time zone rules"


def _starts(calendar: Calendar, place: int) -> str:
    last = len(calendar.days) - 1
    start = f"number {place} from {calendar.day(place)}" if place <= last else f"only {last + 1}"
    return f"periods {calendar.day(0)} to {calendar.day(last)}, {start}"


def _words(bundle: Bundle, mapping: Mapping) -> Compared:
    """Compare what the mapping says of stages, attributes and accounts.

    A column of ours, and an account field declared fixed, is in a schema only where the data held values; so a field
    that is declared and was empty is no difference; nor is one that the leak audit left out.
    """
    schema = bundle.about.schema
    yield "stages", _staged(StageMap.of(mapping)), _staged(bundle.about.stages)
    unused = (*OWN, *bundle.about.left_out)
    declared = {name: attribute.kind for name, attribute in mapping.attributes.items() if name not in unused}
    accounts = [name for name in _others(schema) if name in mapping.fixed_account_fields and name not in declared]
    trained = dict.fromkeys((name for name in _others(schema) if name not in accounts), AttributeKind.CATEGORY)
    trained |= dict.fromkeys(schema.numbers, AttributeKind.NUMBER)
    yield "attributes", _kinds(declared), _kinds(trained)


def _others(schema: Schema) -> list[str]:
    return [name for name in schema.dimensions if name not in OWN]


def _kinds(attributes: dict[str, AttributeKind]) -> str:
    return _listed([f"{name} ({kind})" for name, kind in sorted(attributes.items())])


def _staged(stages: StageMap) -> str:
    orders = " | ".join(" > ".join(order) for order in stages.processes or (stages.order,))
    return f"{orders}; won {_listed(stages.won)}; lost {_listed(stages.lost)}"


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words) or "none"
