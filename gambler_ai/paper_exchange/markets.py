"""Which market a spec names."""

from gambler_ai.errors import UsageError
from gambler_ai.paper_exchange.market import Market
from gambler_ai.paper_exchange.synthetic import Synthetic
from gambler_ai.paper_exchange.tape import Tape


def open_market(spec: str) -> Market:
    """The market a spec names. UsageError when the spec or the files behind it are wrong."""
    kind, _, rest = spec.partition(":")
    if kind == "tape" and rest:
        return Tape(rest)
    if kind == "synthetic" and rest.lstrip("-").isdigit():
        return Synthetic(int(rest))
    raise UsageError(f"market {spec!r}: want tape:DIR (a directory of SYMBOL.csv files) or synthetic:SEED (an integer)")
