"""How a case of the table comes about, in words: what we did, what the world did, and how answers are spoilt.

A step is a verb and its words: `buy AAA`, `theirs AAA 7`. `theirs` changes the exchange's own account, so that its
record is what recovery has to end with.
"""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from gambler_ai.broker.alpaca_rest import Reply
from gambler_ai.domain.orders import Role, Side, Wish
from gambler_ai.errors import BrokerUnreachable
from gambler_ai.paper_exchange.account import Position
from gambler_ai.paper_exchange.lab_trading import corporate_action
from tests.trading.rig import BUY, PROTECTED, RESTING, Rig

UNKNOWN = "g1-e-beta-" + "a" * 20


def buy(rig: Rig, symbol: str, qty: str = "10") -> None:
    """Ours, filled and booked."""
    rig.placed(replace(BUY, symbol=symbol, qty=Decimal(qty)), key=f"bar:{symbol}:{len(rig.at_exchange())}")
    rig.pass_time(60)
    rig.recovery.run()


def short(rig: Rig, symbol: str) -> None:
    rig.placed(Wish(symbol, Side.SELL, Decimal(10)), key="short")
    rig.pass_time(60)
    rig.recovery.run()


def protected(rig: Rig, symbol: str) -> None:
    """Ours, with its stop at the broker."""
    rig.placed(replace(PROTECTED, symbol=symbol))
    rig.pass_time(60)
    rig.recovery.run()


def missed(rig: Rig, symbol: str, qty: str = "10") -> None:
    """Ours, filled while we were down."""
    rig.placed(replace(BUY, symbol=symbol, qty=Decimal(qty)), key="missed")
    rig.pass_time(60)


def sold(rig: Rig, symbol: str, qty: str = "10") -> None:
    """Our exit, filled while we were down."""
    rig.placed(Wish(symbol, Side.SELL, Decimal(qty), Role.EXIT), key="sold")
    rig.pass_time(60)


def rest(rig: Rig, symbol: str) -> None:
    rig.placed(replace(RESTING, symbol=symbol, limit_price=Decimal(20)), key="rest")


def lost(rig: Rig, where: str, symbol: str, ttl: str = "-1") -> None:
    """An order whose answer, or which itself, was lost on the way."""
    rig.weather.posts = [f"lost {where}"]
    rig.placed(replace(RESTING, symbol=symbol, limit_price=Decimal(20)), key="lost", ttl_s=float(ttl))


def hand(rig: Rig, side: str, symbol: str, qty: str) -> None:
    """A trade of somebody else."""
    rig.by_hand(symbol, qty, side)
    rig.pass_time(60)


def stranger(rig: Rig, symbol: str) -> None:
    rig.by_hand(symbol, "3", type="limit", limit_price="10")


def unknown(rig: Rig, symbol: str, kind: str = "resting") -> None:
    """An order under an id of our form that these books never had."""
    more = {"type": "limit", "limit_price": "10"} if kind == "resting" else {}
    rig.by_hand(symbol, "5", client_order_id=UNKNOWN, **more)
    rig.pass_time(60)


def theirs(rig: Rig, symbol: str, qty: str) -> None:
    """From now on the exchange's account holds so many shares, and no order says why."""
    account = next(iter(rig.exchange.venue.accounts.values()))
    account.positions.pop(symbol, None)
    if Decimal(qty):
        account.positions[symbol] = Position(Decimal(qty), Decimal(qty) * Decimal("77.5"))


def split(rig: Rig, symbol: str, ratio: str) -> None:
    corporate_action(rig.exchange, {"type": "split", "symbol": symbol, "ratio": ratio})


def renamed(rig: Rig, old: str, new: str) -> None:
    corporate_action(rig.exchange, {"type": "name_change", "symbol": old, "new_symbol": new})


def forgotten(rig: Rig, symbol: str) -> None:
    """The broker knows none of our orders and holds none of our shares: the account was reset under its own id."""
    theirs(rig, symbol, "0")
    for order in list(rig.state.book.orders.values()) + [rig.order(o["client_order_id"]) for o in rig.at_exchange()]:
        rig.the_broker_forgot(order)


def cancelled(rig: Rig, symbol: str) -> None:
    """Somebody cancelled every open order of the symbol at the broker."""
    for order in rig.raw("/v2/orders"):
        if order["symbol"] == symbol:
            rig.exchange.request("DELETE", f"/v2/orders/{order['id']}", {}, None, "PKRIG", "secret")


def reconciled(rig: Rig) -> None:
    rig.rounds(6)


def database(rig: Rig, _lost: str) -> None:
    rig.lose_the_database()


def poor(rig: Rig) -> None:
    """An entry that the account cannot pay for."""
    rig.place(replace(BUY, qty=Decimal(5000)), key="poor")


def moving(rig: Rig, symbol: str) -> None:
    """Somebody places another order after each look of the recovery."""
    rig.weather.then = [lambda: stranger(rig, symbol) for _ in range(8)]


STEPS: dict[str, Callable[..., None]] = {
    step.__name__: step
    for step in (
        buy, short, protected, missed, sold, rest, lost, hand, stranger, unknown, theirs, split, renamed, forgotten,
        cancelled, reconciled, database, poor, moving,
    )
}  # fmt: skip


def do(rig: Rig, story: str) -> None:
    """Each step of the story, in order."""
    for step in filter(None, (part.strip() for part in story.split(";"))):
        verb, *words = step.split()
        STEPS[verb](rig, *words)


# --- faults -----------------------------------------------------------------------------------------------------


def spoil_once(path: str, answer: Callable[[str], Reply | str]) -> Callable[[Rig], None]:
    """The first answer of this path is spoilt; every later one is whole."""

    def spoil(rig: Rig) -> None:
        real = rig.weather.after

        def after(method: str, where: str, reply: Reply) -> Reply:
            if method == "GET" and where == path:
                rig.weather.after = real  # type: ignore[method-assign]
                spoilt = answer(reply.body)
                return spoilt if isinstance(spoilt, Reply) else Reply(200, spoilt, {})
            return real(method, where, reply)

        rig.weather.after = after  # type: ignore[method-assign]

    return spoil


def unreachable(_body: str) -> Reply:
    raise BrokerUnreachable("no route")


FAULTS: dict[str, Callable[[Rig], None]] = {
    "": lambda _rig: None,
    "positions fail": spoil_once("/v2/positions", lambda _body: Reply(503, "", {})),
    "positions empty": spoil_once("/v2/positions", lambda _body: "[]"),
    "orders truncated": spoil_once("/v2/orders", lambda body: body[: len(body) // 2]),
    "orders empty": spoil_once("/v2/orders", lambda _body: "[]"),
    "fills fail": spoil_once("/v2/account/activities/FILL", unreachable),
    "fills empty": spoil_once("/v2/account/activities/FILL", lambda _body: "[]"),
    "account is html": spoil_once("/v2/account", lambda _body: "<html>502</html>"),
}
"""Each strikes once: recovery reads again, and must end as without it."""


def exchange_holds(rig: Rig) -> dict[str, Decimal]:
    """By the exchange's own record."""
    held: dict[str, Decimal] = {}
    for row in rig.exchange.truth(None)["positions"]:
        if Decimal(row["qty"]):
            held[row["symbol"]] = Decimal(row["qty"])
    return held


def books_hold(rig: Rig) -> dict[str, Decimal]:
    held: dict[str, Decimal] = {}
    for position in rig.state.book.open_positions():
        held[position.symbol] = held.get(position.symbol, Decimal(0)) + position.quantity
    return held
