"""One run from start to stop: open the books, recover, trade, checkpoint. Every start takes this road."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

from gambler_ai.broker.gateway import BrokerAccount, Gateway
from gambler_ai.crashpoints import crashpoint
from gambler_ai.domain.facts import note
from gambler_ai.domain.fills import Fill
from gambler_ai.domain.market import Bar
from gambler_ai.domain.sessions import Session, SessionStatus
from gambler_ai.errors import BrokerRefusesUs, BrokerUnreachable, DatabaseUnavailable, RateLimited
from gambler_ai.logs import about, get_logger
from gambler_ai.storage.head_file import Head, HeadFile
from gambler_ai.storage.schedules import Schedules
from gambler_ai.trading import market_data
from gambler_ai.trading.blocks import Blocks
from gambler_ai.trading.downtime import amounts_of, windows_missed
from gambler_ai.trading.house import House, Parts
from gambler_ai.trading.in_doubt import EXITS
from gambler_ai.trading.loop import Loop, LoopRules
from gambler_ai.trading.messages import Message
from gambler_ai.trading.order_events import OrderEvents
from gambler_ai.trading.recovery import MAX_ROUNDS, PROTECTION_PATIENCE_S, Recovery
from gambler_ai.trading.sessions import Choice, Request, choose
from gambler_ai.trading.shutdown import EXIT_DIRTY, EXIT_DONE, EXIT_NEEDS_A_HUMAN
from gambler_ai.trading.strategy_host import StrategyHost
from gambler_ai.trading.turn import StoppedEarly

log = get_logger("session")


class SessionRun:
    """A run of `gambler run`: `run` from start to stop, or `begin`, drive the loop, `end` and `close` step by step."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.house = House(parts)

    def run(self, request: Request) -> int:
        """Trade a session until its time is over or a signal asks to stop; returns the exit code."""
        try:
            with self.house.unless_replaced():
                loop = self.begin(request)
                log.info("session.ending", why=loop.run(self.parts.inbox))
                return self.end(loop)
        except StoppedEarly:
            return EXIT_DONE
        except (BrokerUnreachable, RateLimited, DatabaseUnavailable):
            if self.parts.shutdown.is_set():
                return EXIT_DIRTY  # asked to stop before the books could be proven: the session stays as it is
            raise
        finally:
            self.close()

    def begin(self, request: Request) -> Loop:
        """Open the books, recover, and return the loop that is ready to trade."""
        request.check()
        if self.house.open(standby=request.standby).waited and not self._anything_left():
            log.info("standby.ends", why="the session we stood by for ended in its time")
            raise StoppedEarly
        if request.session is not None and self._is_over(request.session):
            log.info("session.over", session=request.session)
            raise StoppedEarly
        choice = self._choose(request)
        about(session=choice.session.session_id)
        early = self.house.listen(choice.session.symbols)
        recovery, blocks = self.house.recovery()
        last = recovery.run()
        blocks.refresh()
        account = last.sight.account
        self._close_crashed(choice, account)
        session = choice.session
        books = self.house.books
        if choice.is_new:
            session = replace(session, initial_capital=account.equity)
            books.state.open_session(session)
        recovery.protection.waive(session.session_id)
        loop = self._loop(session, choice, recovery, blocks)
        with self.house.steps.step("warm up the strategy"):
            replayed = self._warm_up(loop, choice)
        report = recovery.report(
            last,
            {
                "session": session.session_id,
                "halts": [halt.told for halt in books.state.records.active_halts()],
                "signals_missed": loop.signals_missed,
                "windows_missed": windows_missed(Schedules(self.parts.database, session.account_id), books.before),
                "bars_replayed": replayed,
            },
        )
        books.state.report(report, session.session_id)
        self.parts.show_report(report)
        loop.start()
        self._drain(loop, early)
        self._fail_fast(loop)
        return loop

    def _fail_fast(self, loop: Loop) -> None:
        """With `--fail-fast` a session does not even begin under a halt."""
        if self.parts.rules.policy.fail_fast and loop.finished is None and loop.blocks.halted:
            loop.finished = "a halt is active, and --fail-fast is set"

    def _anything_left(self) -> bool:
        """Whether the trader we waited for left something to go on with, or had not begun anything yet."""
        sessions = self.house.books.state.records.sessions()
        now = self.parts.clock.now()
        return not sessions or any(one.status is not SessionStatus.STOPPED or one.ends_at > now for one in sessions)

    def _is_over(self, session_id: str) -> bool:
        """Somebody was quicker: the session has ended in its time."""
        session = self.house.books.state.records.session(session_id)
        return session is not None and session.is_over(self.parts.clock.now())

    def _choose(self, request: Request) -> Choice:
        """Settle every question of usage before a session row is written."""
        house, parts = self.house, self.parts
        with house.steps.step("find the session"):
            house.mark_crashed()
            state = house.books.state
            choice = choose(
                request, state.records, parts.gateway, parts.clock.now(), parts.default_symbols, parts.chance
            )
            if choice.is_new:
                return choice
            crashpoint("session.before_resume")
            session = state.step_session(choice.session, SessionStatus.ACTIVE, end_time=None, final_capital=None)
            crashpoint("session.after_resume")
            return Choice(session, choice.strategy, is_new=False)

    def _close_crashed(self, choice: Choice, account: BrokerAccount) -> None:
        """The account was recovered; sessions that crashed and are not this one are over."""
        books = self.house.books
        for session in books.state.records.sessions(SessionStatus.CRASHED):
            if session.session_id != choice.session.session_id:
                books.state.checkpoint(session.session_id, account)
                books.state.step_session(
                    session, SessionStatus.STOPPED, end_time=self.parts.clock.now(), final_capital=account.equity
                )

    def _loop(self, session: Session, choice: Choice, recovery: Recovery, blocks: Blocks) -> Loop:
        parts, state = self.parts, self.house.books.state
        host = StrategyHost(choice.strategy, session, state.book, parts.clock, state.records.steps_of)
        version = choice.strategy.version
        state.keep_strategy(lambda: (session.session_id, version, host.last_bar, host.save()))
        return Loop(
            session=session,
            state=state,
            desk=recovery.desk,
            in_doubt=recovery.in_doubt,
            reconciler=recovery.reconciler,
            protection=recovery.protection,
            events=OrderEvents(state, parts.clock),
            commands=self.house.commands(recovery),
            host=host,
            hours=market_data.hours(parts.gateway, parts.clock.now(), session.ends_at),
            gateway=parts.gateway,
            clock=parts.clock,
            rules=LoopRules(
                look_every_s=parts.rules.look_every_s,
                signal_ttl=timedelta(seconds=parts.rules.signal_ttl_s),
                fail_fast=parts.rules.policy.fail_fast,
            ),
            blocks=blocks,
            stop=self.house,
            keep_head=self._keep_head,
            still_ours=self.house.renew,
            progress=self.house.progress,
        )

    def _warm_up(self, loop: Loop, choice: Choice) -> int:
        """Saved state and what came since, or history from nothing; returns how many bars were replayed to decide."""
        gateway: Gateway = self.parts.gateway
        symbols, now, state = choice.session.symbols, self.parts.clock.now(), self.house.books.state
        stored = None if choice.is_new else state.records.strategy_state(choice.session.session_id)
        if stored is None or stored.seq > state.head.seq or not loop.host.load(stored):
            market_data.warm_up(gateway, loop.host, symbols, now)
            state.take_fills()
            loop.host.told = state.head.seq
            state.record([note("strategy.saved", {}, session_id=loop.session.session_id)], with_strategy=True)
            return 0
        state.take_fills()  # they are in the journal, with those of the process before us
        fills = state.records.fills_after(loop.host.told) if loop.host.hears_fills else []
        missed = market_data.missed_bars(gateway, loop.host, symbols, now)
        self._replay(loop, missed, fills)
        return len(missed)

    def _replay(self, loop: Loop, bars: Sequence[Bar], fills: Sequence[tuple[int, Fill]]) -> None:
        """What the strategy missed, in the order of time. Its wishes are judged by their age, as ever."""
        events: list[tuple[datetime, Callable[[], object]]] = [(bar.end, partial(loop.decide, bar)) for bar in bars]
        events += [(fill.at, partial(loop.tell, seq, fill)) for seq, fill in fills]
        with loop.host.replaying():
            for _, show in sorted(events, key=lambda event: event[0]):
                if self.house.is_set():
                    return
                show()

    def _drain(self, loop: Loop, early: list[Message]) -> None:
        for message in early:
            if loop.finished is None:
                loop.step(message)

    def end(self, loop: Loop) -> int:
        """Drain, look once more, checkpoint, stop. When the broker does not answer, or an order is still in doubt, the
        session stays active: dirty."""
        parts, books = self.parts, self.house.books
        if parts.shutdown.aborted:
            return EXIT_DIRTY
        try:
            while not parts.inbox.is_empty:
                loop.step(parts.inbox.take(0.0))
            account = self._last_look(loop)
            books.state.checkpoint(loop.session.session_id, account)
            if doubtful := [order.client_order_id for order in loop.in_doubt.orders()]:
                log.warning("session.stops_dirty", why=f"in doubt: {', '.join(doubtful)}")
                return EXIT_DIRTY
        except (BrokerUnreachable, RateLimited, BrokerRefusesUs, DatabaseUnavailable) as error:
            log.warning("session.stops_dirty", why=str(error))
            if parts.shutdown.is_set():
                return EXIT_DIRTY
            raise
        loop.blocks.forget_losses()
        loop.blocks.tell()
        crashpoint("session.before_stop")
        books.state.step_session(
            loop.session, SessionStatus.STOPPED, end_time=parts.clock.now(), final_capital=account.equity
        )
        crashpoint("session.after_stop")
        self._keep_head(books.state.head)
        log.info("session.stopped", session=loop.session.session_id, **amounts_of(account))
        halted = books.state.stop_file.reason() is not None or books.state.records.active_halts()
        return EXIT_NEEDS_A_HUMAN if halted else EXIT_DONE

    def _last_look(self, loop: Loop) -> BrokerAccount:
        """Shares that only this look finds get their exit too, also those whose exit is in doubt until then; an exit of
        the strategy that still waits is given up."""
        loop.protection.stale_before = datetime.max.replace(tzinfo=UTC)
        loop.protection.leaving = True
        since = self.parts.clock.monotonic()
        for _ in range(MAX_ROUNDS):
            last = loop.reconciler.round()
            loop.protection.learn(last)
            acted = loop.protection.see_through(PROTECTION_PATIENCE_S, lambda: self.house.sends_nothing)
            if not self._settle(loop, since) and not acted:
                break
        return last.sight.account

    def _settle(self, loop: Loop, since: float) -> bool:
        """Find what is in doubt, or send it again when it is an exit; whether that brought news. Asked to stop, we wait
        a moment for it; at the end of the session's time as long as it takes to believe that an order is absent."""
        before, clock = loop.in_doubt.orders(), self.parts.clock
        while loop.in_doubt.settle(EXITS) and not self.house.sends_nothing:
            patience_s = PROTECTION_PATIENCE_S if self.house.is_set() else 2 * loop.in_doubt.settle_s
            if clock.monotonic() - since >= patience_s:
                break
            clock.sleep(0.2)
        return len(loop.in_doubt.orders()) < len(before)

    def _keep_head(self, head: Head) -> None:
        """Outside the database, so that the next start verifies only what came after, and a cut tail shows."""
        file = HeadFile(self.parts.data_dir, self.parts.label, self.parts.database.shown)
        file.write(self.house.books.account.account_id, head)

    def close(self) -> None:
        self.house.close()
