"""`trade_updates`: one fact a test, its source in the docstring (section 8 of the reference)."""

from collections.abc import Callable

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ..paper_exchange.rig import Server, eventually
from .stream_rig import ORDER, talk, trades

Start = Callable[..., Server]
AUTHORIZED = {"stream": "authorization", "data": {"status": "authorized", "action": "authenticate"}}
AUTHENTICATE = {"action": "authenticate", "data": {"key_id": "KEY", "secret_key": "SECRET"}}
LISTEN = {"action": "listen", "data": {"streams": ["trade_updates"]}}


@pytest.mark.parametrize("path", ["/stream", "/stream/"])
def test_both_paths_are_served(start_server: Start, path: str) -> None:
    """Section 8.1: the old Python SDK uses `/stream/`."""
    with talk(start_server(), path) as one:
        assert one.ask(AUTHENTICATE) == AUTHORIZED


def test_the_server_says_nothing_first(start_server: Start) -> None:
    """Section 8.2."""
    with talk(start_server(), "/stream") as one:
        assert one.silent()


@pytest.mark.parametrize("hello", [AUTHENTICATE, {"action": "auth", "key": "KEY", "secret": "SECRET"}])
def test_both_auth_messages_are_understood(start_server: Start, hello: dict[str, object]) -> None:
    """Section 8.3: alpaca-py's and npm's `authenticate`; apca's `auth`."""
    with talk(start_server(), "/stream") as one:
        assert one.ask(hello) == AUTHORIZED


def test_answers_are_binary_frames_with_json(start_server: Start) -> None:
    """Section 8.4: "binary frame containing JSON"."""
    with talk(start_server(), "/stream") as one:
        one.ask(AUTHENTICATE)
        assert isinstance(one.raw, bytes)


def test_wrong_keys_are_unauthorized_and_the_socket_stays(start_server: Start) -> None:
    """Section 8.4: status `unauthorized`."""
    server = start_server()
    server.call("GET", "/v2/clock")
    with talk(server, "/stream") as one:
        wrong = {"action": "authenticate", "data": {"key_id": "KEY", "secret_key": "guess"}}
        assert one.ask(wrong)["data"] == {"status": "unauthorized", "action": "authenticate"}
        assert one.ask(AUTHENTICATE) == AUTHORIZED


def test_listening_needs_authorization(start_server: Start) -> None:
    """Section 8.5: unauthorized, action listen."""
    with talk(start_server(), "/stream") as one:
        refusal = {"stream": "authorization", "data": {"status": "unauthorized", "action": "listen"}}
        assert one.ask(LISTEN) == refusal


def test_unknown_streams_are_dropped_from_the_list(start_server: Start) -> None:
    """Section 8.6."""
    with trades(start_server()) as one:
        answer = one.ask({"action": "listen", "data": {"streams": ["trade_updates", "account_updates", "nope"]}})
        assert answer == {"stream": "listening", "data": {"streams": ["trade_updates"]}}


def test_each_listen_replaces_the_set_and_an_empty_one_ends_it(start_server: Start) -> None:
    """Section 8.6."""
    server = start_server()
    with trades(server) as one:
        assert one.ask({"action": "listen", "data": {"streams": []}})["data"] == {"streams": []}
        server.call("POST", "/v2/orders", ORDER)
        assert one.silent()
        one.ask(LISTEN)
        server.call("POST", "/v2/orders", ORDER)
        assert one.hear()["data"]["event"] == "new"


def test_listening_twice_tells_once(start_server: Start) -> None:
    """Section 8.6: each message replaces the set."""
    server = start_server()
    with trades(server) as one:
        one.ask(LISTEN)
        server.call("POST", "/v2/orders", ORDER)
        assert [one.hear()["data"]["event"] for _ in range(2)] == ["new", "fill"]
        assert one.silent()


def test_msgpack_is_spoken_to_who_asks_for_it(start_server: Start) -> None:
    """Section 8.1: with `Content-Type: application/msgpack` the service speaks msgpack."""
    server = start_server()
    with trades(server, packed=True) as one:
        server.call("POST", "/v2/orders", ORDER)
        assert one.hear()["data"]["order"]["symbol"] == "AAA"


def test_nothing_is_replayed_to_who_comes_late(start_server: Start) -> None:
    """Section 8.8: events in between are lost."""
    server = start_server()
    server.call("POST", "/v2/orders", ORDER)
    with trades(server) as one:
        assert one.silent()


def test_a_fill_says_its_execution(start_server: Start) -> None:
    """Section 3.9: price, qty of this execution, position_qty after it, execution_id, event_id, at."""
    server = start_server()
    with trades(server) as one:
        server.call("POST", "/v2/orders", {**ORDER, "qty": "3"})
        new, fill = one.hear()["data"], one.hear()["data"]
        assert {"event", "event_id", "at", "timestamp", "execution_id", "order"} == set(new)
        assert set(fill) == set(new) | {"price", "qty", "position_qty"}
        assert (fill["event"], fill["price"], fill["qty"], fill["position_qty"]) == ("fill", "100.01", "3", "3")
        assert fill["order"]["filled_qty"] == "3"


def test_the_order_in_a_frame_is_the_order_of_rest(start_server: Start) -> None:
    """Section 3.9: the Order object of 3.1 after the event."""
    server = start_server()
    with trades(server) as one:
        order = server.call("POST", "/v2/orders", ORDER).json()
        one.hear()
        assert one.hear()["data"]["order"] == server.call("GET", f"/v2/orders/{order['id']}").json()


def test_events_of_other_accounts_are_not_heard(start_server: Start) -> None:
    """A stream is an account's (section 8)."""
    server = start_server()
    with trades(server) as one:
        server.call("POST", "/v2/orders", ORDER, key="OTHER")
        assert one.silent()


def test_two_connections_both_hear_when_nobody_forbids_it(start_server: Start) -> None:
    """The one-connection rule is a switch (section 8, connection limit)."""
    server = start_server()
    with trades(server) as one, trades(server, "/stream/") as other:
        server.call("POST", "/v2/orders", ORDER)
        assert one.hear() == other.hear()


def test_a_surplus_connection_is_refused_with_429_on_upgrade(start_server: Start) -> None:
    """Section 8, connection limit (Lean.Brokerages.Alpaca #37, #39; alpaca-py #740)."""
    server = start_server()
    server.lab("POST", "limits", {"stream_connections": 1})
    with trades(server), pytest.raises(InvalidStatus) as refused, trades(server):
        pass
    assert refused.value.response.status_code == 429


def test_who_cannot_be_known_at_the_upgrade_is_closed_after_authentication(start_server: Start) -> None:
    """Section 8: "refused with 429 or is closed"."""
    server = start_server()
    for key in ("KEY", "OTHER"):
        server.call("GET", "/v2/clock", key=key)
    server.lab("POST", "limits", {"stream_connections": 1})
    with trades(server), talk(server, "/stream") as surplus, pytest.raises(ConnectionClosed):
        surplus.ask(AUTHENTICATE)


def test_a_clean_close_frees_the_slot_at_once(start_server: Start) -> None:
    """Section 8, connection limit."""
    server = start_server()
    server.lab("POST", "limits", {"stream_connections": 1, "stream_slot_seconds": 30})
    with trades(server):
        pass

    def again() -> bool:
        try:
            with trades(server):
                return True
        except InvalidStatus:
            return False

    assert eventually(again, 2)


def test_an_unclean_loss_keeps_the_slot_for_a_while(start_server: Start) -> None:
    """Section 8: "release the slot only N seconds after an unclean loss"."""
    server = start_server()
    server.lab("POST", "limits", {"stream_connections": 1, "stream_slot_seconds": 0.5})
    server.lab("POST", "faults", {"match": {"path": "/stream"}, "act": "ws_cut", "times": 1})
    with trades(server) as one:
        server.call("POST", "/v2/orders", ORDER)
        with pytest.raises(ConnectionClosed):
            one.hear()
    with pytest.raises(InvalidStatus), trades(server):
        pass

    def again() -> bool:
        try:
            with trades(server):
                return True
        except InvalidStatus:
            return False

    assert eventually(again, 5)


@pytest.mark.parametrize(
    ("act", "check"),
    [
        ("ws_status", lambda data: data["order"]["status"] == "unheard_of"),
        ("ws_bare", lambda data: "execution_id" not in data and "price" not in data),
        ("ws_null", lambda data: data is None),
        ("ws_unknown", lambda data: data["event"] == "unheard_of"),
    ],
)
def test_a_frame_can_be_what_strict_clients_stumble_over(
    start_server: Start, act: str, check: Callable[..., bool]
) -> None:
    """Quirks 43 to 45 (Alpaca-API #110, alpaca-py #210 and #371)."""
    server = start_server()
    server.lab("POST", "faults", {"match": {"event": "fill"}, "act": act, "times": 1})
    with trades(server) as one:
        server.call("POST", "/v2/orders", ORDER)
        one.hear()
        assert check(one.hear()["data"])


def test_a_frame_can_come_late(start_server: Start) -> None:
    """Section 16: delay trade_updates frames."""
    server = start_server()
    server.lab("POST", "faults", {"match": {"event": "new"}, "act": "ws_delay", "times": 1, "seconds": 0.2})
    with trades(server) as one:
        server.call("POST", "/v2/orders", ORDER)
        assert [one.hear()["data"]["event"] for _ in range(2)] == ["fill", "new"]


def test_an_upgrade_elsewhere_is_refused(start_server: Start) -> None:
    """Only the documented paths have sockets."""
    with pytest.raises(InvalidStatus), talk(start_server(), "/v2/nope"):
        pass


def test_who_authenticates_anew_hears_the_earlier_account_no_more(start_server: Start) -> None:
    """Section 8, step 4: after `unauthorized` there is nothing to hear; the slot is free for the same socket again."""
    server = start_server()
    server.lab("POST", "limits", {"stream_connections": 1})
    with trades(server) as one:
        answer = one.ask({"action": "authenticate", "data": {"key_id": "KEY", "secret_key": "wrong"}})
        assert answer["data"]["status"] == "unauthorized"
        server.call("POST", "/v2/orders", ORDER)
        assert one.silent()
        answer = one.ask({"action": "authenticate", "data": {"key_id": "KEY", "secret_key": "SECRET"}})
        assert answer["data"]["status"] == "authorized"


def test_a_stream_takes_an_oauth_token(start_server: Start) -> None:
    """Section 8, step 3 [inferred]: data {"oauth_token": ".."}."""
    server = start_server()
    with talk(server, "/stream") as one:
        answer = one.ask({"action": "authenticate", "data": {"oauth_token": "tok"}})
        assert answer["data"]["status"] == "authorized"
