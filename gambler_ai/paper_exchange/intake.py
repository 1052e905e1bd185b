"""From a request to orders: which symbol, at what price it counts, whether the account can bear it."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from gambler_ai.paper_exchange import hours, matching, wire
from gambler_ai.paper_exchange.account import Account
from gambler_ai.paper_exchange.assets import asset
from gambler_ai.paper_exchange.book import ZERO, Order
from gambler_ai.paper_exchange.floor import Floor
from gambler_ai.paper_exchange.refusal import Refused, forbidden, unprocessable
from gambler_ai.paper_exchange.rules import Admission, admit, check_legs
from gambler_ai.paper_exchange.tickets import Ticket, check_trailing_stop

_SHORT_MARGIN = Decimal("1.03")
_SMALLEST_COST = Decimal(1)


def orders(venue: Floor, account: Account, ticket: Ticket, source: str | None, gtc_life: timedelta) -> list[Order]:
    """The orders one request makes: one, or the members of a group with its head first. Refused as Alpaca would."""
    refuse_barred(account)
    symbol = _tradable(venue, account, ticket)
    if ticket.client_order_id and (account.id, ticket.client_order_id) in venue.book.by_client_id:
        raise Refused(422, 40010001, "client_order_id must be unique")
    if ticket.time_in_force in ("opg", "cls"):
        hours.refuse_auction(ticket.time_in_force, venue.sessions, venue.now)
    guess = price_guess(venue, ticket, symbol)
    estimate = ticket.qty if ticket.qty is not None else matching.shares_for(ticket.notional or ZERO, guess)
    working = list(venue.book.alive(account.id, symbol))
    admission = admit(ticket, account.qty(symbol), working, estimate, venue.switches.wash_trade_status)
    if ticket.order_class:
        check_legs(ticket, guess)
    reserve = None
    if not admission.closing:
        reserve = _bearable(venue, account, ticket, symbol, guess, estimate)
    head = _order(venue, account, ticket, symbol, admission, gtc_life)
    head.reserve_price, head.source = reserve, source
    head.held_qty = estimate if admission.closing else ZERO
    if ticket.type == "trailing_stop":
        quote = venue.quote(symbol)
        matching.follow(head, quote.last if quote else guess)
        check_trailing_stop(head.stop_price)
    return [head, *_legs(venue, head, ticket)]


def refuse_barred(account: Account, opening: bool = False) -> None:
    """Refused while the account may not trade, or `opening` while it may only close."""
    if account.trading_blocked or account.configurations["suspend_trade"]:
        raise forbidden("account is not authorized to trade")
    if opening and account.liquidation_only:
        raise forbidden("account is restricted to liquidation only")


def _tradable(venue: Floor, account: Account, ticket: Ticket) -> str:
    name, switches = ticket.symbol, venue.switches
    symbols = venue.market.symbols
    symbol = name if name in symbols else next((one for one in symbols if name == asset(one).id), None)
    if symbol is None:
        unprocessable(f'asset "{name}" not found')
    if switches.names("inactive", symbol):
        unprocessable(f"asset {symbol} is not active")
    if ticket.fractional:
        if switches.names("not_fractionable", symbol):
            raise forbidden(f'asset "{symbol}" is not fractionable')
        if not account.configurations["fractional_trading"]:
            raise forbidden("account is not allowed to trade fractional shares")
    return symbol


def price_guess(venue: Floor, ticket: Ticket, symbol: str) -> Decimal:
    """What one share may cost: limit, stop, the far side of the quote, its middle in extended hours, or the last.

    A side of a quote that is 0 is none (reference 10); the last trade stands in for it.
    """
    known = ticket.limit_price or ticket.stop_price
    if known is not None:
        return known
    quote = venue.quote(symbol)
    if quote is None:
        unprocessable(f"no price of {symbol} is known yet")
    if venue.session is not None:
        return (quote.ask if ticket.side == "buy" else quote.bid) or quote.last
    if not (quote.bid and quote.ask):
        return quote.last
    return (quote.bid + quote.ask) / 2 if hours.extended(venue.sessions, venue.now) else quote.last


def reserve_price(venue: Floor, side: str, kind: str, symbol: str, guess: Decimal) -> Decimal:
    """What one share of an opening order reserves: a buy stop its collar, a short 3 % above the ask."""
    if side == "buy":
        return matching.collar(guess) if kind == "stop" else guess
    quote = venue.quote(symbol)
    return max(guess, quote.ask * _SHORT_MARGIN if quote else ZERO)


def refuse_poor(venue: Floor, account: Account, cost: Decimal, freed: Decimal = ZERO) -> None:
    """Refused unless the buying power, with what is freed by this same act, bears the cost."""
    power = venue.balances(account).buying_power + freed
    if cost > power:
        raise forbidden("insufficient buying power", buying_power=wire.money(power), cost_basis=wire.money(cost))


def _bearable(
    venue: Floor, account: Account, ticket: Ticket, symbol: str, guess: Decimal, estimate: Decimal
) -> Decimal:
    refuse_barred(account, opening=True)
    if ticket.side == "sell":
        if account.configurations["no_shorting"] or account.margin == 1:
            raise forbidden("account is not allowed to short")
        if venue.switches.names("not_shortable", symbol):
            unprocessable(f'asset "{symbol}" cannot be sold short')
    if ticket.notional is not None and venue.session is None:
        working = venue.book.alive(account.id, symbol)
        if any(order.position_intent.endswith("close") for order in working):
            raise forbidden("unable to open new notional orders while having open closing position orders")
    price = reserve_price(venue, ticket.side, ticket.type, symbol, guess)
    cost = ticket.notional if ticket.notional is not None else price * estimate
    if ticket.fractional and cost < _SMALLEST_COST:
        raise forbidden("cost basis must be >= minimal amount of order 1")
    refuse_poor(venue, account, cost)
    return price


def _order(
    venue: Floor, account: Account, ticket: Ticket, symbol: str, admission: Admission, gtc_life: timedelta
) -> Order:
    at = venue.stamp()
    order = Order(
        id=venue.ids.uuid("order"),
        account=account.id,
        client_order_id=ticket.client_order_id or venue.ids.uuid("client"),
        seq=len(venue.book.by_id) + 1,
        symbol=symbol,
        side=ticket.side,
        type=ticket.type,
        time_in_force=ticket.time_in_force,
        qty=ticket.qty,
        notional=ticket.notional,
        limit_price=ticket.limit_price,
        stop_price=ticket.stop_price,
        position_intent=admission.intent,
        extended_hours=ticket.extended_hours,
        status="accepted",
        created_at=at,
        submitted_at=at,
        updated_at=at,
        expires_at=at + gtc_life if ticket.time_in_force == "gtc" else day_end(venue, ticket.extended_hours),
        target=ticket.qty,
        order_class=ticket.order_class or venue.switches.plain_order_class,
        trail_price=ticket.trail_price,
        trail_percent=ticket.trail_percent,
    )
    if venue.day_of(order) is not None:
        order.status = "pending_new"
    if ticket.order_class:
        order.group = order.id
        order.role = "take_profit" if ticket.order_class == "oco" else "entry"
    return order


def day_end(venue: Floor, extended_hours: bool) -> datetime:
    """When a day order given now expires."""
    if extended_hours:
        return hours.extended_end(hours.extended_day(venue.sessions, venue.now))
    return venue.sessions.current_or_next(venue.now).close


def _legs(venue: Floor, head: Order, ticket: Ticket) -> list[Order]:
    """The held orders of a group. An oco's stop is watched from the start, an entry's exits wait for its fill."""
    wanted: list[tuple[str, str, Decimal | None, Decimal | None]] = []
    if ticket.order_class in ("bracket", "oto") and ticket.take_profit is not None:
        wanted.append(("take_profit", "limit", ticket.take_profit, None))
    if ticket.order_class and ticket.stop_loss is not None:
        kind = "stop" if ticket.stop_loss_limit is None else "stop_limit"
        wanted.append(("stop_loss", kind, ticket.stop_loss_limit, ticket.stop_loss))
    own_side = ticket.order_class == "oco"
    side = head.side if own_side else ("sell" if head.side == "buy" else "buy")
    return [
        replace(
            head,
            id=venue.ids.uuid("order"),
            client_order_id=venue.ids.uuid("client"),
            seq=head.seq + number,
            side=side,
            type=kind,
            limit_price=limit,
            stop_price=stop,
            position_intent=f"{side}_to_close",
            status="held",
            role=role,
            active=own_side,
            reserve_price=None,
            held_qty=ZERO,
        )
        for number, (role, kind, limit, stop) in enumerate(wanted, 1)
    ]
