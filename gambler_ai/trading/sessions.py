"""Which session a run trades: a new one, or one to go on with; every contradiction is named before anything is sent."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

from gambler_ai.broker.gateway import Gateway
from gambler_ai.domain.market import iso
from gambler_ai.domain.orders import owner_slug
from gambler_ai.domain.sessions import Session, SessionStatus
from gambler_ai.errors import UsageError
from gambler_ai.storage.records import Records
from gambler_ai.strategies import loading
from gambler_ai.strategies.base import Strategy

LONGEST_MIN = Decimal(60 * 24 * 31)
DEFAULT_STRATEGY = "sma_cross"
_ID = re.compile(r"[A-Za-z0-9_-]{1,48}")


@dataclass(frozen=True, slots=True)
class Request:
    """What `gambler run` was asked for; None = not said. `resume` is a session id, or "" for the obvious one.
    `standby` = wait for the account, go on with what its trader left, and begin a session only if there is nothing.
    `session` = begin a session under this id, or go on with it: which of both is settled under the account's lease, so
    that any number of processes told the same open one session. `until` is its end in exchange time."""

    symbols: tuple[str, ...] | None = None
    strategy: str | None = None
    params: Mapping[str, str] | None = None
    duration_min: Decimal | None = None
    resume: str | None = None
    standby: bool = False
    session: str | None = None
    until: datetime | None = None

    def check(self) -> None:
        """Raise UsageError for what is wrong whatever the database says."""
        duration = self.duration_min
        if duration is not None and not 0 < duration <= LONGEST_MIN:
            raise UsageError(f"--duration {duration}: write minutes, more than 0 and at most {LONGEST_MIN} (31 days)")
        if self.session is not None and (self.resume is not None or not _ID.fullmatch(self.session)):
            raise UsageError(
                f"--session {self.session!r}: write up to 48 letters, digits, - or _, and leave --resume out"
            )
        if self.until is not None and duration is not None:
            raise UsageError("--until and --duration both say when the session ends; keep one")
        if self.resume is None:
            loading.load(self.strategy or DEFAULT_STRATEGY, self.params or {})


@dataclass(frozen=True, slots=True)
class Choice:
    """The session to trade, its strategy, and whether it is new to the database."""

    session: Session
    strategy: Strategy
    is_new: bool


def choose(
    request: Request,
    records: Records,
    gateway: Gateway,
    now: datetime,
    default_symbols: tuple[str, ...],
    chance: Random,
) -> Choice:
    """Raises UsageError for an unknown symbol, nothing to resume, or flags that contradict the stored session."""
    if request.resume is None and request.standby and _left_over(records, now):
        request = replace(request, resume="", duration_min=None)
    if request.session is not None and records.session(request.session) is not None:
        request = replace(request, resume=request.session)
    if request.resume is None:
        return _new(request, records, gateway, now, default_symbols, chance)
    session = _to_resume(request.resume, records, now)
    _refuse_contradictions(request, session)
    ends_at = request.until or session.ends_at
    if request.duration_min is not None:
        ends_at = now + timedelta(minutes=float(request.duration_min))
    strategy = loading.load(session.strategy, dict(session.params))
    return Choice(replace(session, ends_at=ends_at), strategy, is_new=False)


def _new(
    request: Request,
    records: Records,
    gateway: Gateway,
    now: datetime,
    default_symbols: tuple[str, ...],
    chance: Random,
) -> Choice:
    name = request.strategy or DEFAULT_STRATEGY
    strategy = loading.load(name, request.params or {})
    symbols = request.symbols or default_symbols
    check_symbols(symbols, gateway)
    if request.until is not None:
        ends_at = request.until
        if ends_at <= now:
            raise UsageError(f"--until {iso(ends_at)} is past: it is {iso(now)} at the exchange; no session was begun")
    elif request.duration_min is None:
        ends_at = gateway.clock().next_close
    else:
        ends_at = now + timedelta(minutes=float(request.duration_min))
    session = Session(
        session_id=request.session or new_id(now, records, chance),
        account_id=records.account_id,
        owner=owner_slug(strategy.name or name.rpartition(":")[2]),
        strategy=name,
        symbols=symbols,
        params=tuple(loading.parameters(strategy).items()),
        status=SessionStatus.ACTIVE,
        start_time=now,
        ends_at=ends_at,
    )
    return Choice(session, strategy, is_new=True)


def new_id(now: datetime, records: Records, chance: Random) -> str:
    """Order ids hang on it, so it must differ from every session this account ever had, also in a lost database."""
    while True:
        session_id = f"s{now:%Y%m%d-%H%M%S}-{''.join(chance.choices('abcdefghjkmnpqrstvwxyz23456789', k=6))}"
        if records.session(session_id) is None:
            return session_id


def check_symbols(symbols: tuple[str, ...], gateway: Gateway) -> None:
    """Raises UsageError for symbols the broker does not know, or does not trade now."""
    unknown = [s for s in symbols if gateway.tradable(s) is None]
    if unknown:
        raise UsageError(f"the broker does not know {', '.join(unknown)}; correct --symbols")
    closed = [s for s in symbols if gateway.tradable(s) is False]
    if closed:
        raise UsageError(f"{', '.join(closed)} cannot be traded at the broker now; leave it out of --symbols")


def _to_resume(wanted: str, records: Records, now: datetime) -> Session:
    if wanted:
        session = records.session(wanted)
        if session is None:
            raise UsageError(f"there is no session {wanted}; `gambler sessions` lists them")
        return session
    left = _left_over(records, now)
    if left is None:
        raise UsageError(
            "there is nothing to resume: no crashed session, and no stopped one with time left. Run without --resume"
        )
    return left


def _left_over(records: Records, now: datetime) -> Session | None:
    """What there is to go on with: a crashed session, else a stopped one with time left."""
    crashed = records.sessions(SessionStatus.CRASHED)
    unfinished = (one for one in records.sessions(SessionStatus.STOPPED) if one.ends_at > now)
    return crashed[0] if crashed else next(unfinished, None)


def _refuse_contradictions(request: Request, session: Session) -> None:
    wrong = []
    if request.symbols is not None and set(request.symbols) != set(session.symbols):
        wrong.append(f"symbols are {','.join(session.symbols)}, not {','.join(request.symbols)}")
    if request.strategy is not None and request.strategy != session.strategy:
        wrong.append(f"strategy is {session.strategy}, not {request.strategy}")
    if request.params:
        asked = loading.parameters(loading.load(session.strategy, {**dict(session.params), **request.params}))
        if asked != dict(session.params):
            shown = ", ".join(f"{k}={v}" for k, v in session.params)
            wrong.append(f"parameters are {shown}")
    if wrong:
        raise UsageError(
            f"session {session.session_id} cannot be resumed with other settings: {'; '.join(wrong)}. Leave the flags "
            "out, or start a new session without --resume"
        )
