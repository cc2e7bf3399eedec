"""A backtest made into a report: the figures, and the files that hold them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from configs.load import config_hash, mapping_of
from configs.subject import Subject
from configs.vocab import Target
from features.periods import instant_text
from models.baselines import BASELINES, lacking
from training.backtest import REFERENCES, Tested, compare, skill
from training.gates import Verdict
from training.lead_scores import lead_figures
from training.lead_section import lead_notes
from training.prepare import Prepared
from training.rep_id import ONE_SEED
from training.report_data import Report as Report
from training.report_data import (
    brier_skills,
    floor_of,
    headline,
    look_at,
    reliability,
    standings,
    weights_of,
)
from training.report_parts import parts_of, periods_or_ages, shown
from training.report_text import chosen_text
from training.report_text import group_table as group_table
from training.report_text import markdown as markdown
from training.report_text import text_table as text_table
from training.sections import Section


def report_of(
    prepared: Prepared, tested: Tested, title: str, verdicts: list[Verdict], sections: Sequence[Section] = ()
) -> Report:
    """Score a backtest along every line. sections: what other heads say of themselves."""
    config = prepared.config
    draws, seed = config.backtest.bootstrap, config.seed
    table = compare(tested, draws, seed)
    stands = standings(table, tested)
    look = look_at(prepared, tested)
    return Report(
        title,
        table,
        skill(table),
        periods_or_ages(prepared, tested),
        reliability(tested, draws, seed),
        _notes(prepared, tested),
        verdicts,
        headline=headline(prepared, tested, stands, draws, seed),
        standings=stands,
        brier_skill=brier_skills(tested, draws, seed),
        parts=shown(parts_of(prepared, tested)),
        floor=floor_of(prepared, tested),
        factors=weights_of(look) if look is not None else [],
        sections=list(sections),
        about=about(prepared),
        leads=lead_figures(prepared, tested),
        look=look,
        words=Subject.of(config.target),
    )


def about(prepared: Prepared) -> dict[str, str]:
    """Return what the figures were made of: config, fingerprints, versions."""
    config = prepared.config
    return {
        "config": config.name,
        "config SHA-256": config_hash(config, mapping_of(config)),
        "seed": str(config.seed),
        "target": str(config.target),
        "time zone": config.time_zone,
        "data known before": instant_text(prepared.until, config.time_zone),
        "rows": f"{len(prepared.examples):,}",
        "features": f"{len(prepared.plan.names)}",
        "features SHA-256": prepared.plan.fingerprint(),
        **{name: version(name) for name in ("forecastle", "lightgbm", "numpy", "scikit-learn")},
    }


def _notes(prepared: Prepared, tested: Tested) -> list[str]:
    config = prepared.config
    embargo, words = config.backtest.embargo_days, Subject.of(config.target)
    notes = [
        f"{len(tested.folds)} fold(s); {len(tested.y):,} test rows of {len(np.unique(tested.deal)):,} {words.many}; "
        f"intervals from {config.backtest.bootstrap} draws of whole {words.many}",
        "purged: every label window of a training row ends by its cut; "
        + (
            f"embargo: rows of the last {embargo} days before a cut do not train"
            if embargo
            else "no embargo, as in use"
        ),
    ]
    for fold, chosen in zip(tested.folds, tested.notes, strict=True):
        notes.append(
            f"{fold.name}: trained on {int(fold.train.sum()):,} rows told before the cut; {chosen_text(chosen, words)}"
        )
    for name, fact in lacking(prepared.facts, BASELINES).items():
        notes.append(f"{name} is not in the table: no row of the record has a {fact}")
    if prepared.became is not None:
        notes += lead_notes(prepared)
    if any(name in REFERENCES for name in tested.p):
        notes.append(
            f"references are never shipped and no gate asks about them; {ONE_SEED} is the close model's first seed "
            "alone, and what is gained over the others is gained by it, since they have one seed too"
        )
    if config.target == Target.EVENTUAL:
        notes += _left_out(prepared, tested)
    return notes


def _left_out(prepared: Prepared, tested: Tested) -> list[str]:
    """Say how many deals of the test could not be judged: begun after the cut, still open at the record's end."""
    cut = tested.folds[0].cut
    created = np.asarray(prepared.record.deals.columns["created_at"], dtype=np.int64)
    outcome = prepared.record.timelines["history"]
    closed = np.zeros(len(created), dtype=bool)
    closed[outcome.entity[outcome.mask("closed")]] = True
    begun = created > cut
    never_open = begun & closed & ~np.isin(np.arange(len(created)), tested.deal)
    return [
        f"{int(begun.sum()):,} deals begun after the cut; {int((begun & ~closed).sum()):,} of them are unresolved "
        f"at the end of the record and left out; {int(never_open.sum()):,} closed before the first age, so that no row "
        "of them is tested",
        f"training labels: {prepared.config.training.eligibility}",
    ]


def page_possible() -> bool:
    """Whether the libraries of the page are there: the extra `report`, which training does without."""
    return all(find_spec(name) is not None for name in ("jinja2", "matplotlib"))


def write(folder: Path, reports: Sequence[Report], tested: Tested, prepared: Prepared) -> None:
    """Write backtest.html, the same as backtest.json, the plain backtest.md, and predictions.parquet.

    The last has one row per tested row: every model's probability, and the columns of other heads. Where the page's
    libraries are missing, it is left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if page_possible():
        from training.report_html import page

        (folder / "backtest.html").write_text(page(reports), encoding="utf-8")
    (folder / "backtest.json").write_text(json.dumps([r.to_json() for r in reports], indent=1, allow_nan=False) + "\n")
    (folder / "backtest.md").write_text(markdown(reports), encoding="utf-8")
    frame = pd.DataFrame(
        {
            "deal_id": [prepared.record.deal_ids.decode(int(deal)) for deal in tested.deal],
            "as_of": pd.to_datetime(tested.as_of, unit="us", utc=True),
            "fold": [tested.folds[k].name for k in tested.fold],
            "won": tested.y.astype(np.int64),
            **{f"p_{name}": p for name, p in tested.p.items()},
            **tested.extra,
        }
    )
    frame.to_parquet(folder / "predictions.parquet", index=False)
