"""One complete look at the broker: account, orders, executions, positions, orders again."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from gambler_ai.broker.gateway import BrokerAccount, FillActivity, Gateway
from gambler_ai.crashpoints import crashpoint
from gambler_ai.domain.book import Book
from gambler_ai.domain.orders import BrokerOrder, OrderStatus
from gambler_ai.domain.positions import net
from gambler_ai.domain.reconciliation import Holding, Look
from gambler_ai.domain.sightings import Execution
from gambler_ai.errors import AnotherAccount, BrokerUnreachable

ORDERS_OVERLAP = timedelta(minutes=5)
FILLS_OVERLAP = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Sight:
    """A look and the account's amounts at the same time."""

    look: Look
    account: BrokerAccount


def take_look(
    gateway: Gateway, account_id: str, book: Book, *, since: datetime, not_before: datetime, now: datetime
) -> Sight:
    """Read everything, every list to its end; raises and concludes nothing when any read fails or two contradict.

    Raises AnotherAccount when the broker's account is not `account_id`.

    `since` is when we last looked (exchange time); what is older than `not_before`, when this database began, is
    history that the imported positions already hold. `now` is the exchange's time as last heard: it need not be asked
    for, since a look that is told an older time only makes the next one read a little more.
    """
    crashpoint("recovery.before_look")
    account = gateway.account()
    if account.account_id != account_id:
        raise AnotherAccount(
            f"these keys now open account {account.number}, and the books belong to another; nothing was changed. Was "
            "the paper account reset? Use the old account's keys, or a new GAMBLER_ACCOUNT_LABEL"
        )
    first = gateway.open_orders()
    recent = gateway.orders_since(max(not_before, since - ORDERS_OVERLAP))
    fills = gateway.fills_since(max(not_before, since - FILLS_OVERLAP))
    found = {order.broker_order_id: order for order in (*recent, *first)}
    book.recall({order.client_order_id for order in found.values()}, {*found, *(f.broker_order_id for f in fills)})
    missing = _look_up_the_rest(gateway, book, found, fills)
    holdings = {p.symbol: Holding(p.qty, p.avg_entry_price) for p in gateway.positions()}
    _doubt_what_is_gone(gateway, book, holdings, account)
    last = gateway.open_orders()
    for order in last:
        found[order.broker_order_id] = order
    crashpoint("recovery.after_look")
    look = Look(
        now=now,
        orders=sorted(found.values(), key=lambda o: (o.submitted_at, o.client_order_id)),
        executions=_by_order(fills),
        holdings=holdings,
        missing=missing,
        moving=frozenset(symbol for symbol, *_ in _state(first) ^ _state(last)),
    )
    return Sight(look, account)


def _doubt_what_is_gone(gateway: Gateway, book: Book, holdings: Mapping[str, Holding], account: BrokerAccount) -> None:
    """A position of ours that the list does not show is asked for by its own endpoint, and the account's equity must
    agree that nothing is held. One endpoint alone may lag by seconds, or answer with nothing at all."""
    for symbol in sorted({p.symbol for p in book.open_positions()} - set(holdings)):
        if net(book.open_positions(symbol), symbol) and gateway.position(symbol) is not None:
            raise BrokerUnreachable(f"the list of positions lacks {symbol}, its own endpoint shows it")
    if not holdings and book.open_positions() and account.equity != account.cash:
        raise BrokerUnreachable("the list of positions is empty, but the account's equity says that shares are held")


def _look_up_the_rest(
    gateway: Gateway, book: Book, found: dict[str, BrokerOrder], fills: Iterable[FillActivity]
) -> frozenset[str]:
    """By id: orders of our book that no list showed, and orders we know only by their executions. Adds them to `found`
    and returns the client ids of those the broker does not know."""
    missing = set()
    for order in book.attention():
        if order.status is OrderStatus.SENDING or order.broker_order_id is None or order.broker_order_id in found:
            continue
        seen = gateway.order_by_id(order.broker_order_id) or gateway.order_by_client_id(order.client_order_id)
        if seen is not None:
            found[seen.broker_order_id] = seen
        elif order.status is OrderStatus.WORKING:
            missing.add(order.client_order_id)
    for fill in fills:
        if fill.broker_order_id in found or _is_booked(book, fill):
            continue
        seen = gateway.order_by_id(fill.broker_order_id)
        if seen is not None:
            found[seen.broker_order_id] = seen
    return frozenset(missing)


def _is_booked(book: Book, fill: FillActivity) -> bool:
    """Whether exactly this execution is booked; one that was only inferred still has something to learn."""
    order = book.order_by_broker_id(fill.broker_order_id)
    booked = book.fills(order.client_order_id) if order else []
    return any(b.cum_to == fill.cum_qty and b.qty == fill.qty and not b.inferred for b in booked)


def _by_order(fills: Iterable[FillActivity]) -> dict[str, list[Execution]]:
    result: dict[str, list[Execution]] = {}
    for fill in fills:
        execution = Execution(fill.cum_qty, fill.qty, fill.price, fill.at, "activity", fill.execution_id)
        result.setdefault(fill.broker_order_id, []).append(execution)
    return result


def _state(orders: Iterable[BrokerOrder]) -> set[tuple[str, str, str, str]]:
    return {(o.symbol, o.broker_order_id, o.status, str(o.filled_qty)) for o in orders}
