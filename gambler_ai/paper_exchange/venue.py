"""What happens to orders: submission, cancelling, the opening and the closing of a session.

The venue changes its own objects and notes what changed and what must be told; storing and telling are the
exchange's work. It knows the present moment only by being told. Rules of their own live beside it: `intake`
(admission), `execution` (fills), `groups` (brackets and the like), `replacing`, `closing`, `actions`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from gambler_ai.paper_exchange import execution, groups, hours, intake, matching, path, replacing, wire
from gambler_ai.paper_exchange.account import Account, Balances, balances
from gambler_ai.paper_exchange.book import ZERO, Activity, Execution, Order
from gambler_ai.paper_exchange.calendar import Session, Sessions, new_york_day
from gambler_ai.paper_exchange.drift import drifted
from gambler_ai.paper_exchange.ids import Ids
from gambler_ai.paper_exchange.market import Bar, Market, Quote
from gambler_ai.paper_exchange.refusal import Refused
from gambler_ai.paper_exchange.resting import RestingBook
from gambler_ai.paper_exchange.splits import SplitMarket, split_quote
from gambler_ai.paper_exchange.switches import Switches
from gambler_ai.paper_exchange.tickets import Ticket

_GTC_LIFE = timedelta(days=90)
_TICK = timedelta(microseconds=1)
_ENDED_AT = {"canceled": "canceled_at", "expired": "expired_at", "rejected": "failed_at", "replaced": "replaced_at"}


@dataclass(slots=True)
class Changes:
    """What has to be stored since the last time it was."""

    orders: dict[str, Order] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    executions: list[Execution] = field(default_factory=list)
    activities: list[Activity] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.orders or self.accounts or self.executions or self.activities)


class Venue:
    """Orders, accounts and the present moment."""

    def __init__(self, market: Market, sessions: Sessions, ids: Ids, now: datetime, partial_fill_rate: Decimal) -> None:
        self.market = SplitMarket(market)
        self.sessions = sessions
        self.ids = ids
        self.now = now
        self.last_stamp = now
        self.partial_fill_rate = partial_fill_rate
        self.session: Session | None = sessions.running(now)
        self.book = RestingBook()
        self._border: datetime | None = None
        self.accounts: dict[str, Account] = {}
        self.lab_quotes: dict[str, Quote] = {}
        self.point: Quote | None = None
        self._quotes: dict[str, tuple[datetime, Quote | None]] = {}
        self.changes = Changes()
        self.switches = Switches()
        self.wall: Callable[[], datetime] = lambda: self.now
        self.fault: Callable[[str, Order], Any] = lambda act, order: None
        self.tell: Callable[[str, Callable[[], dict[str, Any]]], None] = lambda account, frame: None

    # -- looking -----------------------------------------------------------------------------------

    def quote(self, symbol: str) -> Quote | None:
        """The quote in force: the lab's until the market has a newer one; inside a bar, where the price is."""
        if self.point is not None and self.point.symbol == symbol:
            return self.point
        known = self._quotes.get(symbol)
        if known is None or known[0] != self.now:
            known = self._quotes[symbol] = self.now, self.market.quote(symbol, self.now)
        ours, theirs = self.lab_quotes.get(symbol), known[1]
        return ours if ours and (theirs is None or theirs.at <= ours.at) else theirs

    def split_prices(self, symbol: str, ratio: Decimal) -> None:
        """From now on prices are of the new shares, `ratio` of which make one of before."""
        self.market.split(symbol, self.now, ratio)
        self._quotes.pop(symbol, None)
        if symbol in self.lab_quotes:
            self.lab_quotes[symbol] = split_quote(self.lab_quotes[symbol], ratio)

    def mark(self, symbol: str) -> Decimal:
        """The last trade, in USD; zero when there never was one."""
        quote = self.quote(symbol)
        return quote.last if quote else ZERO

    def balances(self, account: Account) -> Balances:
        """An account valued now."""
        return balances(account, self.mark, self.book.reserved.get(account.id, ZERO))

    def held(self, account: Account, symbol: str) -> Decimal:
        """Shares of a position that working orders hold."""
        return self.book.held(account.id, symbol, "sell" if account.qty(symbol) > 0 else "buy")

    def stamp(self) -> datetime:
        """The present moment, made unique: two events never share a time, so that paging by time is exact."""
        self.last_stamp = max(self.now, self.last_stamp + _TICK)
        return self.last_stamp

    def day_of(self, order: Order) -> Session | None:
        """The trading day an order may be filled in now, if any."""
        if self.session is not None:
            return self.session
        return hours.extended(self.sessions, self.now) if order.extended_hours else None

    def expiry(self, time_in_force: str, extended_hours: bool) -> datetime:
        """When an order given now ends by itself."""
        return self.now + _GTC_LIFE if time_in_force == "gtc" else intake.day_end(self, extended_hours)

    # -- orders ------------------------------------------------------------------------------------

    def submit(self, account: Account, ticket: Ticket, source: str | None = None) -> dict[str, Any]:
        """Take an order; returns it as the answer shows it, before any fill. Refused as Alpaca would."""
        orders = intake.orders(self, account, ticket, source, _GTC_LIFE)
        for order in orders:
            self.book.add(order)
            self.changed(order)
        answer = wire.order(orders[0], self.book.legs(orders[0]))
        self.start(orders[0])
        return answer

    def start(self, order: Order) -> None:
        """Bring an accepted order to the market, or let it wait for its hours."""
        if self.day_of(order) is None:
            order.status = "accepted"
            self.changed(order)
            self.tell_order(order, "accepted")
            return
        if self.fault("reject", order) is not None:
            self.end(order, "rejected")
            return
        order.status = "new"
        self.changed(order)
        self.tell_order(order, "new")
        self.attempt(order)
        if order.is_alive and order.time_in_force in execution.AT_ONCE:
            self.end(order, "canceled")

    def attempt(self, order: Order) -> None:
        """Evaluate one order now."""
        day = self.day_of(order)
        if day is not None:
            execution.attempt(self, order, self._fresh_quote(order.symbol, day))

    def fill(self, order: Order, qty: Decimal, price: Decimal) -> None:
        """Book one execution and tell it."""
        execution.fill(self, order, qty, price)

    def cancel(self, order: Order) -> None:
        """Take an order back, at once or after a while. Refused when it has ended or is being replaced."""
        if order.status == "pending_cancel":
            return
        waits = order.replaces is not None and not order.active
        if not order.is_alive or order.status == "pending_replace" or waits:
            if order.status == "canceled" and self.switches.repeat_cancel == "accept":
                return
            raise Refused(422, 42210000, f'order is already in "{order.status}" state')
        order.due, order.due_wall = self._cancel_due(order)
        if not order.is_pending:
            self.end(order, "canceled")
            return
        order.resume, order.status = order.status, "pending_cancel"
        self.changed(order)
        self.tell_order(order, "pending_cancel")

    def _cancel_due(self, order: Order) -> tuple[datetime | None, datetime | None]:
        """When a cancel is decided, in exchange or in wall time; neither for at once."""
        opening = self.sessions.next_after(self.now).open
        held = self.fault("hold_cancel", order)
        if held is not None:
            return (opening, None) if held.seconds is None else (None, self.wall() + timedelta(seconds=held.seconds))
        if self.switches.cancel_seconds:
            return self.now + timedelta(seconds=int(self.switches.cancel_seconds)), None
        routed = self.session is None and order.status != "accepted"
        return opening if routed and self.switches.cancel_when_closed == "at_open" else None, None

    def end(self, order: Order, status: str, alone: bool = False) -> None:
        """An order ends unfilled: canceled, expired, rejected or replaced; its group with it, unless `alone`."""
        if not order.is_alive:
            return
        told = order.status != "held" or status in ("replaced", "rejected") or self.switches.emit_held_cancel
        order.status, order.due, order.due_wall = status, None, None
        setattr(order, _ENDED_AT[status], self.changed(order))
        if told:
            self.tell_order(order, status)
        replacing.ended(self, order)
        if not alone:
            groups.ended(self, order)

    def resume(self, order: Order) -> None:
        """What was pending did not happen: the order works on."""
        opened = order.resume == "accepted" and self.day_of(order) is not None
        order.status, order.due, order.due_wall = "new" if opened else order.resume, None, None
        if order.filled_qty and order.status == "new":
            order.status = "partially_filled"
        self.changed(order)

    # -- time --------------------------------------------------------------------------------------

    def bars_moved(self, bars: list[Bar]) -> None:
        """Let the price of each bar pass the working orders of its symbol."""
        day = self.session or (hours.extended(self.sessions, self.now) if self.book.timed else None)
        for bar in sorted(bars):
            if day is not None and self._fresh_quote(bar.symbol, day) is not None:
                path.walk(self, bar)

    def quotes_moved(self, symbols: set[str]) -> None:
        """Evaluate the working orders of these symbols that the quote reaches, in the order they came."""
        day = self.session or (hours.extended(self.sessions, self.now) if self.book.timed else None)
        if day is None:
            return
        for symbol in sorted(symbols & self.book.working.keys()):
            quote = self._fresh_quote(symbol, day)
            for order in self.book.reached(symbol, quote) if quote else ():
                execution.attempt(self, order, quote)

    def next_due(self) -> datetime | None:
        """When the clock alone moves an order next: a pending cancel or replace, or the edge of extended hours."""
        dues = [self.book.due[0][0]] if self.book.due else []
        if self.book.extended:
            if self._border is None or self._border <= self.now:
                self._border = hours.next_border(self.sessions, self.now)
            dues.append(self._border)
        return min(dues, default=None)

    def settle_due(self) -> None:
        """Decide what is due now."""
        for order in self.book.due_until(self.now):
            if order.is_alive and order.due and order.due <= self.now:
                self._decide(order)
        if self._border is None or self.now < self._border:
            return
        for order in sorted(self.book.extended.values(), key=lambda order: order.seq):
            if not order.is_alive or order.is_pending:
                continue
            if order.status == "accepted" and self.day_of(order) is not None:
                self.start(order)
            elif order.expires_at <= self.now:
                self._expire(order)

    def settle_wall(self) -> None:
        """Decide what is due by the wall's clock: what the lab has held up for some seconds."""
        for order in list(self.book.held_up.values()):
            if order.due_wall and order.is_alive and order.due_wall <= self.wall():
                self._decide(order)

    def _decide(self, order: Order) -> None:
        if order.status == "pending_replace":
            replacing.decided(self, order)
            return
        outcome, quote = self.switches.cancel_outcome, self.quote(order.symbol)
        if outcome == "rejected":
            self.resume(order)
            self.tell_order(order, "order_cancel_rejected")
        elif outcome == "filled" and quote is not None and order.active and order.remaining:
            self.fill(order, order.remaining, order.limit_price or matching.market_price(order, quote))
        else:
            self.end(order, "canceled")

    def open_session(self, session: Session) -> None:
        """The opening: queued orders become new, and everything is evaluated."""
        self.session = session
        for order in self.book.queue():
            if order.status == "accepted":
                order.status = "new"
                self.changed(order)
                self.tell_order(order, "new")
        self.quotes_moved(set(self.book.working))

    def close_session(self, session: Session) -> None:
        """The close: its auction, then day orders expire, ninety-day-old ones are cancelled, equity is carried over."""
        for order in self.book.queue():
            if order.time_in_force == "cls":
                execution.attempt(self, order, self._fresh_quote(order.symbol, session), closing=True)
        self.session = None
        for order in self.book.queue():
            if order.is_alive and order.expires_at <= session.close:
                self._expire(order)
        for account in self.accounts.values():
            if not account.closed:
                sums = self.balances(account)
                account.last_equity, account.last_maintenance = sums.equity, sums.maintenance_margin
                for symbol, held in account.positions.items():
                    held.carry_over(self.mark(symbol))
                self.changes.accounts[account.id] = account

    def _expire(self, order: Order) -> None:
        if order.status == "pending_cancel":
            self.end(order, "canceled")
        elif order.time_in_force == "day":
            self.end(order, self.switches.day_end_status)
        elif order.time_in_force == "gtc":
            order.status = "pending_cancel"
            self.changed(order)
            self.tell_order(order, "pending_cancel")
            self.end(order, "canceled")
        else:
            self.end(order, self.switches.auction_unfilled)

    def _fresh_quote(self, symbol: str, session: Session) -> Quote | None:
        """The quote, if it is of this session's day: yesterday's prices fill nothing today. None in a halt."""
        if self.switches.halted and self.switches.names("halted", symbol):
            return None
        quote = self.quote(symbol)
        return quote if quote and new_york_day(quote.at) == session.day else None

    # -- noting ------------------------------------------------------------------------------------

    def changed(self, order: Order) -> datetime:
        """Note a change of an order: it is stamped, indexed anew and will be stored."""
        order.updated_at = self.stamp()
        if order.wall_at is None:
            order.wall_at = self.wall()
        if order.ended_wall_at is None and not order.is_alive:
            order.ended_wall_at = self.wall()
        self.changes.orders[order.id] = order
        self.book.index(order)
        return order.updated_at

    def tell_order(self, order: Order, event: str, execution: Execution | None = None) -> None:
        """Tell an event. Its ids are counted whether or not anybody listens: the seed alone decides them."""
        number, at = self.ids.count("event"), order.updated_at
        report = None if execution else self.ids.count("report")

        def frame() -> dict[str, Any]:
            event_id = self.ids.ulid("event", number, at)
            execution_id = execution.id if execution else self.ids.uuid_of("report", report or 0)
            update = wire.trade_update(order, event, event_id, execution_id, execution)
            update["data"]["order"] = drifted(update["data"]["order"], self.switches)
            return update

        self.tell(order.account, frame)
