"""A process that is frozen in its start, replaced, and woken: it learns that from whatever it stumbles over first."""

from collections.abc import Callable

import pytest

from gambler_ai import crashpoints
from gambler_ai.domain.orders import Role
from gambler_ai.errors import Fenced
from gambler_ai.storage.head_file import Head, HeadFile
from gambler_ai.storage.holder import GRACE
from gambler_ai.storage.lease import TTL
from gambler_ai.trading.maintenance import reconcile
from gambler_ai.trading.session_run import SessionRun
from gambler_ai.trading.sessions import Request
from tests.trading.rig import Rig

AGAIN = Request(resume="")
IN_A_START = ("lease.after_take", "session.before_resume", "recovery.after_look")


def frozen_at(point: str, meanwhile: Callable[[], None]) -> None:
    """The world goes on without whoever passes this point next."""

    def pass_by(name: str) -> None:
        if name == point:
            crashpoints.arm(None)
            meanwhile()

    crashpoints.arm(pass_by)


def replaced_by_a_session_that_ends(rig: Rig) -> None:
    rig.clock.sleep((TTL + GRACE).total_seconds() + 1)
    successor = SessionRun(rig.opened_anew().parts)
    assert successor.end(successor.begin(AGAIN)) == 0
    for session in successor.house.books.state.records.sessions():
        assert session.status == "stopped"
    rig.pass_time(6 * 3600)  # its time is over: there is nothing left to resume
    successor.close()


@pytest.mark.parametrize("point", IN_A_START)
def test_a_start_that_slept_through_its_replacement_is_fenced_and_sends_nothing(
    rig: Rig, run: SessionRun, point: str
) -> None:
    frozen_at(point, lambda: replaced_by_a_session_that_ends(rig))
    sent = len(rig.weather.sent)
    with pytest.raises(Fenced):
        run.run(AGAIN)
    assert len(rig.weather.sent) == sent


def test_the_head_that_a_successor_wrote_is_no_reason_to_halt_it(
    rig: Rig, run: SessionRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = HeadFile.read

    def read_late(file: HeadFile, account_id: str) -> Head | None:
        monkeypatch.undo()
        replaced_by_a_session_that_ends(rig)
        return real(file, account_id)

    monkeypatch.setattr(HeadFile, "read", read_late)
    with pytest.raises(Fenced):
        run.run(AGAIN)
    rig.open()
    assert (rig.state.stop_file.reason(), rig.state.records.active_halts()) == (None, [])


def test_a_reconcile_that_slept_through_its_replacement_is_fenced(rig: Rig) -> None:
    rig.close()
    frozen_at("recovery.after_look", lambda: replaced_by_a_session_that_ends(rig))
    with pytest.raises(Fenced):
        reconcile(rig.opened_anew(), dry_run=False)


@pytest.mark.parametrize("told_by", ["its keeper", "its clock"])
def test_a_process_frozen_between_the_commit_and_the_request_of_a_cancel_sends_nothing(rig: Rig, told_by: str) -> None:
    rig.bought()
    rig.protection.run()
    (stop,) = [order for order in rig.state.book.orders.values() if order.role is Role.STOP]
    frozen, desk = rig.house, rig.desk
    assert frozen is not None

    def replaced() -> None:
        rig.clock.sleep((TTL + GRACE).total_seconds() + 1)
        rig.open()  # the successor, which counts on this stop
        frozen._fenced = told_by == "its keeper"

    frozen_at("cancel.after_intent", replaced)
    rig.weather.sent.clear()
    with pytest.raises(Fenced):
        desk.cancel(stop, "resize")
    frozen.parts.database.close()
    assert rig.weather.sent == []
    assert rig.live_exits() == [("stop", "10", "95", "new")]
