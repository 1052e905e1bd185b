from datetime import UTC, datetime, timedelta
from decimal import Decimal

from gambler_ai.operations.equity import Point, chart, equity_curve

START = datetime(2026, 6, 15, 13, 30, tzinfo=UTC)


def bar(minute: int, close: float) -> dict[str, object]:
    return {"t": (START + timedelta(minutes=minute)).isoformat(), "c": close}


def fill(minute: int, side: str, shares: str, price: str) -> dict[str, str]:
    at = (START + timedelta(minutes=minute, seconds=1)).isoformat()
    return {"at": at, "symbol": "SPY", "side": side, "cum_from": "0", "cum_to": shares, "price": price}


def test_equity_is_cash_and_shares_at_the_last_close() -> None:
    fills = [fill(1, "buy", "10", "100.5"), fill(3, "sell", "10", "103")]
    bars = {"SPY": [bar(0, 100.0), bar(1, 101.0), bar(2, 102.25), bar(3, 99.0)]}
    curve = equity_curve(fills, bars, Decimal(1000))
    assert [point.equity for point in curve] == [
        Decimal(1000),
        Decimal("1005.0"),
        Decimal("1017.50"),
        Decimal("1025.0"),
    ]


def test_a_minute_without_a_bar_of_a_symbol_keeps_its_last_price() -> None:
    bars = {"SPY": [bar(0, 100.0)], "KO": [bar(0, 70.0), bar(1, 71.0)]}
    curve = equity_curve([fill(-1, "buy", "1", "90")], bars, Decimal(1000))
    assert [point.equity for point in curve] == [Decimal(1010), Decimal(1010)]


def rising() -> list[Point]:
    return [Point(START + timedelta(minutes=n), Decimal(1000 + n)) for n in range(100)]


def test_the_chart_rises_with_the_curve_and_shows_its_marks() -> None:
    lines = chart(rising(), {"x": START + timedelta(minutes=50)}, width=40, height=5, plain=True)
    assert lines[0].lstrip().startswith("1,099 |")
    assert lines[0].rstrip().endswith("*")
    assert lines[4].startswith("     1,000 |*")
    assert lines[6].index("x") == 12 + 20


def test_a_plain_chart_is_plain_ascii() -> None:
    assert "\n".join(chart(rising(), {}, width=40, height=5, plain=True)).isascii()


def test_one_point_makes_no_chart() -> None:
    assert chart(rising()[:1], {}, width=40, height=5, plain=False) == []
