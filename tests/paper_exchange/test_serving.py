"""The process around the exchange: what it refuses at its start, and what it leaves behind at its end."""

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from gambler_ai.errors import UsageError
from gambler_ai.paper_exchange.server import ServeOptions, serve

from .rig import FRIDAY_OPEN, Server, eventually
from .test_server import ORDER

Start = Callable[..., Server]


@pytest.mark.parametrize("option", ["state", "port_file", "lab_token_file"])
def test_a_file_in_a_directory_that_is_not_there_is_refused(tmp_path: Path, option: str) -> None:
    there = tmp_path / "nowhere" / "file"
    with pytest.raises(UsageError, match="nowhere"):
        serve(ServeOptions(market="synthetic:7", **{option: str(there) if option == "state" else there}))


def test_a_request_cut_off_in_its_body_never_happened(start_server: Start) -> None:
    server = start_server()
    keys = "APCA-API-KEY-ID: K\r\nAPCA-API-SECRET-KEY: S\r\n"
    head = f"POST /v2/orders HTTP/1.1\r\nHost: x\r\n{keys}Content-Length: 99\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head.encode() + b'{"symbol"')
    server.call("GET", "/v2/account")
    assert [one["method"] for one in server.lab("GET", "truth")["requests"]] == ["GET"]


@pytest.mark.parametrize("act", ["hang_before", "hang_after", "delay_before", "trickle_after"])
def test_the_end_leaves_nobody_waiting(start_server: Start, capfd: pytest.CaptureFixture[str], act: str) -> None:
    server = start_server()
    server.lab("POST", "faults", {"act": act, "seconds": 60, "times": 1})
    outcome: list[object] = []

    def wait() -> None:
        try:
            outcome.append(server.call("GET", "/v2/account", timeout=20).status_code)
        except requests.ConnectionError as reset:
            outcome.append(reset)

    waiting = threading.Thread(target=wait)
    waiting.start()
    eventually(lambda: server.lab("GET", "faults") == [])
    assert server.terminate() == 0
    waiting.join(5)
    assert len(outcome) == 1
    assert outcome[0] != 500
    assert capfd.readouterr().err == ""


def test_a_cut_answer_makes_no_noise(start_server: Start, capfd: pytest.CaptureFixture[str]) -> None:
    server = start_server()
    server.lab("POST", "faults", {"act": "truncate_after", "times": 1})
    with pytest.raises(requests.RequestException):
        server.call("GET", "/v2/account")
    assert server.terminate() == 0
    assert capfd.readouterr().err == ""


def test_the_port_file_goes_with_the_process(start_server: Start, tmp_path: Path) -> None:
    server = start_server()
    assert (tmp_path / "port").exists()
    assert server.terminate() == 0
    assert not (tmp_path / "port").exists()


def test_another_process_keeps_its_port_file(start_server: Start, tmp_path: Path) -> None:
    server = start_server()
    (tmp_path / "port").write_text('{"port": 1, "pid": 1}')
    assert server.terminate() == 0
    assert (tmp_path / "port").exists()


def test_a_start_that_comes_too_late_is_said(
    start_server: Start, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    state, flags = str(tmp_path / "exchange.db"), ("--start", FRIDAY_OPEN.isoformat())
    assert start_server(*flags, state=state).terminate() == 0
    assert capfd.readouterr().err == ""
    assert start_server(*flags, state=state).terminate() == 0
    assert "the state goes on at 2026-11-20T14:30" in capfd.readouterr().err


def test_a_quiet_exchange_has_its_state_in_one_file(start_server: Start, tmp_path: Path) -> None:
    server = start_server(state=str(tmp_path / "exchange.db"))
    for number in range(20):
        server.call("POST", "/v2/orders", {**ORDER, "client_order_id": f"order-{number}"})
    log = tmp_path / "exchange.db-wal"
    assert log.stat().st_size > 100_000
    eventually(lambda: log.stat().st_size == 0)
    assert b"order-19" in (tmp_path / "exchange.db").read_bytes()
    assert server.call("POST", "/v2/orders", ORDER).ok
