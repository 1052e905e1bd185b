"""What happens to orders: submission, matching, cancelling, the opening and the closing of a session.

The venue changes its own objects and notes what changed and what must be told; storing and telling are the
exchange's work. It knows the present moment only by being told.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from gambler_ai.paper_exchange import matching, wire
from gambler_ai.paper_exchange.account import Account, Balances, balances
from gambler_ai.paper_exchange.assets import asset
from gambler_ai.paper_exchange.book import ZERO, Execution, Order
from gambler_ai.paper_exchange.calendar import Session, Sessions, new_york_day
from gambler_ai.paper_exchange.ids import Ids
from gambler_ai.paper_exchange.market import Market, Quote
from gambler_ai.paper_exchange.resting import RestingBook
from gambler_ai.paper_exchange.rules import Refused, Ticket, admit, forbidden

_SHORT_MARGIN = Decimal("1.03")
_GTC_LIFE = timedelta(days=90)
_TICK = timedelta(microseconds=1)
_SMALLEST_PART, _PART_RANGE = Decimal("0.1"), Decimal("0.8")


@dataclass(slots=True)
class Changes:
    """What has to be stored since the last time it was."""

    orders: dict[str, Order] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    executions: list[Execution] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.orders or self.accounts or self.executions)


class Venue:
    """Orders, accounts and the present moment."""

    def __init__(self, market: Market, sessions: Sessions, ids: Ids, now: datetime, partial_fill_rate: Decimal) -> None:
        self.market = market
        self.sessions = sessions
        self.ids = ids
        self.now = now
        self.last_stamp = now
        self.partial_fill_rate = partial_fill_rate
        self.session: Session | None = sessions.running(now)
        self.book = RestingBook()
        self.accounts: dict[str, Account] = {}
        self.lab_quotes: dict[str, Quote] = {}
        self.changes = Changes()
        self.tell: Callable[[str, Callable[[], dict[str, Any]]], None] = lambda account, frame: None

    # -- looking -----------------------------------------------------------------------------------

    def quote(self, symbol: str) -> Quote | None:
        """The quote in force: the lab's until the market has a newer one."""
        ours, theirs = self.lab_quotes.get(symbol), self.market.quote(symbol, self.now)
        return ours if ours and (theirs is None or theirs.at <= ours.at) else theirs

    def mark(self, symbol: str) -> Decimal:
        """The last trade, in USD; zero when there never was one."""
        quote = self.quote(symbol)
        return quote.last if quote else ZERO

    def balances(self, account: Account) -> Balances:
        """An account valued now."""
        return balances(account, self.mark, self.book.open_orders(account.id))

    def held(self, account: Account, symbol: str) -> Decimal:
        """Shares of a position that working orders hold."""
        return sum((order.held for order in self.book.open_orders(account.id, symbol)), ZERO)

    def stamp(self) -> datetime:
        """The present moment, made unique: two events never share a time, so that paging by time is exact."""
        self.last_stamp = max(self.now, self.last_stamp + _TICK)
        return self.last_stamp

    # -- orders ------------------------------------------------------------------------------------

    def submit(self, account: Account, ticket: Ticket, source: str | None = None) -> dict[str, Any]:
        """Take an order; returns it as the answer shows it, before any fill. Refused as Alpaca would."""
        if account.trading_blocked or account.account_blocked:
            raise forbidden("account is not authorized to trade")
        symbol = self._symbol(ticket.symbol)
        if ticket.client_order_id and (account.id, ticket.client_order_id) in self.book.by_client_id:
            raise Refused(422, 40010001, "client_order_id must be unique")
        order = self._admitted(account, ticket, symbol, source)
        self.book.add(order)
        self._changed(order)
        answer = wire.order(order)
        if self.session is None:
            self._tell(order, "accepted")
            return answer
        order.status = "new"
        self._tell(order, "new")
        self._try(order, self._fresh_quote(symbol, self.session))
        return answer

    def _symbol(self, name: str) -> str:
        if name in self.market.symbols:
            return name
        for symbol in self.market.symbols:
            if asset(symbol).id == name:
                return symbol
        raise Refused(422, 42210000, f'asset "{name}" not found')

    def _admitted(self, account: Account, ticket: Ticket, symbol: str, source: str | None) -> Order:
        price = self._price_guess(ticket, symbol)
        estimate = ticket.qty if ticket.qty is not None else matching.shares_for(ticket.notional or ZERO, price)
        working = list(self.book.open_orders(account.id, symbol))
        admission = admit(ticket, account.qty(symbol), working, estimate)
        reserve = None if admission.closing else self._reserve_price(ticket, symbol, price)
        if reserve is not None:
            cost = ticket.notional if ticket.notional is not None else reserve * estimate
            power = self.balances(account).buying_power
            if cost > power:
                raise forbidden(
                    "insufficient buying power", buying_power=wire.number(power), cost_basis=wire.number(cost)
                )
        at = self.stamp()
        return Order(
            id=self.ids.uuid("order"),
            account=account.id,
            client_order_id=ticket.client_order_id or self.ids.uuid("client"),
            seq=len(self.book.by_id) + 1,
            symbol=symbol,
            side=ticket.side,
            type=ticket.type,
            time_in_force=ticket.time_in_force,
            qty=ticket.qty,
            notional=ticket.notional,
            limit_price=ticket.limit_price,
            stop_price=ticket.stop_price,
            position_intent=admission.intent,
            extended_hours=False,
            status="accepted" if self.session is None else "pending_new",
            created_at=at,
            submitted_at=at,
            updated_at=at,
            expires_at=self._expiry(ticket.time_in_force, at),
            reserve_price=reserve,
            held_qty=estimate if admission.closing else ZERO,
            target=ticket.qty,
            source=source,
        )

    def _price_guess(self, ticket: Ticket, symbol: str) -> Decimal:
        """What one share may cost: limit, stop, the far side of the quote, or the last trade when closed."""
        known = ticket.limit_price or ticket.stop_price
        if known is not None:
            return known
        quote = self.quote(symbol)
        if quote is None:
            raise Refused(422, 42210000, f"no price of {symbol} is known yet")
        if self.session is None:
            return quote.last
        return quote.ask if ticket.side == "buy" else quote.bid

    def _reserve_price(self, ticket: Ticket, symbol: str, guess: Decimal) -> Decimal:
        if ticket.side == "buy":
            return matching.collar(guess) if ticket.type == "stop" else guess
        quote = self.quote(symbol)
        return max(guess, quote.ask * _SHORT_MARGIN if quote else ZERO)

    def _expiry(self, time_in_force: str, at: datetime) -> datetime:
        return at + _GTC_LIFE if time_in_force == "gtc" else self.sessions.current_or_next(self.now).close

    def cancel(self, order: Order) -> None:
        """Take a working order back. Refused when it has ended."""
        if not order.is_open:
            raise Refused(422, 42210000, f'order is already in "{order.status}" state')
        self._end(order, "canceled")

    def _end(self, order: Order, status: str) -> None:
        order.status = status
        at = self._changed(order)
        if status == "expired":
            order.expired_at = at
        else:
            order.canceled_at = at
        self.book.settle(order)
        self._tell(order, status)

    # -- time --------------------------------------------------------------------------------------

    def quotes_moved(self, symbols: set[str], session: Session | None) -> None:
        """Evaluate the working orders of these symbols, in the order they came, if a session runs."""
        if session is None:
            return
        for symbol in sorted(symbols & self.book.working.keys()):
            quote = self._fresh_quote(symbol, session)
            for order in self.book.reached(symbol, quote) if quote else ():
                self._try(order, quote)

    def open_session(self, session: Session) -> None:
        """The opening: queued orders become new, and everything is evaluated."""
        self.session = session
        queued = [order for orders in self.book.working.values() for order in orders.values()]
        for order in sorted(queued, key=lambda order: order.seq):
            if order.status == "accepted":
                order.status = "new"
                self._changed(order)
                self._tell(order, "new")
        self.quotes_moved(set(self.book.working), session)

    def close_session(self, session: Session) -> None:
        """The close: day orders expire, ninety-day-old ones are cancelled, equity is carried over."""
        self.session = None
        ending = [order for orders in self.book.working.values() for order in orders.values()]
        for order in sorted(ending, key=lambda order: order.seq):
            if order.expires_at <= session.close:
                self._end(order, "expired" if order.time_in_force == "day" else "canceled")
        for account in self.accounts.values():
            if not account.closed:
                sums = self.balances(account)
                account.last_equity, account.last_maintenance = sums.equity, sums.maintenance_margin
                self.changes.accounts[account.id] = account

    def _fresh_quote(self, symbol: str, session: Session) -> Quote | None:
        """The quote, if it is of this session's day: yesterday's prices fill nothing today."""
        quote = self.quote(symbol)
        return quote if quote and new_york_day(quote.at) == session.day else None

    # -- matching ----------------------------------------------------------------------------------

    def _try(self, order: Order, quote: Quote | None) -> None:
        if quote is None or not order.is_open or order.status == "accepted":
            return
        if order.type == "stop" and not order.triggered:
            if not matching.elected(order, quote.last):
                return
            order.triggered = True
            self._changed(order)
        price = matching.fill_price(order, quote)
        if price is None:
            return
        account = self.accounts[order.account]
        if order.target is None:
            order.target = matching.shares_for(order.notional or ZERO, price)
            if order.reserve_price is None:
                order.target = min(order.target, abs(account.qty(order.symbol)))
            if order.target <= 0:
                self._end(order, "canceled")
                return
        remaining = order.target - order.filled_qty
        qty = remaining
        if self.partial_fill_rate and self.ids.chance("partial") < self.partial_fill_rate:
            qty = matching.part(remaining, _SMALLEST_PART + _PART_RANGE * self.ids.chance("part"))
        self._fill(account, order, qty, price)

    def _fill(self, account: Account, order: Order, qty: Decimal, price: Decimal) -> None:
        before = account.qty(order.symbol)
        sign = 1 if order.side == "buy" else -1
        after = account.book_fill(order.symbol, sign * qty, price)
        order.filled_qty += qty
        order.filled_cost += qty * price
        done = order.filled_qty == order.target
        order.status = "filled" if done else "partially_filled"
        at = self._changed(order)
        if done:
            order.filled_at = at
            self.book.settle(order)
        fills = self.book.executions.setdefault(account.id, [])
        execution = Execution(
            id=self.ids.uuid("execution"),
            seq=self.ids.count("executions"),
            account=account.id,
            order_id=order.id,
            client_order_id=order.client_order_id,
            symbol=order.symbol,
            side=order.side,
            activity_side="sell_short" if order.side == "sell" and before <= 0 else order.side,
            qty=qty,
            price=price,
            cum_qty=order.filled_qty,
            leaves_qty=(order.target or ZERO) - order.filled_qty,
            position_qty=after,
            order_status=order.status,
            at=at,
        )
        fills.append(execution)
        self.changes.executions.append(execution)
        self.changes.accounts[account.id] = account
        self._tell(order, "fill" if done else "partial_fill", execution)

    def _changed(self, order: Order) -> datetime:
        order.updated_at = self.stamp()
        self.changes.orders[order.id] = order
        self.book.reindex(order)
        return order.updated_at

    def _tell(self, order: Order, event: str, execution: Execution | None = None) -> None:
        """Reference section 3.9. Ids are drawn whether or not anybody listens: the seed alone decides them."""
        event_id = self.ids.ulid("event", order.updated_at)
        execution_id = execution.id if execution else self.ids.uuid("report")

        def frame() -> dict[str, Any]:
            at = wire.stamp(order.updated_at)
            data: dict[str, Any] = {"event": event, "event_id": event_id, "at": at, "timestamp": at}
            if event != "accepted":
                data["execution_id"] = execution_id
            if execution:
                data |= {
                    "price": wire.number(execution.price),
                    "qty": wire.number(execution.qty),
                    "position_qty": wire.number(execution.position_qty),
                }
            return {"stream": "trade_updates", "data": {**data, "order": wire.order(order)}}

        self.tell(order.account, frame)
