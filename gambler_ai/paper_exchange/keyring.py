"""Whose key is it: key pairs, the accounts they open, and accounts that have ended."""

from hashlib import sha256
from hmac import compare_digest

from gambler_ai.paper_exchange import activities
from gambler_ai.paper_exchange.account import START_CASH, Account
from gambler_ai.paper_exchange.venue import Venue


class Keyring:
    """Any non-empty pair opens an account of its own, unless `allowed` lists the only keys with their secrets.

    The secret of a key is fixed at first use and kept as a hash.
    """

    def __init__(self, venue: Venue, allowed: dict[str, str] | None, dead: set[str]) -> None:
        self._venue = venue
        self.allowed = allowed
        self._by_key = {account.key: account for account in venue.accounts.values() if not account.closed}
        self.dead = dead

    def account(self, key: str, secret: str) -> Account | None:
        """The account of a pair, opened on first use; None when the pair is refused."""
        if not key or not secret or key in self.dead:
            return None
        if self.allowed is not None and self.allowed.get(key) != secret:
            return None
        account = self._by_key.get(key) or self._open(key, secret)
        return account if compare_digest(account.secret_hash, _hash(secret)) else None

    def retire(self, account: Account, keys_die: bool) -> None:
        """End an account; its key is dead, or opens a new account with a new id on next use."""
        for order in list(self._venue.book.alive(account.id)):
            if order.is_alive:
                self._venue.end(order, "canceled")
        account.closed = True
        self._venue.changes.accounts[account.id] = account
        self._by_key.pop(account.key, None)
        if keys_die:
            self.dead.add(account.key)

    def next_id(self, key: str) -> str | None:
        """The account a key without an open one will open; None for a dead key."""
        return None if key in self.dead else self._id(key)

    def _id(self, key: str) -> str:
        generation = sum(account.key == key for account in self._venue.accounts.values())
        return self._venue.ids.fixed_uuid("account", f"{key}:{generation}" if generation else key)

    def _open(self, key: str, secret: str) -> Account:
        venue = self._venue
        account_id = self._id(key)
        number = "PA3" + account_id.replace("-", "")[:9].upper()
        account = Account(account_id, key, _hash(secret), number, venue.now, multiplier=venue.switches.multiplier)
        venue.accounts[account_id] = account
        activities.journal(venue, account, START_CASH, "opening deposit")
        self._by_key[key] = account
        return account


def _hash(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()
