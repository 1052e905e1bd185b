"""The table of order lifecycles: what is sent, what happens, and the story it must tell.

Orders are numbered as the exchange made them: 0 is the one sent, then its legs, then replacements. Quotes are
`bid/ask` or `bid/ask/last`. AAA stands at 99.99/100.01, last 100, on Friday 2026-11-20; ten shares unless said.
"""

from typing import NamedTuple


class Row(NamedTuple):
    sent: str
    then: str
    story: str
    fills: str
    states: str
    position: str = "0"
    before: str = ""


# before: words of the state the order meets: long, short, pre, night, evening, after, NAME=VALUE for a switch
ROWS: dict[str, Row] = {
    # simple orders: market
    "market day": Row("buy market day", "", "0new 0fill", "0:10@100.01", "filled", "10"),
    "market gtc": Row("buy market gtc", "", "0new 0fill", "0:10@100.01", "filled", "10"),
    "market ioc": Row("buy market ioc", "", "0new 0fill", "0:10@100.01", "filled", "10"),
    "market fok": Row("buy market fok", "", "0new 0fill", "0:10@100.01", "filled", "10"),
    "market sell of a long": Row("sell market day", "", "0new 0fill", "0:10@99.99", "filled", "0", "long"),
    "market short": Row("sell market day", "", "0new 0fill", "0:10@99.99", "filled", "-10"),
    "market cover": Row("buy market day", "", "0new 0fill", "0:10@100.01", "filled", "0", "short"),
    "market fraction": Row("buy market day qty=0.5", "", "0new 0fill", "0:0.5@100.01", "filled", "0.5"),
    "market notional": Row(
        "buy market day notional=100", "", "0new 0fill", "0:0.999900009@100.01", "filled", "0.999900009"
    ),
    "market in parts": Row(
        "buy market day",
        "quote 100/100.02",
        "0new 0partial_fill 0fill",
        "0:3@100.01 0:7@100.02",
        "filled",
        "10",
        "part=3",
    ),
    "market ioc in parts": Row(
        "buy market ioc", "", "0new 0partial_fill 0canceled", "0:3@100.01", "canceled", "3", "part=3"
    ),
    "market fok knows no parts": Row("buy market fok", "", "0new 0fill", "0:10@100.01", "filled", "10", "part=3"),
    "market before the open": Row(
        "buy market day", "open", "0accepted 0new 0fill", "0:10@100.01", "filled", "10", "pre"
    ),
    "market ioc before the open": Row(
        "buy market ioc", "open", "0accepted 0new 0fill", "0:10@100.01", "filled", "10", "pre"
    ),
    # limit
    "limit marketable": Row("buy limit day limit_price=101", "", "0new 0fill", "0:10@100.01", "filled", "10"),
    "limit day rests and expires": Row("buy limit day limit_price=99", "close", "0new 0expired", "", "expired"),
    "limit day ends as canceled": Row(
        "buy limit day limit_price=99", "close", "0new 0canceled", "", "canceled", "0", "day_end_status=canceled"
    ),
    "limit gtc outlives the day": Row("buy limit gtc limit_price=99", "close", "0new", "", "new"),
    "limit buy reached": Row(
        "buy limit day limit_price=99", "quote 98.5/98.9", "0new 0fill", "0:10@98.9", "filled", "10"
    ),
    "limit sell reached": Row(
        "sell limit gtc limit_price=101", "quote 101.5/101.6", "0new 0fill", "0:10@101.5", "filled", "0", "long"
    ),
    "limit short reached": Row(
        "sell limit gtc limit_price=101", "quote 101.5/101.6", "0new 0fill", "0:10@101.5", "filled", "-10"
    ),
    "limit not reached": Row("buy limit day limit_price=99", "quote 98.9/99.01", "0new", "", "new"),
    "limit ioc marketable": Row("buy limit ioc limit_price=101", "", "0new 0fill", "0:10@100.01", "filled", "10"),
    "limit ioc at rest": Row("buy limit ioc limit_price=99", "", "0new 0canceled", "", "canceled"),
    "limit ioc in parts": Row(
        "buy limit ioc limit_price=101", "", "0new 0partial_fill 0canceled", "0:4@100.01", "canceled", "4", "part=4"
    ),
    "limit fok marketable": Row("buy limit fok limit_price=101", "", "0new 0fill", "0:10@100.01", "filled", "10"),
    "limit fok at rest": Row("buy limit fok limit_price=99", "", "0new 0canceled", "", "canceled"),
    "limit in parts, then expired": Row(
        "buy limit day limit_price=99",
        "quote 98.5/98.9; close",
        "0new 0partial_fill 0expired",
        "0:4@98.9",
        "expired",
        "4",
        "part=4",
    ),
    "limit in parts, then canceled": Row(
        "buy limit day limit_price=99",
        "quote 98.5/98.9; cancel 0",
        "0new 0partial_fill 0canceled",
        "0:4@98.9",
        "canceled",
        "4",
        "part=4",
    ),
    "limit after the close waits": Row("buy limit day limit_price=101", "", "0accepted", "", "accepted", "0", "after"),
    "limit before the open": Row(
        "buy limit day limit_price=101", "open", "0accepted 0new 0fill", "0:10@100.01", "filled", "10", "pre"
    ),
    "accepted, then canceled": Row(
        "buy limit day limit_price=101", "cancel 0; open", "0accepted 0canceled", "", "canceled", "0", "pre"
    ),
    "limit notional": Row(
        "buy limit day notional=99 limit_price=99", "quote 98.9/99", "0new 0fill", "0:1@99", "filled", "1"
    ),
    # auctions
    "opg filled": Row(
        "buy limit opg limit_price=101", "open", "0accepted 0new 0fill", "0:10@100.01", "filled", "10", "evening"
    ),
    "opg unfilled": Row(
        "buy limit opg limit_price=99", "open", "0accepted 0new 0canceled", "", "canceled", "0", "evening"
    ),
    "opg unfilled ends as expired": Row(
        "buy limit opg limit_price=99",
        "open",
        "0accepted 0new 0expired",
        "",
        "expired",
        "0",
        "evening auction_unfilled=expired",
    ),
    "cls waits for the close": Row("buy limit cls limit_price=101", "", "0new", "", "new"),
    "cls filled": Row("buy limit cls limit_price=101", "close", "0new 0fill", "0:10@100.01", "filled", "10"),
    "cls market": Row("buy market cls", "close", "0new 0fill", "0:10@100.01", "filled", "10"),
    "cls unfilled": Row("buy limit cls limit_price=99", "close", "0new 0canceled", "", "canceled"),
    # extended hours
    "extended before the open": Row(
        "buy limit day limit_price=99 extended", "", "0new 0fill", "0:10@98.5", "filled", "10", "pre quote=98/98.5"
    ),
    "extended gtc before the open": Row(
        "buy limit gtc limit_price=99 extended", "", "0new 0fill", "0:10@98.5", "filled", "10", "pre quote=98/98.5"
    ),
    "extended at night": Row(
        "buy limit day limit_price=99 extended", "at 09:00", "0accepted 0new", "", "new", "0", "night"
    ),
    "extended outlives the close": Row("buy limit day limit_price=99 extended", "close", "0new", "", "new"),
    "extended filled after the close": Row(
        "buy limit day limit_price=99 extended", "close; quote 98.5/98.9", "0new 0fill", "0:10@98.9", "filled", "10"
    ),
    "extended expires at eight": Row(
        "buy limit day limit_price=99 extended", "close; night", "0new 0expired", "", "expired"
    ),
    "extended gtc outlives the evening": Row(
        "buy limit gtc limit_price=99 extended", "close; night", "0new", "", "new"
    ),
    "plain limit does not trade early": Row(
        "buy limit day limit_price=99", "quote 98/98.5", "0accepted", "", "accepted", "0", "pre"
    ),
    # stop
    "buy stop": Row("buy stop day stop_price=101", "quote 101/101.1/101", "0new 0fill", "0:10@101.1", "filled", "10"),
    "buy stop beyond its collar": Row(
        "buy stop day stop_price=101",
        "quote 104/105/104; quote 103/103.2/103",
        "0new 0fill",
        "0:10@103.2",
        "filled",
        "10",
    ),
    "sell stop": Row(
        "sell stop gtc stop_price=99", "quote 98.9/99/98.95", "0new 0fill", "0:10@98.9", "filled", "0", "long"
    ),
    "stop asks for a trade": Row(
        "sell stop gtc stop_price=99", "quote 98.5/98.7/99.5", "0new", "", "new", "10", "long"
    ),
    "stop day expires": Row("sell stop day stop_price=99", "close", "0new 0expired", "", "expired", "10", "long"),
    "stop gtc outlives the day": Row("sell stop gtc stop_price=99", "close", "0new", "", "new", "10", "long"),
    "stop canceled": Row(
        "sell stop gtc stop_price=99", "cancel 0; quote 98/98.1", "0new 0canceled", "", "canceled", "10", "long"
    ),
    "stop in parts": Row(
        "sell stop gtc stop_price=99",
        "quote 98.9/99/98.9; quote 99.5/99.6/99.5",
        "0new 0partial_fill 0fill",
        "0:4@98.9 0:6@99.5",
        "filled",
        "0",
        "long part=4",
    ),
    # stop limit
    "stop limit sell": Row(
        "sell stop_limit gtc stop_price=99 limit_price=98.5",
        "quote 98.6/98.7/98.9",
        "0new 0fill",
        "0:10@98.6",
        "filled",
        "0",
        "long",
    ),
    "stop limit jumped over": Row(
        "sell stop_limit gtc stop_price=99 limit_price=98.5", "quote 98/98.1/98", "0new", "", "new", "10", "long"
    ),
    "stop limit jumped over, then reached": Row(
        "sell stop_limit gtc stop_price=99 limit_price=98.5",
        "quote 98/98.1/98; quote 99.2/99.3/99.2",
        "0new 0fill",
        "0:10@99.2",
        "filled",
        "0",
        "long",
    ),
    "stop limit buy": Row(
        "buy stop_limit day stop_price=101 limit_price=101.5",
        "quote 101.2/101.4/101.2",
        "0new 0fill",
        "0:10@101.4",
        "filled",
        "10",
    ),
    "stop limit day expires": Row(
        "buy stop_limit day stop_price=101 limit_price=101.5", "close", "0new 0expired", "", "expired"
    ),
    # trailing stop
    "trailing price follows up": Row(
        "sell trailing_stop gtc trail_price=2",
        "quote 104/104.1/104; quote 102.5/102.6/102.5; quote 101.9/102/101.9",
        "0new 0fill",
        "0:10@101.9",
        "filled",
        "0",
        "long",
    ),
    "trailing percent": Row(
        "sell trailing_stop gtc trail_percent=2",
        "quote 98.1/98.2/98.1; quote 97.9/98/97.9",
        "0new 0fill",
        "0:10@97.9",
        "filled",
        "0",
        "long",
    ),
    "trailing buy follows down": Row(
        "buy trailing_stop day trail_price=2",
        "quote 97/97.1/97; quote 99/99.1/99",
        "0new 0fill",
        "0:10@99.1",
        "filled",
        "10",
    ),
    "trailing day expires": Row(
        "sell trailing_stop day trail_price=2", "close", "0new 0expired", "", "expired", "10", "long"
    ),
    "trailing gtc outlives the day": Row(
        "sell trailing_stop gtc trail_price=2", "close", "0new", "", "new", "10", "long"
    ),
}
