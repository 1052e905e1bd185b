"""Schedules and their runs. A slot is claimed by inserting its run: (account, schedule, trading day) is the key, so
there is one at most for ever, whoever tries.

Each write is a single statement that takes effect only while the scheduler's token is the current one.
"""

import json
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, exists, insert, literal, select, update

from gambler_ai.domain.schedules import Run, RunStatus, Schedule, Slot, read
from gambler_ai.errors import AlreadyStored, Fenced, UsageError
from gambler_ai.storage import models
from gambler_ai.storage.database import Database

_FENCED = "another scheduler has taken over"


class Schedules:
    """The schedules of one account."""

    def __init__(self, database: Database, account_id: str) -> None:
        self._database = database
        self._account_id = account_id

    def add(self, schedule: Schedule) -> None:
        """Durable when this returns. Raises UsageError when there is one of this name; a removed one's place is taken,
        with its runs: a slot that was used stays used."""
        table = models.schedules
        values = {
            "definition": json.dumps(schedule.definition()),
            "paused": schedule.paused,
            "created_at": schedule.since,
            "since": schedule.since,
            "removed_at": None,
        }
        again = update(table).where(self._is(schedule.name), table.c.removed_at.is_not(None)).values(values)
        new = insert(table).values(account_id=self._account_id, name=schedule.name, **values)
        try:
            with self._database.connect() as connection:
                if connection.execute(again).rowcount != 1:
                    connection.execute(new)
        except AlreadyStored as error:
            raise UsageError(
                f"there is a schedule {schedule.name} already; `gambler schedule remove {schedule.name}` first"
            ) from error

    def all(self) -> list[Schedule]:
        """Those that are not removed, by name."""
        table = models.schedules
        query = select(table).where(table.c.account_id == self._account_id, table.c.removed_at.is_(None))
        with self._database.connect() as connection:
            return [_schedule(row) for row in connection.execute(query.order_by(table.c.name)).mappings()]

    def find(self, name: str) -> Schedule | None:
        return next((one for one in self.all() if one.name == name), None)

    def pause(self, name: str) -> bool:
        """False when it was paused already, or is not there."""
        table = models.schedules
        return self._change(name, table.c.paused.is_(False), {"paused": True})

    def resume(self, name: str, now: datetime) -> bool:
        """From exchange time `now` on its slots are its own again. False when it was not paused."""
        return self._change(name, models.schedules.c.paused.is_(True), {"paused": False, "since": now})

    def remove(self, name: str, now: datetime) -> bool:
        """Its runs stay. False when it is not there."""
        return self._change(name, models.schedules.c.removed_at.is_(None), {"removed_at": now})

    def _change(self, name: str, if_: ColumnElement[bool], values: dict[str, Any]) -> bool:
        table = models.schedules
        statement = update(table).where(self._is(name), table.c.removed_at.is_(None), if_).values(values)
        with self._database.connect() as connection:
            return connection.execute(statement).rowcount == 1

    def _is(self, name: str) -> ColumnElement[bool]:
        table = models.schedules
        return (table.c.account_id == self._account_id) & (table.c.name == name)

    def runs(self, name: str | None = None, *, status: RunStatus | None = None, last: int | None = None) -> list[Run]:
        """Of one schedule or of all, oldest first; only the `last` of them."""
        table = models.schedule_runs
        query = select(table).where(table.c.account_id == self._account_id)
        if name is not None:
            query = query.where(table.c.schedule == name)
        if status is not None:
            query = query.where(table.c.status == status.value)
        query = query.order_by(table.c.window_start.desc(), table.c.schedule)
        with self._database.connect() as connection:
            found = connection.execute(query if last is None else query.limit(last)).mappings()
            return [_run(row) for row in found][::-1]

    def days_used(self, name: str) -> set[date]:
        """Trading days that have a run."""
        table = models.schedule_runs
        query = select(table.c.trading_day).where(table.c.account_id == self._account_id, table.c.schedule == name)
        with self._database.connect() as connection:
            return {date.fromisoformat(day) for (day,) in connection.execute(query)}

    def claim(self, run: Run, token: int) -> bool:
        """Write the slot's only run. False when somebody did before us; raises Fenced when `token` is not current."""
        row = {
            "account_id": self._account_id,
            "schedule": run.slot.schedule,
            "trading_day": run.slot.day.isoformat(),
            "session_id": run.session_id,
            "status": run.status.value,
            "window_start": run.slot.start,
            "window_end": run.slot.end,
            "definition": json.dumps(run.plan.definition()),
            "starts": run.starts,
            "started_at": run.claimed_at,
            "ended_at": run.ended_at,
            "result": run.result,
        }
        table, ours = models.schedule_runs, models.schedulers
        values = [literal(value, table.c[name].type) for name, value in row.items()]
        source = select(*values).where(ours.c.account_id == self._account_id, ours.c.token == token).with_for_update()
        try:
            with self._database.connect() as connection:
                written = connection.execute(insert(table).from_select(list(row), source)).rowcount
        except AlreadyStored:
            if run.slot.day not in self.days_used(run.slot.schedule):
                raise
            return False
        if written != 1:
            raise Fenced(_FENCED)
        return True

    def starting(self, run: Run, wait_until: datetime, token: int) -> None:
        """One more process will be started for it; `wait_until` is when the next may be (database time)."""
        self._step(run, {"starts": run.starts + 1, "wait_until": wait_until}, token)

    def close(self, run: Run, status: RunStatus, result: str, at: datetime, token: int) -> None:
        self._step(run, {"status": status.value, "result": result, "ended_at": at}, token)

    def _step(self, run: Run, values: dict[str, Any], token: int) -> None:
        """Raises Fenced when `token` is not current."""
        table, ours = models.schedule_runs, models.schedulers
        still_ours = exists().where(ours.c.account_id == self._account_id, ours.c.token == token)
        statement = (
            update(table)
            .where(
                table.c.account_id == self._account_id,
                table.c.schedule == run.slot.schedule,
                table.c.trading_day == run.slot.day.isoformat(),
                table.c.status == RunStatus.OPEN.value,
                still_ours,
            )
            .values(values)
        )
        with self._database.connect() as connection:
            if connection.execute(statement).rowcount != 1:
                raise Fenced(_FENCED)


def _schedule(row: Any) -> Schedule:
    return read(row["name"], json.loads(row["definition"]), row["since"], paused=bool(row["paused"]))


def _run(row: Any) -> Run:
    slot = Slot(row["schedule"], date.fromisoformat(row["trading_day"]), row["window_start"], row["window_end"])
    return Run(
        slot=slot,
        session_id=row["session_id"],
        status=RunStatus(row["status"]),
        plan=read(slot.schedule, json.loads(row["definition"]), slot.start),
        starts=row["starts"],
        wait_until=row["wait_until"],
        claimed_at=row["started_at"],
        ended_at=row["ended_at"],
        result=row["result"],
    )
