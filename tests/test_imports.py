"""The rooms of the house look down only; `.importlinter` says which lies where."""

from pathlib import Path

import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

RULES = Path(__file__).resolve().parents[1] / ".importlinter"


def test_the_rooms_look_down_only(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(RULES.parent)
    verdict = lint_imports(config_filename=str(RULES), no_cache=True)
    assert verdict == EXIT_STATUS_SUCCESS, capsys.readouterr().out


def test_a_room_that_looks_up_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    turned = RULES.read_text().replace("    wiring\n", "").replace("    errors\n", "    errors\n    wiring\n")
    (tmp_path / "rules").write_text(turned)
    monkeypatch.chdir(RULES.parent)
    assert lint_imports(config_filename=str(tmp_path / "rules"), no_cache=True) != EXIT_STATUS_SUCCESS
    assert "gambler_ai.wiring" in capsys.readouterr().out
