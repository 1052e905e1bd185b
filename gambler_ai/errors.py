"""Every error of ours, sorted by what the caller may do next.

    GamblerError                      exit 1
    ├── Retry                         nothing happened, the same call may be made again
    │   ├── BrokerUnreachable         no byte of the request left this machine, or it was a read
    │   ├── RateLimited               the broker asked us to wait
    │   └── DatabaseUnavailable       no connection, a lock held too long, a full disk
    ├── Ask                           it may have happened: look before you act
    │   └── OutcomeUnknown            a state-changing request whose answer was lost or made no sense
    └── Stop                          a human is needed
        ├── UsageError                exit 2: a flag, a symbol, a setting
        ├── HumanNeeded               exit 3: a halt, an unexplained difference
        ├── StrategyFailed            exit 1: a mistake in the user's strategy
        ├── AccountHeld               exit 4: another process trades this account
        ├── Fenced                    exit 4: another process took the account over from us
        ├── StoredStateUnsafe         exit 5: broken chain, corrupt file, wrong schema
        │   └── AlreadyStored         exit 5: a row with this key exists, or contradicts what is stored
        └── BrokerRefusesUs           exit 6: keys, endpoint, another account under this label
            └── AnotherAccount        exit 6: the keys suddenly open another account than the books'

The text of an error says what was wrong, where, and what to do next. It never holds a secret.
"""


class GamblerError(Exception):
    """Root of the tree. `exit_code` is what the command line ends with."""

    exit_code = 1


class Retry(GamblerError):
    """Nothing happened; the same call may be repeated."""


class Ask(GamblerError):
    """The effect is unknown; only a lookup at the broker may decide."""


class Stop(GamblerError):
    """Going on needs a person."""


class BrokerUnreachable(Retry):
    """The broker could not be reached, or a read failed: nothing was changed."""


class RateLimited(Retry):
    """The broker answered 429. `retry_after_s` is its wish in seconds, or None."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class DatabaseUnavailable(Retry):
    """The database did not answer in time, or refused to write."""


class OutcomeUnknown(Ask):
    """A request that changes state left, or may have left, and no conclusive answer came back."""


class UsageError(Stop):
    """A flag, symbol, path or setting is wrong."""

    exit_code = 2


class HumanNeeded(Stop):
    """A halt is active, or books and broker differ without evidence."""

    exit_code = 3


class StrategyFailed(Stop):
    """The strategy raised, or returned something that is no wish. The session stays as it is."""


class AccountHeld(Stop):
    """Another living process holds the lease of this account."""

    exit_code = 4


class Fenced(Stop):
    """Our lease token is no longer the current one: we must not write or send anything more."""

    exit_code = 4


class StoredStateUnsafe(Stop):
    """What is stored cannot be trusted or is not ours to use."""

    exit_code = 5


class AlreadyStored(StoredStateUnsafe):
    """The database refused a row because of one that is there; nothing of the transaction was written."""


class BrokerRefusesUs(Stop):
    """The broker, or our own endpoint guard, refuses these keys, this host or this account."""

    exit_code = 6


class AnotherAccount(BrokerRefusesUs):
    """The broker's account is not the one these books belong to; nothing may be concluded from its answers."""
