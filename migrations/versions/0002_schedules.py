"""Schedules that can be paused and removed, runs that name their session before there is one, the scheduler's lease,
the broker's calendar. Nothing has written the two older tables yet."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

UTC_TIME = sa.Text().with_variant(sa.DateTime(timezone=True), "postgresql")


def upgrade() -> None:
    op.drop_table("schedule_runs")
    op.drop_table("schedules")
    op.create_table(
        "schedules",
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("created_at", UTC_TIME, nullable=False),
        sa.Column("since", UTC_TIME, nullable=False),
        sa.Column("removed_at", UTC_TIME, nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("fk_schedules_account_id")),
        sa.PrimaryKeyConstraint("account_id", "name", name=op.f("pk_schedules")),
    )
    op.create_table(
        "schedule_runs",
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("schedule", sa.String(length=64), nullable=False),
        sa.Column("trading_day", sa.String(length=10), nullable=False),
        sa.Column("session_id", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("window_start", UTC_TIME, nullable=False),
        sa.Column("window_end", UTC_TIME, nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("starts", sa.Integer(), nullable=False),
        sa.Column("wait_until", UTC_TIME, nullable=True),
        sa.Column("started_at", UTC_TIME, nullable=True),
        sa.Column("ended_at", UTC_TIME, nullable=True),
        sa.Column("result", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id", "schedule"],
            ["schedules.account_id", "schedules.name"],
            name=op.f("fk_schedule_runs_account_id_schedule"),
        ),
        sa.PrimaryKeyConstraint("account_id", "schedule", "trading_day", name=op.f("pk_schedule_runs")),
        sa.UniqueConstraint("session_id", name=op.f("uq_schedule_runs_session_id")),
    )
    op.create_table(
        "schedulers",
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("holder", sa.Text(), nullable=True),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", UTC_TIME, nullable=True),
        sa.Column("heartbeat_at", UTC_TIME, nullable=True),
        sa.Column("exchange_at", UTC_TIME, nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("fk_schedulers_account_id")),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_schedulers")),
    )
    op.create_table(
        "trading_days",
        sa.Column("account_id", sa.String(length=64), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("open", UTC_TIME, nullable=True),
        sa.Column("close", UTC_TIME, nullable=True),
        sa.Column("differs", sa.Text(), nullable=True),
        sa.Column("asked_at", UTC_TIME, nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.account_id"], name=op.f("fk_trading_days_account_id")),
        sa.PrimaryKeyConstraint("account_id", "day", name=op.f("pk_trading_days")),
    )
