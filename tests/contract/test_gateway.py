"""What every gateway promises, on both: over HTTP to the local exchange as a process, and into one in this process."""

import json
import queue
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import count, pairwise
from pathlib import Path
from random import Random
from typing import Any, Protocol

import pytest

from gambler_ai.broker.alpaca import AlpacaGateway
from gambler_ai.broker.alpaca_http import Limits
from gambler_ai.broker.alpaca_rest import Reply
from gambler_ai.broker.direct import DirectGateway
from gambler_ai.broker.endpoint import check_endpoint
from gambler_ai.broker.gateway import Accepted, BrokerPosition, Gateway, OrderEvent, Refused, StreamState
from gambler_ai.clock import SystemClock
from gambler_ai.domain.market import Bar
from gambler_ai.domain.orders import Order, OrderStatus, Role, Side, same_parameters
from gambler_ai.errors import BrokerRefusesUs, BrokerUnreachable, HumanNeeded, OutcomeUnknown, RateLimited
from gambler_ai.paper_exchange.exchange import Exchange
from gambler_ai.paper_exchange.markets import open_market

START = datetime(2026, 11, 20, 14, 35, tzinfo=UTC)  # a Friday, five minutes after the open
MARKET = "synthetic:7"
WITHOUT_LIMIT = 10_000
_numbers = count(1)


class World(Protocol):
    """An exchange with a gateway to it, and what a test may do behind the gateway's back."""

    gateway: Gateway
    inbox: "queue.SimpleQueue[Any]"

    def another(self, secret: str, max_posts_per_minute: int = WITHOUT_LIMIT) -> Gateway:
        """A gateway with the same key id."""

    def advance(self, seconds: float) -> None: ...

    def lose_next(self, method: str, acted: bool) -> None:
        """The next answer to this method is lost; the exchange acted, or not."""

    def answer_next(self, method: str, status: int) -> None:
        """The next request of this method is answered so, and not acted on."""

    def pump(self) -> None:
        """Let the streams say what they have."""


@dataclass
class Losses:
    """The faults of the direct gateway."""

    lost: list[tuple[str, bool]] = field(default_factory=list)
    answers: list[tuple[str, int]] = field(default_factory=list)

    def before(self, method: str, path: str) -> Reply | None:
        if (method, False) in self.lost:
            self.lost.remove((method, False))
            raise ConnectionResetError("lost on the way there")
        if self.answers and self.answers[0][0] == method:
            return Reply(self.answers.pop(0)[1], "", {})
        return None

    def after(self, method: str, path: str, answer: Reply) -> Reply:
        if (method, True) in self.lost:
            self.lost.remove((method, True))
            raise ConnectionResetError("lost on the way back")
        return answer


class DirectWorld:
    def __init__(self) -> None:
        self.clock = SystemClock()
        self.exchange = Exchange.open(":memory:", open_market(MARKET), START, self.clock.wall, partial_fill_rate=0.5)
        self.losses = Losses()
        self.inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.gateway = self.another("sesame")

    def another(self, secret: str, max_posts_per_minute: int = WITHOUT_LIMIT) -> DirectGateway:
        return DirectGateway(
            self.exchange,
            "PKDIRECT",
            secret,
            self.clock,
            fault=self.losses,
            max_posts_per_minute=max_posts_per_minute,
        )

    def advance(self, seconds: float) -> None:
        self.exchange.advance_to(self.exchange.now + timedelta(seconds=seconds))

    def lose_next(self, method: str, acted: bool) -> None:
        self.losses.lost.append((method, acted))

    def answer_next(self, method: str, status: int) -> None:
        self.losses.answers.append((method, status))

    def pump(self) -> None:
        self.gateway.deliver()

    def close(self) -> None:
        self.gateway.close()
        self.exchange.close()


@dataclass
class Server:
    url: str
    token: str

    def lab(self, method: str, path: str, fields: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            f"{self.url}/_lab/{path}",
            json.dumps(fields).encode(),
            {"X-Lab-Token": self.token, "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)


class HttpWorld:
    def __init__(self, server: Server) -> None:
        self.server = server
        self.key = f"PK{next(_numbers)}"
        self.inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.made: list[AlpacaGateway] = []
        self.gateway = self.another("sesame")

    def another(self, secret: str, max_posts_per_minute: int = WITHOUT_LIMIT) -> AlpacaGateway:
        made = AlpacaGateway(
            check_endpoint(self.server.url),
            self.key,
            secret,
            SystemClock(),
            limits=Limits(3, 5, 10),
            max_posts_per_minute=max_posts_per_minute,
        )
        self.made.append(made)
        return made

    def advance(self, seconds: float) -> None:
        self.server.lab("POST", "clock", {"advance_s": seconds})

    def lose_next(self, method: str, acted: bool) -> None:
        # a read would be repeated after one reset
        times = 1 if method != "GET" else 3
        act = "reset_after" if acted else "reset_before"
        self.server.lab("POST", "faults", {"match": {"method": method}, "act": act, "times": times})

    def answer_next(self, method: str, status: int) -> None:
        rule = {"match": {"method": method}, "act": "status_before", "code": status, "times": 1}
        self.server.lab("POST", "faults", rule)

    def pump(self) -> None:
        time.sleep(0.01)

    def close(self) -> None:
        self.server.lab("DELETE", "faults", {})
        for one in self.made:
            one.close()


_SERVE = """
import sys
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from gambler_ai.paper_exchange.server import ServeOptions, serve
serve(ServeOptions(market=sys.argv[1], start=datetime.fromisoformat(sys.argv[2]), speed="manual",
                   partial_fill_rate=Decimal("0.5"), lab_token_file=Path(sys.argv[3]), port_file=Path(sys.argv[4])))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("exchange")
    token, port = folder / "token", folder / "port.json"
    token.write_text("lab-token")
    token.chmod(0o600)
    process = subprocess.Popen([sys.executable, "-c", _SERVE, MARKET, START.isoformat(), str(token), str(port)])
    try:
        number = _port(port, process)
        yield Server(f"http://127.0.0.1:{number}", "lab-token")
    finally:
        process.terminate()
        process.wait(10)


def _port(announced: Path, process: "subprocess.Popen[bytes]") -> int:
    for _ in range(600):
        if announced.exists():
            number: int = json.loads(announced.read_text())["port"]
            return number
        assert process.poll() is None, "the exchange ended at once"
        time.sleep(0.05)
    raise AssertionError("the exchange did not start")


@pytest.fixture(params=["direct", "http"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    made: DirectWorld | HttpWorld
    made = DirectWorld() if request.param == "direct" else HttpWorld(request.getfixturevalue("server"))
    yield made
    made.close()


def order(**changes: Any) -> Order:
    """A buy that is never filled, of an intent of its own."""
    base = Order(
        client_order_id=f"g1-e-sma-{next(_numbers)}",
        account_id="a",
        session_id="s",
        owner="sma",
        role=Role.ENTRY,
        symbol="SPY",
        side=Side.BUY,
        type="limit",
        time_in_force="day",
        qty=Decimal("1"),
        limit_price=Decimal("1.25"),
        status=OrderStatus.SENDING,
        created_at=START,
        updated_at=START,
    )
    return replace(base, **changes)


def market_order(qty: str = "10", **changes: Any) -> Order:
    return order(**{"type": "market", "limit_price": None, "qty": Decimal(qty), **changes})


def accepted(answer: object) -> str:
    assert isinstance(answer, Accepted)
    return answer.order.broker_order_id


def filled(world: World, broker_order_id: str) -> None:
    for _ in range(20):
        seen = world.gateway.order_by_id(broker_order_id)
        assert seen is not None
        if seen.status == "filled":
            return
        world.advance(60)
    raise AssertionError(f"{broker_order_id} is still {seen.status}")


def until(world: World, happened: Callable[[list[Any]], bool]) -> list[Any]:
    """What the streams say until something happened."""
    heard: list[Any] = []
    ends = time.monotonic() + 10
    while not happened(heard):
        assert time.monotonic() < ends, heard
        world.pump()
        while not world.inbox.empty():
            heard.append(world.inbox.get())
    return heard


def bars_after(since: datetime, heard: list[Any]) -> list[Bar]:
    return [one for one in heard if isinstance(one, Bar) and one.start >= since]


def test_an_accepted_order_can_be_found_in_every_way(world: World) -> None:
    wish = order(qty=Decimal("2"), limit_price=Decimal("1.50"))
    answer = world.gateway.submit(wish)
    assert isinstance(answer, Accepted)
    assert same_parameters(wish, answer.order) == []
    by_client_id = world.gateway.order_by_client_id(wish.client_order_id)
    by_id = world.gateway.order_by_id(answer.order.broker_order_id)
    assert by_client_id == by_id
    assert by_id in world.gateway.open_orders()
    assert by_id in world.gateway.orders_since(answer.order.submitted_at - timedelta(seconds=1))
    assert by_id not in world.gateway.orders_since(answer.order.submitted_at)


def test_an_order_nobody_knows_is_none(world: World) -> None:
    assert world.gateway.order_by_client_id("g1-never-sent") is None
    assert world.gateway.order_by_id("00000000-0000-4000-8000-000000000000") is None


def test_a_cancel_is_taken_and_the_order_ends(world: World) -> None:
    broker_order_id = accepted(world.gateway.submit(order()))
    assert world.gateway.cancel(broker_order_id) is None
    world.advance(1)
    seen = world.gateway.order_by_id(broker_order_id)
    assert seen is not None
    assert seen.status == "canceled"
    assert world.gateway.open_orders() == []


def test_a_cancel_of_what_is_over_or_unknown_is_refused(world: World) -> None:
    broker_order_id = accepted(world.gateway.submit(order()))
    world.gateway.cancel(broker_order_id)
    world.advance(1)
    over = world.gateway.cancel(broker_order_id)
    assert isinstance(over, Refused)
    assert (over.http_status, over.must_look) == (422, True)
    unknown = world.gateway.cancel("00000000-0000-4000-8000-000000000000")
    assert isinstance(unknown, Refused)
    assert unknown.http_status == 404


def test_the_same_id_twice_is_refused_as_something_to_look_up_even_after_a_cancel(world: World) -> None:
    wish = order()
    broker_order_id = accepted(world.gateway.submit(wish))
    world.gateway.cancel(broker_order_id)
    world.advance(1)
    again = world.gateway.submit(wish)
    assert isinstance(again, Refused)
    assert again.must_look
    found = world.gateway.order_by_client_id(wish.client_order_id)
    assert found is not None
    assert found.broker_order_id == broker_order_id


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"qty": Decimal("1000000"), "limit_price": Decimal("500")}, 403),
        ({"symbol": "NOSUCH"}, 422),
        ({"limit_price": Decimal("1.001")}, 422),
    ],
)
def test_what_the_broker_does_not_take_is_refused_with_a_code(
    changes: dict[str, Any], status: int, world: World
) -> None:
    answer = world.gateway.submit(order(**changes))
    assert isinstance(answer, Refused)
    assert answer.http_status == status
    assert answer.code > 0
    assert answer.message


def test_executions_add_up_without_gaps_and_match_the_position(world: World) -> None:
    before = world.gateway.clock().now - timedelta(seconds=1)
    broker_order_id = accepted(world.gateway.submit(market_order("11")))
    filled(world, broker_order_id)
    fills = [one for one in world.gateway.fills_since(before) if one.broker_order_id == broker_order_id]
    edges = [Decimal(0), *(one.cum_qty for one in fills)]
    assert [right - left for left, right in pairwise(edges)] == [one.qty for one in fills]
    assert edges[-1] == 11
    (position,) = world.gateway.positions()
    assert (position.symbol, position.qty) == ("SPY", 11)
    account = world.gateway.account()
    assert account.cash == Decimal(100_000) - sum(one.qty * one.price for one in fills)


def test_a_position_is_the_same_by_its_own_endpoint_and_none_when_flat(world: World) -> None:
    assert world.gateway.position("SPY") is None
    filled(world, accepted(world.gateway.submit(market_order("3"))))
    assert world.gateway.position("SPY") == world.gateway.positions()[0]
    assert world.gateway.position("IBM") is None


def test_a_short_position_is_negative(world: World) -> None:
    filled(world, accepted(world.gateway.submit(market_order("3", side=Side.SELL))))
    (position,) = world.gateway.positions()
    assert isinstance(position, BrokerPosition)
    assert position.qty == -3


@pytest.mark.parametrize("side", [Side.SELL, Side.BUY])
def test_an_exit_closes_what_is_there_and_is_refused_where_nothing_is(side: Side, world: World) -> None:
    leaving = {"side": side, "role": Role.EXIT}
    refused = world.gateway.submit(market_order("3", **leaving))
    assert isinstance(refused, Refused)
    assert (refused.http_status, refused.code) == (422, 42210000)
    filled(world, accepted(world.gateway.submit(market_order("3", side=Side.BUY if side is Side.SELL else Side.SELL))))
    filled(world, accepted(world.gateway.submit(market_order("3", **leaving))))
    assert world.gateway.positions() == []


def test_fractions_keep_all_nine_places(world: World) -> None:
    wish = market_order("0.123456789")
    answer = world.gateway.submit(wish)
    assert isinstance(answer, Accepted)
    assert answer.order.qty == wish.qty
    filled(world, answer.order.broker_order_id)
    assert world.gateway.positions()[0].qty == wish.qty


def test_orders_are_read_to_their_last_page(world: World) -> None:
    since = world.gateway.clock().now - timedelta(seconds=1)
    sent = [accepted(world.gateway.submit(order(limit_price=Decimal("1.01")))) for _ in range(503)]
    assert [one.broker_order_id for one in world.gateway.open_orders()] == sent
    assert [one.broker_order_id for one in world.gateway.orders_since(since)] == sent


def test_fills_are_read_to_their_last_page(world: World) -> None:
    since = world.gateway.clock().now - timedelta(seconds=1)
    sent = [accepted(world.gateway.submit(market_order("1", symbol="AAPL"))) for _ in range(105)]
    for one in sent:
        filled(world, one)
    fills = world.gateway.fills_since(since)
    assert len(fills) >= 105
    assert len({one.activity_id for one in fills}) == len(fills)
    assert sum(one.qty for one in fills) == 105
    assert [one.at for one in fills] == sorted(one.at for one in fills)


def test_bars_are_read_to_their_last_page_and_end_before_the_end(world: World) -> None:
    end = world.gateway.clock().now
    start = end - timedelta(days=24)
    bars = world.gateway.bars(["SPY", "AAPL"], start, end)
    assert len(bars) > 10_000
    assert [(one.start, one.symbol) for one in bars] == sorted({(one.start, one.symbol) for one in bars})
    assert {one.symbol for one in bars} == {"AAPL", "SPY"}
    assert bars[-1].end <= end
    assert all(one.start >= start and one.low <= one.open <= one.high for one in bars)
    edge = bars[-3].end
    assert max(one.end for one in world.gateway.bars(["SPY"], start, edge + timedelta(seconds=30))) == edge
    assert world.gateway.bars([], start, end) == []
    assert world.gateway.bars(["NOSUCH"], start, end) == []


def test_clock_and_calendar_are_utc_and_know_early_closes(world: World) -> None:
    clock = world.gateway.clock()
    assert clock.is_open == (clock.next_close < clock.next_open)
    days = {one.day: one for one in world.gateway.calendar(date(2026, 11, 25), date(2026, 11, 30))}
    assert list(days) == [date(2026, 11, 25), date(2026, 11, 27), date(2026, 11, 30)]
    assert days[date(2026, 11, 25)].open == datetime(2026, 11, 25, 14, 30, tzinfo=UTC)
    assert days[date(2026, 11, 27)].close == datetime(2026, 11, 27, 18, 0, tzinfo=UTC)


def test_symbols_are_tradable_or_unknown(world: World) -> None:
    assert world.gateway.tradable("SPY") is True
    assert world.gateway.tradable("NOSUCH") is None


def test_the_account_is_a_paper_account(world: World) -> None:
    account = world.gateway.account()
    assert account.number.startswith("PA")
    assert (account.status, account.cash, account.trading_blocked) == ("ACTIVE", 100_000, False)


def test_a_lost_answer_is_unknown_and_a_look_up_finds_what_happened(world: World) -> None:
    wish = order()
    world.lose_next("POST", acted=True)
    with pytest.raises(OutcomeUnknown):
        world.gateway.submit(wish)
    found = world.gateway.order_by_client_id(wish.client_order_id)
    assert found is not None
    world.lose_next("DELETE", acted=True)
    with pytest.raises(OutcomeUnknown):
        world.gateway.cancel(found.broker_order_id)
    world.advance(1)
    assert world.gateway.open_orders() == []


def test_a_lost_request_is_just_as_unknown(world: World) -> None:
    wish = order()
    world.lose_next("POST", acted=False)
    with pytest.raises(OutcomeUnknown):
        world.gateway.submit(wish)
    assert world.gateway.order_by_client_id(wish.client_order_id) is None
    accepted(world.gateway.submit(wish))


def test_a_lost_read_changes_nothing_and_may_be_repeated(world: World) -> None:
    world.lose_next("GET", acted=True)
    with pytest.raises(BrokerUnreachable):
        world.gateway.positions()
    assert world.gateway.positions() == []


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_gateways_own_answer_is_no_answer(status: int, world: World) -> None:
    world.answer_next("POST", status)
    with pytest.raises(OutcomeUnknown):
        world.gateway.submit(order())
    world.answer_next("GET", status)
    with pytest.raises(BrokerUnreachable):
        world.gateway.open_orders()


def test_too_many_requests_is_an_answer_of_its_own(world: World) -> None:
    wish = order()
    world.answer_next("POST", 429)
    with pytest.raises(RateLimited):
        world.gateway.submit(wish)
    world.answer_next("GET", 429)
    with pytest.raises(RateLimited):
        world.gateway.account()
    accepted(world.gateway.submit(wish))


def test_wrong_keys_are_refused_everywhere(world: World) -> None:
    world.gateway.account()
    stranger = world.another("not the secret")
    with pytest.raises(BrokerRefusesUs):
        stranger.account()
    with pytest.raises(BrokerRefusesUs):
        stranger.open_orders()
    answer = stranger.submit(order())
    assert isinstance(answer, Refused)
    assert answer.http_status == 401


def test_orders_are_counted_at_the_door(world: World) -> None:
    gateway = world.another("sesame", max_posts_per_minute=2)
    accepted(gateway.submit(order()))
    accepted(gateway.submit(order()))
    with pytest.raises(HumanNeeded):
        gateway.submit(order())
    assert len(gateway.open_orders()) == 2


def test_the_streams_say_that_they_stand_and_then_what_happens(world: World) -> None:
    world.gateway.listen(world.inbox.put, ["AAPL", "SPY"])
    standing = until(world, lambda heard: len(heard) >= 2)
    assert {(one.stream, one.listening) for one in standing} == {("trade_updates", True), ("bars", True)}
    since = world.gateway.clock().now
    wish = market_order("7")
    broker_order_id = accepted(world.gateway.submit(wish))
    filled(world, broker_order_id)
    world.advance(180)
    last = world.gateway.clock().now
    expected = world.gateway.bars(["AAPL", "SPY"], since, last)
    assert expected

    def complete(heard: list[Any]) -> bool:
        events = [one.event for one in heard if isinstance(one, OrderEvent)]
        return "fill" in events and len(bars_after(since, heard)) >= len(expected)

    heard = until(world, complete)
    assert sorted(bars_after(since, heard), key=lambda bar: (bar.start, bar.symbol)) == expected
    events = [one for one in heard if isinstance(one, OrderEvent)]
    assert {one.order.client_order_id for one in events} == {wish.client_order_id}
    executions = [(one.execution_id, one.qty, one.price) for one in events if one.execution_id and one.qty]
    assert executions == [(one.execution_id, one.qty, one.price) for one in world.gateway.fills_since(since)]
    assert events[-1].order.filled_qty == 7
    assert not any(isinstance(one, StreamState) for one in heard)


def test_without_symbols_there_are_orders_only(world: World) -> None:
    world.gateway.listen(world.inbox.put, [])
    assert until(world, lambda heard: len(heard) >= 1) == [StreamState("trade_updates", listening=True)]
    accepted(world.gateway.submit(order()))
    world.advance(120)
    assert {type(one) for one in until(world, lambda heard: len(heard) >= 1)} == {OrderEvent}


def test_both_are_gateways(world: World) -> None:
    promised = {name for name in vars(Gateway) if not name.startswith("_")}
    assert promised <= set(dir(world.gateway))


def test_after_closing_nothing_is_sent_or_heard_and_closing_twice_is_fine(world: World) -> None:
    world.gateway.listen(world.inbox.put, ["SPY"])
    until(world, lambda heard: len(heard) >= 2)
    world.gateway.close()
    world.gateway.close()
    world.gateway.abort()
    with pytest.raises(BrokerUnreachable):
        world.gateway.account()


def test_direct_frames_wait_for_delivery_and_two_streams_interleave_by_seed() -> None:
    def run(seed: int | None) -> list[str]:
        world = DirectWorld()
        world.gateway._shuffle = None if seed is None else Random(seed)
        world.gateway.listen(world.inbox.put, ["SPY"])
        for _ in range(5):
            world.gateway.submit(market_order("1"))
            world.advance(60)
        assert world.inbox.qsize() == 2
        told = world.gateway.deliver()
        assert told == world.inbox.qsize() - 2 > 10
        assert world.gateway.deliver() == 0
        heard = [world.inbox.get() for _ in range(world.inbox.qsize())][2:]
        world.close()
        bars = [one.start for one in heard if isinstance(one, Bar)]
        assert bars == sorted(bars)
        at = [one.at for one in heard if isinstance(one, OrderEvent)]
        assert at == sorted(at)
        return [type(one).__name__ for one in heard]

    assert run(1) == run(1)
    assert len({tuple(run(seed)) for seed in (None, 1, 2, 3)}) > 1
