"""The simulated company: a seeded, documented generator of a CRM export with the truth kept beside it.

`simulate` makes frames, `write` puts them into two folders: `export/` is what a source reads, `truth/` is for checking
only. `docs/simulated-company.md` describes every mechanism and parameter. The order is: calendar, people, a pilot run
that sets how many deals are created, the true process, and only then what people wrote down about it. Leads come last.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd

from configs.errors import Fault, UsageError
from features.sources.company_activity import ActivityParams, Diary
from features.sources.company_calendar import Bools, Calendar, Floats, RhythmParams, make_calendar
from features.sources.company_deals import WON, DealParams, Process, Truth, creation_times
from features.sources.company_export import export_frames, quota_frame, write_csv
from features.sources.company_fields import CallRows, RecordParams, amount_scale, join
from features.sources.company_lead_deals import make_lead_world
from features.sources.company_lead_export import lead_frames, lead_truth_frames
from features.sources.company_leads import LeadParams
from features.sources.company_people import People, make_people
from features.sources.company_records import Recorder
from features.sources.company_reps import PeopleParams
from features.sources.company_truth import TRUTH_README, truth_frames

# What a run of any size would about come to; only the size of the pilot and of the market hang on it.
NOMINAL_WIN_RATE = 0.25
PILOT_DEALS = 24_000
# Of the generator: equal settings give equal bytes within a version, and figures of two versions are not comparable.
VERSION = 3


def _fault(name: str, got: object, expected: str) -> Fault:
    """One setting that cannot be simulated."""
    return Fault("out_of_range", "simulated company", f"{name}={got}", expected, f"change {name}", name)


@dataclass(frozen=True)
class CompanySettings:
    """One simulated company. Equal settings give equal bytes.

    `wins_per_period` is the expected number of wins a quarter over the `periods` quarters from `first_period` (a first
    of a month) on; `burn_in_periods` quarters before them fill the pipeline and are in the export too. `shock_sd` is
    the sd, in logits of the weekly win hazard, of what whole quarters have in common; `drift_per_year` the trend in it.
    `shock_size` is added to the logit of one quarter more: `shock_quarter`, 1 for the first after the burn-in, None for
    no such quarter, or "drawn": by the seed, in the second half of the run, the last quarter left out.
    Raises UsageError, with every fault, for values that cannot be simulated.
    """

    seed: int = 7
    periods: int = 12
    wins_per_period: int = 300
    first_period: date = date(2023, 1, 1)
    time_zone: str = "America/New_York"
    burn_in_periods: int = 4
    shock_sd: float = 0.10
    drift_per_year: float = 0.0
    shock_quarter: int | Literal["drawn"] | None = "drawn"
    shock_size: float = -0.30
    rhythm: RhythmParams = field(default_factory=RhythmParams)
    people: PeopleParams = field(default_factory=PeopleParams)
    deals: DealParams = field(default_factory=DealParams)
    records: RecordParams = field(default_factory=RecordParams)
    activity: ActivityParams = field(default_factory=ActivityParams)
    leads: LeadParams = field(default_factory=LeadParams)

    def __post_init__(self) -> None:
        at_least = {"seed": 0, "periods": 1, "wins_per_period": 5, "burn_in_periods": 0, "shock_sd": 0}
        faults = [
            _fault(name, getattr(self, name), f"{least} or more")
            for name, least in at_least.items()
            if getattr(self, name) < least
        ]
        planted = self.shock_quarter
        if planted not in ("drawn", None) and not (isinstance(planted, int) and 1 <= planted <= self.periods):
            faults.append(_fault("shock_quarter", planted, f"1 to {self.periods}, drawn or None"))
        if self.first_period.day != 1:
            faults.append(_fault("first_period", self.first_period, "the first day of a month"))
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError):
            faults.append(_fault("time_zone", self.time_zone, "an IANA name such as Europe/Berlin"))
        if faults:
            raise UsageError(faults=faults)


@dataclass(frozen=True)
class Company:
    """The result: canonical tables by name, and the truth by name (see `company_export` for the types)."""

    export: dict[str, pd.DataFrame]
    truth: dict[str, pd.DataFrame]


def simulate(settings: CompanySettings) -> Company:
    """Simulate a company. Deterministic in `settings`; reads no clock, no file and no global state."""
    streams = np.random.default_rng(settings.seed).spawn(10)
    cal = make_calendar(
        settings.first_period, settings.periods, settings.burn_in_periods, settings.time_zone, settings.rhythm
    )
    total_periods = settings.periods + settings.burn_in_periods
    nominal = round(settings.wins_per_period * total_periods / NOMINAL_WIN_RATE)
    people = make_people(streams[0], cal, settings.wins_per_period, nominal, settings.people)
    season = np.array(settings.rhythm.win_season)[cal.season_of]
    shock = streams[1].normal(0.0, 1.0, len(season)) * settings.shock_sd
    planted = _planted_quarter(streams[8], settings)
    if planted is not None:
        shock[planted] += settings.shock_size
    n_deals, mean_amount = _pilot(streams[2], settings, cal, people, season, nominal)
    created = creation_times(streams[3], cal, n_deals, settings.rhythm.creation_season)
    process = Process(streams[4], cal, people, season + shock, settings.deals, settings.drift_per_year)
    truth = process.run(created)
    history, caller = Recorder(streams[5], cal, people, truth, settings.records).run()
    activities, contacts = Diary(streams[6], cal, people, truth, settings.activity).run()
    target = settings.wins_per_period * mean_amount * settings.records.quota_stretch
    quotas = quota_frame(streams[7], cal, people, target, settings.people.region_share)
    export = export_frames(
        streams[7], people, truth, history, join(caller.calls, CallRows), activities, contacts, quotas
    )
    hidden = truth_frames(cal, people, truth, season, shock, planted, caller)
    leads = make_lead_world(streams[9], cal, people, settings.wins_per_period, truth.facts, settings.leads)
    n_deals = len(truth.outcome)
    return Company(
        export | lead_frames(streams[9], leads, n_deals), hidden | lead_truth_frames(cal, people, leads, n_deals)
    )


def _planted_quarter(rng: np.random.Generator, settings: CompanySettings) -> int | None:
    """Index of the planted shock among all quarters, burn-in included."""
    if settings.shock_quarter is None:
        return None
    if settings.shock_quarter == "drawn":
        first = settings.periods // 2
        return settings.burn_in_periods + int(rng.integers(first, max(settings.periods - 1, first + 1)))
    return settings.burn_in_periods + settings.shock_quarter - 1


def _pilot(
    rng: np.random.Generator,
    settings: CompanySettings,
    cal: Calendar,
    people: People,
    season: Floats,
    nominal: int,
) -> tuple[int, float]:
    """How many deals to create for the wanted wins, and the mean signed amount in currency.

    Runs the same process with the same people and other deals, without the shocks (nobody knows those in advance) and
    without drift, as often as needed to count enough wins; the real run is never looked at.
    """
    runs = max(1, round(PILOT_DEALS / nominal))
    wins, amounts = 0, 0.0
    for child in rng.spawn(runs):
        created = creation_times(child, cal, nominal, settings.rhythm.creation_season)
        truth = Process(child, cal, people, season, settings.deals).run(created)
        won = _won_in_run(cal, truth)
        wins += int(won.sum())
        amounts += float(amount_scale(people, truth.facts, settings.records)[won].sum())
    if wins == 0:
        raise UsageError.at(
            "simulated company",
            "the pilot run won no deal",
            expected="wins",
            remedy="raise wins_per_period or mend the deal parameters",
        )
    needed = round(nominal * runs * settings.wins_per_period * settings.periods / wins)
    return needed, amounts / wins * float(np.exp(settings.records.amount_sd**2 / 2))


def _won_in_run(cal: Calendar, truth: Truth) -> Bools:
    """Deals won after the burn-in, by number."""
    won = truth.outcome == WON
    first = cal.utc(np.array([cal.first_period_day]), np.array([0]))[0]
    return np.asarray(won & (truth.closed_at >= first), np.bool_)


def write(company: Company, out: Path) -> None:
    """Write `out/export/<table>.csv` and `out/truth/<table>.csv` with a README; existing files are replaced."""
    _write_tables(company.export, out / "export")
    write_truth(company, out)


def write_truth(company: Company, out: Path) -> None:
    """Write `out/truth/<table>.csv` with a README."""
    _write_tables(company.truth, out / "truth")
    (out / "truth" / "README.md").write_text(TRUTH_README, encoding="utf-8")


def _write_tables(frames: dict[str, pd.DataFrame], folder: Path) -> None:
    """Write one CSV file a table."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in frames.items():
        write_csv(frame, folder / f"{name}.csv")
