"""A process that was replaced leaves nothing behind, and one that lives keeps what is its own."""

from typing import Any

import pytest

from gambler_ai import crashpoints
from gambler_ai.domain.policy import Policy
from gambler_ai.errors import AccountHeld, Fenced
from gambler_ai.storage.holder import GRACE
from gambler_ai.storage.lease import TTL
from gambler_ai.trading import opening
from tests.trading.rig import BUY, Rig


def test_a_fenced_process_writes_no_emergency_stop_for_its_successor(rig: Rig) -> None:
    rig.close()
    rig.policy = Policy(halt_on_insufficient=True)
    rig.open()
    desk = rig.desk
    rig.weather.posts = [(403, {"code": 40310000, "message": "insufficient buying power"})]

    def freeze(name: str) -> None:
        if name == "order.after_send":
            crashpoints.arm(None)
            rig.clock.sleep((TTL + GRACE).total_seconds() + 1)
            rig.open()  # the successor

    crashpoints.arm(freeze)
    with pytest.raises(Fenced):
        desk.place(rig.session, BUY, "bar:one:0", rig.clock.now())
    assert rig.state.stop_file.reason() is None


def test_a_start_that_verifies_a_long_journal_keeps_its_lease(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.close()
    real = opening.verify
    refused = []

    def slow(database: Any, account: Any, progress: Any, **more: Any) -> Any:
        monkeypatch.undo()
        for rows in range(30):
            rig.clock.sleep(1)
            progress(rows)
            with pytest.raises(AccountHeld) as held:
                rig.opened_anew().open()
            refused.append(held)
        return real(database, account, progress, **more)

    monkeypatch.setattr(opening, "verify", slow)
    first = rig.opened_anew()
    first.open()
    assert len(refused) == 30 > TTL.total_seconds()
    first.close()
