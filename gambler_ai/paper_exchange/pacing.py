"""Pacing: the market waits for its traders (design section 8).

An account that subscribes to bars owes a `GET /v2/clock` for every bar it was sent; while it owes, or while
it has no socket with bars, the market stands still. An account that unsubscribes is free.
"""

from collections.abc import Callable


class Pacing:
    """Who is followed, and who owes an answer. `changed` is called when the market may perhaps go on."""

    def __init__(self) -> None:
        self._sockets: dict[str, int] = {}
        self._owing: set[str] = set()
        self.changed: Callable[[], None] = lambda: None

    @property
    def begun(self) -> bool:
        """Whether any account follows the market."""
        return bool(self._sockets)

    def ready(self) -> bool:
        """Whether the market may step."""
        return not self._owing and all(count > 0 for count in self._sockets.values())

    def subscribed(self, account: str) -> None:
        """A socket of the account now gets bars. What was lost with an earlier socket is not owed."""
        self._sockets[account] = self._sockets.get(account, 0) + 1
        self._owing.discard(account)
        self.changed()

    def unsubscribed(self, account: str) -> None:
        """A socket gave its bars up by its own wish."""
        self.disconnected(account)
        if self._sockets.get(account) == 0:
            del self._sockets[account]
            self._owing.discard(account)
        self.changed()

    def disconnected(self, account: str) -> None:
        """A socket with bars is gone."""
        self._sockets[account] = max(0, self._sockets.get(account, 0) - 1)

    def sent(self, account: str) -> None:
        """A bar went to the account."""
        self._owing.add(account)

    def asked_clock(self, account: str) -> None:
        """The account has finished what it was sent."""
        if account in self._owing:
            self._owing.discard(account)
            self.changed()
