"""Each check of the examiner fires on what is wrong, and on nothing else."""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

import pytest

from gambler_ai.operations import invariants as i
from gambler_ai.operations.invariants import Executed, Intent, LiveExit

D = Decimal
OURS, OTHER = "g1-e-alpha-1", "dashboard-1"
INTENT = Intent(OURS, "e", "SPY", "SENDING", 1, ("s1", "alpha", "e", "SPY", "bar"), D(10), D(4), [(D(0), D(4))])
EXIT = Intent("g1-s-alpha-2", "s", "SPY", "IN_DOUBT", 1, (), D(10), D(0))
SOLD = Executed("g1-x-alpha-3", "x", "SPY", D(10), D(4))
BOOKS = {OURS: INTENT, OTHER: replace(INTENT, role="-")}

RIGHT = [
    i.stored_means_stored(["c1"], {"c1", "c2"}),
    i.one_order_per_decision([INTENT, EXIT]),
    i.every_order_was_intended([OURS, OTHER], {OURS: INTENT}),
    i.may_leave(OURS, INTENT, 1),
    i.no_entry_beside_a_doubt(INTENT, [INTENT, replace(EXIT, symbol="QQQ"), replace(EXIT, status="WORKING")]),
    i.intervals_are_whole(INTENT, D(4)),
    i.refused_means_refused(replace(INTENT, status="REJECTED"), False),
    i.positions_are_what_was_filled({"SPY": D(4)}, {"SPY": D(6)}, {"SPY": D(10)}),
    i.exits_do_not_exceed({"SPY": D(10)}, [LiveExit("SPY", "oco", D(-10)), LiveExit("SPY", "oco", D(-10))]),
    i.exits_only_close([SOLD, replace(SOLD, after=D(0)), replace(SOLD, role="e", after=D(20))]),
    i.everything_is_protected({"SPY": D(10)}, [LiveExit("SPY", "a", D(-4)), LiveExit("SPY", "b", D(-6))]),
    i.sessions_step_as_allowed("s1", "crashed", "active"),
    i.earned_is_what_fills_say("SPY", D(5), D(-5), D(0)),
    i.every_order_is_attributed(BOOKS, BOOKS),
    i.amounts_are_exact([("fills.price", "0"), ("positions.pnl", "-12.500000001")]),
    i.secrets_stay_out([("books.db", b"all is well")], ["hush"]),
    i.blocks_are_told({"SPY": "halted"}, {"SPY": [("halted", "gambler unhalt")]}),
]
WRONG = [
    i.stored_means_stored(["c1"], {"c2"}),
    i.one_order_per_decision([INTENT, replace(INTENT, client_order_id="g1-e-alpha-9")]),
    i.every_order_was_intended([OURS], {}),
    i.may_leave(OURS, None, 1),
    i.may_leave(OURS, replace(INTENT, status="WORKING"), 1),
    i.may_leave(OURS, INTENT, 2),
    i.may_leave(OURS, replace(INTENT, attempts=6), 6),
    i.no_entry_beside_a_doubt(INTENT, [EXIT]),
    i.intervals_are_whole(replace(INTENT, intervals=[(D(0), D(3)), (D(2), D(3))]), D(4)),
    i.intervals_are_whole(replace(INTENT, filled_qty=D(5)), D(4)),
    i.intervals_are_whole(replace(INTENT, qty=D(3)), D(4)),
    i.intervals_are_whole(INTENT, D(3)),
    i.refused_means_refused(replace(INTENT, status="REJECTED"), True),
    i.positions_are_what_was_filled({"SPY": D(4)}, {}, {}),
    i.exits_do_not_exceed({"SPY": D(10)}, [LiveExit("SPY", "a", D(-6)), LiveExit("SPY", "b", D(-6))]),
    i.exits_do_not_exceed({"SPY": D(10)}, [LiveExit("SPY", "a", D(1))]),
    i.exits_only_close([replace(SOLD, after=D(11))]),
    i.exits_only_close([replace(SOLD, after=D(-1))]),
    i.everything_is_protected({"SPY": D(10)}, [LiveExit("SPY", "a", D(-4))]),
    i.sessions_step_as_allowed("s1", "stopped", "crashed"),
    i.earned_is_what_fills_say("SPY", D("5.01"), D(-5), D(0)),
    i.every_order_is_attributed([OURS], {}),
    i.every_order_is_attributed([OURS], {OURS: replace(INTENT, role="-")}),
    i.every_order_is_attributed([OTHER], {OTHER: replace(INTENT, role="")}),
    i.amounts_are_exact([("fills.price", 10.1)]),
    i.amounts_are_exact([("fills.price", "1E+2")]),
    i.secrets_stay_out([("books.db", b"hush, hush")], ["hush"]),
    i.blocks_are_told({"SPY": "halted"}, {"*": [("halted", "gambler unhalt")]}),
    i.blocks_are_told({"SPY": "halted"}, {"SPY": [("halted", "")]}),
]


@pytest.mark.parametrize("found", RIGHT, ids=lambda one: one.__name__)
def test_what_is_right_breaks_nothing(found: Iterable[str]) -> None:
    assert list(found) == []


@pytest.mark.parametrize("found", WRONG, ids=lambda one: one.__name__)
def test_what_is_wrong_is_one_broken_promise(found: Iterable[str]) -> None:
    assert len(list(found)) == 1


def test_every_check_is_tried_both_ways() -> None:
    checks = {name for name, one in vars(i).items() if callable(one) and not isinstance(one, type)}
    helpers = {"is_ours", "role_of", "dataclass"}
    for tried in (RIGHT, WRONG):
        assert {one.__name__ for one in tried} == checks - helpers
