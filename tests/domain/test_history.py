"""What the broker remembers, judged and told again: truncated, contradicting, foreign or complete."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from gambler_ai.domain.book import Book
from gambler_ai.domain.corporate import ShareChange
from gambler_ai.domain.history import History, Verdict, events_of, judge, orders_of
from gambler_ai.domain.money import ZERO
from gambler_ai.domain.orders import BrokerOrder, Role, Side
from gambler_ai.domain.positions import EXTERNAL
from gambler_ai.domain.rebuilding import Rebuilt, rebuild
from gambler_ai.domain.reconciliation import Action, Holding, Look
from gambler_ai.domain.sightings import Execution
from tests.builders import ACCOUNT, D, an_id, an_order, at, commit, seen


def executed(
    number: int,
    side: Side,
    qty: str,
    price: str = "10",
    role: Role = Role.ENTRY,
    owner: str = "alpha",
    **changes: object,
) -> BrokerOrder:
    """An order that was filled whole `number` minutes after the start."""
    name = "by-hand-" + str(number) if role is Role.FOREIGN else an_id(str(number), role, owner)
    order = an_order(str(number), client_order_id=name, side=side, qty=D(qty), created_at=at(60 * number))
    values = {"filled_avg_price": D(price), "updated_at": at(60 * number + 1), "status": "filled"} | changes
    return replace(seen(order, "filled", D(qty)), **values)  # type: ignore[arg-type]


def told(order: BrokerOrder) -> Execution:
    price, name = order.filled_avg_price or ZERO, f"x-{order.broker_order_id}"
    return Execution(order.filled_qty, order.filled_qty, price, order.updated_at, "activity", name)


def history(
    orders: Sequence[BrokerOrder], held: str | int, changes: Sequence[ShareChange] = (), average: str = "11"
) -> History:
    executions = {o.broker_order_id: [told(o)] for o in orders if o.filled_qty}
    holdings = {"SPY": Holding(D(held), D(average))} if D(held) else {}
    return History(Look(at(36000), list(orders), executions, holdings), {}, tuple(changes))


def rebuilt(
    orders: Sequence[BrokerOrder], held: str | int, changes: Sequence[ShareChange] = ()
) -> tuple[Rebuilt, Book]:
    found = rebuild(ACCOUNT, history(orders, held, changes), {"alpha": "my_alpha"})
    book = Book(keep_all=True)
    commit(book, found.facts, first_seq=2 + len(found.sessions))
    return found, book


def moved(kind: str, qty: int, symbol: str = "SPY") -> ShareChange:
    return ShareChange(f"a{qty}", kind, symbol, D(qty), "event", at(300))


def shares(book: Book) -> dict[str, Decimal]:
    return {p.owner: p.quantity for p in book.open_positions()}


def the_levels(found: Rebuilt) -> list[str]:
    (restored,) = [action for action in found.actions if action.row == "R9"]
    return [level["shares"] for level in restored.evidence["levels"]]


def rows(found: Rebuilt) -> list[str]:
    return [action.row for action in found.actions]


BUY, SELL = Side.BUY, Side.SELL
EXAMPLE = (
    ("364", "0.2061"),
    ("728", "0.2061"),
    ("1456", "0.2040"),
    ("2912", "0.2018"),
    ("5824", "0.1996"),
    ("11648", "0.1975"),
)


def test_the_example_of_the_requirements_comes_back_level_by_level_after_its_last_take_profit() -> None:
    before = [executed(1, BUY, "363"), executed(2, BUY, "726"), executed(3, SELL, "1089", role=Role.TAKE_PROFIT)]
    entries = [executed(10 + n, BUY, qty, price) for n, (qty, price) in enumerate(EXAMPLE)]
    found, book = rebuilt([*before, *entries], 22932)
    assert the_levels(found) == [qty for qty, _ in EXAMPLE]
    assert shares(book) == {"alpha": D(22932)}
    (position,) = book.open_positions()
    assert round(position.entry_price, 4) == D("0.1994")
    assert found.unexplained == ()


def test_a_history_without_its_beginning_still_finds_the_levels_since_the_last_flat_moment() -> None:
    """The first thing it remembers is the end of a position that it does not."""
    found, book = rebuilt(
        [executed(1, SELL, "100", role=Role.EXIT), executed(2, BUY, "30"), executed(3, BUY, "60")], 90
    )
    assert shares(book) == {"alpha": D(90)}
    assert the_levels(found) == ["30", "60"]
    assert len(found.unexplained) == 1


def test_less_than_is_held_is_one_external_lot_at_the_brokers_price() -> None:
    found, book = rebuilt([executed(1, BUY, "364"), executed(2, BUY, "728")], 1456)
    assert shares(book) == {EXTERNAL: D(364), "alpha": D(1092)}
    assert rows(found) == ["R10", "R9"]
    assert next(p for p in book.open_positions() if p.owner == EXTERNAL).entry_price == 11
    assert [one.evidence for one in found.unexplained] == [{"ours": "1092", "broker": "1456"}]


def test_more_than_is_held_halts_and_books_what_the_orders_say() -> None:
    found, book = rebuilt([executed(1, BUY, "364"), executed(2, BUY, "728")], 1000)
    assert shares(book) == {"alpha": D(1092)}
    halt = next(action for action in found.actions if action.halts)
    assert (halt.row, halt.evidence) == ("R7", {"ours": "1092", "broker": "1000"})


def test_the_wrong_sign_halts_too() -> None:
    found, _ = rebuilt([executed(1, BUY, "100")], -5)
    assert [action.row for action in found.actions if action.halts] == ["R7"]


def test_no_opening_orders_at_all_is_one_external_position() -> None:
    found, book = rebuilt([], 25)
    assert (shares(book), rows(found)) == ({EXTERNAL: D(25)}, ["R10"])


def test_what_the_orders_explain_and_nobody_holds_is_orphaned_and_a_part_is_not() -> None:
    gone, book = rebuilt([executed(1, BUY, "10")], 0)
    assert (shares(book), rows(gone)) == ({}, ["R6"])
    later, book = rebuilt([executed(1, BUY, "10"), executed(5, BUY, "7")], 7)
    assert [action.row for action in later.actions if action.halts] == ["R7"]  # nothing says which shares are gone


def test_a_short_position_has_its_levels() -> None:
    found, book = rebuilt([executed(1, SELL, "5"), executed(2, SELL, "10")], -15)
    assert (shares(book), the_levels(found)) == ({"alpha": D(-15)}, ["5", "10"])


def test_fractions_partial_fills_and_exits_between_entries_add_up() -> None:
    half = replace(executed(2, BUY, "0.5", status="canceled"), qty=D(9))
    orders = [executed(1, BUY, "1.25"), half, executed(3, SELL, "0.75", role=Role.EXIT), executed(4, BUY, "2")]
    found, book = rebuilt(orders, 3)
    assert (shares(book), the_levels(found)) == ({"alpha": D(3)}, ["1", "2"])


def test_trades_by_hand_are_external_and_take_external_first() -> None:
    by_hand = [executed(2, BUY, "5", role=Role.FOREIGN), executed(3, SELL, "7", role=Role.FOREIGN)]
    found, book = rebuilt([executed(1, BUY, "10"), *by_hand], 8)
    assert (shares(book), the_levels(found)) == ({"alpha": D(8)}, ["8"])


def test_a_split_keeps_owner_and_levels() -> None:
    split = [moved("SPLIT", q) for q in (-30, 60)]
    found, book = rebuilt([executed(1, BUY, "10"), executed(2, BUY, "20"), executed(8, BUY, "5")], 65, split)
    assert (shares(book), the_levels(found)) == ({"alpha": D(65)}, ["20", "40", "5"])
    assert found.unexplained == ()


def test_a_new_name_takes_owner_and_levels_along() -> None:
    whole = history([executed(1, BUY, "10"), executed(2, BUY, "20")], 0, [moved("NC", -30), moved("NC", 30, "NEW")])
    look = replace(whole.look, holdings={"NEW": Holding(D(30), D(9))})
    found = rebuild(ACCOUNT, replace(whole, look=look), {})
    (action,) = found.actions
    assert (action.row, action.symbol, action.evidence["owner"]) == ("R9", "NEW", "alpha")
    assert [level["shares"] for level in action.evidence["levels"]] == ["10", "20"]
    assert found.unexplained == ()


def test_shares_transferred_in_belong_to_nobodys_strategy() -> None:
    found, book = rebuilt([executed(1, BUY, "10")], 14, [moved("ACATS", 4)])
    assert shares(book) == {"alpha": D(10), EXTERNAL: D(4)}
    assert found.unexplained == ()


def test_an_exit_that_protects_somebody_elses_shares_is_theirs() -> None:
    orders = [executed(1, BUY, "10", role=Role.FOREIGN), executed(2, SELL, "4", role=Role.STOP, owner="external")]
    found, book = rebuilt(orders, 6)
    assert shares(book) == {EXTERNAL: D(6)}
    assert found.sessions == ()


def test_a_replacement_made_by_hand_keeps_the_owner_and_the_level() -> None:
    first = replace(executed(1, BUY, "4", status="replaced"), qty=D(10))
    second = executed(2, BUY, "6", role=Role.FOREIGN, replaces=first.broker_order_id)
    found, book = rebuilt([first, second], 10)
    assert (shares(book), the_levels(found)) == ({"alpha": D(10)}, ["10"])


def test_every_owner_has_one_session_that_holds_its_orders() -> None:
    found, book = rebuilt([executed(1, BUY, "1"), executed(3, BUY, "2", owner="beta")], 3)
    assert [(one.owner, one.strategy, one.symbols) for one in found.sessions] == [
        ("alpha", "my_alpha", ("SPY",)),
        ("beta", "beta", ("SPY",)),
    ]
    assert {o.session_id for o in book.orders.values()} == {one.session_id for one in found.sessions}


def test_executions_that_are_missing_are_doubted() -> None:
    order = executed(1, BUY, "10")
    whole = history([order], 10)
    cut = History(replace(whole.look, executions={}), {}, ())
    assert rebuild(ACCOUNT, cut, {}).unexplained == (f"{order.client_order_id}: executions are missing",)


def test_the_same_history_gives_the_same_facts() -> None:
    orders = [executed(n, BUY, str(n)) for n in range(1, 6)]
    assert rebuilt(orders, 15)[0] == rebuilt(list(orders), 15)[0]


@pytest.mark.parametrize(
    ("deltas", "held", "verdict", "opening"),
    [
        ((5, 5), 10, Verdict.COMPLETE, 0),
        ((5, -5, 3), 3, Verdict.COMPLETE, 0),
        ((5, 5), 12, Verdict.OLDER, 2),
        ((5, 5), 8, Verdict.MORE, -2),
        ((5, 5), 0, Verdict.GONE, -10),
        ((5, 5), -1, Verdict.MORE, -11),
    ],
)
def test_the_verdict_on_a_symbol(deltas: tuple[int, ...], held: int, verdict: Verdict, opening: int) -> None:
    orders = [
        executed(n, BUY if d > 0 else SELL, str(abs(d)), role=Role.ENTRY if d > 0 else Role.EXIT)
        for n, d in enumerate(deltas, start=1)
    ]
    whole = history(orders, held)
    judged = judge(events_of(ACCOUNT, whole, orders_of(ACCOUNT, whole)), D(held))
    assert (judged.verdict, judged.opening) == (verdict, opening)


def test_actions_say_what_was_concluded_per_position() -> None:
    found, _ = rebuilt([executed(1, BUY, "10")], 10)
    (action,) = found.actions
    assert isinstance(action, Action)
    assert (action.row, action.symbol, action.action) == ("R9", "SPY", "restore position")
