"""What tuning came to: the best settings held against the default where no trial was chosen, the file, the table."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from math import isnan
from pathlib import Path

import yaml

from configs.schema import Config
from configs.subject import DEALS, Subject
from configs.tuned import Candidate, Confirmed, Evidence, Margin, Member, Tuned
from configs.vocab import JudgedRows
from features.periods import instant_text
from models.base import Float, Int
from models.close import Shared
from training.cuts import close_settings, fit_on, ground_at, signs_of
from training.evaluate import DealBootstrap, row_loss
from training.prepare import Prepared
from training.tune import Trial, best
from training.tune_trial import TuneFold

HEAD = ("trial", "loss", "by period", "new", "every row", "trees", *Member.model_fields)
NOTE = (
    "# Written by `forecastle tune`. A config whose `model.tuned` names this file trains with `members`; the rest\n"
    "# says how they were found. All losses are log losses in nats a row.\n"
)


def confirm(prepared: Prepared, fold: TuneFold, chosen: Sequence[Member]) -> tuple[Confirmed, Confirmed | None]:
    """Fit the default and the average as production would at the newest inner period's start, and judge both there.

    Returns the figures on every row of the period, and on those of deals that did not train.
    """
    shared = Shared()
    default = _loss_at(prepared, fold, (), shared)
    tuned = _loss_at(prepared, fold, tuple(chosen), Shared(offsets=shared.offsets, paths=shared.paths))
    every = _confirmed(prepared.config, fold.every.deal, default, tuned)
    new = fold.new
    if not new.any():
        return every, None
    return every, _confirmed(prepared.config, fold.every.deal[new], default[new], tuned[new])


def _loss_at(prepared: Prepared, fold: TuneFold, members: tuple[Member, ...], shared: Shared) -> Float:
    config = prepared.config
    ground = ground_at(prepared, fold.cut)
    settings = close_settings(config.model, signs_of(prepared), config.seed, members)
    model, _ = fit_on(prepared, replace(ground, settings=settings), shared)
    return row_loss(fold.every.y, model.predict(fold.every.matrix))


def _confirmed(config: Config, deal: Int, default: Float, tuned: Float) -> Confirmed:
    bootstrap = DealBootstrap.of(deal, config.backtest.bootstrap, config.seed)
    gain = bootstrap.mean(default - tuned)
    above = bootstrap.mean(default - tuned - config.tuning.min_gain).above
    low, high, share = (None if isnan(value) else value for value in (gain.low, gain.high, above))
    margin = Margin(value=gain.value, low=low, high=high, above=share)
    return Confirmed(
        rows=len(deal),
        deals=bootstrap.draws.shape[1],
        default_loss=float(default.mean()),
        tuned_loss=float(tuned.mean()),
        margin=margin,
    )


def tuned_of(prepared: Prepared, folds: Sequence[TuneFold], trials: Sequence[Trial], study: str) -> Tuned:
    """Average the best settings, hold them against the default on the newest inner period, and say what came of it."""
    config = prepared.config
    kept = best(list(trials), config.tuning.keep)
    confirmed, new = confirm(prepared, folds[-1], [trial.member for trial in kept])
    beats = _beats(config, confirmed)
    default = trials[0]
    evidence = Evidence(
        study=study,
        seed=config.seed,
        trials=len(trials),
        cut=instant_text(prepared.until, config.time_zone),
        rows=config.tuning.rows,
        selected_on=tuple(fold.first for fold in folds[:-1]),
        confirmed_on=folds[-1].first,
        default=_candidate(default),
        considered=tuple(_candidate(trial) for trial in kept),
        confirmed=confirmed,
        confirmed_new=new,
    )
    members = tuple(trial.member for trial in kept) if beats else (default.member,)
    verdict = _verdict(config, len(kept), confirmed, folds[-1], beats)
    return Tuned(format=1, beats_default=beats, verdict=verdict, members=members, evidence=evidence)


def _beats(config: Config, confirmed: Confirmed) -> bool:
    """Tell whether the margin passes; without draws of deals there is only the point estimate."""
    margin, tuning = confirmed.margin, config.tuning
    sure = margin.above is None or margin.above >= tuning.confidence
    return margin.value > tuning.min_gain and sure


def _verdict(config: Config, count: int, confirmed: Confirmed, fold: TuneFold, beats: bool) -> str:
    margin = confirmed.margin
    interval = "" if margin.low is None else f" [{margin.low:+.5f}, {margin.high:+.5f}]"
    share = (
        ""
        if margin.above is None
        else f", {margin.above:.0%} of the draws of {Subject.of(config.target).many} above {config.tuning.min_gain:g}"
    )
    figure = f"{margin.value:+.5f}{interval} nats a row in the period from {fold.first}{share}"
    if beats:
        return f"the average of the best {count} beat the default by {figure}"
    return (
        f"the average of the best {count} did not beat the default: {figure}; expected more than "
        f"{config.tuning.min_gain:g} and {config.tuning.confidence:.0%}; the default is kept"
    )


def _candidate(trial: Trial) -> Candidate:
    outcome = trial.outcome
    return Candidate(
        trial=trial.number,
        loss=outcome.loss,
        loss_new=None if isnan(outcome.loss_new) else outcome.loss_new,
        loss_every=outcome.loss_every,
        fold_losses=outcome.fold_losses,
        rounds=outcome.rounds,
        settings=trial.member,
    )


def write_tuned(path: Path, tuned: Tuned) -> None:
    """Write the file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".half")
    text = yaml.safe_dump(tuned.model_dump(mode="json"), sort_keys=False, width=120)
    with half.open("w", encoding="utf-8") as out:
        out.write(NOTE + text)
        out.flush()
        os.fsync(out.fileno())
    half.replace(path)


def tuned_table(tuned: Tuned, words: Subject = DEALS) -> str:
    """Return what was considered and what came of it as aligned text."""
    evidence = tuned.evidence
    if evidence is None:
        return tuned.verdict
    head = tuple(f"new {words.many}" if cell == "new" else cell for cell in HEAD)
    rows = [head, _cells("default", evidence.default), *(_cells(str(c.trial), c) for c in evidence.considered)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    chosen_on = ", ".join(map(str, evidence.selected_on))
    what = f"new {words.many}" if evidence.rows == JudgedRows.NEW else "every row"
    about = f"{evidence.trials} trials, chosen on {what} of the periods from {chosen_on}; nothing after {evidence.cut}"
    told = [_line("every row", evidence.confirmed, words)]
    if evidence.confirmed_new is not None:
        told.append(_line(f"rows of new {words.many}", evidence.confirmed_new, words))
    confirm_head = f"the period from {evidence.confirmed_on}, on which no trial was chosen:"
    return "\n".join([about, *lines, confirm_head, *told, tuned.verdict])


def _cells(name: str, candidate: Candidate) -> tuple[str, ...]:
    by_period = " ".join(f"{loss:.4f}" for loss in candidate.fold_losses)
    settings = (f"{value:.4g}" for value in candidate.settings.model_dump().values())
    new = "" if candidate.loss_new is None else f"{candidate.loss_new:.5f}"
    losses = (f"{candidate.loss:.5f}", by_period, new, f"{candidate.loss_every:.5f}")
    return (name, *losses, str(candidate.rounds), *settings)


def _line(what: str, confirmed: Confirmed, words: Subject) -> str:
    margin = confirmed.margin
    interval = "" if margin.low is None else f" [{margin.low:+.5f}, {margin.high:+.5f}]"
    return (
        f"  {what}: {confirmed.rows:,} of {confirmed.deals:,} {words.many}; default {confirmed.default_loss:.5f}, "
        f"average {confirmed.tuned_loss:.5f}, gained {margin.value:+.5f}{interval}"
    )
