"""The shares that can be traded: names and places for well-known symbols, sensible defaults for others."""

import uuid
from dataclasses import dataclass
from functools import lru_cache

_KNOWN: dict[str, tuple[str, str, int]] = {
    "AAPL": ("Apple Inc. Common Stock", "NASDAQ", 231),
    "AIG": ("American International Group, Inc.", "NYSE", 77),
    "AMD": ("Advanced Micro Devices, Inc.", "NASDAQ", 142),
    "AMZN": ("Amazon.com, Inc.", "NASDAQ", 205),
    "AVGO": ("Broadcom Inc.", "NASDAQ", 172),
    "BA": ("The Boeing Company", "NYSE", 178),
    "BAC": ("Bank of America Corporation", "NYSE", 46),
    "C": ("Citigroup Inc.", "NYSE", 70),
    "CSCO": ("Cisco Systems, Inc.", "NASDAQ", 58),
    "DIA": ("SPDR Dow Jones Industrial Average ETF Trust", "ARCA", 430),
    "DIS": ("The Walt Disney Company", "NYSE", 112),
    "F": ("Ford Motor Company", "NYSE", 11),
    "GE": ("GE Aerospace", "NYSE", 180),
    "GOOG": ("Alphabet Inc. Class C", "NASDAQ", 177),
    "GOOGL": ("Alphabet Inc. Class A", "NASDAQ", 175),
    "IBM": ("International Business Machines Corporation", "NYSE", 221),
    "INTC": ("Intel Corporation", "NASDAQ", 24),
    "IWM": ("iShares Russell 2000 ETF", "ARCA", 230),
    "JNJ": ("Johnson & Johnson", "NYSE", 154),
    "JPM": ("JPMorgan Chase & Co.", "NYSE", 245),
    "KO": ("The Coca-Cola Company", "NYSE", 63),
    "META": ("Meta Platforms, Inc.", "NASDAQ", 561),
    "MSFT": ("Microsoft Corporation", "NASDAQ", 417),
    "NFLX": ("Netflix, Inc.", "NASDAQ", 880),
    "NVDA": ("NVIDIA Corporation", "NASDAQ", 139),
    "ORCL": ("Oracle Corporation", "NYSE", 186),
    "PFE": ("Pfizer Inc.", "NYSE", 26),
    "PG": ("The Procter & Gamble Company", "NYSE", 172),
    "QQQ": ("Invesco QQQ Trust", "NASDAQ", 505),
    "SPY": ("SPDR S&P 500 ETF Trust", "ARCA", 590),
    "T": ("AT&T Inc.", "NYSE", 23),
    "TSLA": ("Tesla, Inc.", "NASDAQ", 341),
    "UBER": ("Uber Technologies, Inc.", "NYSE", 71),
    "V": ("Visa Inc.", "NYSE", 309),
    "VTI": ("Vanguard Total Stock Market ETF", "ARCA", 291),
    "WMT": ("Walmart Inc.", "NYSE", 88),
    "XOM": ("Exxon Mobil Corporation", "NYSE", 120),
}
_NAMESPACE = uuid.UUID("6f0d5d4e-6a2b-4b41-9d4e-0f6f2f1a7c55")


@dataclass(frozen=True, slots=True)
class Asset:
    """One tradable share. The id is a function of the symbol, the same on every exchange of ours."""

    id: str
    symbol: str
    name: str
    exchange: str
    cusip: str


@lru_cache(maxsize=4096)
def asset(symbol: str) -> Asset:
    """The asset of a symbol."""
    name, exchange, _ = _KNOWN.get(symbol, (f"{symbol} Common Stock", "NASDAQ", 0))
    own = uuid.uuid5(_NAMESPACE, symbol)
    return Asset(str(own), symbol, name, exchange, _cusip(own.int))


def _cusip(number: int) -> str:
    """An invented CUSIP: eight digits, and the check digit of a real one."""
    digits = f"{number % 10**8:08d}"
    doubled = (int(digit) * (1 + place % 2) for place, digit in enumerate(digits))
    return f"{digits}{-sum(value // 10 + value % 10 for value in doubled) % 10}"


def known_prices() -> dict[str, int]:
    """Symbols of the synthetic market with the price in USD around which each one moves."""
    return {symbol: price for symbol, (_, _, price) in _KNOWN.items()}
