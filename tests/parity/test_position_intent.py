"""What an order means to the position, said and inferred (3.1, 4.1, 7; docs: placing orders)."""

import pytest
from alpaca.common.exceptions import APIError
from alpaca.trading.enums import OrderClass, OrderSide, OrderStatus, PositionIntent, TimeInForce
from alpaca.trading.requests import (
    LimitOrderRequest,
    MarketOrderRequest,
    OrderRequest,
    StopLossRequest,
    StopOrderRequest,
    TakeProfitRequest,
)

from ..paper_exchange.rig import Desk
from .rig import alpaca

CLOSING = {"symbol": "AAA", "qty": 5, "side": OrderSide.SELL, "position_intent": PositionIntent.SELL_TO_CLOSE}
GROUP = {"take_profit": TakeProfitRequest(limit_price=105), "stop_loss": StopLossRequest(stop_price=95)}
EXITS = [
    StopOrderRequest(**CLOSING, time_in_force=TimeInForce.GTC, stop_price=95),
    LimitOrderRequest(**CLOSING, time_in_force=TimeInForce.GTC, order_class=OrderClass.OCO, **GROUP),
    MarketOrderRequest(**CLOSING, time_in_force=TimeInForce.DAY),
]


@pytest.mark.parametrize("leaving", EXITS, ids=["stop", "oco", "market"])
def test_an_exit_that_says_so_is_taken_where_it_closes_and_nowhere_else(desk: Desk, leaving: OrderRequest) -> None:
    """4.1: `position_intent` given must agree with what the server infers, 422 otherwise (docs)."""
    client = alpaca(desk)
    for held in ("0", "-5"):
        if held == "-5":
            desk.order(side="sell", qty="5")
        with pytest.raises(APIError, match="inferred: sell_to_open, specified: sell_to_close") as refused:
            client.submit_order(leaving)
        assert (refused.value.status_code, refused.value.code) == (422, 42210000)
    desk.order(qty="5")
    desk.order(qty="5")
    taken = client.submit_order(leaving)
    assert taken.position_intent is PositionIntent.SELL_TO_CLOSE
    assert taken.status is not OrderStatus.REJECTED
