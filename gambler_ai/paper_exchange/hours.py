"""Hours around the regular session: extended trading, and when auction orders are taken (reference 4.1)."""

from datetime import datetime, time, timedelta

from gambler_ai.paper_exchange.calendar import NEW_YORK, Session, Sessions, new_york_day
from gambler_ai.paper_exchange.refusal import forbidden

_START, _END = time(4), time(20)
_OPG_CUT, _EVENING = time(9, 28), time(19)
_CLS_CUT, _CLS_TEXT = timedelta(minutes=10), time(15, 50)


def extended(sessions: Sessions, at: datetime) -> Session | None:
    """The trading day whose hours from 04:00 to 20:00 in New York hold this moment."""
    session = sessions.on(new_york_day(at))
    return session if session and _START <= at.astimezone(NEW_YORK).time() < _END else None


def extended_end(session: Session) -> datetime:
    """20:00 of a trading day."""
    return datetime.combine(session.day, _END, NEW_YORK).astimezone(session.close.tzinfo)


def extended_day(sessions: Sessions, at: datetime) -> Session:
    """The trading day an extended-hours order given now belongs to."""
    today = sessions.on(new_york_day(at))
    return today if today and at < extended_end(today) else sessions.next_after(at)


def next_border(sessions: Sessions, at: datetime) -> datetime:
    """When extended hours begin or end next."""
    session = extended_day(sessions, at)
    start = datetime.combine(session.day, _START, NEW_YORK).astimezone(session.close.tzinfo)
    return start if at < start else extended_end(session)


def refuse_auction(time_in_force: str, sessions: Sessions, at: datetime) -> None:
    """Refused while the orders of an auction are not taken: until 19:00, from shortly before it."""
    now = at.astimezone(NEW_YORK).time()
    if time_in_force == "opg" and _OPG_CUT <= now < _EVENING:
        raise forbidden("opg orders must be submitted after 7:00pm and before 9:28am")
    if time_in_force == "cls":
        session = sessions.on(new_york_day(at))
        cut = (session.close - _CLS_CUT).astimezone(NEW_YORK).time() if session else _CLS_TEXT
        if cut <= now < _EVENING:
            raise forbidden("cls orders must be submitted after 7:00pm and before 3:50pm")
