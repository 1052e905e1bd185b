"""The books as they were: orders and positions at an earlier exchange time, folded from the journal."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from gambler_ai.domain.book import Book
from gambler_ai.domain.market import iso
from gambler_ai.domain.orders import LIVE
from gambler_ai.domain.positions import PositionStatus
from gambler_ai.storage import rows
from gambler_ai.storage.journal import is_projection
from gambler_ai.storage.protected import with_protection
from gambler_ai.storage.reading import ORDER_FIELDS, POSITION_FIELDS, Reader, Row, plain
from gambler_ai.storage.verify import fold

_BATCH = 5000


def orders_at(reader: Reader, at: datetime, *, open_only: bool = False) -> list[Row]:
    """As `Reader.orders` would have said then."""
    orders = sorted(_book_at(reader, at).orders.values(), key=lambda o: (o.created_at, o.client_order_id))
    return [_named(rows.order_row(order), ORDER_FIELDS) for order in orders if order.status in LIVE or not open_only]


def positions_at(reader: Reader, at: datetime, *, every: bool = False) -> list[Row]:
    """As `Reader.positions` would have said then."""
    book = _book_at(reader, at)
    held = sorted(book.positions.values(), key=lambda p: (p.entry_time, p.position_id))
    found = [_named(rows.position_row(p), POSITION_FIELDS) for p in held if every or p.status != PositionStatus.CLOSED]
    return with_protection(found, held, book.orders.values())


def _book_at(reader: Reader, at: datetime) -> Book:
    """Every row up to the last one that was written by then."""
    book, seq, last = Book(keep_all=True), 0, reader.journal_seq_at(iso(at))
    while seq < last:
        for row in reader.journal_after(seq, min(_BATCH, last - seq)):
            seq = row["seq"]
            if is_projection(row["kind"]):
                fold(book, row["account_id"], row)
    return book


def _named(row: Mapping[str, Any], fields: str) -> Row:
    """The columns of `SELECT fields` from a row."""
    names = [field.partition(" AS ") for field in fields.split(", ")]
    return {name or column: plain(row[column]) for column, _, name in names}
