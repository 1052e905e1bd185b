"""The switches of the restore policy, in the house: what they do to books, broker and halts."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from gambler_ai.domain.orders import Order, OrderStatus, Role, Side, Wish
from gambler_ai.domain.policy import Policy
from gambler_ai.paper_exchange.lab_trading import corporate_action
from gambler_ai.trading.maintenance import reconcile
from gambler_ai.trading.order_desk import Blocked
from gambler_ai.trading.session_run import SessionRun
from gambler_ai.trading.shutdown import EXIT_DONE, EXIT_NEEDS_A_HUMAN
from tests.trading.driving import begun
from tests.trading.rig import BUY, RESTING, Rig


def reopened(rig: Rig, **switches: Any) -> None:
    rig.close()
    rig.policy = Policy(**switches)
    rig.open()


def halted(rig: Rig) -> set[str | None]:
    return {halt.symbol for halt in rig.state.records.active_halts()}


def test_adopting_a_mismatch_books_an_adjustment_and_lifts_the_halt_it_answers(rig_on_both: Rig) -> None:
    rig = rig_on_both
    rig.held()
    rig.the_broker_shows(AAA="7")
    rig.rounds(6)
    assert halted(rig) == {"AAA"}
    reopened(rig, mismatch="adopt")
    rig.rounds(6)
    assert (rig.shares, halted(rig)) == ({("AAA", "alpha"): Decimal(7)}, set())
    assert rig.kinds().count("position.adjusted") == 1
    rig.prove_the_chain()


def test_a_halt_for_a_mismatch_outlives_the_shares_until_a_person_lifts_it(rig: Rig) -> None:
    rig.held()
    rig.the_broker_shows(AAA="7")
    rig.rounds(4)
    assert [halt.symbol for halt in rig.state.records.active_halts()] == ["AAA"]
    rig.the_broker_shows()
    rig.rounds(5)
    assert rig.shares == {}
    assert [halt.symbol for halt in rig.state.records.active_halts()] == ["AAA"]


def test_one_mismatch_stops_the_account_when_the_policy_is_strict(rig: Rig) -> None:
    reopened(rig, strict=True)
    rig.held()
    rig.the_broker_shows(AAA="7")
    rig.rounds(9)
    assert halted(rig) == {"AAA", None}
    assert (rig.folder / ".default_emergency_stop").exists()
    assert len(rig.state.records.active_halts()) == 2


def test_orphans_that_halt_stay_in_the_books(rig: Rig) -> None:
    reopened(rig, orphans="halt")
    rig.held()
    rig.the_broker_shows()
    rig.rounds(6)
    assert (rig.shares, halted(rig)) == ({("AAA", "alpha"): Decimal(10)}, {"AAA"})


@pytest.mark.parametrize("answer", [True, False])
def test_orphans_that_ask_are_closed_when_a_person_says_yes(rig: Rig, answer: bool) -> None:
    reopened(rig, orphans="ask")
    rig.held()
    rig.the_broker_shows()
    rig.recovery.reconciler.ask = lambda _action: answer
    rig.rounds(6)
    assert (rig.shares == {}) is answer
    assert ("AAA" in rig.blocks.all()) is not answer
    assert halted(rig) == set()


def test_our_leftover_exits_are_cancelled_before_an_orphan_is_closed(rig: Rig) -> None:
    rig.held()
    stop = rig.placed(replace(RESTING, side=Side.SELL, limit_price=Decimal(500), role=Role.EXIT), key="out")
    rig.the_broker_shows()
    rig.rounds(8)
    assert (rig.shares, rig.order(stop).status) == ({}, OrderStatus.CANCELED)
    assert [o["status"] for o in rig.at_exchange() if o["id"] == rig.order(stop).broker_order_id] == ["canceled"]


def test_an_orphan_is_not_closed_when_the_broker_forgot_our_orders(rig: Rig) -> None:
    order = rig.order(rig.held())
    rig.the_broker_shows()
    rig.the_broker_forgot(order)
    rig.rounds(9)
    assert (rig.shares, halted(rig)) == ({("AAA", "alpha"): Decimal(10)}, {None})
    assert len(rig.state.records.active_halts()) == 1


def test_externals_that_are_claimed_belong_to_the_strategy(rig: Rig) -> None:
    reopened(rig, externals="claim=alpha")
    rig.the_broker_shows(BBB="4")
    rig.rounds(6)
    assert rig.shares == {("BBB", "alpha"): Decimal(4)}
    assert isinstance(rig.place(Wish("BBB", Side.SELL, Decimal(4), Role.EXIT)), Order)


def test_externals_that_are_ignored_are_not_booked_and_their_symbol_is_not_traded(rig: Rig) -> None:
    reopened(rig, externals="ignore")
    rig.the_broker_shows(BBB="4")
    rig.rounds(6)
    assert (rig.shares, halted(rig), set(rig.blocks.all())) == ({}, set(), {"BBB"})
    rig.close()
    code, report = reconcile(rig.opened_anew(), dry_run=False)
    assert (code, report["ok"]) == (EXIT_DONE, True)
    assert [(a["row"], a["action"]) for a in report["plan"]] == [("R10", "ignored: ignore external position")]


def test_externals_may_halt_their_symbol(rig: Rig) -> None:
    reopened(rig, externals="halt")
    rig.the_broker_shows(BBB="4")
    rig.rounds(9)
    assert (rig.shares, halted(rig)) == ({}, {"BBB"})
    assert len(rig.state.records.active_halts()) == 1


def test_foreign_orders_are_cancelled_when_the_policy_says_so(rig: Rig) -> None:
    reopened(rig, foreign="cancel")
    rig.by_hand("BBB", "3", type="limit", limit_price="10")
    rig.recovery.run()
    assert [o["status"] for o in rig.at_exchange()] == ["canceled"]
    assert rig.weather.sent == ["DELETE"]
    assert rig.state.book.orders == {}


def test_a_cancel_of_a_foreign_order_that_was_lost_is_asked_for_again(rig: Rig) -> None:
    reopened(rig, foreign="cancel")
    rig.by_hand("BBB", "3", type="limit", limit_price="10")
    rig.weather.posts = ["lost before"]
    rig.recovery.run()
    assert [o["status"] for o in rig.at_exchange()] == ["canceled"]


def test_foreign_orders_that_are_ignored_block_nothing(rig: Rig) -> None:
    rig.by_hand("AAA", "3", type="limit", limit_price="10")
    rig.recovery.run()
    assert isinstance(rig.place(), Blocked)
    reopened(rig, foreign="ignore")
    assert isinstance(rig.place(), Order)


def test_accepting_recovered_orders_lifts_their_halt_once(rig: Rig) -> None:
    rig.by_hand(client_order_id="g1-e-beta-" + "a" * 20)
    rig.recovery.run()
    rig.pass_time(60)
    assert halted(rig) == {"AAA"}
    reopened(rig, accept_recovered=True)
    rig.recovery.run()
    assert (halted(rig), rig.shares) == (set(), {("AAA", "beta"): Decimal(10)})


def test_shares_that_our_own_orders_explain_are_restored_into_a_new_database(rig_on_both: Rig) -> None:
    rig = rig_on_both
    rig.placed()
    rig.pass_time(60)
    rig.lose_the_database()
    rig.rounds(6)
    assert rig.shares == {("AAA", "alpha"): Decimal(10)}
    assert [p.origin for p in rig.state.book.open_positions()] == ["restored"]
    rig.prove_the_chain()


def test_an_entry_without_buying_power_is_rejected_and_trading_goes_on(rig: Rig) -> None:
    assert rig.placed(replace(BUY, qty=Decimal(5000))).status is OrderStatus.REJECTED
    assert halted(rig) == set()
    assert isinstance(rig.place(key="later"), Order)


def test_an_entry_without_buying_power_stops_the_account_when_the_settings_say_so(rig: Rig) -> None:
    reopened(rig, halt_on_insufficient=True)
    assert rig.placed(replace(BUY, qty=Decimal(5000))).status is OrderStatus.REJECTED
    assert halted(rig) == {None}
    assert isinstance(rig.place(key="later"), Blocked)


def test_a_session_under_a_halt_manages_exits_and_with_fail_fast_ends_at_once(rig: Rig, run: SessionRun) -> None:
    (rig.folder / ".default_emergency_stop").write_text('{"reason": "by hand"}')
    assert begun(run).finished is None
    run.close()
    rig.policy = Policy(fail_fast=True)
    failing = SessionRun(rig.opened_anew().parts)
    loop = begun(failing)
    assert "--fail-fast" in (loop.finished or "")
    assert failing.end(loop) == EXIT_NEEDS_A_HUMAN
    failing.close()


def test_a_world_that_keeps_moving_halts_its_symbol_and_no_other(rig: Rig) -> None:
    for _ in range(6):
        rig.weather.then.append(lambda: rig.by_hand("BBB", "1", type="limit", limit_price="10"))
    rig.recovery.run()
    (halt,) = rig.state.records.active_halts()
    assert (halt.symbol, halt.evidence["row"], halt.evidence["ours"]) == ("BBB", "moving", "0")
    assert len(halt.evidence["triggers"]) >= 3
    assert isinstance(rig.place(), Order)


@pytest.mark.parametrize("ratio", ["4", "0.5", "0.3"])
def test_a_split_is_booked_from_its_activity_and_only_once(rig_on_both: Rig, ratio: str) -> None:
    rig = rig_on_both
    rig.held()
    corporate_action(rig.exchange, {"type": "split", "symbol": "AAA", "ratio": ratio})
    rig.rounds(3)
    after = 10 * Decimal(ratio)
    assert (rig.shares, halted(rig)) == ({("AAA", "alpha"): after}, set())
    rig.the_broker_shows(AAA=str(after * Decimal(ratio)))
    rig.rounds(6)
    assert (rig.shares, halted(rig)) == ({("AAA", "alpha"): after}, {"AAA"})
    rig.prove_the_chain()


def test_a_new_name_moves_the_position(rig: Rig) -> None:
    rig.held()
    corporate_action(rig.exchange, {"type": "name_change", "symbol": "AAA", "new_symbol": "BBB"})
    rig.rounds(3)
    assert rig.shares == {("BBB", "alpha"): Decimal(10)}
    rig.prove_the_chain()
