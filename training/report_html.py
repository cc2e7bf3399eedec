"""The report as one page: no script, no request, every word of a CRM escaped; see `report.html.j2`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jinja2
from markupsafe import Markup

from models.baselines import STAGE_TIME
from training import charts, report_shap
from training.gates import passed
from training.report_data import Parts, Report
from training.report_text import sections_of
from training.sections import Section

TEMPLATE = "report.html.j2"


@dataclass(frozen=True)
class Block:
    """A section as the page shows it. id: unique on the page. chart: SVG, or "". image: a data URI, or ""."""

    id: str
    section: Section
    chart: Markup
    image: str


@dataclass(frozen=True)
class Chapter:
    """A report as the page shows it."""

    id: str
    report: Report
    blocks: list[Block]
    passed: bool | None


def page(reports: Sequence[Report]) -> str:
    """Return the whole page."""
    loader = jinja2.PackageLoader("training", "")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    chapters = [_chapter(report, f"r{k}") for k, report in enumerate(reports, start=1)]
    return environment.get_template(TEMPLATE).render(chapters=chapters, strong=STAGE_TIME)


def _chapter(report: Report, name: str) -> Chapter:
    blocks = []
    for k, section in enumerate(sections_of(report)):
        here = f"{name}-{k}"
        image = _swarm(section, report)
        if section.key == "factors" and not image:
            section = _with_note(section, report_shap.MISSING)
        # Markup: the SVG is made by `charts`, which escapes its label; all else is escaped by the template.
        blocks.append(Block(here, section, Markup(_chart(section, report, here)), image))  # noqa: S704
    good = passed(report.verdicts) if report.verdicts else None
    return Chapter(name, report, blocks, good)


def _swarm(section: Section, report: Report) -> str:
    if section.key != "factors" or report.look is None or not report_shap.available():
        return ""
    return report_shap.beeswarm(report.look)


def _with_note(section: Section, note: str) -> Section:
    return Section(section.key, section.title, section.head, section.rows, (*section.notes, note), section.chart)


def _chart(section: Section, report: Report, name: str) -> str:
    if section.chart is not None:
        return charts.lines_chart(section.chart, name)
    if section.key == "models":
        gains = [(row.name, row.gain) for row in report.table if row.gain is not None and not row.reference]
        return charts.gains_chart(gains, name) if gains else ""
    if section.key == "reliability":
        return charts.reliability_chart(report.bins, name, report.words.won)
    if section.key == "floor" and report.floor is not None and len(report.floor.weeks) > 1:
        return charts.floor_chart(report.floor, name)
    parts = [*report.parts, Parts("", "", report.slices)]
    found = next((p for p in parts if section.key in (f"part.{p.key}", "slices" if not p.key else "")), None)
    return charts.slices_chart(found.slices, name) if found is not None and len(found.slices) > 1 else ""
