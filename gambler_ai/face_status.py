"""`gambler status`: is it trading, what blocks it, what do I do. Read from the database alone."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gambler_ai.clock import SystemClock
from gambler_ai.domain.blocks import done_by
from gambler_ai.domain.risk import Limits
from gambler_ai.face import account_of, cell
from gambler_ai.storage.head_file import older_copy
from gambler_ai.storage.holder import GRACE, Holder

if TYPE_CHECKING:
    from gambler_ai.storage.head_file import Head
    from gambler_ai.storage.reading import Reader

Row = Mapping[str, Any]

LOST = "lost rows"


def status_of(reader: "Reader", data_dir: Path, label: str) -> dict[str, Any]:
    """{account, session, halts, in_doubt, blocks, ages}; every block says its reason and its way out."""
    known = reader.known_head(data_dir)
    account = reader.account()
    now = SystemClock().wall() if account is None else reader.lease_time()
    sessions = reader.sessions()
    open_orders = reader.orders(open_only=True)
    unresolved = [order for order in open_orders if order["status"] in ("SENDING", "IN_DOUBT")]
    halts = reader.halts()
    stands = _stands(account, now) if account else "none"
    starter = _starter(stands, sessions[-1] if sessions else None)
    positions = reader.positions()
    exposed = [row for row in positions if row["protection"]["missing"] != "0"]
    waived = bool(exposed) and reader.protection_is_waived()
    blocking = [] if waived else exposed
    return {
        "account": account_of(reader) if account else None,
        "session": sessions[-1] if sessions else None,
        "halts": halts,
        "in_doubt": unresolved,
        "blocks": _of_lost_rows(known, account, data_dir / f"{label}.journal-head.json")
        + _blocks(reader, halts, unresolved, open_orders, data_dir / f".{label}_emergency_stop", starter, blocking),
        "no_protection_asked": [row["symbol"] for row in exposed] if waived else [],
        "data_dir": str(data_dir),
        "open_positions": len(positions),
        "open_orders": len(open_orders),
        "ages": {
            "held_by": account["lease_holder"] if account else None,
            "holder": stands,
            "heartbeat_at": account["heartbeat_at"] if account else None,
            "heartbeat_age_s": _age(account["heartbeat_at"], now) if account else None,
            "last_fill_at": reader.last_fill_at(),
            "snapshot_at": account["at"] if account else None,
        },
    }


def _starter(stands: str, session: Row | None) -> str | None:
    """What a person runs so that a process is there, None when one is."""
    if stands not in ("none", "gone"):
        return None
    is_over = session is None or session["status"] == "stopped"
    return "`gambler reconcile`" if is_over else "`gambler run --resume`, or `gambler reconcile`,"


def _blocks(
    reader: "Reader",
    halts: Sequence[Row],
    unresolved: Sequence[Row],
    open_orders: Sequence[Row],
    stop_file: Path,
    starter: str | None,
    exposed: Sequence[Row],
) -> list[dict[str, str]]:
    """Everything that keeps new risk from being taken, with its reason and its way out."""
    blocks = [_of_halt(halt, json.loads(halt["evidence"])) for halt in halts]
    blocks += _of_stop_file(stop_file, {halt["reason"] for halt in halts if halt["symbol"] is None})
    blocks += [
        _block(
            order["symbol"],
            "foreign order",
            f"an open order is not ours: {order['client_order_id']}",
            "cancel it at the broker, or run with --foreign=cancel or --foreign=ignore; or wait until it is final",
        )
        for order in open_orders
        if order["role"] == "-"
    ]
    wait = "a running session or `gambler reconcile` looks it up; nothing to do but wait for the broker"
    blocks += [
        _block(order["symbol"], "in doubt", f"order {order['client_order_id']} is in doubt", wait)
        for order in unresolved
    ]
    if len(unresolved) >= Limits().max_in_doubt:
        blocks.append(
            _block("*", "in doubt", f"{len(unresolved)} orders are in doubt, so no entry leaves at all", wait)
        )
    for command in reader.commands():
        if command["kind"] in ("halt", "flatten"):
            reason = f"`gambler {command['kind']}` was asked for ({command['reason']}) and is being carried out"
            way_out = "nothing to do: the running process does it" if starter is None else "ask again"
            blocks.append(_block(command["symbol"] or "*", command["kind"], reason, way_out))
    told = reader.blocks()
    blocks += [*told, *_unprotected(exposed, {one["symbol"] for one in told if one["kind"] == "unprotected"})]
    return blocks if starter is None else [one | _alone(one, starter) for one in blocks]


def _of_lost_rows(known: "Head | None", account: Row | None, path: Path) -> list[dict[str, str]]:
    """The books are not what they were: rows that were known outside the database are not in it."""
    ends_at = account["seq"] if account else 0
    if known is None or known.seq <= ends_at:
        return []
    if not known.hash:
        reason = "books are being rebuilt into the empty database, or that was interrupted"
        return [_block("*", LOST, reason, "`gambler recover --from-broker` begins again and ends it")]
    if ends_at:
        way_out = (
            "restore a newer copy; or `gambler reconcile` learns the rest from the broker and halts the account (R11) "
            "until you have looked, as `gambler run --resume` does"
        )
        return [_block("*", LOST, older_copy(ends_at, known.seq), way_out)]
    reason = f"the database is empty, but journal row {known.seq} of this account was known: no start is accepted"
    way_out = (
        "restore a backup, or `gambler recover --from-broker` rebuilds it from the broker's history; to begin anew on "
        f"purpose, remove {path}"
    )
    return [_block("*", LOST, reason, way_out)]


def _alone(block: Row, starter: str) -> dict[str, str]:
    """Another way out where only a process could have ended the block by itself."""
    way_out = done_by(block["kind"], starter)
    return {} if way_out is None else {"way_out": way_out}


def _of_stop_file(path: Path, known: set[str]) -> list[dict[str, str]]:
    """None when it only repeats a halt of the account, which lifts both."""
    from gambler_ai.trading.emergency_stop import EmergencyStopFile

    reason = EmergencyStopFile(path).reason()
    if reason is None or reason in known:
        return []
    way_out = f"find out why it was written, then `gambler unhalt --reason ...`, or remove {path}"
    return [_block("*", "emergency stop", f"the emergency-stop file says: {reason}", way_out)]


def _unprotected(exposed: Sequence[Row], told: set[str]) -> list[dict[str, str]]:
    """Shares that were meant to have an exit and have none, also when no process is there to say so."""
    result = []
    for row in exposed:
        protection = row["protection"]
        if row["symbol"] in told:
            continue
        shares = f"{protection['missing']} of {row['qty'].lstrip('-')} shares of {row['owner']}"
        reason = f"{shares} have no exit at the broker; wanted: {', '.join(protection['wanted'])}"
        way_out = "a running session, or `gambler reconcile`, places it; or `gambler flatten`"
        result.append(_block(row["symbol"], "unprotected", reason, way_out))
    return result


def _block(symbol: str, kind: str, reason: str, way_out: str) -> dict[str, str]:
    return {"symbol": symbol, "kind": kind, "reason": reason, "way_out": way_out}


def _of_halt(halt: Row, evidence: Row) -> dict[str, str]:
    """With both sides' numbers where they differ still: what was booked (`ours_after`) differs no more."""
    differ = {"ours", "broker"} <= evidence.keys() and "ours_after" not in evidence
    numbers = f" (books {evidence['ours']}, broker {evidence['broker']})" if differ else ""
    way_out = _way_out_of_halt(halt["symbol"], evidence)
    return _block(halt["symbol"] or "*", "halt", halt["reason"] + numbers, way_out)


ACCEPT = "`gambler reconcile --accept-recovered`"


def _way_out_of_halt(symbol: str | None, evidence: Row) -> str:
    unhalt = f"`gambler unhalt {symbol + ' ' if symbol else ''}--reason ...`"
    row = evidence.get("row")
    if row in ("R6", "R7", "R8", "R10"):
        switch = {"R6": "--orphans=close", "R7": "--mismatch=adopt", "R10": "--externals=import"}.get(row)
        take = f", or let `gambler reconcile {switch}` take the broker's side" if switch and symbol else ""
        return f"`gambler reconcile --dry-run` shows both sides; correct it at the broker, then {unhalt}{take}"
    if row == "R11":
        return f"look at `gambler orders`; to keep them {unhalt}, or, without a session, {ACCEPT}"
    return f"find out why, then {unhalt}"


def _stands(account: Row, now: datetime) -> str:
    """none = nobody holds the account; gone = its process is proven dead; frozen = it has not renewed its lease in
    time, so it may not send any more; else runs."""
    if account["lease_holder"] is None:
        return "none"
    if Holder.parse(account["lease_holder"]).is_dead():
        return "gone"
    return "frozen" if now > datetime.fromisoformat(account["lease_expires_at"]) + GRACE else "runs"


def _age(at: str | None, now: datetime) -> float | None:
    return None if at is None else round((now - datetime.fromisoformat(at)).total_seconds(), 1)


def print_status(status: Row) -> None:
    account, session, ages = status["account"], status["session"], status["ages"]
    if account is None:
        click.echo("no account is bound yet" + ("" if status["blocks"] else "; `gambler run` binds it"))
        _print_blocks(status["blocks"])
        return
    click.echo(f"account   {account['number']} ({account['label']}) at {account['endpoint']}")
    if account["equity"] is not None:
        amounts = f"equity    {account['equity']} USD, cash {account['cash']} USD"
        click.echo(f"{amounts} at the last checkpoint, {cell(account['at'])}")
    if session is not None:
        symbols = ",".join(session["symbols"])
        click.echo(f"session   {session['session_id']} {session['status']}: {session['strategy']} on {symbols}")
    click.echo(f"lease     {_held_by(ages)}; heartbeat {ages['heartbeat_age_s']} s ago")
    click.echo(f"books     {status['open_positions']} open positions, {status['open_orders']} open orders")
    if status["no_protection_asked"]:
        symbols = ", ".join(status["no_protection_asked"])
        click.echo(f"exits     no protection was asked for (--no-protect): none for {symbols}")
    click.echo(f"files     {status['data_dir']}")
    for line in _trading(status):
        click.echo(line)
    _print_blocks(status["blocks"])
    if not status["blocks"]:
        click.echo("blocks    none")


def _print_blocks(blocks: Sequence[Row]) -> None:
    for block in blocks:
        where = "account" if block["symbol"] == "*" else block["symbol"]
        click.secho(f"blocked   {where}: {block['reason']}", fg="yellow")
        click.echo(f"          way out: {block['way_out']}")


def _trading(status: Row) -> list[str]:
    """Whether it is trading, in one line."""
    session, blocks, ages = status["session"], status["blocks"], status["ages"]
    if ages["holder"] in ("none", "gone") and any(block["kind"] == LOST for block in blocks):
        return ["trading   no: rows of the books are lost, as is blocked below"]
    if session is None or session["status"] == "stopped":
        return ["trading   no: no session is active; `gambler run` starts one"]
    if ages["holder"] in ("none", "gone"):
        return [f"trading   no: no process runs session {session['session_id']}; `gambler run --resume` goes on"]
    if ages["holder"] == "frozen":
        return [f"trading   no: {_frozen(ages)}"]
    scopes = sorted({block["symbol"] for block in blocks})
    if "*" in scopes:
        return ["trading   exits only: no new entry leaves while what is blocked below stands"]
    return [f"trading   yes{', but no new entries in ' + ', '.join(scopes) if scopes else ''}"]


def _held_by(ages: Row) -> str:
    if ages["held_by"] is None:
        return "not held by any process"
    gone = ", which is gone: the next start takes over" if ages["holder"] == "gone" else ""
    return f"held by {Holder.parse(ages['held_by']).shown}{gone}"


def _frozen(ages: Row) -> str:
    holder = Holder.parse(ages["held_by"])
    kill = f"`kill -9 {holder.pid}`{'' if holder.is_here else f' on {holder.host}'}"
    who = f"process {holder.pid}" if holder.is_here else holder.shown
    return f"{who} has not moved for {ages['heartbeat_age_s']:.0f} s; {kill}, then `gambler run --resume`"
