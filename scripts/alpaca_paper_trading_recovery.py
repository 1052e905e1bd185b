#!/usr/bin/env python3
"""Paper trading that survives crashes; the flags of old, handed to `gambler run`.

    python scripts/alpaca_paper_trading_recovery.py --symbols "AAPL,MSFT,GOOGL" --duration 120
    python scripts/alpaca_paper_trading_recovery.py --resume
    python scripts/alpaca_paper_trading_recovery.py --reconcile-only
    python scripts/alpaca_paper_trading_recovery.py --init-db

`--init-db` alone creates or upgrades the tables and ends; beside other flags it does so before trading. Every other
flag of `gambler run` is taken too, and the exit code is its exit code.
"""

import sys
from collections.abc import Sequence

from gambler_ai.cli import cli


def command_line(flags: Sequence[str]) -> list[str]:
    """The arguments of `gambler` that do what these flags say."""
    if "--init-db" in flags and set(flags) <= {"--init-db", "--json"}:
        return ["init-db", *(flag for flag in flags if flag == "--json")]
    return ["run", *flags]


if __name__ == "__main__":
    cli(command_line(sys.argv[1:]), prog_name="gambler")
