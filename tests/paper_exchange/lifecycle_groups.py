"""The table of lifecycles continued: brackets, one-cancels-other, one-triggers-other, closing, corporate actions."""

from .lifecycle import Row

BRACKET = "buy market gtc bracket tp=105 sl=95"
ENTRY = "buy limit gtc limit_price=99 bracket tp=105 sl=95"
OCO = "sell limit gtc oco tp=105 sl=95"
UP, DOWN = "quote 105.1/105.2/105.1", "quote 94.9/95/94.9"

GROUP_ROWS: dict[str, Row] = {
    "bracket entered": Row(BRACKET, "", "0new 0fill 1new", "0:10@100.01", "filled new held", "10"),
    "bracket takes profit": Row(
        BRACKET, UP, "0new 0fill 1new 1fill", "0:10@100.01 1:10@105.1", "filled filled canceled"
    ),
    "bracket takes profit, and says what ended": Row(
        BRACKET,
        UP,
        "0new 0fill 1new 1fill 2canceled",
        "0:10@100.01 1:10@105.1",
        "filled filled canceled",
        "0",
        "emit_held_cancel=true",
    ),
    "bracket is stopped out": Row(
        BRACKET, DOWN, "0new 0fill 1new 1canceled 2fill", "0:10@100.01 2:10@94.9", "filled canceled filled"
    ),
    "bracket is stopped out, profit leg replaced": Row(
        BRACKET,
        DOWN,
        "0new 0fill 1new 1replaced 2fill",
        "0:10@100.01 2:10@94.9",
        "filled replaced filled",
        "0",
        "oco_loser_status=replaced",
    ),
    "bracket stop fires as a new order": Row(
        BRACKET,
        DOWN,
        "0new 0fill 1new 1canceled 2replaced 3new 3fill",
        "0:10@100.01 3:10@94.9",
        "filled canceled replaced filled",
        "0",
        "stop_fires_as_new_order=true",
    ),
    "bracket with all three oddities": Row(
        BRACKET,
        DOWN,
        "0new 0fill 1new 1replaced 2replaced 3new 3fill",
        "0:10@100.01 3:10@94.9",
        "filled replaced replaced filled",
        "0",
        "oco_loser_status=replaced emit_held_cancel=true stop_fires_as_new_order=true",
    ),
    "both exits fill on the way up": Row(
        BRACKET,
        UP,
        "0new 0fill 1new 1fill 2fill",
        "0:10@100.01 1:10@105.1 2:10@105.1",
        "filled filled filled",
        "-10",
        "both_exits_fill=true",
    ),
    "both exits fill on the way down": Row(
        BRACKET,
        DOWN,
        "0new 0fill 1new 1fill 2fill",
        "0:10@100.01 1:10@105 2:10@94.9",
        "filled filled filled",
        "-10",
        "both_exits_fill=true",
    ),
    "bracket waits for its entry": Row(ENTRY, "", "0new", "", "new held held"),
    "bracket ignores exits before its entry": Row(ENTRY, UP, "0new", "", "new held held"),
    "bracket canceled before its entry": Row(ENTRY, "cancel 0", "0new 0canceled", "", "canceled canceled canceled"),
    "bracket canceled through a leg": Row(ENTRY, "cancel 2", "0new 0canceled", "", "canceled canceled canceled"),
    "a part of the entry wakes no leg": Row(
        ENTRY, "quote 98.5/98.9", "0new 0partial_fill", "0:4@98.9", "partially_filled held held", "4", "part=4"
    ),
    "a part of the entry, then canceled: naked": Row(
        ENTRY,
        "quote 98.5/98.9; cancel 0",
        "0new 0partial_fill 0canceled",
        "0:4@98.9",
        "canceled canceled canceled",
        "4",
        "part=4",
    ),
    "the entry in parts wakes the legs at the end": Row(
        ENTRY,
        "quote 98.5/98.9; quote 98.5/98.8",
        "0new 0partial_fill 0fill 1new",
        "0:4@98.9 0:6@98.8",
        "filled new held",
        "10",
        "part=4",
    ),
    "a part of the profit shrinks the stop": Row(
        ENTRY,
        f"quote 98.5/98.9; part 4; {UP}; {DOWN}",
        "0new 0fill 1new 1partial_fill 1canceled 2fill",
        "0:10@98.9 1:4@105.1 2:6@94.9",
        "filled canceled filled",
    ),
    "profit leg canceled by hand": Row(
        BRACKET, "cancel 1", "0new 0fill 1new 1canceled", "0:10@100.01", "filled canceled canceled", "10"
    ),
    "stop leg canceled by hand": Row(
        BRACKET, "cancel 2", "0new 0fill 1new 1canceled", "0:10@100.01", "filled canceled canceled", "10"
    ),
    "day bracket loses its exits at the close": Row(
        "buy market day bracket tp=105 sl=95",
        "close",
        "0new 0fill 1new 1expired",
        "0:10@100.01",
        "filled expired expired",
        "10",
    ),
    "day bracket never entered": Row(
        "buy limit day limit_price=99 bracket tp=105 sl=95",
        "close",
        "0new 0expired",
        "",
        "expired expired expired",
    ),
    "gtc bracket outlives the day": Row(BRACKET, "close", "0new 0fill 1new", "0:10@100.01", "filled new held", "10"),
    "bracket before the open": Row(
        "buy limit gtc limit_price=101 bracket tp=105 sl=95",
        "open",
        "0accepted 0new 0fill 1new",
        "0:10@100.01",
        "filled new held",
        "10",
        "pre",
    ),
    "stop-limit leg": Row(
        "buy market gtc bracket tp=105 sl=95 sll=94.5",
        DOWN,
        "0new 0fill 1new 1canceled 2fill",
        "0:10@100.01 2:10@94.9",
        "filled canceled filled",
    ),
    "stop-limit leg jumped over": Row(
        "buy market gtc bracket tp=105 sl=95 sll=94.5",
        "quote 94/94.1/94",
        "0new 0fill 1new 1canceled",
        "0:10@100.01",
        "filled canceled new",
        "10",
    ),
    "short bracket takes profit": Row(
        "sell market gtc bracket tp=95 sl=105",
        "quote 94.8/94.9",
        "0new 0fill 1new 1fill",
        "0:10@99.99 1:10@94.9",
        "filled filled canceled",
    ),
    "short bracket is stopped out": Row(
        "sell market gtc bracket tp=95 sl=105",
        "quote 105/105.1/105",
        "0new 0fill 1new 1canceled 2fill",
        "0:10@99.99 2:10@105.1",
        "filled canceled filled",
    ),
    "profit leg replaced": Row(
        BRACKET,
        "replace 1 limit_price=104; quote 104.1/104.2",
        "0new 0fill 1new 1replaced 3new 3fill",
        "0:10@100.01 3:10@104.1",
        "filled replaced canceled filled",
    ),
    "stop leg replaced": Row(
        BRACKET,
        "replace 2 stop_price=97; quote 96.9/97/96.9",
        "0new 0fill 1new 2replaced 1canceled 3fill",
        "0:10@100.01 3:10@96.9",
        "filled canceled replaced filled",
    ),
    "entry replaced": Row(
        ENTRY,
        f"replace 0 limit_price=101; {UP}",
        "0new 0replaced 3new 3fill 1new 1fill",
        "3:10@100.01 1:10@105.1",
        "replaced filled canceled filled",
    ),
    # one cancels other
    "oco stands": Row(OCO, "", "0new", "", "new held", "10", "long"),
    "oco takes profit": Row(OCO, UP, "0new 0fill", "0:10@105.1", "filled canceled", "0", "long"),
    "oco is stopped out": Row(OCO, DOWN, "0new 0canceled 1fill", "1:10@94.9", "canceled filled", "0", "long"),
    "oco stop fires as a new order": Row(
        OCO,
        DOWN,
        "0new 0canceled 1replaced 2new 2fill",
        "2:10@94.9",
        "canceled replaced filled",
        "0",
        "long stop_fires_as_new_order=true",
    ),
    "oco canceled at its head": Row(OCO, "cancel 0", "0new 0canceled", "", "canceled canceled", "10", "long"),
    "oco canceled at its stop": Row(OCO, "cancel 1", "0new 0canceled", "", "canceled canceled", "10", "long"),
    "oco of the day expires": Row(
        "sell limit day oco tp=105 sl=95", "close", "0new 0expired", "", "expired expired", "10", "long"
    ),
    "oco in parts, then stopped out": Row(
        OCO,
        f"part 4; {UP}; {DOWN}",
        "0new 0partial_fill 0canceled 1fill",
        "0:4@105.1 1:6@94.9",
        "canceled filled",
        "0",
        "long",
    ),
    "oco of a short": Row(
        "buy limit gtc oco tp=95 sl=105", "quote 94.8/94.9", "0new 0fill", "0:10@94.9", "filled canceled", "0", "short"
    ),
    # one triggers other
    "oto with a stop": Row(
        "buy market gtc oto sl=95", DOWN, "0new 0fill 1new 1fill", "0:10@100.01 1:10@94.9", "filled filled"
    ),
    "oto with a profit": Row(
        "buy market gtc oto tp=105", UP, "0new 0fill 1new 1fill", "0:10@100.01 1:10@105.1", "filled filled"
    ),
    "oto canceled before its entry": Row(
        "buy limit gtc limit_price=99 oto sl=95", "cancel 0", "0new 0canceled", "", "canceled canceled"
    ),
    "oto leg canceled alone": Row(
        "buy market gtc oto sl=95", "cancel 1", "0new 0fill 1new 1canceled", "0:10@100.01", "filled canceled", "10"
    ),
    # closing positions
    "a long is closed": Row("", "flat", "0new 0fill", "0:10@99.99", "filled", "0", "long"),
    "a short is closed": Row("", "flat", "0new 0fill", "0:10@100.01", "filled", "0", "short"),
    "half a long is closed": Row("", "flat percentage=50", "0new 0fill", "0:5@99.99", "filled", "5", "long"),
    "three shares are closed": Row("", "flat qty=3", "0new 0fill", "0:3@99.99", "filled", "7", "long"),
    "everything is closed, orders first": Row(
        OCO, "flat all", "0new 0canceled 2new 2fill", "2:10@99.99", "canceled canceled filled", "0", "long"
    ),
    # corporate actions
    "a split cancels orders": Row(
        "sell limit gtc limit_price=110", "split 2", "0new 0canceled", "", "canceled", "20", "long"
    ),
    "a split leaves orders": Row(
        "sell limit gtc limit_price=110", "split 2", "0new", "", "new", "20", "long split_orders=keep"
    ),
    "a split leaves positions": Row(
        "sell limit gtc limit_price=110",
        "split 2",
        "0new 0canceled",
        "",
        "canceled",
        "10",
        "long split_positions=false",
    ),
    "a split fires the stop of a bracket": Row(
        BRACKET,
        "split 10; quote 9.99/10.01/10",
        "0new 0fill 1new 1canceled 2fill",
        "0:10@100.01 2:10@9.99",
        "filled canceled filled",
        "90",
    ),
    "a delisting ends orders": Row(
        "sell limit gtc limit_price=110", "delist", "0new 0canceled", "", "canceled", "10", "long"
    ),
}
