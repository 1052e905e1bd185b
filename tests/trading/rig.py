"""The trading house on a simulated clock with its order desk in hand, and a broker that can be made to fail."""

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

from gambler_ai import crashpoints
from gambler_ai.broker.alpaca_rest import Reply
from gambler_ai.broker.direct import DirectGateway
from gambler_ai.clock import SimulatedClock
from gambler_ai.domain.orders import Order, Role, Side, Wish, client_order_id
from gambler_ai.domain.policy import Policy
from gambler_ai.domain.positions import Position
from gambler_ai.domain.sessions import Session, SessionStatus
from gambler_ai.errors import BrokerUnreachable
from gambler_ai.paper_exchange.exchange import Exchange
from gambler_ai.paper_exchange.markets import open_market
from gambler_ai.storage.commands import Command, CommandRows
from gambler_ai.storage.database import Database
from gambler_ai.storage.holder import Holder
from gambler_ai.storage.records import find_account
from gambler_ai.storage.verify import verify
from gambler_ai.trading.house import House, Parts, Rules
from gambler_ai.trading.maintenance import obey
from gambler_ai.trading.messages import Inbox
from gambler_ai.trading.order_desk import Blocked
from gambler_ai.trading.recovery import Recovery
from gambler_ai.trading.shutdown import Shutdown
from tests.support.market import OPEN, write_tape

KEYS = ("PKRIG", "secret")
BUY = Wish("AAA", Side.BUY, Decimal(10))
SELL = Wish("AAA", Side.SELL, Decimal(10), Role.EXIT)
PROTECTED = replace(BUY, stop_loss=Decimal(95))
BRACKETED = replace(BUY, stop_loss=Decimal(95), take_profit=Decimal(120))
RESTING = Wish("AAA", Side.BUY, Decimal(10), type="limit", limit_price=Decimal(50))
KEY = "bar:one:0"
NO_POSITION = Reply(404, json.dumps({"code": 40410000, "message": "position does not exist"}), {})
NO_ORDER = Reply(404, json.dumps({"code": 40410000, "message": "order not found"}), {})


@dataclass
class Weather:
    """What happens to requests: the next POSTs by name, and answers put in the place of the exchange's. `then`, and
    `every_look` when that is over, happen after the positions of a look were read."""

    posts: list[str | Reply | tuple[int, dict[str, Any]]] = field(default_factory=list)
    answers: dict[str, str | Reply] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    then: list[Callable[[], Any]] = field(default_factory=list)
    every_look: Callable[[], Any] = lambda: None

    def before(self, method: str, path: str) -> Reply | None:
        if path in self.answers:
            answer = self.answers[path]
            return answer if isinstance(answer, Reply) else Reply(200, answer, {})
        if method == "GET":
            return None
        act = self.posts[0] if self.posts else None
        if act == "unreachable":
            self.posts.pop(0)
            raise BrokerUnreachable("no route")
        self.sent.append(method)
        if act == "lost before":
            self.posts.pop(0)
            raise ConnectionResetError("on the way there")
        if isinstance(act, Reply | tuple):
            self.posts.pop(0)
            return act if isinstance(act, Reply) else Reply(act[0], json.dumps(act[1]), {})
        return None

    def after(self, method: str, path: str, answer: Reply) -> Reply:
        if method == "GET" and path == "/v2/positions":
            (self.then.pop(0) if self.then else self.every_look)()
        if method != "GET" and self.posts and self.posts.pop(0) == "lost after":
            raise ConnectionResetError("on the way back")
        return answer


class HaltingClock(SimulatedClock):
    """A process that is frozen for `pause` seconds after each look at its clock."""

    pause = 0.0

    def monotonic(self) -> float:
        at = super().monotonic()
        self.sleep(self.pause)
        return at


class Rig:
    """`open` starts the house, again after `crash` or `close`; `session` is the one it trades."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.folder = folder
        self.database_url = database_url
        self.clock = HaltingClock(OPEN + timedelta(minutes=5))
        market = open_market(write_tape(folder / "tape"))
        self.exchange = Exchange.open(
            folder / "exchange.db", market, self.clock.now(), seed=1, wall=self.clock.wall, partial_fill_rate=Decimal(0)
        )
        self.weather = Weather()
        self.policy = Policy()
        self.rules = Rules(settle_s=4, confirm_span_s=6, look_every_s=3600)
        self.house: House | None = None
        self.open()

    def opened_anew(self) -> House:
        """A house over the same books that nobody has opened yet."""
        parts = Parts(
            database=Database(self.database_url),
            gateway=DirectGateway(self.exchange, *KEYS, self.clock, fault=self.weather),
            clock=self.clock,
            shutdown=Shutdown(),
            inbox=Inbox(),
            label="default",
            endpoint="direct",
            data_dir=self.folder,
            rules=replace(self.rules, policy=self.policy),
            default_symbols=("AAA",),
            chance=Random(1),
            holder=Holder("rig", "", 1, "", "0"),
            create_tables=True,
            lease_thread=False,
        )
        return House(parts)

    def open(self) -> None:
        """Take the account and look up the session; nothing is recovered yet."""
        self.house = self.opened_anew()
        self.state = self.house.open().state
        self.recovery, self.blocks = self.house.recovery()
        self.desk, self.in_doubt = self.recovery.desk, self.recovery.in_doubt
        self.protection = self.recovery.protection
        known = self.state.records.sessions()
        self.session = known[0] if known else self._begin()

    def _begin(self) -> Session:
        session = Session(
            session_id="s1",
            account_id=self.state.account_id,
            owner="alpha",
            strategy="sma_cross",
            symbols=("AAA", "BBB"),
            params=(),
            status=SessionStatus.ACTIVE,
            start_time=self.clock.now(),
            ends_at=self.clock.now() + timedelta(hours=5),
        )
        self.state.open_session(session)
        return session

    def close(self) -> None:
        """Stop; the next `open` is a restart."""
        crashpoints.arm(None)
        if self.house is not None:
            self.house.close()
            self.house = None

    def restart(self) -> Recovery:
        """Stop, start, recover."""
        self.close()
        self.open()
        self.recovery.run()
        return self.recovery

    def place(self, wish: Wish = BUY, key: str = KEY, ttl_s: float = 120) -> Order | Blocked:
        return self.desk.place(self.session, wish, key, self.clock.now() + timedelta(seconds=ttl_s))

    def placed(self, wish: Wish = BUY, key: str = KEY, ttl_s: float = 120) -> Order:
        order = self.place(wish, key, ttl_s)
        assert isinstance(order, Order), order
        return order

    def order(self, order: Order | str) -> Order:
        """The order as the books have it now."""
        found = self.state.book.order(order if isinstance(order, str) else order.client_order_id)
        assert found is not None
        return found

    def id_of(self, wish: Wish = BUY, key: str = KEY) -> str:
        return client_order_id(
            role=wish.role,
            owner="alpha",
            account_id=self.session.account_id,
            session_id="s1",
            symbol=wish.symbol,
            decision_key=key,
        )

    def at_exchange(self) -> list[dict[str, Any]]:
        orders: list[dict[str, Any]] = self.exchange.truth(None)["orders"]
        return orders

    def by_hand(self, symbol: str = "AAA", qty: str = "10", side: str = "buy", **more: str) -> dict[str, Any]:
        """An order that did not come through our desk."""
        body = {"symbol": symbol, "qty": qty, "side": side, "type": "market", "time_in_force": "day", **more}
        answer = self.exchange.request("POST", "/v2/orders", {}, json.dumps(body), *KEYS)
        assert answer.status == 200, answer.body
        order: dict[str, Any] = json.loads(answer.body or "")
        return order

    def replace_by_hand(self, order_id: str, stop_price: str) -> str:
        """Somebody moves a stop; the id of the order that works in its place."""
        body = json.dumps({"stop_price": stop_price})
        answer = self.exchange.request("PATCH", f"/v2/orders/{order_id}", {}, body, *KEYS)
        assert answer.status == 200, answer.body
        return str(json.loads(answer.body or "")["id"])

    def cancel_by_hand(self, order: dict[str, Any]) -> None:
        answer = self.exchange.request("DELETE", f"/v2/orders/{order['id']}", {}, None, *KEYS)
        assert answer.status == 204, answer.body

    def closed(self) -> list[Position]:
        """Positions that the books have closed."""
        with self.parts.database.connect() as connection:
            names = connection.exec_driver_sql("SELECT position_id FROM positions WHERE status = 'closed'").fetchall()
        found = [self.state.book.position(name) for (name,) in names]
        return [position for position in found if position is not None]

    def held(self, wish: Wish = BUY) -> Order:
        """Bought, filled and booked."""
        order = self.placed(wish)
        self.pass_time(60)
        self.recovery.run()
        return order

    def bought(self, wish: Wish = PROTECTED) -> Order:
        """Bought, filled and booked, and nothing done about protection yet."""
        order = self.placed(wish)
        self.pass_time(60)
        self.in_doubt.settle()
        self.recovery.reconciler.round()
        return order

    def live_exits(self) -> list[tuple[str, str, str, str]]:
        """Sell orders that work at the exchange, held ones too: type, shares left, price, status."""
        return [
            (
                order["type"],
                str(Decimal(order["qty"]) - Decimal(order["filled_qty"])),
                order["stop_price"] or order["limit_price"] or "",
                order["status"],
            )
            for order in self.at_exchange()
            if order["side"] == "sell"
            and order["status"] in ("new", "accepted", "held", "partially_filled", "pending_new")
        ]

    def live_stops(self) -> list[tuple[str, str, str, str]]:
        """Of `live_exits` all but targets: also the market order an elected stop has become."""
        return [one for one in self.live_exits() if one[0] != "limit"]

    def raw(self, path: str) -> Any:
        """What the exchange itself answers, whatever the weather."""
        answer = self.exchange.request("GET", path, {}, None, *KEYS)
        assert answer.status == 200, answer.body
        return json.loads(answer.body or "")

    def the_broker_shows(self, **quantities: str) -> None:
        """From now on positions are answered like this, by every endpoint, whatever the exchange has."""
        rows = [
            {"symbol": symbol, "qty": qty, "side": "long", "avg_entry_price": "77.5", "asset_id": symbol}
            for symbol, qty in quantities.items()
        ]
        account = self.raw("/v2/account")
        if not rows:
            account["equity"] = account["cash"]
        self.weather.answers["/v2/account"] = json.dumps(account)
        self.weather.answers["/v2/positions"] = json.dumps(rows)
        for symbol in ("AAA", "BBB"):
            row = next((row for row in rows if row["symbol"] == symbol), None)
            self.weather.answers[f"/v2/positions/{symbol}"] = json.dumps(row) if row else NO_POSITION

    def the_broker_forgot(self, order: Order) -> None:
        """From now on this order is known by no path, as after a reset of the account."""
        self.weather.answers["/v2/orders"] = "[]"
        self.weather.answers[f"/v2/orders/{order.broker_order_id}"] = NO_ORDER
        self.weather.answers["/v2/orders:by_client_order_id"] = NO_ORDER

    def lose_the_database(self) -> None:
        """Go on with an empty one, whose account is bound now."""
        self.close()
        if self.database_url.startswith("sqlite"):
            for file in self.folder.glob("gambler.db*"):
                file.unlink()
        else:
            with contextlib.closing(Database(self.database_url)) as database, database.connect() as connection:
                connection.exec_driver_sql("DROP SCHEMA public CASCADE")
                connection.exec_driver_sql("CREATE SCHEMA public")
        self.open()

    def asks(self, kind: str, symbol: str | None = None) -> Command:
        """A person gives a command; nobody has carried it out yet."""
        rows = CommandRows(self.parts.database)
        return rows.ask(self.state.account_id, kind, symbol, "3 a.m.", self.clock.wall())

    def answer(self, command: Command) -> dict[str, Any] | None:
        found = CommandRows(self.parts.database).find(command.id)
        assert found is not None
        return found.result

    def told(self, kind: str, symbol: str | None) -> dict[str, Any]:
        """The command's result, when no session runs to take it."""
        command = self.asks(kind, symbol)
        self.close()
        obey(self.opened_anew())
        self.open()
        result = self.answer(command)
        assert result is not None
        return result

    def prove_the_chain(self) -> None:
        """The journal is unbroken, and the tables follow from it."""
        account = find_account(self.parts.database, "default")
        assert account is not None
        assert verify(self.parts.database, account).ok

    def the_broker_tells_of(self, order: dict[str, Any], *executions: tuple[str, str, str], at: datetime) -> None:
        """From now on the account's activities are these executions (cumulative, shares, price) of one order."""
        rows = [
            {
                "id": f"20261120::e{cum}",
                "order_id": order["id"],
                "symbol": order["symbol"],
                "side": order["side"],
                "qty": qty,
                "cum_qty": cum,
                "price": price,
                "transaction_time": at.isoformat(),
                "type": "fill" if cum == order["qty"] else "partial_fill",
            }
            for cum, qty, price in executions
        ]
        self.weather.answers["/v2/account/activities/FILL"] = json.dumps(rows)

    def rounds(self, count: int, apart_s: float = 3) -> None:
        for _ in range(count):
            self.recovery.reconciler.round()
            self.clock.sleep(apart_s)

    @property
    def shares(self) -> dict[tuple[str, str], Decimal]:
        """What the books hold, by symbol and owner."""
        return {(p.symbol, p.owner): p.quantity for p in self.state.book.open_positions()}

    def settle_for(self, seconds: float) -> None:
        """Settle what is in doubt again and again for so long."""
        end = self.clock.monotonic() + seconds
        while self.clock.monotonic() < end:
            self.in_doubt.settle()
            self.clock.sleep(0.5)

    def pass_time(self, seconds: float) -> datetime:
        self.exchange.advance_to(self.exchange.now + timedelta(seconds=seconds))
        self.clock.observe(self.exchange.now)
        return self.clock.now()

    def kinds(self) -> list[str]:
        """Every kind of journal row, in order."""
        with self.parts.database.connect() as connection:
            rows = connection.exec_driver_sql("SELECT kind FROM order_journal ORDER BY seq")
            return [row[0] for row in rows]

    @property
    def parts(self) -> Parts:
        assert self.house is not None
        return self.house.parts
