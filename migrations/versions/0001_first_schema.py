"""The first schema: accounts with lease and chain head, sessions, orders, fills, positions, the append-only journal."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

AMOUNT = sa.Text().with_variant(sa.Numeric(), "postgresql")
UTC_TIME = sa.Text().with_variant(sa.DateTime(timezone=True), "postgresql")
REFUSAL = "the journal is append-only"


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(length=64), nullable=False),
        sa.Column("number", sa.String(length=64), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("bound_at", UTC_TIME, nullable=False),
        sa.Column("looked_at", UTC_TIME, nullable=False),
        sa.Column("lease_holder", sa.Text(), nullable=True),
        sa.Column("lease_token", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_expires_at", UTC_TIME, nullable=True),
        sa.Column("heartbeat_at", UTC_TIME, nullable=True),
        sa.Column("seq", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("label", name=op.f("uq_accounts_label")),
    )
    op.create_table(
        "blocks",
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("symbol", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("way_out", sa.Text(), nullable=False),
        sa.Column("since", UTC_TIME, nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("fk_blocks_account_id")),
        sa.PrimaryKeyConstraint("account_id", "symbol", "kind", name=op.f("pk_blocks")),
    )
    op.create_table(
        "commands",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("symbol", sa.String(length=32), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("requested_at", UTC_TIME, nullable=False),
        sa.Column("taken_seq", sa.BigInteger(), nullable=True),
        sa.Column("result", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("fk_commands_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_commands")),
    )
    op.create_index(
        "ix_commands_unhandled",
        "commands",
        ["account_id"],
        unique=False,
        sqlite_where=sa.text("taken_seq IS NULL"),
        postgresql_where=sa.text("taken_seq IS NULL"),
    )
    op.create_table(
        "halts",
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("raised_seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("symbol", sa.String(length=32), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("raised_at", UTC_TIME, nullable=False),
        sa.Column("lifted_at", UTC_TIME, nullable=True),
        sa.Column("lifted_reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("fk_halts_account_id")),
        sa.PrimaryKeyConstraint("account_id", "raised_seq", name=op.f("pk_halts")),
    )
    op.create_index(
        "ix_halts_active",
        "halts",
        ["account_id"],
        unique=False,
        sqlite_where=sa.text("lifted_at IS NULL"),
        postgresql_where=sa.text("lifted_at IS NULL"),
    )
    op.create_table(
        "order_journal",
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", UTC_TIME, nullable=False),
        sa.Column("wall_at", UTC_TIME, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("session_id", sa.String(length=64), nullable=True),
        sa.Column("position_id", sa.String(length=64), nullable=True),
        sa.Column("client_order_id", sa.String(length=128), nullable=True),
        sa.Column("broker_order_id", sa.String(length=64), nullable=True),
        sa.Column("symbol", sa.String(length=32), nullable=True),
        sa.Column("order_type", sa.String(length=16), nullable=True),
        sa.Column("side", sa.String(length=8), nullable=True),
        sa.Column("quantity", AMOUNT, nullable=True),
        sa.Column("status", sa.String(length=16), nullable=True),
        sa.Column("filled_qty", AMOUNT, nullable=True),
        sa.Column("filled_price", AMOUNT, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("prev_hash", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("fk_order_journal_account_id")),
        sa.PrimaryKeyConstraint("account_id", "seq", name=op.f("pk_order_journal")),
    )
    op.create_index(
        "ix_order_journal_adjusted",
        "order_journal",
        ["account_id", "symbol"],
        unique=False,
        sqlite_where=sa.text("kind = 'position.adjusted'"),
        postgresql_where=sa.text("kind = 'position.adjusted'"),
    )
    op.create_table(
        "outbox",
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ordinal", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("topic", sa.String(length=32), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.Column("delivered_at", UTC_TIME, nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("fk_outbox_account_id")),
        sa.PrimaryKeyConstraint("account_id", "seq", "ordinal", name=op.f("pk_outbox")),
    )
    op.create_table(
        "recovery_reports",
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", UTC_TIME, nullable=False),
        sa.Column("report", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("fk_recovery_reports_account_id")),
        sa.PrimaryKeyConstraint("account_id", "seq", name=op.f("pk_recovery_reports")),
    )
    op.create_table(
        "schedules",
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("fk_schedules_account_id")),
        sa.PrimaryKeyConstraint("account_id", "name", name=op.f("pk_schedules")),
    )
    op.create_table(
        "trading_sessions",
        sa.Column("session_id", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=12), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("symbols", sa.Text(), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("start_time", UTC_TIME, nullable=False),
        sa.Column("ends_at", UTC_TIME, nullable=False),
        sa.Column("end_time", UTC_TIME, nullable=True),
        sa.Column("initial_capital", AMOUNT, nullable=True),
        sa.Column("final_capital", AMOUNT, nullable=True),
        sa.CheckConstraint("status IN ('active', 'stopped', 'crashed')", name=op.f("ck_trading_sessions_status")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("fk_trading_sessions_account_id")),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_trading_sessions")),
    )
    op.create_index(
        "uq_trading_sessions_one_active",
        "trading_sessions",
        ["account_id"],
        unique=True,
        sqlite_where=sa.text("status = 'active'"),
        postgresql_where=sa.text("status = 'active'"),
    )
    op.create_table(
        "account_snapshots",
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("session_id", sa.String(length=64), nullable=True),
        sa.Column("at", UTC_TIME, nullable=False),
        sa.Column("equity", AMOUNT, nullable=False),
        sa.Column("cash", AMOUNT, nullable=False),
        sa.Column("buying_power", AMOUNT, nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("fk_account_snapshots_account_id")),
        sa.ForeignKeyConstraint(
            ["session_id"], ["trading_sessions.session_id"], name=op.f("fk_account_snapshots_session_id")
        ),
        sa.PrimaryKeyConstraint("account_id", "seq", name=op.f("pk_account_snapshots")),
    )
    op.create_table(
        "orders",
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("client_order_id", sa.String(length=128), nullable=False),
        sa.Column("session_id", sa.String(length=64), nullable=True),
        sa.Column("owner", sa.String(length=12), nullable=False),
        sa.Column("role", sa.String(length=1), nullable=False),
        sa.Column("symbol", sa.String(length=32), nullable=False),
        sa.Column("side", sa.String(length=8), nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("time_in_force", sa.String(length=8), nullable=False),
        sa.Column("qty", AMOUNT, nullable=True),
        sa.Column("notional", AMOUNT, nullable=True),
        sa.Column("limit_price", AMOUNT, nullable=True),
        sa.Column("stop_price", AMOUNT, nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("decision_key", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("valid_until", UTC_TIME, nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("broker_order_id", sa.String(length=64), nullable=True),
        sa.Column("broker_status", sa.String(length=32), nullable=True),
        sa.Column("broker_updated_at", UTC_TIME, nullable=True),
        sa.Column("broker_filled_qty", AMOUNT, nullable=False),
        sa.Column("filled_qty", AMOUNT, nullable=False),
        sa.Column("filled_avg_price", AMOUNT, nullable=True),
        sa.Column("cancel_asked_at", UTC_TIME, nullable=True),
        sa.Column("late_at", UTC_TIME, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("position_id", sa.String(length=64), nullable=True),
        sa.Column("parent_id", sa.String(length=128), nullable=True),
        sa.Column("order_class", sa.String(length=8), nullable=False),
        sa.Column("stop_loss", AMOUNT, nullable=True),
        sa.Column("take_profit", AMOUNT, nullable=True),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.Column("updated_at", UTC_TIME, nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("fk_orders_account_id")),
        sa.ForeignKeyConstraint(["session_id"], ["trading_sessions.session_id"], name=op.f("fk_orders_session_id")),
        sa.PrimaryKeyConstraint("account_id", "client_order_id", name=op.f("pk_orders")),
        sa.UniqueConstraint("account_id", "broker_order_id", name=op.f("uq_orders_account_id_broker_order_id")),
    )
    op.create_index(op.f("ix_orders_account_id_created_at"), "orders", ["account_id", "created_at"], unique=False)
    op.create_index(
        "ix_orders_attention",
        "orders",
        ["account_id"],
        unique=False,
        sqlite_where=sa.text(
            "status IN ('PLANNED', 'SENDING', 'IN_DOUBT', 'WORKING') OR filled_qty <> broker_filled_qty"
        ),
        postgresql_where=sa.text(
            "status IN ('PLANNED', 'SENDING', 'IN_DOUBT', 'WORKING') OR filled_qty <> broker_filled_qty"
        ),
    )
    op.create_table(
        "positions",
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("position_id", sa.String(length=64), nullable=False),
        sa.Column("session_id", sa.String(length=64), nullable=True),
        sa.Column("symbol", sa.String(length=32), nullable=False),
        sa.Column("owner", sa.String(length=12), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("direction", sa.String(length=8), nullable=False),
        sa.Column("side", sa.String(length=8), nullable=False),
        sa.Column("quantity", AMOUNT, nullable=False),
        sa.Column("entered_quantity", AMOUNT, nullable=False),
        sa.Column("entry_price", AMOUNT, nullable=False),
        sa.Column("entry_time", UTC_TIME, nullable=False),
        sa.Column("stop_loss", AMOUNT, nullable=True),
        sa.Column("take_profit", AMOUNT, nullable=True),
        sa.Column("exit_price", AMOUNT, nullable=True),
        sa.Column("exit_time", UTC_TIME, nullable=True),
        sa.Column("exit_reason", sa.Text(), nullable=True),
        sa.Column("pnl", AMOUNT, nullable=True),
        sa.Column("pnl_pct", AMOUNT, nullable=True),
        sa.Column("status", sa.String(length=8), nullable=False),
        sa.Column("entry_order_id", sa.String(length=128), nullable=True),
        sa.Column("exit_order_id", sa.String(length=128), nullable=True),
        sa.Column("protections", sa.Integer(), nullable=False),
        sa.CheckConstraint("status IN ('open', 'closed', 'error')", name=op.f("ck_positions_status")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("fk_positions_account_id")),
        sa.ForeignKeyConstraint(["session_id"], ["trading_sessions.session_id"], name=op.f("fk_positions_session_id")),
        sa.PrimaryKeyConstraint("account_id", "position_id", name=op.f("pk_positions")),
    )
    op.create_index(
        "uq_positions_one_open",
        "positions",
        ["account_id", "symbol", "owner"],
        unique=True,
        sqlite_where=sa.text("status != 'closed'"),
        postgresql_where=sa.text("status != 'closed'"),
    )
    op.create_table(
        "schedule_runs",
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("schedule", sa.String(length=64), nullable=False),
        sa.Column("trading_day", sa.String(length=10), nullable=False),
        sa.Column("session_id", sa.String(length=64), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("started_at", UTC_TIME, nullable=True),
        sa.Column("ended_at", UTC_TIME, nullable=True),
        sa.Column("result", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id", "schedule"],
            ["schedules.account_id", "schedules.name"],
            name=op.f("fk_schedule_runs_account_id_schedule"),
        ),
        sa.ForeignKeyConstraint(
            ["session_id"], ["trading_sessions.session_id"], name=op.f("fk_schedule_runs_session_id")
        ),
        sa.PrimaryKeyConstraint("account_id", "schedule", "trading_day", name=op.f("pk_schedule_runs")),
    )
    op.create_table(
        "strategy_states",
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("session_id", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("last_bar", UTC_TIME, nullable=True),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("state_hash", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("fk_strategy_states_account_id")),
        sa.ForeignKeyConstraint(
            ["session_id"], ["trading_sessions.session_id"], name=op.f("fk_strategy_states_session_id")
        ),
        sa.PrimaryKeyConstraint("account_id", "session_id", name=op.f("pk_strategy_states")),
    )
    op.create_table(
        "fills",
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("client_order_id", sa.String(length=128), nullable=False),
        sa.Column("cum_to", AMOUNT, nullable=False),
        sa.Column("cum_from", AMOUNT, nullable=False),
        sa.Column("price", AMOUNT, nullable=False),
        sa.Column("at", UTC_TIME, nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("execution_id", sa.String(length=64), nullable=True),
        sa.Column("inferred", sa.Boolean(), nullable=False),
        sa.Column("allocations", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id", "client_order_id"],
            ["orders.account_id", "orders.client_order_id"],
            name=op.f("fk_fills_account_id_client_order_id"),
        ),
        sa.PrimaryKeyConstraint("account_id", "client_order_id", "cum_to", name=op.f("pk_fills")),
        sa.UniqueConstraint("account_id", "execution_id", name=op.f("uq_fills_account_id_execution_id")),
    )
    op.create_index(op.f("ix_fills_account_id_at"), "fills", ["account_id", "at"], unique=False)

    protect_journal(op.get_bind().dialect.name)


def protect_journal(dialect: str) -> None:
    """Refuse every change to a written row, and (INSERT OR REPLACE slips past delete triggers) every reused number."""
    taken = "EXISTS (SELECT 1 FROM order_journal WHERE account_id = NEW.account_id AND seq = NEW.seq)"
    if dialect == "sqlite":
        for event in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER order_journal_no_{event.lower()} BEFORE {event} ON order_journal "
                f"BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
            )
        op.execute(
            "CREATE TRIGGER order_journal_no_reuse BEFORE INSERT ON order_journal "
            f"WHEN {taken} BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END"
        )
        return
    op.execute(
        "CREATE FUNCTION order_journal_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{REFUSAL}'; END $$"
    )
    op.execute(
        "CREATE FUNCTION order_journal_refuse_reuse() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN IF {taken} THEN RAISE EXCEPTION '{REFUSAL}'; END IF; RETURN NEW; END $$"
    )
    op.execute(
        "CREATE TRIGGER order_journal_no_change BEFORE UPDATE OR DELETE ON order_journal "
        "FOR EACH ROW EXECUTE FUNCTION order_journal_refuse()"
    )
    op.execute(
        "CREATE TRIGGER order_journal_no_truncate BEFORE TRUNCATE ON order_journal "
        "FOR EACH STATEMENT EXECUTE FUNCTION order_journal_refuse()"
    )
    op.execute(
        "CREATE TRIGGER order_journal_no_reuse BEFORE INSERT ON order_journal "
        "FOR EACH ROW EXECUTE FUNCTION order_journal_refuse_reuse()"
    )
