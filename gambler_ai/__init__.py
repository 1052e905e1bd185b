"""Paper trading for Alpaca that never loses its state."""

__version__ = "0.1.0"
