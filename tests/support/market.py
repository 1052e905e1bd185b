"""A small market that crosses its averages every few minutes, so that `sma_cross` trades at once and often."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

OPEN = datetime(2026, 11, 20, 14, 30, tzinfo=UTC)  # a Friday
HEADER = "timestamp,open,high,low,close,volume,bid,ask,bid_size,ask_size"
_WAVE = (0, 1, 2, 3, 2, 1)


def write_tape(directory: Path, minutes: int = 390) -> str:
    """Waves of six minutes in two symbols, out of step: AAA around 100 USD, BBB around 50 USD."""
    directory.mkdir(exist_ok=True)
    for symbol, base, shift in (("AAA", 100, 0), ("BBB", 50, 3)):
        lines = [HEADER]
        for minute in range(-30, minutes):
            price = base + _WAVE[(minute + shift) % len(_WAVE)]
            at = OPEN + timedelta(minutes=minute)
            ohlc = f"{price},{price},{price},{price}"
            lines.append(f"{at:%Y-%m-%dT%H:%M:%SZ},{ohlc},900,{price - 0.01:.2f},{price}.01,50,50")
        (directory / f"{symbol}.csv").write_text("\n".join(lines) + "\n")
    return f"tape:{directory}"
