"""What wakes the scheduler: a steady rhythm, and the moment a window begins."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gambler_ai.errors import BrokerUnreachable, Fenced
from gambler_ai.operations.timetable import MarketTrigger, Timetable
from tests.operations.rig import Rehearsal
from tests.support.waiting import eventually

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_a_window_wakes_once_and_never_in_the_past() -> None:
    coming = MarketTrigger(timedelta(minutes=7))
    assert coming.get_next_fire_time(None, NOW) == NOW + timedelta(minutes=7)
    assert coming.get_next_fire_time(NOW, NOW) is None
    assert MarketTrigger(timedelta(seconds=-3)).get_next_fire_time(None, NOW) == NOW


@pytest.fixture
def looks(tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> "Iterator[Looks]":
    rehearsal = Rehearsal(tmp_path, sqlite_url)
    yield Looks(rehearsal, monkeypatch)
    rehearsal.close()


class Looks:
    """A timetable whose looks only count, or raise what they are told to."""

    def __init__(self, rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rehearsal, self.scheduler = rehearsal, rehearsal.scheduler
        self.made, self.raised = 0, list[Exception]()
        self.coming = dict[str, timedelta]()
        self.at_once = threading.Lock()
        monkeypatch.setattr(self.scheduler, "look", self._look)
        monkeypatch.setattr(self.scheduler, "until_next", lambda: self.coming)

    def _look(self) -> None:
        assert self.at_once.acquire(blocking=False), "two looks at once"
        self.made += 1
        try:
            if self.raised:
                raise self.raised.pop(0)
        finally:
            self.at_once.release()

    def run(self, every_s: float, looks: int) -> int:
        """Until so many looks were made."""
        codes: list[int | Exception] = []

        def work() -> None:
            try:
                codes.append(Timetable(self.scheduler, every_s).run())
            except Fenced as error:
                codes.append(error.exit_code)

        thread = threading.Thread(target=work)
        thread.start()
        eventually(lambda: self.made >= looks or not thread.is_alive(), what=f"{looks} looks")
        self.rehearsal.shutdown.ask()
        thread.join()
        assert isinstance(codes[0], int)
        return codes[0]


def test_it_looks_until_it_is_asked_to_stop_and_what_passes_is_tried_again(looks: Looks) -> None:
    looks.raised = [BrokerUnreachable("no route"), BrokerUnreachable("no route")]
    assert looks.run(0.05, looks=4) == 0
    row = looks.scheduler.lease.look()
    assert row is not None
    assert row.holder is None


def test_the_moment_a_window_begins_wakes_it_between_two_looks(looks: Looks) -> None:
    looks.coming = {"daily": timedelta(seconds=0.1)}
    assert looks.run(3600, looks=2) == 0


def test_a_scheduler_that_was_replaced_ends_with_4(looks: Looks) -> None:
    looks.raised = [Fenced("another scheduler has taken over")]
    assert looks.run(0.05, looks=99) == 4
    assert looks.made == 1
