"""The deals behind a bar of the bridge: their moves add up to it, to the cent."""

from __future__ import annotations

from starlette.responses import Response

from configs.errors import NotFoundError
from serving.bridge import PARTS
from serving.pages.look import NOTHING, look_of
from serving.pages.visit import Visit
from serving.pages.waterfall import TITLES
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
        found = bridge_of(connection, visit.principal, look.start, look.as_of, look.node)
        if found is None:
            raise NotFoundError(NOTHING)
        moves = [move for move in found.moves if move.part == part]
        begin = (max(page, 1) - 1) * AT_ONCE
        listed = moves[begin : begin + AT_ONCE]
        names = names_of(connection, [one.deal_id for one in listed], [one.state.owner_id for one in listed])
    title, meaning = TITLES[part]
    return visit.page(
        "forecast_moves.html.j2",
        look=look,
        part=part,
        title=title,
        meaning=meaning,
        total=sum(move.cents for move in moves),
        count=len(moves),
        moves=listed,
        begin=begin,
        names=names,
        page=max(page, 1),
        pages=max(-(-len(moves) // AT_ONCE), 1),
    )
