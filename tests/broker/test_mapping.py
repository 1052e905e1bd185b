from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgpack
import pytest
from raw_server import AT, order, raw_order

from gambler_ai.broker import alpaca_mapping as mapping
from gambler_ai.broker.alpaca_rest import decoded
from gambler_ai.domain.orders import Role, Side, same_parameters


def test_an_order_is_sent_as_strings_only() -> None:
    fields = mapping.order_fields(
        order(qty=Decimal("10.500"), limit_price=Decimal("1E+2"), stop_price=Decimal("99.10"))
    )
    assert fields == {
        "client_order_id": "g1-e-sma-aaaaaaaaaaaaaaaaaaaa",
        "symbol": "AAPL",
        "side": "buy",
        "type": "limit",
        "time_in_force": "day",
        "qty": "10.5",
        "limit_price": "100",
        "stop_price": "99.1",
    }


@pytest.mark.parametrize("role", [Role.STOP, Role.TAKE_PROFIT, Role.EXIT, Role.CLOSE])
def test_an_exit_says_that_it_closes_and_an_entry_leaves_it_to_alpaca(role: Role) -> None:
    assert mapping.order_fields(order(role=role, side=Side.SELL))["position_intent"] == "sell_to_close"
    assert mapping.order_fields(order(role=role))["position_intent"] == "buy_to_close"
    assert "position_intent" not in mapping.order_fields(order(side=Side.SELL))


def test_an_order_for_an_amount_of_dollars_has_no_quantity() -> None:
    fields = mapping.order_fields(order(qty=None, notional=Decimal("250.00"), type="market", limit_price=None))
    assert fields["notional"] == "250"
    assert "qty" not in fields
    assert "limit_price" not in fields


@pytest.mark.parametrize("changes", [{"client_order_id": ""}, {"qty": None}, {"notional": Decimal(1)}])
def test_an_order_that_must_not_be_sent_is_refused_before_it_is(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="not sent"):
        mapping.order_fields(order(**changes))


def test_an_order_of_alpaca_is_read_exactly() -> None:
    seen = mapping.broker_order(raw_order(filled_qty="0.123456789", filled_avg_price="105.8988475"))
    assert seen.side is Side.BUY
    assert seen.filled_qty == Decimal("0.123456789")
    assert seen.filled_avg_price == Decimal("105.8988475")
    assert seen.updated_at == datetime(2026, 11, 20, 14, 31, 5, 140022, tzinfo=UTC)
    assert same_parameters(order(), seen) == []


def test_what_we_send_is_what_we_read_back() -> None:
    sent = order(qty=Decimal("0.000000001"), limit_price=Decimal("0.0001"))
    assert same_parameters(sent, mapping.broker_order(raw_order(**mapping.order_fields(sent)))) == []


def test_an_unknown_status_and_missing_times_are_tolerated() -> None:
    seen = mapping.broker_order(raw_order(status="teleported", submitted_at=None, updated_at=None))
    assert seen.status == "teleported"
    assert seen.updated_at == seen.submitted_at


@pytest.mark.parametrize(
    "changes",
    [
        {"filled_qty": None},
        {"filled_qty": 1.5},
        {"filled_qty": "NaN"},
        {"filled_qty": True},
        {"qty": "ten"},
        {"limit_price": "Infinity"},
        {"id": ""},
        {"client_order_id": None},
        {"side": "sideways"},
        {"submitted_at": None, "created_at": "2026-11-20T14:31:05"},
    ],
)
def test_an_order_with_a_doubtful_amount_or_id_is_no_answer(changes: dict[str, Any]) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        mapping.broker_order(raw_order(**changes))


def test_numbers_may_come_as_json_numbers_and_stay_exact() -> None:
    assert decoded('{"a": 0.1, "b": 3}') == {"a": Decimal("0.1"), "b": 3}
    with pytest.raises(ValueError, match="NaN"):
        decoded('{"a": NaN}')


def test_a_fill_carries_the_execution_id_of_the_stream() -> None:
    fill = mapping.fill_activity(
        {
            "id": "20261120093107912::3f3b2c7a-0a0b-4f40-9f63-2d2a4c8f7b01",
            "activity_type": "FILL",
            "transaction_time": "2026-11-20T14:31:07.912004Z",
            "type": "partial_fill",
            "price": "187.41",
            "qty": "4",
            "side": "sell_short",
            "symbol": "AAPL",
            "leaves_qty": "6",
            "cum_qty": "4",
            "order_id": "61c3d0a2-5f0e-4b8e-9d0c-2f0a6a6b1c11",
        }
    )
    assert fill.execution_id == "3f3b2c7a-0a0b-4f40-9f63-2d2a4c8f7b01"
    assert (fill.qty, fill.cum_qty, fill.price, fill.side) == (4, 4, Decimal("187.41"), "sell_short")


@pytest.mark.parametrize(("qty", "side", "signed"), [("10", "long", 10), ("-10", "short", -10), ("10", "short", -10)])
def test_a_short_position_is_negative_whatever_its_sign_on_the_wire(qty: str, side: str, signed: int) -> None:
    raw = {"symbol": "AAPL", "qty": qty, "side": side, "avg_entry_price": "187.41"}
    assert mapping.broker_position(raw).qty == signed


@pytest.mark.parametrize("name", ["trading_blocked", "account_blocked", "trade_suspended_by_user"])
def test_an_account_is_blocked_in_each_of_alpacas_ways(name: str) -> None:
    raw = {"id": "u", "account_number": "PA1", "status": "ACTIVE", "equity": "1", "cash": "-2.5", "buying_power": "0"}
    assert not mapping.broker_account(raw).trading_blocked
    assert mapping.broker_account({**raw, name: True}).trading_blocked


def test_calendar_hours_are_new_yorks_in_summer_and_winter() -> None:
    early = mapping.trading_day({"date": "2026-11-27", "open": "09:30", "close": "13:00"})
    assert (early.day, early.open.hour, early.close.hour) == (date(2026, 11, 27), 14, 18)
    summer = mapping.trading_day({"date": "2026-07-01", "open": "09:30", "close": "16:00"})
    assert (summer.open.hour, summer.close.hour) == (13, 20)


def test_the_clock_is_read_with_its_nanoseconds_and_offset() -> None:
    clock = mapping.market_clock(
        {
            "timestamp": "2026-11-20T09:31:05.123456789-05:00",
            "is_open": True,
            "next_open": "2026-11-23T09:30:00-05:00",
            "next_close": "2026-11-20T16:00:00-05:00",
        }
    )
    assert clock.now == datetime(2026, 11, 20, 14, 31, 5, 123456, tzinfo=UTC)


def test_a_bar_is_the_same_from_rest_and_from_the_socket() -> None:
    rest = mapping.bar(
        "AAPL", decoded('{"t":"2026-11-20T14:31:00Z","o":187.2,"h":187.6,"l":187.1,"c":187.5,"v":12034}')
    )
    packed = msgpack.packb({"t": AT, "o": 187.2, "h": 187.6, "l": 187.1, "c": 187.5, "v": 12034}, datetime=True)
    assert mapping.bar("AAPL", msgpack.unpackb(packed)) == rest
    assert rest.open == Decimal("187.2")
    assert rest.start == AT


def test_execution_fields_are_set_on_executions_only() -> None:
    data = {
        "event": "partial_fill",
        "execution_id": "e1",
        "qty": "4",
        "price": "187.41",
        "timestamp": "2026-11-20T14:31:07.912004871Z",
        "order": raw_order(filled_qty="4"),
    }
    fill = mapping.order_event(data)
    assert (fill.execution_id, fill.qty, fill.price) == ("e1", 4, Decimal("187.41"))
    assert mapping.order_event({**data, "event": "canceled"}).execution_id is None
    bare = mapping.order_event({"event": "fill", "order": raw_order(filled_qty="10")})
    assert (bare.execution_id, bare.qty, bare.at) == (None, None, bare.order.updated_at)


def test_the_parent_of_a_multi_leg_option_order_is_read_and_named_by_no_symbol() -> None:
    raw = {**raw_order(), "order_class": "mleg", "symbol": "", "side": "", "legs": []}
    assert mapping.broker_order(raw).symbol == ""
