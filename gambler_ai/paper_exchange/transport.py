"""The wire under the server: which TCP connection a request came on, and how to break it.

A fault must look like the real thing: a reset is a real RST, a cut answer ends in mid-body.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_transports: dict[tuple[str, int], asyncio.Transport] = {}


class KnownProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, with its transport remembered under the peer's address."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        if peer:
            _transports[peer[0], peer[1]] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.client:
            _transports.pop(self.client, None)


def forget(scope: Scope) -> None:
    """Drop what is known of an ended websocket."""
    _transports.pop(tuple(scope["client"]), None)


def reset(scope: Scope) -> None:
    """End the connection with an RST."""
    transport = _transports.get(tuple(scope["client"]))
    if transport is None:
        return
    raw = transport.get_extra_info("socket")
    if raw is not None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def reset_and_end(scope: Scope, receive: Receive) -> None:
    """`reset`, and wait until the server has noticed, so that it does not complain of a missing answer."""
    reset(scope)
    await gone(receive, 1)


def hang_up(scope: Scope) -> None:
    """Close the connection after what was written, whatever the answer had promised."""
    transport = _transports.get(tuple(scope["client"]))
    if transport is not None:
        transport.close()


async def gone(receive: Receive, seconds: float | None) -> None:
    """Wait until the client has left, at most `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            while (await receive())["type"] not in ("http.disconnect", "websocket.disconnect"):
                pass
    except TimeoutError:
        return


class Patience:
    """Waiting that the end of the server cuts short: nobody is left hanging by a process that goes."""

    def __init__(self) -> None:
        self._over = asyncio.Event()

    def end(self) -> None:
        """From now on nothing waits."""
        self._over.set()

    async def sleep(self, seconds: float) -> None:
        """Let so much time pass."""
        try:
            async with asyncio.timeout(seconds):
                await self._over.wait()
        except TimeoutError:
            return

    async def hang(self, receive: Receive, seconds: float | None) -> None:
        """Wait until the client has left, at most `seconds`."""
        waiting = [asyncio.ensure_future(one) for one in (gone(receive, seconds), self._over.wait())]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for one in waiting:
            one.cancel()
