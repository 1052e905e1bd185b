"""`exchange serve` as these tests need it: the flags of the command line, nothing of the application."""

import argparse
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from gambler_ai.paper_exchange.server import ServeOptions, serve

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int, default=0)
parser.add_argument("--state", default=":memory:")
parser.add_argument("--market", required=True)
parser.add_argument("--speed", default="manual")
parser.add_argument("--start", type=datetime.fromisoformat)
parser.add_argument("--lab-token-file", type=Path)
parser.add_argument("--port-file", type=Path)
parser.add_argument("--partial-fill-rate", type=Decimal, default=Decimal("0.1"))
parser.add_argument("--night", default="skip")
parser.add_argument("--idle-exit", dest="idle_exit_s", type=float)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--switch", dest="switches", action="append", default=[])
parser.add_argument("--limit", dest="limits", action="append", default=[])


def main() -> None:
    given = vars(parser.parse_args())
    named = {kind: dict(one.split("=") for one in given[kind]) for kind in ("switches", "limits")}
    serve(ServeOptions(**{**given, **named}))


if __name__ == "__main__":
    main()
