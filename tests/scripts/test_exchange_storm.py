"""A small storm over the local exchange; `scripts/exchange_storm.py` makes the big one."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "exchange_storm.py"


@pytest.fixture
def storms(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("exchange_storm", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "exchange_storm", module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_kill_9_under_four_clients_loses_nothing_acknowledged(storms: ModuleType, tmp_path: Path) -> None:
    storm = storms.run(tmp_path, kills=3, seed=5)
    assert storm.faults == []
    assert storm.taken_again == 0
    assert len(storm.promised) > 20


@pytest.mark.slow
def test_an_exchange_that_answers_before_it_stores_is_found_out(storms: ModuleType, tmp_path: Path) -> None:
    mutant = (sys.executable, str(Path(__file__).with_name("serve_early.py")))
    storm = storms.run(tmp_path, kills=3, seed=5, serve=mutant)
    assert any("was acknowledged and is gone" in fault for fault in storm.faults)


def test_the_storm_sees_a_lost_order_and_a_wrong_sum(storms: ModuleType, tmp_path: Path) -> None:
    storm = storms.Storm(tmp_path, 1, promised={"a": "1", "b": "2"})
    order = {"client_order_id": "b", "id": "2", "filled_qty": "1"}
    truth = {
        "orders": [order, order],
        "executions": [],
        "positions": [{"symbol": "SPY", "qty": "1"}],
        "cash": {"x": "5"},
    }
    storm.ask = lambda method, path, body=None: (422, truth)
    assert storm.look() == 2
    assert len(storm.faults) == 7
