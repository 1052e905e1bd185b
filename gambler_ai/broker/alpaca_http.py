"""HTTP with limits under alpaca-py, which has none: a connect, a read and a total limit, no redirect, no repeat.

A read limit alone is defeated by an answer that trickles in byte by byte, so one watchdog thread shuts the socket of
the request in flight down when its total time is over. `shutdown` is made on a duplicate of the descriptor: it ends
the connection under TLS as well, in a handshake too, and needs no lock of the reading thread.
"""

import socket
import threading
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from gambler_ai.broker.alpaca_rest import AnswerLost, Reply
from gambler_ai.errors import BrokerUnreachable, Stop


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds. `total_s` covers a request from name resolution to its last byte, and a read with its repeats.
    Only a name server that hangs can hold a request longer: then nothing was sent."""

    connect_s: float = 3.0
    read_s: float = 10.0
    total_s: float = 15.0


class CutOff(ConnectionResetError):
    """We ended the request ourselves: its time was over, or somebody called abort."""


class Flight:
    """One request on its way: whether a byte of it may have left, and the handle to end it from another thread."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.sent = False
        self.cut: CutOff | None = None
        self._handle: socket.socket | None = None
        self._lock = threading.Lock()

    def hold(self, sock: socket.socket) -> None:
        """The request will use this connection; raises CutOff when it was ended before."""
        with self._lock:
            self._release()
            if self.cut is not None:
                raise self.cut
            self._handle = socket.fromfd(sock.fileno(), sock.family, sock.type)

    def leave(self) -> None:
        """Bytes are about to be written; raises CutOff when the request was ended before."""
        with self._lock:
            if self.cut is not None:
                raise self.cut
            self.sent = True

    def cut_off(self, why: str) -> None:
        with self._lock:
            self.cut = self.cut or CutOff(why)
            if self._handle is not None:
                try:
                    self._handle.shutdown(socket.SHUT_RDWR)
                except OSError:
                    return  # the other side was quicker

    def landed(self) -> None:
        with self._lock:
            self._release()

    def _release(self) -> None:
        if self._handle is not None:
            self._handle.close()
            self._handle = None


_in_flight: ContextVar[Flight] = ContextVar("_in_flight")


class _Watched(HTTPConnection):
    """A connection that tells the flight which socket it uses and when bytes leave."""

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        try:
            _in_flight.get().hold(sock)
        except CutOff:
            sock.close()
            raise
        return sock

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None:  # kept alive from an earlier request
            _in_flight.get().hold(self.sock)
        super().request(*args, **kwargs)

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        _in_flight.get().leave()
        super().send(data)


class _WatchedTls(_Watched, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Watched


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedTls


class LimitedAdapter(HTTPAdapter):
    """Mounted on the sessions of alpaca-py; requests' default of no repeats stays (Retry(0, read=False))."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        require(self.poolmanager, "pool_classes_by_scheme")
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}


class Wire:
    """Sends one request at a time, from one thread; `abort` and `close` may come from any."""

    def __init__(self, limits: Limits) -> None:
        require(HTTPConnection, "_new_conn", "request", "send", "connect")
        self.limits = limits
        self._deadline = 0.0
        self._flight: Flight | None = None
        self._wake = threading.Condition()
        self._watching_until: float | None = None  # None = the watchdog sleeps until it is woken
        self._closed = False
        threading.Thread(target=self._watch, name="http-watchdog", daemon=True).start()

    def equip(self, session: requests.Session) -> None:
        """Put limits on a session. It takes no proxy and no netrc from the environment: the endpoint guard
        checked where requests go, and nothing may send them elsewhere."""
        session.trust_env = False
        for scheme in ("http://", "https://"):
            session.mount(scheme, LimitedAdapter())

    def set_off(self) -> None:
        """The total time of a call begins now."""
        self._deadline = time.monotonic() + self.limits.total_s

    def ask(self, session: requests.Session, method: str, url: str, options: dict[str, Any]) -> Reply:
        """One request, one complete answer of any status.

        Raises BrokerUnreachable when certainly no byte left, AnswerLost when the request may have arrived.
        """
        flight = self._take_off()
        left = flight.deadline - time.monotonic()
        if left <= 0:
            raise BrokerUnreachable("the broker cannot be reached: no time is left for another try")
        token = _in_flight.set(flight)
        timeout = (min(self.limits.connect_s, left), min(self.limits.read_s, left))
        try:
            response = session.request(method, url, timeout=timeout, **options)
            body = response.content.decode()
            if flight.cut is not None:  # an answer without a length looks complete when its connection ends
                raise flight.cut
        except Exception as error:  # noqa: BLE001 - of any kind: what counts is only whether a byte may have left
            cause = flight.cut or _without_request(error)
            if flight.sent:
                raise AnswerLost(f"no complete answer came from {_origin(url)}: {_in_short(cause)}") from cause
            raise BrokerUnreachable(f"{_origin(url)} cannot be reached: {_in_short(cause)}") from cause
        finally:
            self._flight = None
            _in_flight.reset(token)
            flight.landed()
        return Reply(response.status_code, body, response.headers)

    def abort(self, why: str = "the request was aborted") -> None:
        """End the request in flight, and its repeats; without one nothing happens."""
        self._deadline = 0.0
        flight = self._flight
        if flight is not None:
            flight.cut_off(why)

    def close(self) -> None:
        """End the request in flight and the watchdog."""
        self.abort("the connection was closed")
        with self._wake:
            self._closed = True
            self._wake.notify()

    def _take_off(self) -> Flight:
        flight = Flight(self._deadline)
        with self._wake:
            if self._closed:
                raise BrokerUnreachable("the connection to the broker was closed")
            self._flight = flight
            if self._watching_until is None or self._watching_until > flight.deadline:
                self._wake.notify()
        return flight

    def _watch(self) -> None:
        with self._wake:
            while not self._closed:
                flight = self._flight
                if flight is None or flight.cut is not None:
                    self._watching_until = None
                    # An idle watchdog wakes with the next request; it sleeps on through the end of each one, so that
                    # a request costs no thread switch.
                    self._wake.wait()
                elif flight.deadline <= time.monotonic():
                    flight.cut_off(f"no complete answer within {self.limits.total_s:g} s")
                else:
                    self._watching_until = flight.deadline
                    self._wake.wait(flight.deadline - time.monotonic())


def require(owner: object, *names: str) -> None:
    """Raises Stop unless all attributes we rely on exist: without them the library would run without our limits."""
    missing = [name for name in names if not hasattr(owner, name)]
    if missing:
        kind = owner if isinstance(owner, type) else type(owner)
        raise Stop(
            f"{kind.__module__}.{kind.__qualname__} has no {', '.join(missing)}: this release cannot be held to our "
            "limits, so nothing is sent; install the versions of the lock file"
        )


def _without_request(error: Exception) -> Exception:
    """requests' errors carry the request, and with it the headers that hold the keys."""
    if isinstance(error, requests.RequestException):
        error.request = None
        error.response = None
    return error


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _in_short(error: BaseException) -> str:
    """What the operating system said, without the libraries' wrapping."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror:
            return seen.strerror
        reason = getattr(seen, "reason", None)
        inner = next((arg for arg in seen.args if isinstance(arg, BaseException)), None)
        seen = reason if isinstance(reason, BaseException) else inner or seen.__cause__ or seen.__context__
    return str(error)
