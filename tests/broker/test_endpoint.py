import socket

import pytest

from gambler_ai.broker.endpoint import check_endpoint, check_key
from gambler_ai.errors import BrokerRefusesUs

PAPER = "https://paper-api.alpaca.markets"


@pytest.mark.parametrize(
    "url", [PAPER, PAPER + "/", PAPER + "/v2", PAPER + "/v2/", PAPER + ":443", "HTTPS://Paper-API.alpaca.markets"]
)
def test_the_paper_host_is_allowed_in_every_usual_spelling(url: str) -> None:
    endpoints = check_endpoint(url)
    assert endpoints.trading == PAPER
    assert endpoints.data == "https://data.alpaca.markets"
    assert endpoints.stream == "wss://paper-api.alpaca.markets/stream"
    assert endpoints.data_stream == "wss://stream.data.alpaca.markets/v2/iex"
    assert not endpoints.is_local


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "[::1]", "localhost"])
def test_with_a_loopback_base_everything_has_the_same_origin(host: str) -> None:
    endpoints = check_endpoint(f"http://{host}:8123/v2")
    assert endpoints.trading == endpoints.data == f"http://{host}:8123"
    assert endpoints.stream == f"ws://{host}:8123/stream"
    assert endpoints.data_stream == f"ws://{host}:8123/v2/iex"
    assert endpoints.is_local


def test_tls_on_loopback_stays_tls() -> None:
    assert check_endpoint("https://127.0.0.1:8443").stream == "wss://127.0.0.1:8443/stream"


@pytest.mark.parametrize(
    "url",
    [
        "https://api.alpaca.markets",
        "https://broker-api.alpaca.markets",
        "http://paper-api.alpaca.markets",
        "https://paper-api.alpaca.markets:8443",
        "https://paper-api.alpaca.markets.",
        "https://paper-api.alpaca.markets.evil.example",
        "https://evil.example/paper-api.alpaca.markets",
        "https://paper-api.alpaca.markets@evil.example",
        "https://user:word@paper-api.alpaca.markets",
        "https://evil.example\\@paper-api.alpaca.markets",
        "https://paper-api.alpaca.markets?x=1",
        "https://paper-api.alpaca.markets#x",
        "https://paper-api.alpaca.markets/v1",
        "https://paper-api.alpaca.markets/v2/orders",
        "https://data.alpaca.markets",
        "https://paper-api.alpaca.mаrkets",
        "https://paper-api.alpaca.markets\n",
        " https://paper-api.alpaca.markets",
        "http://10.0.0.1:8000",
        "http://0.0.0.0:8000",
        "http://2130706433:8000",
        "http://127.1:8000",
        "http://[::ffff:10.0.0.1]:8000",
        "http://127.0.0.1:99999",
        "http://127.0.0.1.nip.io:8000",
        "ftp://127.0.0.1",
        "file:///etc/passwd",
        "127.0.0.1:8000",
        "",
    ],
)
def test_everything_else_is_refused(url: str) -> None:
    with pytest.raises(BrokerRefusesUs, match="APCA_API_BASE_URL") as refused:
        check_endpoint(url)
    assert refused.value.exit_code == 6
    assert "word" not in str(refused.value)


def test_localhost_is_refused_when_it_is_somewhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = [(socket.AF_INET, 0, 0, "", ("127.0.0.1", 0)), (socket.AF_INET, 0, 0, "", ("10.0.0.7", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: elsewhere)
    with pytest.raises(BrokerRefusesUs):
        check_endpoint("http://localhost:8000")


def test_data_addresses_go_through_the_same_guard() -> None:
    endpoints = check_endpoint(
        "http://127.0.0.1:1", "https://data.alpaca.markets/v2", "wss://stream.data.alpaca.markets/v2/iex"
    )
    assert endpoints.data == "https://data.alpaca.markets"
    assert endpoints.data_stream == "wss://stream.data.alpaca.markets/v2/iex"
    assert check_endpoint(PAPER, stream_url="ws://127.0.0.1:5").data_stream == "ws://127.0.0.1:5/v2/iex"
    with pytest.raises(BrokerRefusesUs, match="APCA_API_DATA_URL"):
        check_endpoint(PAPER, "https://evil.example")
    with pytest.raises(BrokerRefusesUs, match="APCA_API_STREAM_URL"):
        check_endpoint(PAPER, stream_url="wss://evil.example/v2/iex")


def test_a_live_key_is_never_shown_to_alpaca_and_never_printed() -> None:
    with pytest.raises(BrokerRefusesUs, match="live") as refused:
        check_key(check_endpoint(PAPER), "AKSECRETPART")
    assert "SECRETPART" not in str(refused.value)
    check_key(check_endpoint(PAPER), "PKANYTHING")
    check_key(check_endpoint("http://127.0.0.1:1"), "AKLOCAL")


def test_no_key_is_a_refusal_that_says_what_to_set() -> None:
    with pytest.raises(BrokerRefusesUs, match="APCA_API_KEY_ID"):
        check_key(check_endpoint(PAPER), "")
