"""The oracle's other half: what other deals, quotas and calls say about a deal's rep, team, account, stage and call."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import exp, log, log1p, nan

from tests.features.oracle import DAY, SECOND, Deal, Known, Row, logit, share, steps

MONTH = 30 * 86_400
ACCOUNT_FIELDS = ("industry", "size", "region")


@dataclass(frozen=True)
class Close:
    """A won or lost episode. Instants in microseconds, spans in whole seconds, `log_amount` in millionths."""

    known_at: int
    won: bool
    deal: Row
    owner: str | None
    called: frozenset[int]
    pushes: int
    cycle_s: int
    delays: tuple[int, ...]
    share_ppm: int
    log_amount: int | None
    cents: int
    buyer_s: int
    buyer_gaps: int
    outbound: int
    edits: int
    spent: dict[int, int]
    left: dict[int, int]


def values(known: Known, deal_id: str) -> dict[str, float]:
    """Every feature of a deal."""
    deal = Deal(known, deal_id)
    closes, surplus, misses = _past(known)
    past = Past(known, deal, closes)
    return deal.told() | past.norms() | past.history() | past.habits(surplus) | past.targets(misses)


def _past(known: Known) -> tuple[list[Close], dict[str, tuple[int, int]], dict[str, list[int]]]:
    """What is the same for every deal asked about at one instant."""
    if not known.memory:
        closes = [close for rows in known.history.values() for close in closes_of(known, rows)]
        known.memory["past"] = (closes, surplus_of(known), misses_of(known, closes))
    return known.memory["past"]  # type: ignore[no-any-return]


def closes_of(known: Known, rows: list[Row]) -> Iterable[Close]:
    """Every close of a deal: its first won or lost row after being open."""
    for i, end in enumerate(rows):
        first_closed = end["outcome"] != "open" and (i == 0 or rows[i - 1]["outcome"] == "open")
        if first_closed and end["outcome"] != "merged":
            yield _close(known, rows, end)


def _close(known: Known, rows: list[Row], end: Row) -> Close:
    at, deal = end["known_at"], known.deals[end["deal_id"]]
    before = [row for row in rows if row["known_at"] < at]
    closed = [i for i, row in enumerate(before) if row["outcome"] != "open"]
    episode = before[closed[-1] + 1 :] if closed else before
    acts = [act for act in known.acts.get(end["deal_id"], []) if act["known_at"] < at]
    happened = [act["occurred_at"] for act in acts if act["buyer"]]
    amount = end["amount"]
    period = known.world.period(at)
    start, over = known.world.starts[period], known.world.starts[period + 1]
    spent: dict[int, int] = {}
    left: dict[int, int] = {}
    for i, row in enumerate(episode):
        until = episode[i + 1]["known_at"] if i + 1 < len(episode) else at
        if row["rank"] is not None:
            spent[row["rank"]] = spent.get(row["rank"], 0) + (until - row["known_at"]) // SECOND
            left.setdefault(row["rank"], (at - row["known_at"]) // SECOND)
    return Close(
        known_at=at,
        won=end["outcome"] == "won",
        deal=deal,
        owner=before[-1]["owner_id"] if before else end["owner_id"],
        called=frozenset(row["call"] for row in before if row["outcome"] == "open" and row["call"] is not None),
        pushes=sum(b > a for row, a, b in steps(before, "close_date")),
        cycle_s=max(at - deal["created_at"], 0) // SECOND,
        delays=tuple(max(act["known_at"] - act["occurred_at"], 0) // SECOND for act in acts if act["done"]),
        share_ppm=(at - start) // ((over - start) // 1_000_000),
        log_amount=int(log(amount / 100) * 1e6) if amount and amount > 0 else None,
        cents=amount if amount and amount > 0 else 0,
        buyer_s=max(max(happened) - happened[0], 0) // SECOND if len(happened) > 1 else 0,
        buyer_gaps=max(len(happened) - 1, 0),
        outbound=sum(act["out"] for act in acts),
        edits=sum(row["mine"] for row in before),
        spent=spent,
        left=left,
    )


def surplus_of(known: Known) -> dict[str, tuple[int, int]]:
    """By rep: (wins, expected wins in millionths) of all looks at open deals in periods that are over."""
    world = known.world
    looks: list[tuple[str | None, bool, int, tuple[int, int, int | None], int | None]] = []
    first = min((row["known_at"] for rows in known.history.values() for row in rows), default=known.as_of)
    for period in range(world.period(first), world.period(known.as_of)):
        start, over = world.starts[period], world.starts[period + 1]
        for turn in range(3):
            instant = start + (over - start) * turn // 3
            for rows in known.history.values():
                seen = [row for row in rows if row["known_at"] < instant]
                later = [row for row in rows if instant <= row["known_at"] < over and row["outcome"] != "open"]
                end = later[0]["outcome"] if later else None
                if not seen or seen[-1]["outcome"] != "open" or end == "merged":
                    continue
                now = seen[-1]
                looks.append((now["owner_id"], end == "won", over, (period, turn, now["rank"]), now["call"]))
    found: dict[str, tuple[int, int]] = {}
    coarse: dict[object, list[bool]] = {}
    fine: dict[object, list[bool]] = {}
    for _, won, _, cell, call in looks:
        coarse.setdefault(cell, []).append(won)
        fine.setdefault((cell, call), []).append(won)
    for owner, won, _, cell, call in looks:
        stage, alike = coarse[cell], fine[cell, call]
        expected = (sum(alike) + 10 * sum(stage) / len(stage)) / (len(alike) + 10)
        if owner is not None:
            wins, hoped = found.get(owner, (0, 0))
            found[owner] = (wins + won, hoped + round(expected * 1e6))
    return found


def misses_of(known: Known, closes: list[Close]) -> dict[str, list[int]]:
    """By rep: log(won / called early) of each period that is over, less the period's lower median, in millionths."""
    world = known.world
    called: dict[tuple[str, int], dict[int, tuple[int, int]]] = {}
    for call in known.rows["calls"]:
        period = world.period(call["submitted_at"])
        start, over = world.starts[period], world.starts[period + 1]
        early = call["submitted_at"] - start < (over - start) * 0.3
        if _commit(known, call, period) and early and over <= known.as_of:
            said = called.setdefault((call["rep_id"], period), {})
            said[call["period_start"]] = max(
                said.get(call["period_start"], (0, 0)), (call["submitted_at"], call["amount"])
            )
    by_period: dict[int, dict[str, int]] = {}
    for (rep, period), said in called.items():
        cents = sum(amount for _, amount in said.values())
        won = sum(c.cents for c in closes if c.won and c.owner == rep and world.period(c.known_at) == period)
        if cents > 0:
            by_period.setdefault(period, {})[rep] = round(min(max(log(max(won, 1) / cents), -2.0), 2.0) * 1e6)
    found: dict[str, list[int]] = {}
    for missed in by_period.values():
        usual = sorted(missed.values())[(len(missed) - 1) // 2]
        for rep, value in missed.items():
            found.setdefault(rep, []).append(value - usual)
    return found


def _commit(known: Known, call: Row, period: int) -> bool:
    return bool(call["category"] == "commit" and known.world.period_of_day(call["period_start"]) == period)


class Past:
    """A deal beside what was closed before."""

    def __init__(self, known: Known, deal: Deal, closes: list[Close]) -> None:
        self.known, self.deal, self.closes, self.m = known, deal, closes, known.world.shrink
        self.rep: str | None = deal.last["owner_id"]
        self.rank: int | None = deal.last["rank"]
        self.call: int | None = deal.last["call"]
        self.account = deal.fixed["account_id"] if deal.fixed else None
        self.teams = {row["rep_id"]: row["team"] or row["manager_id"] for row in known.rows["reps"] if row["rep_id"]}
        self.team = self.teams.get(self.rep) if self.rep else None
        self.base = (self.won(closes) + 1) / (len(closes) + 4)
        self.of_rep = [c for c in closes if c.owner is not None and c.owner == self.rep]
        self.of_team = [c for c in closes if self.team and self.teams.get(c.owner or "") == self.team]
        self.of_account = [c for c in closes if self.account and c.deal["account_id"] == self.account]

    @staticmethod
    def won(closes: list[Close]) -> int:
        return sum(c.won for c in closes)

    def rate(self, closes: list[Close], parent: float, m: float | None = None) -> float:
        m = self.m if m is None else m
        return (self.won(closes) + m * parent) / (len(closes) + m)

    def in_stage(self, closes: list[Close]) -> list[Close]:
        return [c for c in closes if self.rank is not None and self.rank in c.spent]

    def so_called(self, closes: list[Close]) -> list[Close]:
        return [c for c in closes if self.call is not None and self.call in c.called]

    def norms(self) -> dict[str, float]:
        deal, world = self.deal, self.known.world
        here = [c for c in self.in_stage(self.closes) if c.won]
        time = deal.in_stage
        spent = share(sum(c.spent[self.rank] for c in here), len(here)) / 86_400  # type: ignore[index]
        left = share(sum(c.left[self.rank] for c in here), len(here)) / 86_400  # type: ignore[index]
        to_end = (world.starts[world.period(self.known.as_of) + 1] - self.known.as_of) / DAY
        unknown = time if time != time else 0.0
        stage_rate = self.rate(self.in_stage(self.closes), self.base)
        call_rate = self.rate(self.so_called(self.closes), self.base)
        return {
            "stage_time_vs_won": log1p(max(time, 0)) - log1p(spent) if here and time == time else unknown,
            "time_left_vs_won": log1p(to_end) - log1p(max(left - time, 0)) if here and time == time else unknown,
            "silence_surprise": self._silence(),
            "category_vs_stage": logit(call_rate) - logit(stage_rate),
            **self._amounts(),
        }

    def _silence(self) -> float:
        won = [c for c in self.closes if c.won]
        gaps = sum(c.buyer_gaps for c in won)
        usual = sum(c.buyer_s for c in won) / gaps / 86_400 if gaps else 30.0
        happened = [act["occurred_at"] for act in self.deal.acts if act["buyer"]]
        silent = self.deal.days(max(happened)) if happened else self.deal.days_open
        own = max(max(happened) - happened[0], 0) / DAY if len(happened) > 1 else 0.0
        gap = (own + 3 * usual) / (max(len(happened) - 1, 0) + 3)
        return silent if silent != silent else max(silent, 0.0) / max(gap, 1 / 24)

    def _amounts(self) -> dict[str, float]:
        cents = self.deal.last["amount"]
        company, rep = (
            [c.log_amount / 1e6 for c in closes if c.won and c.log_amount is not None]
            for closes in (self.closes, self.of_rep)
        )
        if not cents or cents <= 0:
            return {"amount_vs_won": nan, "amount_vs_rep": nan}
        if not company:
            return {"amount_vs_won": 0.0, "amount_vs_rep": 0.0}
        mean = sum(company) / len(company)
        own = (sum(rep) + self.m * mean) / (len(rep) + self.m)
        return {"amount_vs_won": log(cents / 100) - mean, "amount_vs_rep": log(cents / 100) - own}

    def history(self) -> dict[str, float]:
        team = self.rate(self.of_team, self.base)
        base = logit(self.base)
        wins = [c.known_at for c in self.of_account if c.won]
        found = {
            "rep_lift": logit(self.rate(self.of_rep, team)) - base,
            "team_lift": logit(team) - base,
            "account_lift": logit(self.rate(self.of_account, self.base, self.m / 4)) - base,
            "account_wins": len(wins),
            "days_since_account_win": self.deal.days(max(wins, default=None)),
            "account_open_deals": sum(
                self.account is not None and self.known.deals[row["deal_id"]]["account_id"] == self.account
                for row in self._open()
            ),
        }
        for name in self.known.world.schema.dimensions:
            mine = self._dimension(self.deal.fixed, name)
            alike = [c for c in self.closes if mine is not None and self._dimension(c.deal, name) == mine]
            found[f"{name}_lift"] = logit(self.rate(alike, self.base)) - base
            if name == "type":
                found |= self._of_type(alike, base)
        return found

    def _of_type(self, alike: list[Close], base: float) -> dict[str, float]:
        """Closes of this deal's type that passed its stage against all that did."""
        everyone, here = self.in_stage(self.closes), self.in_stage(alike)
        stage = self.rate(everyone, self.base)
        moved = logit(stage) + logit(self.rate(alike, self.base)) - base
        cell = self.rate(here, 1 / (1 + exp(-moved)))
        day = 86_400
        usual = max(sum(c.left[self.rank] for c in everyone) / len(everyone), day) if everyone else day
        own = (sum(c.left[self.rank] for c in here) + self.m * usual) / (len(here) + self.m)
        return {"type_stage_lift": logit(cell) - logit(stage), "type_stage_pace": log(max(own, day) / usual)}

    def _open(self) -> list[Row]:
        """The last row of every deal that is open."""
        return [rows[-1] for rows in self.known.history.values() if rows[-1]["outcome"] == "open"]

    def _dimension(self, deal: Row | None, name: str) -> str | None:
        if deal is None or name in deal:
            return None if deal is None else deal[name]
        account = self.known.accounts.get(deal["account_id"])
        return account[name] if name in ACCOUNT_FIELDS and account else None

    def habits(self, surplus: dict[str, tuple[int, int]]) -> dict[str, float]:
        in_stage = self.rate(self.in_stage(self.closes), self.base)
        called = self.rate(self.so_called(self.closes), self.base)
        wins, hoped = surplus.get(self.rep or "", (0, 0))
        weight = self.m * 0.25
        won, lost = (
            [[c for c in closes if c.won is w] for closes in (self.of_rep, self.closes)] for w in (True, False)
        )
        every = [self.of_rep, self.closes]
        days = 86_400.0
        return {
            "rep_stage_lift": logit(self.rate(self.in_stage(self.of_rep), in_stage)) - logit(in_stage),
            "rep_category_lift": logit(self.rate(self.so_called(self.of_rep), called)) - logit(called),
            "rep_surplus": log(wins + weight) - log(hoped / 1e6 + weight),
            "rep_pushes": self._above([[c.pushes for c in closes] for closes in every]),
            "rep_log_delay": self._above([[d for c in closes for d in c.delays] for closes in every]) / days,
            "rep_close_share": self._above([[c.share_ppm for c in closes] for closes in won]) / 1e6,
            "rep_cycle": self._above([[c.cycle_s for c in closes] for closes in won]) / days,
            "rep_loss_cycle": self._above([[c.cycle_s for c in closes] for closes in lost]) / days,
            "rep_outbound": self._per_month([c.outbound for c in self.of_rep], [c.outbound for c in self.closes]),
            "rep_edits": self._per_month([c.edits for c in self.of_rep], [c.edits for c in self.closes]),
        }

    def _above(self, rep_and_company: list[list[int]]) -> float:
        rep, company = rep_and_company
        if not company:
            return 0.0
        mean = sum(company) / len(company)
        return (sum(rep) + self.m * mean) / (len(rep) + self.m) - mean

    def _per_month(self, rep: list[int], company: list[int]) -> float:
        ours, everyone = (sum(c.cycle_s for c in closes) / MONTH for closes in (self.of_rep, self.closes))
        if not everyone:
            return 0.0
        mean = sum(company) / everyone
        return (sum(rep) + self.m * mean) / (ours + self.m) - mean

    def targets(self, misses: dict[str, list[int]]) -> dict[str, float]:
        known, world, rep = self.known, self.known.world, self.rep
        now = world.period(known.as_of)
        held = [
            row["known_at"] for rows in known.history.values() for row in rows
            if rep and row["outcome"] == "open" and row["owner_id"] == rep
        ]  # fmt: skip
        calls: dict[int, tuple[int, int]] = {}
        for call in known.rows["calls"]:
            day, said = call["period_start"], (call["submitted_at"], call["amount"])
            if rep and call["rep_id"] == rep and world.period(said[0]) == now and _commit(known, call, now):
                calls[day] = max(calls.get(day, said), said)
        called = sum(cents for _, cents in calls.values()) if calls else nan
        missed = misses.get(rep or "", [])
        return {
            "rep_open_deals": sum(rep is not None and row["owner_id"] == rep for row in self._open()),
            "rep_tenure_days": min(self.deal.days(min(held)), 182.0) if held else 0.0,
            "rep_attainment": self._attained(self.of_rep, lambda name: name == rep),
            "team_attainment": self._attained(
                self.of_team, lambda name: bool(self.team) and self.teams.get(name) == self.team
            ),
            "rep_call_vs_quota": share(called, self._quota(lambda name: name == rep)),
            "rep_call_miss": sum(missed) / 1e6 / (len(missed) + 4),
        }

    def _quota(self, whose) -> int:  # type: ignore[no-untyped-def]
        world, now = self.known.world, self.known.world.period(self.known.as_of)
        return sum(
            row["amount"] for row in self.known.rows["quotas"]
            if row["rep_id"] and row["amount"] is not None and whose(row["rep_id"])
            and world.period_of_day(row["period_start"]) == now and world.period(row["known_at"]) == now
        )  # fmt: skip

    def _attained(self, closes: list[Close], whose) -> float:  # type: ignore[no-untyped-def]
        now = self.known.world.period(self.known.as_of)
        won = sum(c.cents for c in closes if c.won and self.known.world.period(c.known_at) == now)
        return share(won, self._quota(whose))
