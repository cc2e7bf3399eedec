"""The schema of a mapping file: how one source's words and columns become ours.

``FilesMapping`` serves the kinds ``files`` and ``simulated``, ``EventLogMapping`` the kind ``event_log``; those of
``salesforce`` and ``hubspot`` are in ``configs.salesforce`` and ``configs.hubspot``. Words are compared exactly, except
categories and activity kinds, which ignore case, spaces, underscores and dashes.
"""

import re
from collections.abc import Iterable
from collections.abc import Mapping as MappingOf
from datetime import date
from fnmatch import fnmatchcase
from pathlib import PurePosixPath, PureWindowsPath
from typing import Annotated, Self, TypeVar

from pydantic import AfterValidator, Field, model_validator

from configs.base import Distinct, Scalar, Strict, refuse
from configs.vocab import (
    AccountField,
    ActivityKind,
    AttributeKind,
    Direction,
    ForecastCategory,
    LeadEvent,
    LeadField,
    TableName,
    UnknownStage,
)

Words = Annotated[tuple[str, ...], Distinct]
Name = Annotated[str, Field(min_length=1)]
COLUMN_NAME = r"^[a-z][a-z0-9_]{0,62}$"
CanonicalName = Annotated[str, Field(pattern=COLUMN_NAME)]


def inside_the_folder(name: str) -> str:
    """Refuse a file name that leads out of the source's folder."""
    for path in (PurePosixPath(name), PureWindowsPath(name)):
        if path.is_absolute() or path.drive or ".." in path.parts or not path.parts:
            refuse("outside", got=f"{name!r} leads out of the source", expected="a file in or below source.path")
    return name


class Stages(Strict):
    """The stages of a deal, as they are spelt in the source."""

    order: Annotated[Words, Field(min_length=1)] = Field(
        description="open stages from first to last; the place in this list is stage_rank, 0 first"
    )
    won: Annotated[Words, Field(min_length=1)] = Field(description="stages that mean won")
    lost: Annotated[Words, Field(min_length=1)] = Field(description="stages that mean lost")
    unknown: UnknownStage = Field(
        default=UnknownStage.REFUSE,
        description="a stage in none of the lists: refuse the data, or keep it as an open stage without a rank",
    )

    @model_validator(mode="after")
    def _apart(self) -> Self:
        for name, these, those in (
            ("won", self.won, self.order),
            ("lost", self.lost, self.order),
            ("lost", self.lost, self.won),
        ):
            both = sorted(set(these) & set(those))
            if both:
                refuse("repeated", got=f"{', '.join(both)} in two lists", expected="each stage in one", field=name)
        return self


def _index(words: MappingOf[str, Iterable[str]]) -> dict[str, str]:
    """Return folded word -> key; every key stands for itself unless the file gives the word to another."""
    index: dict[str, str] = {}
    for key, listed in words.items():
        for word in listed:
            if index.setdefault(fold(word), key) != key:
                refuse("repeated", got=f"{word!r} under two names", expected="each word under one", field=key)
    return {**{fold(key): key for key in words}, **index}


def fold(word: str) -> str:
    """Return ``word`` without case, spaces, underscores and dashes: best_case = Best Case = BestCase."""
    return re.sub(r"[\s_-]+", "", word).casefold()


class Categories(Strict):
    """The source's forecast categories. Our own names stand for themselves without being listed."""

    pipeline: Words = Field(default=(), description="words for pipeline")
    best_case: Words = Field(default=(), description="words for best_case")
    commit: Words = Field(default=(), description="words for commit")
    closed: Words = Field(default=(), description="words for closed")
    omitted: Words = Field(default=(), description="words for omitted")

    def index(self) -> dict[str, ForecastCategory]:
        """Return folded source word -> category."""
        return {word: ForecastCategory(key) for word, key in _index(dict(self)).items()}

    def of(self, word: str) -> ForecastCategory | None:
        """Return the category that ``word`` stands for, or None."""
        return self.index().get(fold(word))

    @model_validator(mode="after")
    def _apart(self) -> Self:
        self.index()
        return self


class ActivityKinds(Strict):
    """The source's words for what people did. Our own names stand for themselves without being listed."""

    email: Words = Field(default=(), description="words for email")
    call: Words = Field(default=(), description="words for call")
    meeting: Words = Field(default=(), description="words for meeting")
    content: Words = Field(default=(), description="words for content")
    contract: Words = Field(default=(), description="words for contract")
    web: Words = Field(default=(), description="words for web")
    campaign: Words = Field(default=(), description="words for campaign")

    def index(self) -> dict[str, ActivityKind]:
        """Return folded source word -> kind."""
        return {word: ActivityKind(key) for word, key in _index(dict(self)).items()}

    def of(self, word: str) -> ActivityKind | None:
        """Return the kind that ``word`` stands for, or None."""
        return self.index().get(fold(word))

    @model_validator(mode="after")
    def _apart(self) -> Self:
        self.index()
        return self


class Attribute(Strict):
    """A deal attribute that is declared constant from creation. A field without a history may only enter this way."""

    kind: AttributeKind = Field(description="number, or category")
    column: str | None = Field(
        default=None, min_length=1, description="source column, where the part does not name one; default: its name"
    )


LEAD_COLUMNS = ("lead_id", "created_at", "known_at", "name", "opted_out", "source", "type", "deal_id", "account_id")
"""What no attribute of a lead can be called: leads have it, or deals in whose shape they are read."""


class Leads(Strict):
    """The source's words for leads, and which of their fields never change."""

    new: Words = Field(default=(), description="words for new: where every lead begins")
    worked: Words = Field(default=(), description="words for worked: somebody took it up")
    mql: Words = Field(default=(), description="words for mql: marketing hands it to sales")
    sql: Words = Field(default=(), description="words for sql: sales accepts it")
    converted: Words = Field(default=(), description="words for converted: it became an opportunity")
    disqualified: Words = Field(default=(), description="words for disqualified")
    attributes: dict[CanonicalName, Attribute] = Field(
        default_factory=dict,
        description="attributes declared constant from creation, by the name they get as columns of leads",
    )
    fixed_fields: Annotated[tuple[LeadField, ...], Distinct] = Field(
        default=(),
        description="fields of leads declared constant from creation: source, industry, size, region; an export holds "
        "current values only, so a field that is not declared is no feature",
    )

    def index(self) -> dict[str, LeadEvent]:
        """Return folded source word -> event."""
        words = {event.value: getattr(self, event.value) for event in LeadEvent}
        return {word: LeadEvent(key) for word, key in _index(words).items()}

    @model_validator(mode="after")
    def _apart(self) -> Self:
        self.index()
        taken = [name for name in self.attributes if name in LEAD_COLUMNS]
        if taken:
            remedy = "give it another name, with column: for what the source calls it"
            got, expected = f"{taken[0]!r}, which a lead has already", "a name of its own"
            refuse("taken", got=got, expected=expected, remedy=remedy, field="attributes")
        return self


class Mapping(Strict):
    """What every mapping has."""

    stages: Stages = Field(description="the stages of a deal")
    categories: Categories = Field(default_factory=Categories, description="the source's forecast categories")
    activity_kinds: ActivityKinds = Field(default_factory=ActivityKinds, description="the source's activity kinds")
    attributes: dict[CanonicalName, Attribute] = Field(
        default_factory=dict,
        description="deal attributes declared constant from creation, by the name they get as columns of deals",
    )
    fixed_account_fields: Annotated[tuple[AccountField, ...], Distinct] = Field(
        default=(),
        description="fields of accounts declared constant since before their deals: industry, size, region; the export "
        "holds current values only, so a field that is not declared is no feature",
    )
    leads: Leads = Field(default_factory=Leads, description="the source's words for leads")

    def stage_orders(self) -> tuple[tuple[str, ...], ...]:
        """Return the open stages of each sales process; every kind but salesforce has one."""
        return (self.stages.order,)

    def closing_stages(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the won and the lost stages of all processes."""
        return self.stages.won, self.stages.lost


LEAD_STAGES = Stages(
    order=(LeadEvent.NEW.value, LeadEvent.WORKED.value, LeadEvent.MQL.value, LeadEvent.SQL.value),
    won=(LeadEvent.CONVERTED.value,),
    lost=(LeadEvent.DISQUALIFIED.value,),
)
"""What becomes of a lead, as the stages of a process that converting wins and disqualifying loses."""

AnyMapping = TypeVar("AnyMapping", bound=Mapping)


def lead_mapping(mapping: AnyMapping) -> AnyMapping:
    """Return the mapping as a record of leads in the shape of deals sees it: their stages, attributes, fixed fields."""
    category = Attribute(kind=AttributeKind.CATEGORY)
    fixed = {field.value: category for field in mapping.leads.fixed_fields if field is not LeadField.SOURCE}
    told: dict[str, object] = {
        "stages": LEAD_STAGES,
        "attributes": fixed | mapping.leads.attributes,
        "fixed_account_fields": (),
    }
    if "processes" in type(mapping).model_fields:
        told["processes"] = ()
    return mapping.model_copy(update=told)


class Part(Strict):
    """One file that gives rows to a table. Several parts are stacked in their order."""

    file: Annotated[str, AfterValidator(inside_the_folder)] = Field(
        description="file below source.path: .csv, .csv.gz or .parquet"
    )
    columns: dict[CanonicalName, str] = Field(
        default_factory=dict,
        description="canonical column -> source column; when empty, the columns that already have canonical names",
    )
    constants: dict[CanonicalName, Scalar] = Field(
        default_factory=dict, description="canonical column -> one value for all rows"
    )
    values: dict[CanonicalName, dict[str, Scalar]] = Field(
        default_factory=dict, description="canonical column -> source value -> our value; values not listed stay"
    )
    require: Words = Field(
        default=(), description="source columns that must not be empty; other rows are left out and counted"
    )
    where: dict[str, Annotated[Words, Field(min_length=1)]] = Field(
        default_factory=dict, description="source column -> values; other rows belong elsewhere and are skipped"
    )
    since: dict[str, date] = Field(
        default_factory=dict,
        description="source column -> day, such as 2017-12-01; rows of earlier days are left out and counted: "
        "those from before the source told what became of them",
    )
    date_format: dict[str, str] = Field(
        default_factory=dict,
        description="source column -> strptime format, such as %m/%d/%Y, or epoch_ms: milliseconds since 1970; default "
        "ISO 8601",
    )

    @model_validator(mode="after")
    def _agree(self) -> Self:
        both = sorted(set(self.columns) & set(self.constants))
        if both:
            refuse(
                "repeated",
                got=f"{', '.join(both)} as a column and as a constant",
                expected="one of the two",
                field="constants",
            )
        for column in sorted(set(self.date_format) - set(self.columns.values())) if self.columns else ():
            refuse(
                "unused",
                got=f"a date format for {column!r}, which no canonical column uses",
                expected="a source column named under columns",
                field=f"date_format.{column}",
            )
        for column in sorted(set(self.values) - set(self.columns)) if self.columns else ():
            refuse(
                "unused",
                got=f"values for {column!r}, which has no source column",
                expected="a canonical column named under columns",
                field=f"values.{column}",
            )
        return self


class ObjectFile(Strict):
    """Where one object's rows are, and which columns hold what."""

    file: Annotated[str, AfterValidator(inside_the_folder)] | None = Field(
        default=None,
        description="file below source.path; default: the object's name with .csv, .csv.gz or .parquet",
    )
    columns: dict[Name, Name | Annotated[tuple[Name, ...], Field(min_length=1)]] = Field(
        default_factory=dict,
        description="what we read (an API name, or a name of ours such as team) -> column of the file; of a list, the "
        "first column that is there",
    )


class FilesMapping(Mapping):
    """Mapping of the kinds ``files`` and ``simulated``."""

    tables: dict[TableName, Annotated[tuple[Part, ...], Field(min_length=1)]] = Field(
        default_factory=dict,
        description="table -> the files that fill it; a table not named is read from <table>.csv, .csv.gz or .parquet "
        "with canonical column names, where there is one",
    )


class EventPattern(Strict):
    """Events by name and step of life."""

    event: str = Field(min_length=1, description="event name; * and ? stand for any text and any one character")
    lifecycle: Words | None = Field(default=None, min_length=1, description="steps of life; default: all")

    def matches(self, event: str, lifecycle: str | None) -> bool:
        """Tell whether this pattern covers the event; case matters. ``lifecycle`` is None when the log has none."""
        return fnmatchcase(event, self.event) and (self.lifecycle is None or lifecycle in self.lifecycle)


class ActivityRule(EventPattern):
    """Events that are something people did."""

    kind: ActivityKind = Field(description="what it is to us")
    direction: Direction = Field(description="who acted: inbound is the buyer, outbound is us, mutual is both")
    outcome: str | None = Field(
        default=None, min_length=1, description="outcome of the row; planned: it announces something in the future"
    )


class EventLogMapping(Mapping):
    """Mapping of the kind ``event_log``. Stage names are event names.

    Every event must be named by a stage, an activity rule or ``ignore``; any other is a fault of the data. An event may
    be both a stage and an activity. Of the activity rules, the first that matches counts.
    """

    case_id: str = Field(min_length=1, description="column that names the case: our deal_id")
    activity: str = Field(min_length=1, description="column that names the event")
    timestamp: str = Field(min_length=1, description="column of the instant, which is both occurred_at and known_at")
    lifecycle: str | None = Field(
        default=None, min_length=1, description="column of the step of life, such as COMPLETE"
    )
    resource: str | None = Field(
        default=None, min_length=1, description="column of who did it; the owner on the rows that have one"
    )
    system_resources: Words = Field(
        default=(), description="values of the resource column that are machines, never owners"
    )
    amount: str | None = Field(
        default=None, min_length=1, description="column of the amount asked for, in currency units"
    )
    stage_lifecycle: Words = Field(
        default=("COMPLETE",), min_length=1, description="steps of life at which an event moves the stage"
    )
    activities: tuple[ActivityRule, ...] = Field(default=(), description="events that are something people did")
    ignore: tuple[EventPattern, ...] = Field(default=(), description="events that are left out on purpose")

    def activity_of(self, event: str, lifecycle: str | None) -> ActivityRule | None:
        """Return the first activity rule that covers the event, or None."""
        return next((rule for rule in self.activities if rule.matches(event, lifecycle)), None)

    def moves_stage(self, event: str, lifecycle: str | None) -> bool:
        """Tell whether the event puts the deal into the stage of its own name."""
        listed = event in self.stages.order or event in self.stages.won or event in self.stages.lost
        return listed and (lifecycle is None or lifecycle in self.stage_lifecycle)

    def ignores(self, event: str, lifecycle: str | None) -> bool:
        """Tell whether the event is left out on purpose."""
        return any(pattern.matches(event, lifecycle) for pattern in self.ignore)

    def covers(self, event: str, lifecycle: str | None) -> bool:
        """Tell whether the mapping says what the event is; an event it does not cover is a fault."""
        if self.moves_stage(event, lifecycle) or self.ignores(event, lifecycle):
            return True
        return self.activity_of(event, lifecycle) is not None
