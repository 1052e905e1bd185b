"""The tables, the same on SQLite and PostgreSQL; see columns for what amounts and times are there."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from gambler_ai.storage.columns import Amount, UtcTime

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

accounts = Table(
    "accounts",
    metadata,
    Column("account_id", String(64), primary_key=True),
    Column("label", String(64), nullable=False, unique=True),
    Column("number", String(64), nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("bound_at", UtcTime, nullable=False),
    Column("looked_at", UtcTime, nullable=False),
    Column("lease_holder", Text),
    Column("lease_token", BigInteger, nullable=False, server_default=text("0")),
    Column("lease_expires_at", UtcTime),
    Column("heartbeat_at", UtcTime),
    Column("seq", BigInteger, nullable=False, server_default=text("0")),
    Column("hash", String(64), nullable=False),
)

trading_sessions = Table(
    "trading_sessions",
    metadata,
    Column("session_id", String(64), primary_key=True),
    Column("account_id", ForeignKey("accounts.account_id"), nullable=False),
    Column("owner", String(12), nullable=False),
    Column("strategy", Text, nullable=False),
    Column("symbols", Text, nullable=False),
    Column("parameters", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("start_time", UtcTime, nullable=False),
    Column("ends_at", UtcTime, nullable=False),
    Column("end_time", UtcTime),
    Column("initial_capital", Amount),
    Column("final_capital", Amount),
    CheckConstraint("status IN ('active', 'stopped', 'crashed')", name="status"),
)
Index(
    "uq_trading_sessions_one_active",
    trading_sessions.c.account_id,
    unique=True,
    sqlite_where=trading_sessions.c.status == "active",
    postgresql_where=trading_sessions.c.status == "active",
)

orders = Table(
    "orders",
    metadata,
    Column("account_id", ForeignKey("accounts.account_id"), primary_key=True),
    Column("client_order_id", String(128), primary_key=True),
    Column("session_id", ForeignKey("trading_sessions.session_id")),
    Column("owner", String(12), nullable=False),
    Column("role", String(1), nullable=False),
    Column("symbol", String(32), nullable=False),
    Column("side", String(8), nullable=False),
    Column("type", String(16), nullable=False),
    Column("time_in_force", String(8), nullable=False),
    Column("qty", Amount),
    Column("notional", Amount),
    Column("limit_price", Amount),
    Column("stop_price", Amount),
    Column("status", String(16), nullable=False),
    Column("decision_key", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("valid_until", UtcTime),
    Column("attempts", Integer, nullable=False),
    Column("broker_order_id", String(64)),
    Column("broker_status", String(32)),
    Column("broker_updated_at", UtcTime),
    Column("broker_filled_qty", Amount, nullable=False),
    Column("filled_qty", Amount, nullable=False),
    Column("filled_avg_price", Amount),
    Column("cancel_asked_at", UtcTime),
    Column("late_at", UtcTime),
    Column("error", Text),
    Column("position_id", String(64)),
    Column("parent_id", String(128)),
    Column("order_class", String(8), nullable=False),
    Column("stop_loss", Amount),
    Column("take_profit", Amount),
    Column("created_at", UtcTime, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    UniqueConstraint("account_id", "broker_order_id"),
)
_open = text("status IN ('PLANNED', 'SENDING', 'IN_DOUBT', 'WORKING') OR filled_qty <> broker_filled_qty")
Index("ix_orders_attention", orders.c.account_id, sqlite_where=_open, postgresql_where=_open)
Index(None, orders.c.account_id, orders.c.created_at)

fills = Table(
    "fills",
    metadata,
    Column("account_id", String(64), primary_key=True),
    Column("client_order_id", String(128), primary_key=True),
    Column("cum_to", Amount, primary_key=True),
    Column("cum_from", Amount, nullable=False),
    Column("price", Amount, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("source", String(16), nullable=False),
    Column("execution_id", String(64)),
    Column("inferred", Boolean(create_constraint=False), nullable=False),
    Column("allocations", Text, nullable=False),
    ForeignKeyConstraint(["account_id", "client_order_id"], ["orders.account_id", "orders.client_order_id"]),
    UniqueConstraint("account_id", "execution_id"),
)
Index(None, fills.c.account_id, fills.c.at)

positions = Table(
    "positions",
    metadata,
    Column("account_id", ForeignKey("accounts.account_id"), primary_key=True),
    Column("position_id", String(64), primary_key=True),
    Column("session_id", ForeignKey("trading_sessions.session_id")),
    Column("symbol", String(32), nullable=False),
    Column("owner", String(12), nullable=False),
    Column("origin", String(16), nullable=False),
    Column("direction", String(8), nullable=False),
    Column("side", String(8), nullable=False),
    Column("quantity", Amount, nullable=False),
    Column("entered_quantity", Amount, nullable=False),
    Column("entry_price", Amount, nullable=False),
    Column("entry_time", UtcTime, nullable=False),
    Column("stop_loss", Amount),
    Column("take_profit", Amount),
    Column("exit_price", Amount),
    Column("exit_time", UtcTime),
    Column("exit_reason", Text),
    Column("pnl", Amount),
    Column("pnl_pct", Amount),
    Column("status", String(8), nullable=False),
    Column("entry_order_id", String(128)),
    Column("exit_order_id", String(128)),
    Column("protections", Integer, nullable=False),
    CheckConstraint("status IN ('open', 'closed', 'error')", name="status"),
)
_not_closed = positions.c.status != "closed"
Index(
    "uq_positions_one_open",
    positions.c.account_id,
    positions.c.symbol,
    positions.c.owner,
    unique=True,
    sqlite_where=_not_closed,
    postgresql_where=_not_closed,
)

order_journal = Table(
    "order_journal",
    metadata,
    Column("account_id", ForeignKey("accounts.account_id"), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", UtcTime, nullable=False),
    Column("wall_at", UtcTime, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("session_id", String(64)),
    Column("position_id", String(64)),
    Column("client_order_id", String(128)),
    Column("broker_order_id", String(64)),
    Column("symbol", String(32)),
    Column("order_type", String(16)),
    Column("side", String(8)),
    Column("quantity", Amount),
    Column("status", String(16)),
    Column("filled_qty", Amount),
    Column("filled_price", Amount),
    Column("error", Text),
    Column("payload", Text, nullable=False),
    Column("prev_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)

_adjusted = order_journal.c.kind == "position.adjusted"
Index(
    "ix_order_journal_adjusted",
    order_journal.c.account_id,
    order_journal.c.symbol,
    sqlite_where=_adjusted,
    postgresql_where=_adjusted,
)

strategy_states = Table(
    "strategy_states",
    metadata,
    Column("account_id", ForeignKey("accounts.account_id"), primary_key=True),
    Column("session_id", ForeignKey("trading_sessions.session_id"), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("last_bar", UtcTime),
    Column("seq", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("state_hash", String(64), nullable=False),
)

account_snapshots = Table(
    "account_snapshots",
    metadata,
    Column("account_id", ForeignKey("accounts.account_id"), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("session_id", ForeignKey("trading_sessions.session_id")),
    Column("at", UtcTime, nullable=False),
    Column("equity", Amount, nullable=False),
    Column("cash", Amount, nullable=False),
    Column("buying_power", Amount, nullable=False),
)

halts = Table(
    "halts",
    metadata,
    Column("account_id", ForeignKey("accounts.account_id"), primary_key=True),
    Column("raised_seq", BigInteger, primary_key=True, autoincrement=False),
    Column("symbol", String(32)),
    Column("reason", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("raised_at", UtcTime, nullable=False),
    Column("lifted_at", UtcTime),
    Column("lifted_reason", Text),
)
_active = halts.c.lifted_at.is_(None)
Index("ix_halts_active", halts.c.account_id, sqlite_where=_active, postgresql_where=_active)

commands = Table(
    "commands",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("account_id", ForeignKey("accounts.account_id"), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("symbol", String(32)),
    Column("reason", Text, nullable=False),
    Column("requested_at", UtcTime, nullable=False),
    Column("taken_seq", BigInteger),
    Column("result", Text),
)
_unhandled = commands.c.taken_seq.is_(None)
Index("ix_commands_unhandled", commands.c.account_id, sqlite_where=_unhandled, postgresql_where=_unhandled)

blocks = Table(
    "blocks",
    metadata,
    Column("account_id", ForeignKey("accounts.account_id"), primary_key=True),
    Column("symbol", String(32), primary_key=True),
    Column("kind", String(32), primary_key=True),
    Column("reason", Text, nullable=False),
    Column("way_out", Text, nullable=False),
    Column("since", UtcTime, nullable=False),
)

schedules = Table(
    "schedules",
    metadata,
    Column("account_id", ForeignKey("accounts.account_id"), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("definition", Text, nullable=False),
    Column("paused", Boolean(create_constraint=False), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("since", UtcTime, nullable=False),
    Column("removed_at", UtcTime),
)

# A claim names its session before there is one, so session_id is no foreign key.
schedule_runs = Table(
    "schedule_runs",
    metadata,
    Column("account_id", String(64), primary_key=True),
    Column("schedule", String(64), primary_key=True),
    Column("trading_day", String(10), primary_key=True),
    Column("session_id", String(64), nullable=False, unique=True),
    Column("status", String(16), nullable=False),
    Column("window_start", UtcTime, nullable=False),
    Column("window_end", UtcTime, nullable=False),
    Column("definition", Text, nullable=False),
    Column("starts", Integer, nullable=False),
    Column("wait_until", UtcTime),
    Column("started_at", UtcTime),
    Column("ended_at", UtcTime),
    Column("result", Text),
    ForeignKeyConstraint(["account_id", "schedule"], ["schedules.account_id", "schedules.name"]),
)

schedulers = Table(
    "schedulers",
    metadata,
    Column("account_id", ForeignKey("accounts.account_id"), primary_key=True),
    Column("holder", Text),
    Column("token", BigInteger, nullable=False),
    Column("expires_at", UtcTime),
    Column("heartbeat_at", UtcTime),
    Column("exchange_at", UtcTime),
)

trading_days = Table(
    "trading_days",
    metadata,
    Column("account_id", ForeignKey("accounts.account_id"), primary_key=True),
    Column("day", String(10), primary_key=True),
    Column("open", UtcTime),
    Column("close", UtcTime),
    Column("differs", Text),
    Column("asked_at", UtcTime, nullable=False),
)

recovery_reports = Table(
    "recovery_reports",
    metadata,
    Column("account_id", ForeignKey("accounts.account_id"), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", UtcTime, nullable=False),
    Column("report", Text, nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("account_id", ForeignKey("accounts.account_id"), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("topic", String(32), nullable=False),
    Column("body", Text, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("delivered_at", UtcTime),
)
