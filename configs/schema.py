"""The schema of a config file: one frozen class a section, a unit and a range on every field.

A function takes the section it needs, never the whole config or a dict. Defaults live here and nowhere else.
``configs.load`` builds a ``Config`` from YAML and overrides; ``configs.mapping`` describes the mapping file it names.
"""

import ipaddress
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from configs.base import Distinct, Duration, FiscalStart, Strict, TimeZone, refuse
from configs.flags import Flags
from configs.learning import Backtest, Card, Gates, LeakAudit, Model, Timing, Tracking, Training, Tuning
from configs.oauth import OAuth
from configs.vocab import (
    DEAL_GROUPS,
    LEAD_GROUPS,
    Eligibility,
    FeatureGroup,
    Grid,
    LedgerMode,
    PeriodKind,
    SourceKind,
    Target,
    Unworked,
)

MAX_SEED = 2**31 - 1
LEAD_AGES = ("1min", "1d", "3d", "7d", "14d", "30d")  # when a lead is looked at, since its creation


class Period(Strict):
    """The forecast period: half-open [start, end) in the config's time zone."""

    kind: PeriodKind = Field(description="length of a period: quarter or month")
    fiscal_year_start: FiscalStart = Field(
        default=1, description="start of the fiscal year: a month 1-12, or MM-DD with a day 01-28"
    )
    table: Annotated[tuple[date, ...], Field(min_length=2)] | None = Field(
        default=None,
        description="first day of every period, ascending, the last one ending the period before it; "
        "for 4-4-5 and other calendars; replaces the regular calendar when given",
    )

    holidays: Annotated[tuple[date, ...], Distinct] = Field(
        default=(), description="days on which nobody works, beside Saturdays and Sundays"
    )

    @property
    def anchor(self) -> tuple[int, int]:
        """Month (1-12) and day (1-28) on which the fiscal year begins."""
        if isinstance(self.fiscal_year_start, int):
            return self.fiscal_year_start, 1
        month, day = self.fiscal_year_start.split("-")
        return int(month), int(day)

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        days = self.table or ()
        for before, after in pairwise(days):
            if after <= before:
                refuse("not_ascending", got=f"{after} after {before}", expected="ascending days", field="table")
        return self


class Simulate(Strict):
    """The simulated company."""

    seed: int = Field(default=7, ge=0, le=MAX_SEED, description="seed of the generator")
    periods: int = Field(default=12, ge=10, le=14, description="closed quarters of history")
    wins_per_period: int = Field(default=300, ge=30, le=1000, description="mean number of deals won a quarter")
    leads: bool = Field(default=True, description="whether it has leads, too")


class FilesSource(Strict):
    """CSV or Parquet files: canonical ones, or any that the mapping explains."""

    kind: Literal[SourceKind.FILES] = Field(description="files")
    path: Path = Field(description="folder of the files; relative to the working directory")
    mapping: Path = Field(description="mapping file; relative to the config file")


class EventLogSource(Strict):
    """One table of events: a process log."""

    kind: Literal[SourceKind.EVENT_LOG] = Field(description="event_log")
    path: Path = Field(description="CSV or Parquet file of events; relative to the working directory")
    mapping: Path = Field(description="mapping file; relative to the config file")


class SimulatedSource(Strict):
    """A simulated company, for demonstrations and tests."""

    kind: Literal[SourceKind.SIMULATED] = Field(description="simulated")
    path: Path | None = Field(
        default=None,
        description="folder of an export written by `forecastle simulate`, relative to the working directory; "
        "without it the company is generated from `simulate`",
    )
    mapping: Path | None = Field(
        default=None, description="mapping file, relative to the config file; without it the canonical one"
    )
    simulate: Simulate = Field(default_factory=Simulate, description="the company to generate when there is no path")


class SalesforceSource(Strict):
    """A folder of object exports of Salesforce, one file an object."""

    kind: Literal[SourceKind.SALESFORCE] = Field(description="salesforce")
    path: Path = Field(description="folder of the exports; relative to the working directory")
    mapping: Path = Field(description="mapping file; relative to the config file")


class HubSpotSource(Strict):
    """A folder of exports of HubSpot, one file an object: contacts as leads."""

    kind: Literal[SourceKind.HUBSPOT] = Field(description="hubspot; with `target: converted` alone")
    path: Path = Field(description="folder of the exports; relative to the working directory")
    mapping: Path = Field(description="mapping file; relative to the config file")


Source = Annotated[
    FilesSource | EventLogSource | SimulatedSource | SalesforceSource | HubSpotSource, Field(discriminator="kind")
]


class Snapshots(Strict):
    """At which instants a deal is looked at in training."""

    ages: Annotated[tuple[Duration, ...], Distinct] = Field(
        default=(), description="ages since creation, ascending, such as 29min, 1d, 3d; giving them sets the grid"
    )
    grid: Grid = Field(
        default_factory=lambda known: Grid.AGES if known.get("ages") else Grid.WEEKLY,
        description="weekly: Mondays 00:00 and each period's start; ages: fixed ages since creation (set by `ages`)",
    )

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.grid is Grid.AGES and not self.ages:
            refuse(
                "missing", got="grid ages without ages", expected="ages", remedy="add ages: [1d, 3d, 7d]", field="grid"
            )
        if self.grid is Grid.WEEKLY and self.ages:
            refuse(
                "contradiction",
                got="grid weekly with ages",
                expected="one of the two",
                remedy="remove ages, or set grid: ages",
                field="grid",
            )
        if list(self.ages) != sorted(self.ages):
            refuse("not_ascending", got="ages out of order", expected="ascending ages", field="ages")
        return self


class Features(Strict):
    """What the model may look at."""

    groups: Annotated[tuple[FeatureGroup, ...], Field(min_length=1), Distinct] = Field(
        default=DEAL_GROUPS,
        description="feature groups that are built; default: those of deals, or of leads where the target is converted",
    )
    drop: Annotated[tuple[str, ...], Distinct] = Field(default=(), description="names of single features left out")
    shrink: float = Field(
        default=20.0,
        gt=0,
        le=10_000,
        description="weight of the parent's rate when a rep's, account's or segment's own is shrunk, in closed deals",
    )


class Grades(Strict):
    """Where the grades of leads begin: the least chance of converting that each takes; D is what is left."""

    a: float = Field(default=0.4, gt=0, lt=1, description="least chance of converting for an A, 0-1")
    b: float = Field(default=0.2, gt=0, lt=1, description="for a B")
    c: float = Field(default=0.08, gt=0, lt=1, description="for a C")

    @model_validator(mode="after")
    def _descending(self) -> Self:
        if not self.a > self.b > self.c:
            refuse("not_descending", got=f"a {self.a:g}, b {self.b:g}, c {self.c:g}", expected="a > b > c", field="a")
        return self


class Leads(Strict):
    """What is asked of leads; only where the target is converted."""

    within_days: int = Field(
        default=90, ge=1, le=730, description="a lead that converts within so many days of being scored counts"
    )
    won_within_days: int = Field(
        default=365, ge=1, le=3650, description="a deal that is won within so many days of the score counts as its win"
    )
    unworked: Unworked = Field(
        default=Unworked.EXCLUDE,
        description="leads that nobody worked within their window and that did not convert. exclude: they are left out "
        "of training and counted, for it was not tried; keep: they count as not converted, for a record that does not "
        "tell who did what",
    )
    grades: Grades = Field(default_factory=Grades, description="least chance of each grade")
    weekly_capacity: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="leads that your people can work in a week; null: the queue is whole",
    )
    explore_share: float = Field(
        default=0.03,
        ge=0,
        le=0.5,
        description="share of the weekly capacity that is given to leads drawn at random from the rest, so that what "
        "becomes of low scores stays known",
    )

    @model_validator(mode="after")
    def _won_after_converted(self) -> Self:
        if self.won_within_days < self.within_days:
            refuse(
                "contradiction",
                got=f"{self.won_within_days} days, fewer than leads.within_days ({self.within_days})",
                expected="as many at least: a lead converts before its deal is won",
                field="won_within_days",
            )
        return self


class StoreAt(Strict):
    """Where the service keeps events, scores and the ledger."""

    url_env: str | None = Field(
        default=None,
        pattern=r"^[A-Z][A-Z0-9_]{0,63}$",
        description="environment variable that holds the URL of a PostgreSQL database "
        "(postgresql+psycopg://USER:PASSWORD@HOST/DATABASE); null: SQLite in state_dir",
    )
    timeout_seconds: float = Field(
        default=5.0,
        ge=1,
        le=600,
        description="what the database may take to be reached, and again for each statement of a request; past that "
        "the request gets a 503",
    )


class Jobs(Strict):
    """Requests that are too large to be answered at once."""

    max_deals: int = Field(default=10_000, ge=1, le=1_000_000, description="deals a job")
    max_mb: float = Field(default=50.0, gt=0, le=1000, description="largest body of a job, in 10^6 bytes")
    max_waiting: int = Field(default=50, ge=1, le=10_000, description="jobs that may wait or run")
    max_waiting_key: int = Field(default=10, ge=1, le=10_000, description="jobs of one key that may wait or run")
    max_waiting_mb: float = Field(default=500.0, gt=0, le=100_000, description="their bodies in all, in 10^6 bytes")
    max_waiting_key_mb: float = Field(default=200.0, gt=0, le=100_000, description="those of one key, in 10^6 bytes")
    keep_hours: float = Field(
        default=24.0, ge=0.1, le=720, description="how long a result is kept, and how long a job may wait to be begun"
    )
    lease_seconds: float = Field(
        default=20.0, ge=0.5, le=600, description="how long after a sign of life a job is taken from a worker"
    )

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.max_mb > min(self.max_waiting_mb, self.max_waiting_key_mb):
            refuse(
                "contradiction",
                got=f"max_mb {self.max_mb:g} above what may wait",
                expected="at most max_waiting_mb and max_waiting_key_mb",
                field="max_mb",
            )
        return self


class Pages(Strict):
    """The manager's pages."""

    secure_cookies: bool = Field(
        default=True,
        description="whether browsers may send the session's cookie over https (and to localhost) alone; false only "
        "where the pages are reached over plain http within a network that you trust",
    )
    session_hours: float = Field(default=12.0, gt=0, le=168, description="after which a login ends, whatever happens")
    idle_minutes: float = Field(default=120.0, ge=1, le=10_080, description="without a page asked for that end a login")
    currency: str | None = Field(
        default=None,
        pattern=r"^[A-Z]{3}$",
        description="ISO code of the currency of all amounts, shown beside them; null: plain numbers",
    )


class Serving(Strict):
    """The scoring service."""

    host: str = Field(default="127.0.0.1", min_length=1, description="address to listen on")
    port: int = Field(default=3000, ge=1, le=65_535, description="port to listen on")
    workers: int = Field(default=2, ge=1, le=64, description="worker processes")
    api_keys_file: Path | None = Field(
        default=None,
        description="file of hashed API keys, relative to the working directory; needed when the service listens on "
        "more than this machine",
    )
    oauth: OAuth | None = Field(
        default=None, description="access tokens (JWT) of an identity provider, beside API keys; null: keys alone"
    )
    watch_seconds: float = Field(
        default=2.0,
        ge=0.1,
        le=3600,
        description="how often a worker looks for another model or fresher reference facts",
    )
    drain_seconds: float = Field(
        default=2.0,
        ge=0,
        le=10,
        description="after SIGTERM the service says for so long that it is not ready, and takes requests all the same, "
        "before it stops listening",
    )
    probe_seconds: float = Field(
        default=20.0, ge=1, le=600, description="what a new model may take to be loaded and answer its golden rows"
    )
    max_body_mb: float = Field(default=20.0, gt=0, le=1000, description="largest request body, in 10^6 bytes")
    max_deals_plain: int = Field(default=1000, ge=1, le=100_000, description="deals a request without reasons")
    max_deals_explained: int = Field(default=100, ge=1, le=10_000, description="deals a request with reasons")
    max_events_per_deal: int = Field(
        default=10_000, ge=1, le=1_000_000, description="history rows and activities of one deal in a request"
    )
    max_events: int = Field(default=1000, ge=1, le=100_000, description="events that a CRM may push in one request")
    max_in_flight: int = Field(
        default=16, ge=1, le=10_000, description="requests that a worker works on at once; more get a 503 at once"
    )
    body_seconds: float = Field(default=20.0, ge=0.1, le=600, description="how long the body of a request may take")
    rate_per_second: float | None = Field(
        default=None, gt=0, le=100_000, description="requests a second of one key and worker; null: no limit"
    )
    rate_burst: int = Field(
        default=20, ge=1, le=100_000, description="requests that a key may send at once where there is a rate"
    )
    jobs: Jobs = Field(default_factory=Jobs, description="requests that are too large to be answered at once")
    leads: Path | None = Field(
        default=None,
        description="config file of the leads that the service scores beside the deals, with a state_dir of its own; "
        "relative to this config file, or to the working directory when it comes from --set; null: none",
    )
    store: StoreAt = Field(default_factory=StoreAt, description="where events, scores and the ledger are kept")
    pages: Pages = Field(default_factory=Pages, description="the manager's pages")
    ledger: LedgerMode = Field(
        default=LedgerMode.DURABLE,
        description="what is kept of each score that is served. durable: on disk before the answer; best_effort: soon "
        "after it, what there is no room for is dropped and counted; off: nothing",
    )

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.max_deals_explained > self.max_deals_plain:
            refuse(
                "contradiction",
                got=f"max_deals_explained {self.max_deals_explained} above max_deals_plain {self.max_deals_plain}",
                expected="explained at most as many as plain",
                field="max_deals_explained",
            )
        if self.api_keys_file is None and not _only_this_machine(self.host):
            refuse(
                "open_to_the_network",
                got=f"host {self.host} without API keys",
                expected="API keys wherever others can reach the service",
                remedy="set serving.api_keys_file, or host: 127.0.0.1",
                field="host",
            )
        return self


class Config(Strict):
    """A whole config file."""

    NOT_HASHED: ClassVar[frozenset[str]] = frozenset(
        {"name", "state_dir", "serving", "gates", "tuning", "tracking", "card", "flags"}
    )
    """Sections that change no model and so are no part of its hash; nor are the paths of the source, and ablations."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="name of the config, and of its experiment: letters, digits, dot, dash, underscore",
    )
    seed: int = Field(default=7, ge=0, le=MAX_SEED, description="the one seed of training")
    time_zone: TimeZone = Field(description="IANA time zone of the business: of periods, dates and naive timestamps")
    target: Target = Field(
        description="in_period: won before the period ends; eventual: won in the end; converted: of leads in the place "
        "of deals, converted within leads.within_days"
    )
    horizon_days: int = Field(
        default=365,
        ge=1,
        le=3650,
        description="days over which won, lost and open are told; for target eventual with horizon-complete rows "
        "also the length of the label window",
    )
    period: Period = Field(description="the forecast period")
    source: Source = Field(description="where the records come from")
    state_dir: Path = Field(
        default=Path(".forecastle"), description="folder of all state; relative to the working directory"
    )
    snapshots: Snapshots = Field(default_factory=Snapshots, description="when a deal is looked at in training")
    features: Features = Field(default_factory=Features, description="what the model may look at")
    leads: Leads = Field(default_factory=Leads, description="what is asked of leads, where the target is converted")
    model: Model = Field(default_factory=Model, description="the close model")
    timing: Timing = Field(default_factory=Timing, description="when deals close, and how")
    training: Training = Field(default_factory=Training, description="which rows may train")
    backtest: Backtest = Field(default_factory=Backtest, description="how the model is judged on what came later")
    gates: Gates = Field(default_factory=Gates, description="what a model must show before it is promoted")
    tuning: Tuning = Field(default_factory=Tuning, description="how better settings of the trees are looked for")
    tracking: Tracking = Field(default_factory=Tracking, description="where runs are logged")
    card: Card = Field(default_factory=Card, description="what the model card says that no run can know")
    audit: LeakAudit = Field(default_factory=LeakAudit, description="which fields are taken to know the outcome")
    flags: Flags = Field(
        default_factory=Flags, description="which deals are not what they look like; see docs/flags.md"
    )
    serving: Serving = Field(default_factory=Serving, description="the scoring service")

    @model_validator(mode="after")
    def _agree(self) -> Self:
        deals = self.target is not Target.CONVERTED
        strange = [group.value for group in self.features.groups if (group in LEAD_GROUPS) is deals]
        if strange:
            refuse(
                "contradiction",
                got=f"groups {', '.join(strange)} with target {self.target}",
                expected="groups of deals, or of leads where the target is converted",
                field="features.groups",
            )
        if deals and self.leads != Leads():
            refuse(
                "contradiction",
                got=f"given with target {self.target}",
                expected="only with target converted",
                remedy="give it in the config of the leads, which serving.leads names, or remove it",
                field="leads",
            )
        if self.target is Target.IN_PERIOD:
            _refuse_eventual_only("backtest.test_from", self.backtest.test_from, "backtest.test_periods")
            _refuse_eventual_only("training.horizon_days", self.training.horizon_days, "the period's end")
        if self.target is Target.CONVERTED:
            _refuse_of_deals("training.horizon_days", self.training.horizon_days is not None)
            _refuse_of_deals("training.eligibility", self.training.eligibility is not Eligibility.HORIZON)
        return self


def _refuse_eventual_only(field: str, value: object, instead: str) -> None:
    """Refuse ``field`` when it is given although the target is in_period."""
    if value is not None:
        refuse(
            "contradiction",
            got="given with target in_period",
            expected="only with target eventual",
            remedy=f"remove it (in_period goes by {instead}), or set target: eventual",
            field=field,
        )


def _refuse_of_deals(field: str, given: bool) -> None:
    """Refuse ``field`` when it is given although leads have a window of their own."""
    if given:
        refuse(
            "contradiction",
            got="given with target converted",
            expected="only with target eventual",
            remedy="remove it: leads go by leads.within_days, and a row trains when its window is over",
            field=field,
        )


def _only_this_machine(host: str) -> bool:
    """Tell whether ``host`` can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
