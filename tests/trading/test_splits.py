"""Shares that were split, and traded before anybody knew of it: what they earned is what the fills say."""

from decimal import Decimal

from gambler_ai.domain.orders import OrderStatus, Role, Side, Wish
from gambler_ai.domain.sightings import facts_of_sighting
from gambler_ai.paper_exchange.lab_trading import corporate_action
from tests.trading.rig import RESTING, Rig

SOLD = Wish("AAA", Side.SELL, Decimal(4), Role.EXIT)


def split_in_two(rig: Rig) -> None:
    corporate_action(rig.exchange, {"type": "split", "symbol": "AAA", "ratio": "2"})


def the_position_is_right(rig: Rig) -> None:
    """Ten shares at their price became twenty at half of it, and four of those were sold."""
    bought, sold = (Decimal(e["price"]) for e in rig.exchange.truth()["executions"])
    (position,) = rig.state.book.open_positions()
    assert (position.owner, position.quantity, position.entry_price) == ("alpha", Decimal(16), bought / 2)
    assert position.pnl == 4 * (sold - bought / 2)


def test_what_was_sold_after_a_split_and_is_not_booked_is_sold_at_the_new_cost(rig: Rig) -> None:
    rig.held()
    split_in_two(rig)
    rig.by_hand(qty="4", side="sell")
    rig.pass_time(60)
    rig.recovery.reconciler.round()
    the_position_is_right(rig)


def test_the_result_of_shares_sold_before_we_knew_of_their_split_is_made_good(rig: Rig) -> None:
    rig.held()
    split_in_two(rig)
    rig.placed(SOLD)
    rig.pass_time(60)
    seen = rig.parts.gateway.order_by_client_id(rig.id_of(SOLD))
    assert seen is not None
    book, now = rig.state.book, rig.clock.now()
    rig.state.record(
        facts_of_sighting(book, rig.state.account_id, seen, (), now, why="seen for protection", infer=True)
    )
    assert [p.quantity for p in rig.state.book.open_positions()] == [Decimal(6)]
    rig.recovery.reconciler.round()
    the_position_is_right(rig)


def test_an_order_in_doubt_is_not_in_the_way_of_a_split(rig: Rig) -> None:
    rig.held()
    rig.weather.posts = ["lost before"]
    assert rig.placed(RESTING, "another").status is OrderStatus.IN_DOUBT
    split_in_two(rig)
    rig.recovery.reconciler.round()
    assert rig.shares == {("AAA", "alpha"): Decimal(20)}
