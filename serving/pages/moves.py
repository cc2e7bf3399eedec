"""The deals behind a bar of the bridge: their moves add up to it, to the cent."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection
from starlette.responses import Response

from configs.errors import NotFoundError
from serving.bridge import PARTS, Part
from serving.pages.look import NOTHING, Look, look_of
from serving.pages.visit import Visit
from serving.pages.waterfall import TITLES
from serving.store.bridges import MOST_KEPT, Moved, kept_moves, kept_parts, moved_in
from serving.store.deal_list import names_of
from serving.store.moves import bridge_of

AT_ONCE = 100


def shown(visit: Visit) -> Response:
    """Show the deals of one part, the largest move first, a page at a time."""
    part = visit.query.get("part", "")
    if part not in PARTS:
        raise NotFoundError(NOTHING)
    page = int(given) if (given := visit.query.get("page", "1")).isascii() and given.isdigit() and len(given) < 7 else 1
    with visit.reading() as connection:
        look = look_of(visit, connection)
        if look is None or look.start is None:
            raise NotFoundError(NOTHING)
        begin = (max(page, 1) - 1) * AT_ONCE
        found = _found(visit, connection, look, part, begin)
        if found is None:
            raise NotFoundError(NOTHING)
        whole, listed = found
        names = names_of(connection, [one.deal_id for one in listed], [one.owner_id for one in listed])
    title, meaning = TITLES[part]
    return visit.page(
        "forecast_moves.html.j2",
        look=look,
        part=part,
        title=title,
        meaning=meaning,
        whole=whole,
        moves=listed,
        names=names,
        page=max(page, 1),
        pages=max(-(-whole.deals // AT_ONCE), 1),
    )


def _found(
    visit: Visit, connection: Connection, look: Look, part: str, begin: int
) -> tuple[Part, Sequence[Moved]] | None:
    """Return a part and its moves from one on; what a refresh worked out beforehand where that will do."""
    start, end, until = look.start, look.as_of, begin + AT_ONCE
    if start is None:
        return None
    if look.node is not None and until <= MOST_KEPT:
        kept = kept_parts(connection, visit.principal, start, end, look.node)
        if kept is not None:
            whole, listed = kept[PARTS.index(part)], kept_moves(connection, end, look.node, part)
            if len(listed) >= min(whole.deals, until):  # those of earlier forecasts are not kept
                return whole, listed[begin:until]
    found = bridge_of(connection, visit.principal, start, end, look.node)
    return None if found is None else (found.parts[PARTS.index(part)], moved_in(found, part)[begin:until])
