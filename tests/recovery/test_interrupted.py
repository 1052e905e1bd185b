"""Recovery killed at every step and run again ends as if nothing had happened; and twice is as good as once."""

import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from sqlalchemy.engine import make_url

from gambler_ai.crashpoints import CrashPlan
from tests.recovery.wounds import Patient, Treatment, reconciled, resumed, stages, wounded
from tests.support.databases import KINDS, new_database
from tests.trading.rig import Rig

WAYS = pytest.mark.parametrize("treat", [reconciled, resumed])


@dataclass
class Hospital:
    """Patients with the same wounds, on one kind of database."""

    kind: str
    folder: Path
    server: str
    origin: Rig

    @contextmanager
    def patient(self) -> Iterator[Patient]:
        folder = self.folder / uuid.uuid4().hex
        url = f"sqlite:///{folder / 'gambler.db'}" if self.kind == "sqlite" else self._copied()
        one = Patient(self.origin, folder, url)
        yield one
        one.leave()

    def _copied(self) -> str:
        name, origin = f"gambler_{uuid.uuid4().hex}", make_url(self.origin.database_url)
        with closing(psycopg2.connect(self.server)) as connection:
            connection.autocommit = True
            connection.cursor().execute(f"CREATE DATABASE {name} TEMPLATE {origin.database}")
        return origin.set(database=name).render_as_string(hide_password=False)


@pytest.fixture(scope="module", params=KINDS)
def hospital(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Hospital:
    folder = tmp_path_factory.mktemp("hospital")
    server = request.getfixturevalue("postgres") if request.param == "postgresql" else ""
    origin = wounded(folder / "origin", new_database(request.param, folder / "origin", server))
    return Hospital(request.param, folder, server, origin)


@WAYS
def test_a_recovery_killed_at_every_step_and_run_again_ends_as_if_it_had_not_been(
    hospital: Hospital, treat: Treatment
) -> None:
    passed: list[tuple[str, str]] = []
    with hospital.patient() as whole:
        done = treat_whole(whole, treat, passed)
        end = whole.end()
    steps = stages(passed)
    assert len(steps) > 20
    for point, passing in steps if hospital.kind == "sqlite" else steps[::5]:
        with hospital.patient() as killed:
            assert killed.treated(treat, CrashPlan(point, passing, in_process=True)) is None
            assert (code_of(killed.treated(treat)), killed.end()) == (code_of(done), end), (
                f"killed at {point}:{passing}"
            )
            killed.prove_the_books()


def treat_whole(patient: Patient, treat: Treatment, passed: list[tuple[str, str]]) -> Any:
    return patient.treated(treat, lambda point: passed.append((point, patient.stored())))


def code_of(done: Any) -> int:
    return int(done[0] if isinstance(done, tuple) else done)


def test_a_second_recovery_changes_nothing_but_its_report(hospital: Hospital) -> None:
    with hospital.patient() as one:
        first, before = one.treated(reconciled), one.all_rows()
        one.weather.sent.clear()
        second, after = one.treated(reconciled), one.all_rows()
    assert (second[0], second[1]["requests"], second[1]["applied"], one.weather.sent) == (first[0], 0, [], [])
    assert [row["kind"] for row in after["order_journal"][len(before["order_journal"]) :]] == ["recovery.report"]
    assert len(after["recovery_reports"]) == len(before["recovery_reports"]) + 1
    for name in after.keys() - {"order_journal", "recovery_reports", "accounts"}:
        assert after[name] == before[name]
    moved = {key for key, value in after["accounts"][0].items() if value != before["accounts"][0][key]}
    assert moved <= {"seq", "hash", "looked_at", "lease_token", "heartbeat_at"}, "the chain, the lease, and the look"
