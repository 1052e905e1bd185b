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

DONE_BY_A_PROCESS = {
    "in doubt": "looks it up",
    "confirming": "believes it after some looks, or forgets it",
    "broker": "asks it again; is the network up, is the broker?",
    "database": "tries it again; look at the database server and its disk",
    "stream": "looks at the whole account, which ends it",
    "unprotected": "places it; `gambler flatten` closes the position",
}
"""What ends a block of this kind by itself while a process holds the account, and only then."""


@dataclass(frozen=True, slots=True)
class Block:
    """No new risk in `symbol`, or anywhere when it is "*"."""

    symbol: str
    kind: str
    reason: str
    way_out: str


def block(symbol: str, kind: str, reason: str) -> Block:
    """A block with the way out of its kind; of a stream, `kind` is its name behind `stream `."""
    return Block(symbol, kind, reason, WAYS_OUT[_name(kind)])


def done_by(kind: str, starter: str) -> str | None:
    """The way out when no process holds the account and a person has to start one; None when that is not enough."""
    done = DONE_BY_A_PROCESS.get(_name(kind))
    return None if done is None else f"no process is at it: {starter} {done}"


def _name(kind: str) -> str:
    return "stream" if kind.startswith("stream ") else kind
