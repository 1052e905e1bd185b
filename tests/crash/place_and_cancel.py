"""A session that places one resting order, cancels it, and stops when the broker says that it is gone."""

from datetime import timedelta
from decimal import Decimal

from gambler_ai.config import read_settings
from gambler_ai.crashpoints import arm_from_environment
from gambler_ai.domain.orders import Order, Side, Wish
from gambler_ai.domain.sessions import Session, SessionStatus
from gambler_ai.trading.house import House
from gambler_ai.trading.shutdown import Shutdown
from gambler_ai.wiring import build

WISH = Wish("AAA", Side.BUY, Decimal(5), type="limit", limit_price=Decimal(50))


def main() -> None:
    parts = build(read_settings(), Shutdown())
    parts.create_tables = True
    house = House(parts)
    try:
        state = house.open().state
        house.mark_crashed()
        recovery, _blocks = house.recovery()
        recovery.run()
        session = the_session(house)
        order = recovery.desk.place(session, WISH, "once", parts.clock.now() + timedelta(hours=1))
        assert isinstance(order, Order), order
        recovery.desk.cancel(order, "this program ends")
        recovery.run()
        capital = house.parts.gateway.account().equity
        state.step_session(session, SessionStatus.STOPPED, end_time=parts.clock.now(), final_capital=capital)
    finally:
        house.close()


def the_session(house: House) -> Session:
    """The one and only, as this program found it or begins it."""
    state, now = house.books.state, house.parts.clock.now()
    known = state.records.sessions()
    if known:
        return state.step_session(known[0], SessionStatus.ACTIVE)
    session = Session(
        session_id="only",
        account_id=state.account_id,
        owner="hand",
        strategy="none",
        symbols=("AAA",),
        params=(),
        status=SessionStatus.ACTIVE,
        start_time=now,
        ends_at=now + timedelta(hours=1),
    )
    state.open_session(session)
    return session


if __name__ == "__main__":
    arm_from_environment()
    main()
