"""Random order flows of every kind, drawn from a seed, with the books checked after every single step."""

import random
from collections import defaultdict
from decimal import Decimal
from typing import Any

from gambler_ai.paper_exchange import actions
from gambler_ai.paper_exchange.book import ALIVE, Execution, Order

from .rig import Desk

MOVES_SHARES = ("SPLIT", "NC")
TERMINAL = {"filled", "canceled", "expired", "rejected", "replaced"}
SWITCHES: tuple[dict[str, Any], ...] = (
    {},
    {"oco_loser_status": "replaced", "emit_held_cancel": True},
    {"stop_fires_as_new_order": True},
    {"both_exits_fill": True, "replace_original_qty": True},
    {"replace_seconds": 90, "cancel_seconds": 90},
    {"replace": "reject"},
    {"replace": "error_but_done", "cancel_when_closed": "at_open"},
    {"cancel_seconds": 30, "cancel_outcome": "filled"},
    {"cancel_seconds": 30, "cancel_outcome": "rejected", "emit_held_cancel": True},
    {"replace_seconds": 45, "stop_fires_as_new_order": True, "day_end_status": "canceled"},
)


class Flow:
    """One account trading at random; `step` acts once, `check` proves the books."""

    def __init__(self, desk: Desk, seed: int) -> None:
        self.desk, self.draw = desk, random.Random(seed)
        self.ids: list[str] = []
        self.cash, self.position = Decimal(0), defaultdict(Decimal)
        self.filled: dict[str, Decimal] = defaultdict(Decimal)
        self.ended: set[str] = set()
        self.executions: set[str] = set()
        self.booked = self.heard = self.told = 0
        account = desk.exchange.account_of(desk.key, desk.secret)
        assert account is not None
        self.account = desk.exchange.venue.accounts[account]
        switches = SWITCHES[seed % len(SWITCHES)]
        desk.exchange.venue.switches.set(switches)
        self.oversells = bool(switches.keys() & {"both_exits_fill", "replace_original_qty"})
        desk.listen()

    def step(self) -> None:
        what = self.draw.random()
        if what < 0.45:
            self._order()
        elif what < 0.53:
            self._cancel()
        elif what < 0.66:
            self._replace()
        elif what < 0.69:
            self._close()
        elif what < 0.93:
            middle = self.draw.randint(4500, 11500)
            symbol = self.draw.choice(("AAA", "BBB"))
            self.desk.price(str(Decimal(middle - 1) / 100), str(Decimal(middle + 1) / 100), symbol=symbol)
        elif what < 0.99:
            self.desk.pass_time(minutes=self.draw.choice((1, 1, 2, 30, 400, 1080)))
        else:
            self._corporate_action()

    def _corporate_action(self) -> None:
        venue, symbol = self.desk.exchange.venue, self.draw.choice(("AAA", "BBB"))
        if self.draw.random() < 0.5:
            actions.split(venue, symbol, self.draw.choice((Decimal(2), Decimal("1.5"), Decimal("0.5"), 1 / Decimal(3))))
        else:
            actions.pay_dividend(venue, symbol, Decimal("0.333"))
        self.desk.exchange.commit()

    def _order(self) -> None:
        draw = self.draw
        order: dict[str, Any] = {
            "symbol": draw.choice(("AAA", "BBB")),
            "side": draw.choice(("buy", "sell")),
            "type": draw.choice(("market", "market", "limit", "limit", "stop", "stop_limit", "trailing_stop")),
            "time_in_force": draw.choice(("day", "gtc", "gtc", "ioc", "fok", "opg", "cls")),
            "qty": draw.choice(("1", "7", "20", "100", "0.5", "3.141592653")),
        }
        if "." in order["qty"]:
            order["time_in_force"] = "day"
        if order["type"] in ("limit", "stop_limit"):
            order["limit_price"] = str(draw.randint(45, 115))
        if order["type"] in ("stop", "stop_limit"):
            order["stop_price"] = str(draw.randint(45, 115))
        if order["type"] == "trailing_stop":
            order |= draw.choice(({"trail_price": "2"}, {"trail_percent": "3"}))
        kind = draw.random()
        if kind < 0.1:
            order |= {"qty": None, "notional": "333.33", "type": draw.choice(("market", "limit")), "limit_price": None}
            order |= {"stop_price": None, "trail_price": None, "trail_percent": None, "time_in_force": "day"}
            if order["type"] == "limit":
                order["limit_price"] = str(draw.randint(45, 115))
        elif kind < 0.45:
            low, high = draw.randint(45, 78), draw.randint(82, 115)
            up = order["side"] == "buy"
            group = draw.choice(("bracket", "oco", "oto"))
            if group == "oco":
                up = not up
            exits: dict[str, Any] = {
                "take_profit": {"limit_price": str(high if up else low)},
                "stop_loss": {"stop_price": str(low if up else high)},
            }
            if group == "oto":
                exits.pop(draw.choice(("take_profit", "stop_loss")))
            plain = {"trail_price": None, "trail_percent": None, "stop_price": None}
            order["qty"] = draw.choice(("1", "7", "20"))
            kinds = {"type": "limit", "limit_price": None if group == "oco" else "80"}
            if group != "oco" and draw.random() < 0.4:
                kinds = {"type": "market", "limit_price": None}
            order |= {**plain, **kinds, **exits, "order_class": group, "time_in_force": draw.choice(("day", "gtc"))}
        elif order["type"] == "limit" and draw.random() < 0.3:
            order |= {"extended_hours": True, "time_in_force": draw.choice(("day", "gtc"))}
        power = Decimal(self.desk.get("/v2/account")["buying_power"])
        status, answer = self.desk.send(**order)
        assert status in (200, 403, 422), answer
        if status == 200:
            self._check_power(answer, power)
            self.ids += [answer["id"], *(leg["id"] for leg in answer["legs"] or ())]

    def _check_power(self, order: dict[str, Any], power: Decimal) -> None:
        """What an accepted order may cost was there when it came; a market order pays no less than a cent a share."""
        if order["position_intent"].endswith("open") and order["qty"]:
            least = Decimal(order["limit_price"] or order["stop_price"] or "0.01")
            assert power >= least * Decimal(order["qty"]), "more than the buying power was ordered"

    def _some_id(self) -> str:
        return self.draw.choice(self.ids[-12:] if self.draw.random() < 0.8 else self.ids)

    def _cancel(self) -> None:
        if self.ids and self.draw.random() < 0.9:
            assert self.desk.call("DELETE", f"/v2/orders/{self._some_id()}")[0] in (204, 422)
        else:
            assert self.desk.call("DELETE", "/v2/orders")[0] == 207

    def _replace(self) -> None:
        if not self.ids:
            return
        fields = {"qty": self.draw.choice((None, "3", "15")), "limit_price": self.draw.choice((None, "60", "90"))}
        fields |= {"stop_price": self.draw.choice((None, "55", "105")), "trail": self.draw.choice((None, None, "4"))}
        order = self.desk.exchange.venue.book.by_id[self._some_id()]
        if order.limit_price is None:
            fields["limit_price"] = None
        if order.type not in ("stop", "stop_limit"):
            fields["stop_price"] = None
        if order.type != "trailing_stop":
            fields["trail"] = None
        if order.role in ("take_profit", "stop_loss"):
            fields["qty"] = None
        status, answer = self.desk.call("PATCH", f"/v2/orders/{order.id}", fields)
        assert status in (200, 403, 422), answer
        if status == 200:
            self.ids.append(answer["id"])

    def _close(self) -> None:
        if self.draw.random() < 0.5:
            assert (
                self.desk.call("DELETE", "/v2/positions", cancel_orders=self.draw.choice(("true", "false")))[0] == 207
            )
        else:
            share = {"percentage": "50"} if self.draw.random() < 0.5 else {}
            assert self.desk.call("DELETE", "/v2/positions/AAA", **share)[0] in (200, 403, 404, 422)

    def check(self) -> None:
        """Everything that must hold between any two steps."""
        book = self.desk.exchange.venue.book
        self._check_fills()
        self._check_activities()
        self._check_frames()
        assert self.account.cash == self.cash, "cash is what fills and activities paid and took"
        held = {symbol: position.qty for symbol, position in self.account.positions.items()}
        assert held == {symbol: qty for symbol, qty in self.position.items() if qty}, "fills add up to positions"
        for order in book.alive(self.account.id):
            self._check_order(order)
        reserved = sum((order.reserved for order in book.alive(self.account.id)), Decimal(0))
        assert book.reserved.get(self.account.id, 0) == reserved, "the kept sum is what the orders reserve"
        self._check_held()
        account = self.desk.get("/v2/account")
        value = sum((Decimal(p["market_value"]) for p in self.desk.get("/v2/positions")), Decimal(0))
        assert Decimal(account["equity"]) == self.cash + value

    def _check_held(self) -> None:
        """Orders that close hold no more shares than there are, and what they leave is what the position shows."""
        for symbol in ("AAA", "BBB"):
            closing = "sell" if self.position[symbol] > 0 else "buy"
            held = {"buy": Decimal(0), "sell": Decimal(0)}
            for order in self.desk.exchange.venue.book.alive(self.account.id, symbol):
                held[order.side] += order.held
            assert held.pop(closing) <= abs(self.position[symbol]), "more shares are held than there are"
            assert set(held.values()) == {0}, "shares are held that nobody has"
        for position in self.desk.get("/v2/positions"):
            held_now = sum(
                order.held for order in self.desk.exchange.venue.book.alive(self.account.id, position["symbol"])
            )
            assert Decimal(position["qty_available"]) == abs(Decimal(position["qty"])) - held_now

    def _check_fills(self) -> None:
        fills = self.desk.exchange.venue.book.executions.get(self.account.id, [])
        for fill in fills[self.booked :]:
            sign = 1 if fill.side == "buy" else -1
            self.cash -= sign * fill.qty * fill.price
            self.position[fill.symbol] += sign * fill.qty
            assert fill.qty > 0
            self.filled[fill.order_id] += fill.qty
            assert fill.cum_qty == self.filled[fill.order_id], "filled_qty only grows"
            assert fill.id not in self.executions, "an execution id is used once"
            self._check_closing(fill, self.position[fill.symbol] - sign * fill.qty)
            self.executions.add(fill.id)
        self.booked = len(fills)

    def _check_closing(self, fill: Execution, before: Decimal) -> None:
        """What closes a position never opens the opposite one, unless a switch says so."""
        intent = self.desk.exchange.venue.book.by_id[fill.order_id].position_intent
        if intent.endswith("close") and not self.oversells:
            assert abs(before) >= fill.qty, "a closing order sold or bought more than there was"

    def _check_activities(self) -> None:
        entries = self.desk.exchange.venue.book.activities[self.account.id]
        for entry in entries[self.told :]:
            self.cash += entry.net_amount
            if entry.type in MOVES_SHARES:
                self.position[entry.symbol or ""] += entry.qty or 0
        self.told = len(entries)

    def _check_frames(self) -> None:
        frames = self.desk.frames
        for frame in frames[self.heard :]:
            order = frame["order"]
            rejected_late = frame["event"] == "order_replace_rejected"
            assert order["id"] not in self.ended or rejected_late, "nothing happens to an order after its end"
            if order["status"] in TERMINAL:
                self.ended.add(order["id"])
            if order["status"] == "replaced" and order["replaced_by"]:
                successor = self.desk.exchange.venue.book.by_id[order["replaced_by"]]
                assert successor.replaces == order["id"] or successor.role == "stop_loss"
            if order["replaces"]:
                assert order["replaces"] in self.desk.exchange.venue.book.by_id
        self.heard = len(frames)

    def _check_order(self, order: Order) -> None:
        assert order.status in ALIVE
        assert order.filled_qty == self.filled[order.id]
        if order.qty is not None:
            assert order.filled_qty < order.qty, "what is filled has ended"

    def prove_end(self) -> None:
        """What REST says at the end: every id answers, and FILL activities are the executions, once each."""
        everything = self.desk.exchange.venue.book.by_account.get(self.account.id, [])
        for order in everything:
            shown = self.desk.get(f"/v2/orders/{order.id}")
            assert Decimal(shown["filled_qty"]) == self.filled[order.id]
            assert (shown["status"] in TERMINAL) != order.is_alive
            for name in ("replaces", "replaced_by"):
                assert shown[name] is None or self.desk.get(f"/v2/orders/{shown[name]}")["id"] == shown[name]
        found: list[str] = []
        token: dict[str, str] = {}
        while page := self.desk.get("/v2/account/activities/FILL", direction="asc", **token):
            found += [one["id"].split("::")[1] for one in page]
            token = {"page_token": page[-1]["id"]}
        assert len(found) == len(self.executions) == len(set(found))
        assert set(found) == self.executions
        self._prove_pages()

    def _prove_pages(self) -> None:
        """Every activity of any type is listed once, in either direction, fills and others merged by time."""
        book, pages = self.desk.exchange.venue.book, {}
        everything = [*book.executions.get(self.account.id, []), *book.activities[self.account.id]]
        for direction in ("asc", "desc"):
            found, token = pages.setdefault(direction, []), {}
            while page := self.desk.get("/v2/account/activities", direction=direction, **token):
                found += [one["id"].split("::")[1] for one in page]
                token = {"page_token": page[-1]["id"]}
        assert pages["asc"] == pages["desc"][::-1] == [one.id for one in sorted(everything, key=lambda one: one.at)]


def run_flow(desk: Desk, seed: int, steps: int = 300) -> Flow:
    """A whole flow, checked after every step."""
    flow = Flow(desk, seed)
    for _ in range(steps):
        flow.step()
        flow.check()
    flow.prove_end()
    return flow
