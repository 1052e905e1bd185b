"""Blocks: why no new risk may be taken, and how that ends. What a reader of `gambler status` is told."""

from dataclasses import dataclass

WAYS_OUT = {
    "confirming": "nothing to do: a running session or `gambler reconcile` believes it after some looks, or forgets it",
    "asked": "decide: `gambler reconcile --orphans=close` or `--orphans=halt`",
    "ignored": "trade it without --externals=ignore, or close it at the broker",
    "broker": "nothing to do: it is tried again with growing pauses; is the network up, is the broker?",
    "database": "nothing to do: it is tried again with growing pauses; look at the database server and its disk",
    "account": "lift the block at the broker, on its own page",
    "stream": "nothing to do: a complete look at the account ends it",
    "unprotected": "nothing to do: it is tried again; `gambler flatten SYMBOL` closes the position",
}


@dataclass(frozen=True, slots=True)
class Block:
    """No new risk in `symbol`, or anywhere when it is "*"."""

    symbol: str
    kind: str
    reason: str
    way_out: str


def block(symbol: str, kind: str, reason: str) -> Block:
    """A block with the way out of its kind; of a stream, `kind` is its name behind `stream `."""
    return Block(symbol, kind, reason, WAYS_OUT[kind.partition(" ")[0]])
