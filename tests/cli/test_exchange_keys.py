"""`exchange serve --keys-file`: the only keys an exchange accepts; secrets are never written on a command line."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from gambler_ai.cli import exchange_serve
from gambler_ai.errors import UsageError
from gambler_ai.paper_exchange import server
from gambler_ai.paper_exchange.server import ServeOptions


def serve(monkeypatch: pytest.MonkeyPatch, file: Path) -> list[ServeOptions]:
    told: list[ServeOptions] = []
    monkeypatch.setattr(server, "serve", told.append)
    CliRunner().invoke(exchange_serve, ["--keys-file", str(file)], catch_exceptions=False)
    return told


def test_listed_keys_reach_the_exchange(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text('{"PKONE": "first", "PKTWO": "second"}')
    [options] = serve(monkeypatch, tmp_path / "keys")
    assert options.keys == {"PKONE": "first", "PKTWO": "second"}


@pytest.mark.parametrize("text", ["", "[]", '{"PKONE": 1}', '{"PKONE": ""}', None])
def test_a_file_without_keys_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "keys").write_text(text)
    with pytest.raises(UsageError, match="--keys-file"):
        serve(monkeypatch, tmp_path / "keys")
