"""Pacing: the market waits for its traders (design section 8).

An account that subscribes to bars owes a `GET /v2/clock` for every bar it was sent; while it owes, or while
it has no socket with bars, the market stands still. An account that unsubscribes is free.
"""

from collections.abc import Callable, Set


class Pacing:
    """Who is followed, and who owes an answer. `changed` is called when the market may perhaps go on."""

    def __init__(self) -> None:
        self._sockets: dict[str, int] = {}
        self._owing: dict[str, int] = {}
        self._sent = 0
        self.changed: Callable[[], None] = lambda: None

    @property
    def begun(self) -> bool:
        """Whether any account follows the market."""
        return bool(self._sockets)

    @property
    def sent_so_far(self) -> int:
        """How many bars have gone out: what a request that comes in now can have seen."""
        return self._sent

    def ready(self) -> bool:
        """Whether the market may step."""
        return not self._owing and all(count > 0 for count in self._sockets.values())

    def subscribed(self, account: str) -> None:
        """A socket of the account now gets bars. What was lost with an earlier socket is not owed."""
        self._sockets[account] = self._sockets.get(account, 0) + 1
        self._owing.pop(account, None)
        self.changed()

    def unsubscribed(self, account: str) -> None:
        """A socket gave its bars up by its own wish."""
        self.disconnected(account)
        if self._sockets.get(account) == 0:
            self._forget(account)
        self.changed()

    def disconnected(self, account: str) -> None:
        """A socket with bars is gone."""
        if account in self._sockets:
            self._sockets[account] = max(0, self._sockets[account] - 1)

    def keep(self, accounts: Set[str]) -> None:
        """Only these accounts exist: whoever else was waited for never comes back."""
        for account in self._sockets.keys() - accounts:
            self._forget(account)
        self.changed()

    def sent(self, account: str) -> None:
        """A bar went to the account."""
        if account in self._sockets:
            self._sent += 1
            self._owing[account] = self._sent

    def asked_clock(self, account: str, seen: int) -> None:
        """The account has finished what it was sent, up to what was `sent_so_far` when its request came in."""
        if account in self._owing and self._owing[account] <= seen:
            del self._owing[account]
            self.changed()

    def _forget(self, account: str) -> None:
        del self._sockets[account]
        self._owing.pop(account, None)
