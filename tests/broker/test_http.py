"""What each kind of broken answer means, that exactly one POST was made, and that nothing outlasts its limit."""

import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from raw_server import LIMITS, Connect, Request, Script, always, hang, http, order, raw_order, reset, trickle

from gambler_ai.broker.alpaca import AlpacaGateway
from gambler_ai.broker.alpaca_http import Limits
from gambler_ai.broker.endpoint import check_endpoint
from gambler_ai.broker.gateway import Accepted, Refused
from gambler_ai.clock import SystemClock
from gambler_ai.errors import BrokerRefusesUs, BrokerUnreachable, HumanNeeded, OutcomeUnknown, RateLimited, Stop
from tests.support.waiting import within

BROKER_ID = raw_order()["id"]
GRACE = 0.5
ACCEPTED = http(200, raw_order())


def no_length(body: str) -> Script:
    """An answer that ends with its connection, as HTTP/1.0 has it."""

    def script(connection: socket.socket, _: Request) -> None:
        connection.sendall(f"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{body}".encode())
        connection.shutdown(socket.SHUT_RDWR)

    return script


AMBIGUOUS: dict[str, Script] = {
    "hang": hang,
    "reset after the request was read": reset,
    "header trickles": trickle(ACCEPTED),
    "body trickles": lambda connection, request: (
        connection.sendall(ACCEPTED[:200]),
        trickle(ACCEPTED[200:])(connection, request),
    )[0],
    "body without length trickles": trickle(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}", 0.05),
    "closed without an answer": lambda connection, _: connection.shutdown(socket.SHUT_RDWR),
    "HTML 200": always(http(200, "<html>ok</html>")),
    "empty 200": always(http(200)),
    "truncated JSON": no_length('{"id": "61c3d0a2-'),
    "shorter than promised": lambda connection, _: (
        connection.sendall(http(200, raw_order(), length=5000)),
        connection.shutdown(socket.SHUT_RDWR),
    )[0],
    "not HTTP": always(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
    "not UTF-8": always(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\xff\xfe"),
    "500": always(http(500, {"code": 50010000, "message": "internal server error"})),
    "502 HTML": always(http(502, "<html>bad gateway</html>")),
    "504": always(http(504, {"code": 50410000, "message": "gateway timeout"})),
    "redirect": always(http(307, "", "Location: http://127.0.0.1:1/v2/orders\r\n")),
    "403 HTML": always(http(403, "<html>who are you</html>")),
    "404 HTML": always(http(404, "<html>lost</html>")),
    "422 without code": always(http(422, {"message": "unprocessable"})),
    "422 with a code that is no number": always(http(422, {"code": True, "message": "unprocessable"})),
    "another order": always(http(200, raw_order(client_order_id="somebody-elses"))),
    "an order without its quantity": always(http(200, raw_order(filled_qty=None))),
    "a list": always(http(200, [raw_order()])),
    "201": always(http(201, raw_order())),
}


def limits(what: str) -> Limits:
    return LIMITS if what == "hang" or "trickles" in what else Limits()


@pytest.mark.parametrize("what", AMBIGUOUS)
def test_an_answer_that_proves_nothing_leaves_the_outcome_unknown_after_one_post(what: str, connect: Connect) -> None:
    server, gateway = connect(AMBIGUOUS[what], limits=limits(what))
    with within(LIMITS.total_s + GRACE), pytest.raises(OutcomeUnknown, match=order().client_order_id) as unknown:
        gateway.submit(order())
    assert unknown.value.__cause__ is not None
    assert len(server.posts()) == 1
    assert "sesame" not in f"{unknown.value!r} {unknown.value.__cause__!r}"


@pytest.mark.parametrize("what", ["hang", "reset after the request was read", "504", "HTML 200", "truncated JSON"])
def test_a_cancel_is_unknown_in_the_same_cases(what: str, connect: Connect) -> None:
    server, gateway = connect(AMBIGUOUS[what], limits=limits(what))
    with pytest.raises(OutcomeUnknown):
        gateway.cancel(BROKER_ID)
    assert len(server.requests) == 1


@pytest.mark.parametrize("what", AMBIGUOUS)
def test_a_read_without_a_whole_answer_is_unreachable_within_the_limit(what: str, connect: Connect) -> None:
    server, gateway = connect(AMBIGUOUS[what], limits=limits(what))
    with within(LIMITS.total_s + GRACE), pytest.raises((BrokerUnreachable, BrokerRefusesUs)) as failed:
        gateway.clock()
    assert isinstance(failed.value, BrokerRefusesUs) == (what == "403 HTML")
    assert 1 <= len(server.requests) <= 3


def test_an_accepted_order_is_returned_and_went_out_as_strings(connect: Connect) -> None:
    server, gateway = connect(always(ACCEPTED))
    answer = gateway.submit(order())
    assert isinstance(answer, Accepted)
    assert answer.order.broker_order_id == BROKER_ID
    (request,) = server.posts()
    assert request.path == "/v2/orders"
    assert '"qty": "10"' in request.body
    assert '"limit_price": "187.5"' in request.body
    assert request.headers["apca-api-key-id"] == "PKTEST"


def test_an_order_without_an_id_is_never_sent(connect: Connect) -> None:
    server, gateway = connect(always(ACCEPTED))
    with pytest.raises(ValueError, match="client_order_id"):
        gateway.submit(order(client_order_id=""))
    assert server.requests == []


REFUSALS = [
    (400, {"code": 40010000, "message": "m"}, 40010000),
    (401, {"message": "m"}, 0),
    (403, {"message": "m"}, 0),
    (403, {"code": 40310000, "message": "m", "buying_power": 1.5}, 40310000),
    (404, {"code": 40410000, "message": "m"}, 40410000),
    (409, {"code": 40910000, "message": "m"}, 40910000),
    (422, {"code": 40010001, "message": "m"}, 40010001),
]


@pytest.mark.parametrize(("status", "body", "code"), REFUSALS)
def test_an_explicit_refusal_is_an_answer(status: int, body: dict[str, Any], code: int, connect: Connect) -> None:
    server, gateway = connect(always(http(status, body)))
    answer = gateway.submit(order())
    assert answer == Refused(status, code, "m")
    assert answer.must_look == (status in (409, 422))
    assert gateway.cancel(BROKER_ID) == Refused(status, code, "m")
    assert len(server.posts()) == 1


LIMITED = [
    ("", None, None),
    ("Retry-After: 7\r\n", 7.0, 7.0),
    ("Retry-After: Fri, 20 Nov 2026 14:31:00 GMT\r\n", None, None),
    ("X-RateLimit-Reset: {in_30_s}\r\n", 0.0, 30.0),
    ("X-RateLimit-Reset: 99999999999\r\n", 60.0, 60.0),
    ("X-RateLimit-Reset: 1\r\n", 0.0, 0.0),
]


@pytest.mark.parametrize(("headers", "least", "most"), LIMITED)
def test_too_many_requests_says_how_long_to_wait_when_the_broker_does(
    headers: str, least: float | None, most: float | None, connect: Connect
) -> None:
    headers = headers.format(in_30_s=int(time.time()) + 30)
    server, gateway = connect(always(http(429, "too many requests.", headers)))
    for ask in (lambda: gateway.submit(order()), gateway.account, lambda: gateway.cancel(BROKER_ID)):
        with pytest.raises(RateLimited) as limited:
            ask()
        wait = limited.value.retry_after_s
        if least is None or most is None:
            assert wait is None
        else:
            assert wait is not None
            assert least <= wait <= most
    assert len(server.requests) == 3


def test_a_refused_connection_is_the_certainty_that_nothing_was_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    gateway = AlpacaGateway(check_endpoint(f"http://127.0.0.1:{port}"), "K", "S", SystemClock(), limits=LIMITS)
    with pytest.raises(BrokerUnreachable):
        gateway.submit(order())
    with pytest.raises(BrokerUnreachable):
        gateway.positions()
    gateway.close()


def test_a_connection_that_does_not_come_about_is_the_same_certainty() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        gateway = AlpacaGateway(check_endpoint(url), "K", "S", SystemClock(), limits=LIMITS)
        with within(LIMITS.connect_s + GRACE), pytest.raises(BrokerUnreachable):
            gateway.submit(order())
        gateway.close()
        for one in waiting:
            one.close()


def test_a_kept_connection_that_dies_under_a_post_is_not_tried_again(connect: Connect) -> None:
    def script(connection: socket.socket, request: Request) -> None:
        if request.method == "GET":
            connection.sendall(http(200, []))
        else:
            connection.shutdown(socket.SHUT_RDWR)

    server, gateway = connect(script)
    assert gateway.positions() == []
    with pytest.raises(OutcomeUnknown):
        gateway.submit(order())
    assert len(server.posts()) == 1


def test_a_connection_closed_in_between_is_replaced_before_anything_is_sent(connect: Connect) -> None:
    def script(connection: socket.socket, request: Request) -> None:
        connection.sendall(http(200, []) if request.method == "GET" else ACCEPTED)
        connection.shutdown(socket.SHUT_RDWR)

    server, gateway = connect(script)
    assert gateway.positions() == []
    time.sleep(0.05)
    assert isinstance(gateway.submit(order()), Accepted)
    assert len(server.posts()) == 1


def test_a_read_is_repeated_when_its_connection_broke(connect: Connect) -> None:
    def script(connection: socket.socket, request: Request) -> None:
        if len(server.requests) < 3:
            reset(connection, request)
        connection.sendall(http(200, []))

    server, gateway = connect(script)
    assert gateway.positions() == []
    assert len(server.requests) == 3


def test_a_read_is_not_repeated_when_the_broker_answered(connect: Connect) -> None:
    server, gateway = connect(always(http(500, {"message": "no"})))
    with pytest.raises(BrokerUnreachable):
        gateway.positions()
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_refused_keys_stop_a_read_for_a_human(status: int, connect: Connect) -> None:
    _, gateway = connect(always(http(status, {"message": "forbidden."})))
    with pytest.raises(BrokerRefusesUs, match="APCA_API_KEY_ID"):
        gateway.account()


def test_only_a_json_404_says_that_there_is_no_such_order(connect: Connect) -> None:
    _, gateway = connect(always(http(404, {"code": 40410000, "message": "order not found"})))
    assert gateway.order_by_client_id("g1-x") is None
    assert gateway.order_by_id(BROKER_ID) is None
    assert gateway.tradable("NOSUCH") is None
    with pytest.raises(BrokerUnreachable):
        gateway.account()


def test_an_order_found_under_another_id_is_no_answer(connect: Connect) -> None:
    _, gateway = connect(always(http(200, raw_order())))
    with pytest.raises(BrokerUnreachable, match="another order"):
        gateway.order_by_client_id("g1-mine")


@pytest.mark.parametrize("broker_order_id", ["", "/", "..", "x?y", "61c3d0a2"])
def test_a_cancel_without_an_order_id_is_never_sent(broker_order_id: str, connect: Connect) -> None:
    server, gateway = connect(always(http(207, [])))
    with pytest.raises(ValueError, match="UUID"):
        gateway.cancel(broker_order_id)
    assert server.requests == []


def test_abort_ends_the_request_in_flight_at_once(connect: Connect) -> None:
    server, gateway = connect(hang, limits=Limits(1, 5, 5))
    with within(0.4 + GRACE):
        threading.Timer(0.2, gateway.abort).start()
        with pytest.raises(OutcomeUnknown, match="aborted"):
            gateway.submit(order())
        threading.Timer(0.2, gateway.abort).start()
        with pytest.raises(BrokerUnreachable, match="aborted"):
            gateway.clock()
    assert len(server.requests) == 2
    gateway.abort()  # nothing in flight


def test_after_an_abort_the_next_request_works(connect: Connect) -> None:
    server, gateway = connect(lambda c, r: hang(c, r) if len(server.requests) == 1 else c.sendall(ACCEPTED))
    threading.Timer(0.1, gateway.abort).start()
    with pytest.raises(OutcomeUnknown):
        gateway.submit(order())
    assert isinstance(gateway.submit(order()), Accepted)


def test_a_closed_gateway_sends_nothing(connect: Connect) -> None:
    server, gateway = connect(always(ACCEPTED))
    gateway.close()
    gateway.close()
    with pytest.raises(BrokerUnreachable):
        gateway.submit(order())
    assert server.requests == []


@pytest.fixture
def loopback_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(__file__).with_name("loopback.pem"))
    return context


@pytest.mark.parametrize("what", ["header trickles", "body trickles", "body without length trickles", "hang"])
def test_the_limits_hold_under_tls(what: str, connect: Connect, loopback_tls: ssl.SSLContext) -> None:
    server, gateway = connect(AMBIGUOUS[what], tls=loopback_tls, limits=LIMITS)
    for client in gateway._clients:
        client._session.verify = str(Path(__file__).with_name("loopback.pem"))
    with within(LIMITS.total_s + GRACE), pytest.raises(OutcomeUnknown):
        gateway.submit(order())
    assert len(server.posts()) == 1


def test_an_unknown_certificate_is_refused_before_anything_is_sent(
    connect: Connect, loopback_tls: ssl.SSLContext
) -> None:
    server, gateway = connect(always(ACCEPTED), tls=loopback_tls)
    with pytest.raises(BrokerUnreachable):
        gateway.submit(order())
    assert server.requests == []


def test_a_tls_handshake_that_trickles_ends_in_time(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                for byte in b"\x16\x03\x03\x40\x00" + bytes(100):
                    try:
                        connection.sendall(bytes([byte]))
                    except OSError:
                        return
                    time.sleep(0.1)

        threading.Thread(target=drip, daemon=True).start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        gateway = AlpacaGateway(check_endpoint(url), "K", "S", SystemClock(), limits=LIMITS)
        with within(LIMITS.total_s + GRACE), pytest.raises(BrokerUnreachable):
            gateway.submit(order())
        gateway.close()


def test_proxies_of_the_environment_are_not_used(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    _, gateway = connect(always(ACCEPTED))
    assert isinstance(gateway.submit(order()), Accepted)


def test_a_loop_gone_wild_is_stopped_at_the_door(connect: Connect) -> None:
    server, gateway = connect(always(http(403, {"message": "no"})), max_posts_per_minute=3)
    for number in range(3):
        gateway.submit(order(client_order_id=f"g1-{number}"))
    with pytest.raises(HumanNeeded, match="3 orders left within one minute"):
        gateway.submit(order(client_order_id="g1-3"))
    assert len(server.posts()) == 3


def test_one_order_is_sent_five_times_at_most(connect: Connect) -> None:
    server, gateway = connect(always(http(504)))
    for _ in range(5):
        with pytest.raises(OutcomeUnknown):
            gateway.submit(order())
    with pytest.raises(HumanNeeded, match="5 times"):
        gateway.submit(order())
    assert len(server.posts()) == 5


@pytest.mark.parametrize("name", ["_one_request", "_request", "get", "post", "delete"])
def test_a_library_without_what_we_replace_is_refused_at_construction(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alpaca.common.rest import RESTClient

    monkeypatch.delattr(RESTClient, name)
    with pytest.raises(Stop, match=name):
        AlpacaGateway(check_endpoint("http://127.0.0.1:1"), "K", "S", SystemClock())


@pytest.mark.parametrize("name", ["_session", "_retry", "_retry_wait", "_retry_codes", "_base_url"])
def test_a_client_without_what_we_set_is_refused_at_construction(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from alpaca.common.rest import RESTClient

    built = RESTClient.__init__

    def without(self: RESTClient, *args: Any, **kwargs: Any) -> None:
        built(self, *args, **kwargs)
        delattr(self, name)

    monkeypatch.setattr(RESTClient, "__init__", without)
    with pytest.raises(Stop, match=name):
        AlpacaGateway(check_endpoint("http://127.0.0.1:1"), "K", "S", SystemClock())


def test_a_urllib3_without_the_place_for_our_connections_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from urllib3 import PoolManager

    built = PoolManager.__init__

    def without(self: PoolManager, *args: Any, **kwargs: Any) -> None:
        built(self, *args, **kwargs)
        del self.pool_classes_by_scheme

    monkeypatch.setattr(PoolManager, "__init__", without)
    with pytest.raises(Stop, match="pool_classes_by_scheme"):
        AlpacaGateway(check_endpoint("http://127.0.0.1:1"), "K", "S", SystemClock())


def test_live_or_missing_keys_are_refused_at_construction() -> None:
    paper = check_endpoint("https://paper-api.alpaca.markets")
    for key_id, secret in (("AK1", "S"), ("", "S"), ("PK1", "")):
        with pytest.raises(BrokerRefusesUs):
            AlpacaGateway(paper, key_id, secret, SystemClock())
