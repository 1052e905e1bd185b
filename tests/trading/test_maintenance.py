"""Maintenance without a session: what reconcile repairs, and how a halt comes and goes."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from gambler_ai.domain.orders import Order, OrderStatus
from gambler_ai.domain.policy import Policy
from gambler_ai.domain.reconciliation import ACCOUNT, Action
from gambler_ai.errors import HumanNeeded, UsageError
from gambler_ai.face_status import status_of
from gambler_ai.storage.reading import reading
from gambler_ai.trading.emergency_stop import EmergencyStopFile
from gambler_ai.trading.maintenance import reconcile
from gambler_ai.trading.shutdown import EXIT_DONE
from tests.trading.rig import BUY, PROTECTED, RESTING, Rig


def stop_file(rig: Rig) -> Path:
    return rig.folder / ".default_emergency_stop"


def halted_by_a_limit(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gateway's own limit refuses an order."""

    def too_many(_order: Order) -> None:
        raise HumanNeeded("100 orders left within a minute")

    with monkeypatch.context() as patch:
        patch.setattr(rig.parts.gateway, "submit", too_many)
        rig.place()


def test_a_late_entry_is_cancelled_by_reconcile(rig: Rig) -> None:
    rig.weather.posts = ["lost before"]
    order = rig.placed(RESTING, ttl_s=-1)
    rig.settle_for(12)
    assert rig.order(order).status is OrderStatus.ABSENT
    rig.close()
    rig.by_hand(client_order_id=order.client_order_id, type="limit", limit_price="50")
    code, report = reconcile(rig.opened_anew(), dry_run=False)
    assert [one["status"] for one in rig.at_exchange()] == ["canceled"]
    assert (code, report["ok"]) == (EXIT_DONE, True)


def test_a_dry_run_plans_everything_and_applies_nothing(rig: Rig) -> None:
    rig.placed()
    rig.by_hand("BBB", "3")
    rig.pass_time(60)
    rows = rig.kinds()
    rig.close()
    _, report = reconcile(rig.opened_anew(), dry_run=True)
    rig.open()
    assert (report["applied"], len(report["plan"]) > 0, rig.kinds()) == ([], True, rows)


def a_stop_taken_off(rig: Rig) -> None:
    (stop,) = [one for one in rig.at_exchange() if (one["type"], one["symbol"]) == ("stop", "AAA")]
    rig.cancel_by_hand(stop)


def nearer_stops_wanted(rig: Rig) -> None:
    """From now on shares of no strategy shall have a stop 5 percent away, no longer 10."""
    rig.policy = Policy(protect_external_pct=Decimal(5))


@pytest.mark.parametrize(
    ("change", "steps"),
    [
        (a_stop_taken_off, [("place exit", "10 of 10 shares had no exit: a stop at 95, until cancelled")]),
        (
            nearer_stops_wanted,
            [
                ("cancel exit", "the position wants another exit"),
                ("place exit", "4 of 4 shares had no exit: a stop at 48.46, until cancelled"),
            ],
        ),
    ],
)
def test_a_dry_run_lists_the_steps_of_protection_that_would_be_done(
    rig: Rig, change: Callable[[Rig], None], steps: list[tuple[str, str]]
) -> None:
    rig.close()
    rig.policy = Policy(protect_external_pct=Decimal(10))
    rig.open()
    rig.by_hand("BBB", "4")
    rig.held(PROTECTED)
    change(rig)
    rig.close()
    rig.weather.sent.clear()
    _, told = reconcile(rig.opened_anew(), dry_run=True)
    shown = [action for action in told["plan"] if action["row"] == "R3"]
    assert ([(one["action"], one["reason"]) for one in shown], rig.weather.sent) == (steps, [])
    assert all(one["evidence"]["position"] for one in shown)
    _, done = reconcile(rig.opened_anew(), dry_run=False)
    rig.open()
    assert [action for action in done["plan"] if action["row"] == "R3"] == shown


def test_a_halt_of_the_account_writes_the_emergency_stop_file(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    halted_by_a_limit(rig, monkeypatch)
    assert [halt.symbol for halt in rig.state.records.active_halts()] == [None]
    assert "100 orders" in stop_file(rig).read_text()


def test_an_account_is_halted_also_when_the_disk_refuses_the_emergency_stop_file(rig: Rig) -> None:
    rig.state.stop_file = EmergencyStopFile.of(rig.folder / "gone", "default")
    rig.state.raise_halt(Action("limit", ACCOUNT, "halt account", "a limit", {}))
    assert [halt.symbol for halt in rig.state.records.active_halts()] == [None]
    assert not isinstance(rig.place(), Order)


def test_unhalt_lifts_every_halt_and_removes_the_emergency_stop_file(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    halted_by_a_limit(rig, monkeypatch)
    report = rig.told("unhalt", None)
    assert (report["ok"], len(report["lifted"]), report["kept"]) == (True, 1, [])
    assert not stop_file(rig).exists()
    rig.restart()
    assert isinstance(rig.place(BUY, key="later"), Order)


def test_unhalt_keeps_a_halt_whose_difference_still_stands(rig: Rig) -> None:
    rig.held()
    rig.the_broker_shows(AAA="7")
    rig.rounds(6)
    report = rig.told("unhalt", None)
    assert (report["ok"], report["lifted"], [kept["symbol"] for kept in report["kept"]]) == (False, [], ["AAA"])


def test_an_emergency_stop_that_cannot_be_read_stops_all_the_same(rig: Rig) -> None:
    stop_file(rig).mkdir()
    assert set(rig.blocks.all()) == {"*"}
    assert not isinstance(rig.place(), Order)


def test_status_shows_open_orders_that_are_not_ours_as_blocks(rig: Rig) -> None:
    rig.by_hand("BBB", "3", type="limit", limit_price="10")
    rig.by_hand(client_order_id="g1-e-beta-" + "a" * 20, type="limit", limit_price="50")
    rig.recovery.run()
    with reading(rig.database_url, "default") as reader:
        blocks = status_of(reader, rig.folder, "default")["blocks"]
    assert {block["symbol"] for block in blocks} == {"AAA", "BBB"}


def test_a_dry_run_binds_no_account(rig: Rig, tmp_path: Path) -> None:
    rig.close()
    rig.database_url = f"sqlite:///{tmp_path / 'fresh.db'}"
    with pytest.raises(UsageError, match="a dry run binds none"):
        reconcile(rig.opened_anew(), dry_run=True)
    with closing(sqlite3.connect(tmp_path / "fresh.db")) as books:
        assert books.execute("SELECT count(*) FROM accounts").fetchone() == (0,)
