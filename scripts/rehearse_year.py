"""Rehearse trading days with the real scheduler on a local exchange, and kill scheduler and sessions at random.

    python scripts/rehearse_year.py [--days 252] [--kills 30] [--first 2026-01-02] [--seed 1] [--json]

Trades a window of every trading day at speed `paced`; the lab moves the clock over the hours in which nobody trades,
and stops at noon of closed weekdays. Exit 0 = every trading day had exactly one session, which ended before the close;
no closed day had one; after every close each share held has a live stop; entries were sent in the windows only, exits
in the same trading day; books and exchange agree in every share and cent.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from gambler_ai.domain.market import iso, parse_time
from gambler_ai.operations.proof import compare
from gambler_ai.operations.rehearsal import LABEL, Rehearsal
from gambler_ai.paper_exchange.calendar import NEW_YORK, Session, nyse
from gambler_ai.storage.holder import Holder

AT, UNTIL = "open+5m", "open+25m"
BEGINS = timedelta(minutes=5, seconds=5)
SYMBOLS = "SPY,IBM"
LIVE = ("new", "accepted", "held", "partially_filled", "pending_new")
SETTINGS = {"GAMBLER_SCHEDULE_POLL_S": "2", "GAMBLER_RESTART_WAIT_S": "0.2", "GAMBLER_CONFIRM_SPAN_S": "1"}


@dataclass
class Figures:
    """What happened; `problems` says what must not have."""

    trading_days: int = 0
    closed_weekdays: int = 0
    sessions: int = 0
    killed_schedulers: int = 0
    killed_sessions: int = 0
    starts: int = 0
    orders: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


class Year:
    """One rehearsal. `plan` says how often who dies on which trading day."""

    def __init__(self, rehearsal: Rehearsal, plan: dict[int, list[str]], chance: random.Random) -> None:
        self._rehearsal, self._plan, self._chance = rehearsal, plan, chance
        self.figures = Figures()

    def run(self, first: date, days: int) -> None:
        add = self._rehearsal.gambler(
            *(
                "schedule",
                "add",
                "daily",
                "--strategy",
                "sma_cross",
                "--symbols",
                SYMBOLS,
                "--at",
                AT,
                "--until",
                UNTIL,
            ),
            *("--param", "fast=2", "--param", "slow=5", "--param", "stop_pct=5", "--restarts", "20"),
        )
        if add.returncode:
            raise SystemExit(add.stderr)
        self._rehearsal.begin("schedule", "run")
        day = first
        while self.figures.trading_days < days:
            session = nyse().on(day)
            if session is not None:
                self._trade(session)
                self.figures.trading_days += 1
            elif day.weekday() < 5:
                self._rest(day)
            day += timedelta(days=1)

    def _rest(self, day: date) -> None:
        """A holiday: the scheduler sees its noon, and nothing is to happen."""
        self.figures.closed_weekdays += 1
        noon = datetime(day.year, day.month, day.day, 12, tzinfo=NEW_YORK)
        self._rehearsal.lab("POST", "clock", to=iso(noon))
        time.sleep(0.6)

    def _trade(self, session: Session) -> None:
        victims = self._plan.get(self.figures.trading_days, [])
        self._rehearsal.lab("POST", "clock", to=iso(session.open + BEGINS))
        for victim in victims:
            if victim != "scheduler":
                what = f"the session of {session.day}"
                self._rehearsal.wait(lambda: self._trader() or self._is_over(session.day), what, within_s=60)
            time.sleep(self._chance.uniform(0, 0.5))
            if not self._kill(victim):
                self._plan.setdefault(self.figures.trading_days + 1, []).append(victim)
        self._rehearsal.wait(lambda: self._is_over(session.day), f"the run of {session.day}", within_s=180)
        self._rehearsal.lab("POST", "clock", to=iso(session.close + timedelta(minutes=1)))
        self._look_overnight(session.day)

    def _kill(self, victim: str) -> bool:
        """False when the session was quicker, and somebody has to die another day."""
        pid = self._trader()
        if victim != "scheduler":
            if pid is None:
                return False
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self.figures.killed_sessions += 1
        if victim in ("scheduler", "both"):
            self._rehearsal.kill()
            self.figures.killed_schedulers += 1
            self._rehearsal.begin("schedule", "run")
        return True

    def _trader(self) -> int | None:
        """The process that holds the account, if it lives."""
        with self._rehearsal.books() as books:
            found = books.query("SELECT lease_holder FROM accounts")[0]["lease_holder"]
        holder = Holder.parse(found) if found else None
        return holder.pid if holder is not None and not holder.is_dead() else None

    def _is_over(self, day: date) -> bool:
        with self._rehearsal.books() as books:
            found = books.query("SELECT status FROM schedule_runs WHERE trading_day = ?", str(day))
        return bool(found) and found[0]["status"] != "open"

    def _look_overnight(self, day: date) -> None:
        """Every share has a live stop, by the exchange's own record."""
        record = self._rehearsal.truth()
        for position in record["positions"]:
            held = Decimal(position["qty"])
            stops = (o for o in record["orders"] if o["symbol"] == position["symbol"] and o["status"] in LIVE)
            covered = sum(Decimal(o["qty"]) - Decimal(o["filled_qty"]) for o in stops if o["stop_price"])
            if abs(held) != covered:
                self.figures.problems.append(f"{day}: {held} {position['symbol']} overnight, stops for {covered}")

    def judge(self, first: date) -> None:
        """Compare schedule, books and the exchange's record."""
        figures, record = self.figures, self._rehearsal.truth()
        with self._rehearsal.books() as books:
            runs = books.query("SELECT * FROM schedule_runs ORDER BY trading_day")
            sessions = books.sessions()
        figures.sessions, figures.orders = len(sessions), len(record["orders"])
        figures.starts = sum(run["starts"] for run in runs)
        days = nyse().between(first, first + timedelta(days=3660))[: figures.trading_days]
        if [run["trading_day"] for run in runs] != [str(one.day) for one in days]:
            figures.problems.append("the days of the runs are not the trading days")
        for run in runs:
            if run["status"] != "done":
                figures.problems.append(f"{run['trading_day']}: {run['status']}: {run['result']}")
        if sorted(run["session_id"] for run in runs) != sorted(one["session_id"] for one in sessions):
            figures.problems.append("the sessions are not those of the runs, each once")
        self._judge_ends(sessions, days)
        self._judge_times(record["requests"], runs, days)
        figures.problems += [str(one) for one in compare(record, self._rehearsal.database_url, LABEL)]

    def _judge_times(self, requests: list[dict[str, Any]], runs: list[dict[str, Any]], days: list[Session]) -> None:
        """Entries belong into the window; shares of the last entry get their exit in the same trading day."""
        begins = [parse_time(run["window_start"]) for run in runs]
        entries = list(zip(begins, (parse_time(run["window_end"]) for run in runs), strict=True))
        others = list(zip(begins, (one.close for one in days), strict=False))
        for request in requests:
            name, at = request["client_order_id"] or "", parse_time(request["at"])
            allowed = entries if name.startswith("g1-e-") else others
            if request["method"] == "POST" and not any(start <= at <= end for start, end in allowed):
                self.figures.problems.append(f"{request['path']} {name} at {request['at']}, outside its time")

    def _judge_ends(self, sessions: list[dict[str, Any]], days: list[Session]) -> None:
        closes = {one.day: one.close for one in days}
        for one in sessions:
            day = parse_time(one["start_time"]).astimezone(NEW_YORK).date()
            if one["status"] != "stopped" or parse_time(one["end_time"]) >= closes.get(
                day, datetime.min.replace(tzinfo=UTC)
            ):
                self.figures.problems.append(f"{one['session_id']} is {one['status']}, ended {one['end_time']}")


def planned(days: int, kills: int, chance: random.Random) -> dict[int, list[str]]:
    plan: dict[int, list[str]] = {}
    for _ in range(kills):
        plan.setdefault(chance.randrange(days), []).append(chance.choice(("scheduler", "session", "both")))
    return plan


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=252)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--first", type=date.fromisoformat, default=date(2026, 1, 2), metavar="DAY")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="keep everything here")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="rehearsed-year-"))
    chance, began = random.Random(options.seed), time.monotonic()
    start = datetime(options.first.year, options.first.month, options.first.day, 4, tzinfo=NEW_YORK).astimezone(UTC)
    with Rehearsal(folder, "synthetic:7", start, settings=SETTINGS) as rehearsal:
        year = Year(rehearsal, planned(options.days, options.kills, chance), chance)
        year.run(options.first, options.days)
        year.judge(options.first)
    figures = year.figures
    figures.seconds = round(time.monotonic() - began, 1)
    if options.json:
        print(json.dumps(asdict(figures), indent=2))
    else:
        for name, value in asdict(figures).items():
            print(f"{name.replace('_', ' '):<20} {len(value) if isinstance(value, list) else value}")
        print("\n".join(figures.problems))
    return 1 if figures.problems else 0


if __name__ == "__main__":
    sys.exit(main())
