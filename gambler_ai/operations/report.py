"""The session report: one HTML page that needs no network, with the equity curve, every trade and what was proven."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gambler_ai.operations.equity import NEW_YORK, Point

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Row = Mapping[str, Any]
_MINUTE = timedelta(minutes=1)
_INK, _MUTED, _GRID, _LINE = "#1d2733", "#6b7785", "#e9edf2", "#2f6fed"
_BUY, _SELL, _HAND, _DOWN = "#12906b", "#d1495b", "#b07d00", "#d1495b"
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"


@dataclass(frozen=True, slots=True)
class Story:
    """What the page tells. `marks` are instants with their names; the time between the first two is shaded.

    `fills` and `positions` as the Reader gives them, the latter with the shares ever `entered`; `bars` as Alpaca
    writes them; a promise is whether it holds, its words, its figures.
    """

    title: str
    lead: str
    curve: Sequence[Point]
    marks: Sequence[tuple[str, datetime]]
    promises: Sequence[tuple[bool, str, str]]
    while_down: Sequence[str]
    bars: Mapping[str, Sequence[Row]]
    fills: Sequence[Row]
    by_hand: frozenset[str]
    positions: Sequence[Row]


def write(path: Path, story: Story) -> None:
    """Write the page; plotly's own JavaScript is inside it."""
    from plotly.io import to_html
    from plotly.offline import get_plotlyjs

    javascript: str = get_plotlyjs()
    config = {"displaylogo": False, "responsive": True, "displayModeBar": False}
    drawn = [
        to_html(figure, include_plotlyjs=False, full_html=False, config=config)
        for figure in (_equity(story), *_prices(story))
    ]
    closed = [row for row in story.positions if row["status"] == "closed"]
    still_open = [row for row in story.positions if row["status"] != "closed"]
    page = _filled(
        _PAGE,
        title=escape(story.title),
        lead=escape(story.lead),
        script=javascript,
        style=_STYLE,
        promises="".join(_promise(*one) for one in story.promises),
        figures=_figures(story),
        equity=drawn[0],
        prices="".join(f"<div class=card>{one}</div>" for one in drawn[1:]),
        down=escape("\n".join(story.while_down)),
        still_open=_table(still_open, _OPEN) if still_open else "<p class=muted>none</p>",
        closed=_table(closed, _CLOSED) if closed else "<p class=muted>none</p>",
        count=str(len(closed)),
    )
    path.write_text(page, encoding="utf-8")


def _filled(page: str, **parts: str) -> str:
    """Each {name} of the page replaced; braces of styles and scripts are left alone."""
    return re.sub(rf"\{{({'|'.join(parts)})\}}", lambda match: parts[match[1]], page)


# --- figures ----------------------------------------------------------------------------------------------------


def _equity(story: Story) -> "Figure":
    import plotly.graph_objects as go

    times = [_local(point.at) for point in story.curve]
    figure = go.Figure(
        go.Scatter(
            x=times,
            y=[round(float(point.equity), 2) for point in story.curve],
            mode="lines",
            line={"color": _LINE, "width": 2},
            hovertemplate="%{x|%H:%M}  <b>%{y:,.2f} USD</b><extra></extra>",
        )
    )
    instants = [_local(at) for _, at in story.marks]
    if len(instants) >= 2:
        figure.add_vrect(x0=instants[0], x1=instants[1], fillcolor=_DOWN, opacity=0.10, line_width=0)
    for number, ((name, _), at) in enumerate(zip(story.marks, instants, strict=True)):
        figure.add_vline(x=at, line={"color": _INK, "width": 1, "dash": "dot"})
        figure.add_annotation(
            x=at,
            y=1,
            yref="paper",
            yanchor="bottom",
            xanchor="left" if number % 2 else "right",
            text=f"{escape(name)} {at:%H:%M}",
            showarrow=False,
            font={"size": 12, "color": _DOWN if number == 0 else _BUY},
        )
    return _dressed(figure, story, height=340, top=34)


def _prices(story: Story) -> "list[Figure]":
    import plotly.graph_objects as go

    figures = []
    for symbol in sorted(story.bars):
        bars, fills = story.bars[symbol], [fill for fill in story.fills if fill["symbol"] == symbol]
        figure = go.Figure(
            go.Scatter(
                x=[_local(datetime.fromisoformat(bar["t"]) + _MINUTE) for bar in bars],
                y=[bar["c"] for bar in bars],
                mode="lines",
                line={"color": "#9aa7b5", "width": 1.2},
                hoverinfo="skip",
            )
        )
        for side, sign, colour in (("buy", "triangle-up", _BUY), ("sell", "triangle-down", _SELL)):
            for hand in (False, True):
                chosen = [
                    fill
                    for fill in fills
                    if fill["side"] == side and (fill["client_order_id"] in story.by_hand) is hand
                ]
                if chosen:
                    figure.add_trace(_markers(chosen, "diamond" if hand else sign, _HAND if hand else colour, hand))
        figure.update_layout(title={"text": f"<b>{symbol}</b>", "font": {"size": 14}, "x": 0.02, "y": 0.97})
        figures.append(_dressed(figure, story, height=250, top=36))
    return figures


def _markers(fills: Sequence[Row], sign: str, colour: str, by_hand: bool) -> Any:
    import plotly.graph_objects as go

    shares = [f"{Decimal(fill['cum_to']) - Decimal(fill['cum_from']):f}" for fill in fills]
    what = f"{fills[0]['side']}{' by hand' if by_hand else ''}"
    return go.Scatter(
        x=[_local(datetime.fromisoformat(fill["at"])) for fill in fills],
        y=[float(fill["price"]) for fill in fills],
        customdata=shares,
        mode="markers",
        marker={"symbol": sign, "size": 12 if by_hand else 8, "color": colour, "line": {"width": 1, "color": "white"}},
        hovertemplate=f"%{{x|%H:%M}}  {what} <b>%{{customdata}}</b> @ %{{y:,.2f}}<extra></extra>",
    )


def _dressed(figure: "Figure", story: Story, *, height: int, top: int) -> "Figure":
    figure.update_layout(
        height=height,
        margin={"l": 64, "r": 18, "t": top, "b": 32},
        paper_bgcolor="white",
        plot_bgcolor="white",
        showlegend=False,
        hovermode="closest",
        font={"family": _FONT, "size": 12, "color": _MUTED},
    )
    figure.update_xaxes(tickformat="%H:%M", showgrid=False, linecolor="#cdd5de", ticks="outside", tickcolor="#cdd5de")
    figure.update_xaxes(range=[_local(story.curve[0].at), _local(story.curve[-1].at)])
    figure.update_yaxes(gridcolor=_GRID, zeroline=False, tickformat=",", nticks=6)
    return figure


def _local(at: datetime) -> datetime:
    """New York's time of day: what a trader reads off a clock."""
    return at.astimezone(NEW_YORK).replace(tzinfo=None)


# --- text -------------------------------------------------------------------------------------------------------

_OPEN = ("symbol", "owner", "shares", "entry", "opened")
_CLOSED = ("symbol", "owner", "shares", "entry", "exit", "opened", "closed", "P&L", "why it was closed")
_NUMBERS = {"shares", "entry", "exit", "P&L"}


def _promise(holds: bool, text: str, detail: str) -> str:
    kind, sign = ("ok", "✓") if holds else ("bad", "✗")
    return (
        f'<div class="promise {kind}"><span>{sign}</span><div><b>{escape(text)}</b>'
        f"<small>{escape(detail)}</small></div></div>"
    )


def _figures(story: Story) -> str:
    first, last = story.curve[0].equity, story.curve[-1].equity
    earned = last - first
    pairs = (
        ("equity at the end", f"{last:,.2f} USD"),
        ("change", f"{earned:+,.2f} USD"),
        ("fills", str(len(story.fills))),
        ("round trips", str(sum(row["status"] == "closed" for row in story.positions))),
    )
    return "".join(f"<div class=figure><small>{name}</small><b>{value}</b></div>" for name, value in pairs)


def _table(rows: Sequence[Row], columns: Sequence[str]) -> str:
    head = "".join(f"<th{_aligned(name)}>{escape(name)}</th>" for name in columns)
    body = "".join("<tr>" + "".join(_cell(row, name) for name in columns) + "</tr>" for row in rows)
    return f"<div class=scroll><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _aligned(name: str) -> str:
    return " class=n" if name in _NUMBERS else ""


def _cell(row: Row, name: str) -> str:
    written: dict[str, Callable[[], str]] = {
        "symbol": lambda: f"<b>{escape(row['symbol'])}</b>",
        "owner": lambda: escape(row["owner"]),
        "shares": lambda: row["entered"] if row["status"] == "closed" else row["qty"],
        "entry": lambda: _dollars(row["entry_price"]),
        "exit": lambda: _dollars(row["exit_price"]),
        "opened": lambda: _clock(row["opened_at"]),
        "closed": lambda: _clock(row["closed_at"]),
        "P&L": lambda: _earned(row["pnl"]),
        "why it was closed": lambda: escape(row["exit_reason"] or ""),
    }
    return f"<td{_aligned(name)}>{written[name]()}</td>"


def _dollars(value: str | None) -> str:
    return "" if value is None else f"{Decimal(value):,.2f}"


def _earned(value: str | None) -> str:
    if value is None:
        return ""
    amount = Decimal(value)
    return f'<span class="{"up" if amount >= 0 else "down"}">{amount:+,.2f}</span>'


def _clock(at: str | None) -> str:
    return "" if at is None else f"{_local(datetime.fromisoformat(at)):%H:%M}"


_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; background: #f5f7fa; color: #1d2733; font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto,
  Helvetica, Arial, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { font-size: 28px; margin: 0 0 4px; letter-spacing: -.01em; }
h2 { font-size: 17px; margin: 36px 0 12px; }
p.lead { color: #6b7785; margin: 0 0 24px; max-width: 78ch; }
.muted, small { color: #6b7785; }
.promise small { display: block; line-height: 1.4; margin-top: 2px; }
.grid { display: grid; gap: 14px; grid-template-columns: repeat(auto-fit, minmax(180px, 1fr)); }
.wide { display: grid; gap: 14px; grid-template-columns: repeat(auto-fit, minmax(440px, 1fr)); }
.card, .promise, .figure { background: white; border: 1px solid #e3e8ee; border-radius: 12px; }
.card { padding: 8px; overflow: hidden; min-width: 0; }
.promise { display: flex; gap: 12px; padding: 14px 16px; }
.promise span { font-size: 18px; font-weight: 700; }
.promise.ok span, .up { color: #12906b; }
.promise.bad { border-color: #d1495b; }
.promise.bad span, .down { color: #d1495b; }
.figure { padding: 14px 16px; }
.figure b { display: block; font-size: 20px; font-variant-numeric: tabular-nums; }
pre { background: #1d2733; color: #dfe7ef; border-radius: 12px; padding: 18px 20px; overflow-x: auto; margin: 0;
  font: 13px/1.6 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.scroll { overflow: auto; max-height: 460px; background: white; border: 1px solid #e3e8ee; border-radius: 12px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
th { position: sticky; top: 0; background: #fafbfc; text-align: left; color: #6b7785; font-weight: 600; }
th, td { padding: 8px 14px; border-bottom: 1px solid #eef1f5; white-space: nowrap; }
.n { text-align: right; }
"""

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style><script>{script}</script></head>
<body><main>
<h1>{title}</h1><p class="lead">{lead}</p>
<div class="grid">{promises}</div>
<h2>Equity</h2><div class="card">{equity}</div>
<div class="grid" style="margin-top:14px">{figures}</div>
<h2>While you were down</h2><pre>{down}</pre>
<h2>Prices, entries and exits</h2>
<p class="muted"><span class="up">▲</span> bought &nbsp; <span class="down">▼</span> sold &nbsp;
<span style="color:#b07d00">◆</span> by hand, while the program was down</p>
<div class="wide">{prices}</div>
<h2>Positions at the end</h2>{still_open}
<h2>Round trips ({count})</h2>{closed}
</main><script>
addEventListener("load", () => {
  for (const one of document.querySelectorAll(".plotly-graph-div")) Plotly.Plots.resize(one);
});
</script></body></html>
"""
