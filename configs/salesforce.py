"""The schema of a Salesforce mapping: what is your own org's among objects, columns, words and sales processes.

Objects and columns have their API names unless the mapping says otherwise; case and underscores don't matter, so that
``OpportunityHistory.csv`` and ``opportunity_history.csv`` are the same, as are ``CreatedDate`` and ``created_date``.
"""

from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import Field, model_validator

from configs.base import Distinct, Strict, refuse
from configs.mapping import Categories, Mapping, Name, ObjectFile, Words, fold
from configs.vocab import ActivityKind, ContactField, DealField, Direction, ForecastCategory, SalesforceObject

CurrencyCode = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]

SALESFORCE_WORDS = {
    "forecast": ForecastCategory.COMMIT,  # OpportunityHistory's word for Commit
    "mostlikely": ForecastCategory.BEST_CASE,
}


class SalesforceCategories(Categories):
    """Forecast categories; what Salesforce itself says is known: Forecast is commit, Most Likely is best case."""

    def index(self) -> dict[str, ForecastCategory]:
        """Return folded source word -> category; the mapping's own words come first."""
        return {**SALESFORCE_WORDS, **super().index()}


class TaskRule(Strict):
    """What a Task of one Type is to us."""

    kind: ActivityKind = Field(description="what it is to us")
    direction: Direction = Field(
        default=Direction.OUTBOUND, description="who acted: inbound is the buyer, outbound is us, mutual is both"
    )
    outcome: str | None = Field(default=None, min_length=1, description="outcome once it is done")


class Process(Strict):
    """A further sales process with its own stages."""

    name: Name = Field(description="name of the process; put before the name of a stage that another process has too")
    record_types: Words = Field(
        default=(),
        description="ids or names of the record types that follow it; without any its stages are recognised by name",
    )
    order: Annotated[Words, Field(min_length=1)] = Field(description="open stages from first to last")
    won: Words = Field(default=(), description="stages that mean won, besides stages.won")
    lost: Words = Field(default=(), description="stages that mean lost, besides stages.lost")


class Currency(Strict):
    """One currency for all amounts."""

    base: CurrencyCode = Field(description="ISO code of the currency that amounts are turned into")
    rates: dict[CurrencyCode, Annotated[float, Field(gt=0, le=1e9)]] = Field(
        default_factory=dict, description="ISO code -> units of the base currency for one unit; the same on every day"
    )


class SalesforceMapping(Mapping):
    """Mapping of the kind ``salesforce``. ``attributes`` name columns of Opportunity that never change."""

    categories: SalesforceCategories = Field(
        default_factory=SalesforceCategories, description="the source's forecast categories"
    )
    processes: tuple[Process, ...] = Field(default=(), description="further sales processes")
    objects: dict[SalesforceObject, ObjectFile] = Field(
        default_factory=dict, description="objects whose file or columns have other names"
    )
    task_types: dict[Name, TaskRule] = Field(
        default_factory=dict,
        description="Task.Type -> what it is to us, where TaskSubtype says neither Call nor Email; a Task of another "
        "type is no activity, and counted",
    )
    fixed_deal_fields: Annotated[tuple[DealField, ...], Distinct] = Field(
        default=(), description="Type and LeadSource of opportunities, where they never change after creation"
    )
    fixed_contact_fields: Annotated[tuple[ContactField, ...], Distinct] = Field(
        default=(),
        description="role (of OpportunityContactRole) and seniority (a column of Contact that the mapping names), "
        "where they never change; the export holds their current values only",
    )
    currency: Currency | None = Field(default=None, description="needed where amounts are in several currencies")

    def index_of_types(self) -> dict[str, TaskRule]:
        """Return folded Task.Type -> rule."""
        return {fold(name): rule for name, rule in self.task_types.items()}

    def stage_names(self) -> tuple[dict[str, str], ...]:
        """Return source stage -> our name for the main process, then for each further one.

        A stage that an earlier process has too is called ``process: Stage``; won and lost keep their names.
        """
        won, lost = self.closing_stages()
        taken = {*self.stages.order, *won, *lost}
        names = [{stage: stage for stage in self.stages.order}]
        for process in self.processes:
            names.append({stage: f"{process.name}: {stage}" if stage in taken else stage for stage in process.order})
            taken |= {*process.order}
        return tuple(names)

    def stage_orders(self) -> tuple[tuple[str, ...], ...]:
        """Return the open stages of each process, in our names."""
        return tuple(tuple(names.values()) for names in self.stage_names())

    def closing_stages(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the won and the lost stages of all processes."""
        won = [*self.stages.won, *(stage for process in self.processes for stage in process.won)]
        lost = [*self.stages.lost, *(stage for process in self.processes for stage in process.lost)]
        return tuple(dict.fromkeys(won)), tuple(dict.fromkeys(lost))

    @model_validator(mode="after")
    def _processes_agree(self) -> Self:
        for got, expected in self._contradictions():
            refuse("repeated", got=got, expected=expected, field="processes")
        return self

    def _contradictions(self) -> Iterator[tuple[str, str]]:
        """What is said twice: stages, names and record types."""
        won, lost = self.closing_stages()
        opened = [self.stages.order, *(process.order for process in self.processes)]
        pairs = [(won, lost, "won and lost"), *((order, (*won, *lost), "open and closed") for order in opened)]
        for these, those, words in pairs:
            if both := sorted(set(these) & set(those)):
                yield f"{', '.join(both)} {words}", "each stage as one of them"
        seen = set(self.stages.order)
        for process in self.processes:
            if not process.record_types and (both := sorted(seen & set(process.order))):
                yield f"{', '.join(both)} again in {process.name!r}", "record_types, or stages of its own"
            seen |= set(process.order)
        for what, named in (
            ("process", [process.name for process in self.processes]),
            ("record type", [word for process in self.processes for word in process.record_types]),
        ):
            if twice := sorted({word for word in named if named.count(word) > 1}):
                yield f"the {what} {', '.join(twice)} twice", f"each {what} once"
