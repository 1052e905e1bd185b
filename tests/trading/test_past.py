"""The books as they were: what `--at TIME` shows is what was shown then."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from gambler_ai.storage.past import orders_at, positions_at
from gambler_ai.storage.reading import Row, reading
from tests.trading.rig import RESTING, SELL, Rig

Shown = tuple[list[Row], ...]


def shown_now(rig: Rig) -> Shown:
    with reading(rig.database_url, "default") as reader:
        return (
            reader.positions(),
            reader.positions(every=True),
            in_order(reader.orders()),
            in_order(reader.orders(open_only=True)),
        )


def shown_at(rig: Rig, at: datetime) -> Shown:
    with reading(rig.database_url, "default") as reader:
        return (
            positions_at(reader, at),
            positions_at(reader, at, every=True),
            in_order(orders_at(reader, at)),
            in_order(orders_at(reader, at, open_only=True)),
        )


def in_order(rows: list[Row]) -> list[Row]:
    """Databases may sort ids in an order of their own."""
    return sorted(rows, key=lambda row: (row["created_at"], row["client_order_id"]))


def test_the_books_of_an_earlier_time_are_what_was_shown_then(rig_on_both: Rig) -> None:
    rig = rig_on_both
    seen: list[tuple[datetime, Shown]] = [(rig.clock.now(), ([], [], [], []))]
    steps = (
        lambda: rig.bought(),
        lambda: rig.protection.run(),
        lambda: rig.by_hand("BBB", "3"),
        lambda: rig.placed(replace(RESTING, symbol="BBB", limit_price=Decimal(20)), key="bar:two:0"),
        lambda: rig.placed(SELL, key="bar:three:0"),
        lambda: rig.recovery.run(),
    )
    for step in steps:
        rig.pass_time(60)
        step()
        rig.recovery.run()
        seen.append((rig.clock.now(), shown_now(rig)))
    assert len({str(shown) for _, shown in seen}) > len(steps) / 2
    for at, shown in seen:
        assert shown_at(rig, at) == shown, at
    assert shown_at(rig, datetime.max.replace(tzinfo=UTC)) == seen[-1][1]
