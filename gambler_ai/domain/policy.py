"""The switches of the restore policy: what recovery may do with what nobody explains (docs/RECOVERY_GUIDE.md)."""

from dataclasses import dataclass
from decimal import Decimal

from gambler_ai.domain.money import ZERO, amount
from gambler_ai.domain.orders import owner_slug

ORPHANS = ("close", "halt", "ask")
MISMATCH = ("halt", "adopt", "stop-all")
EXTERNALS = ("import", "ignore", "halt")  # or claim=<strategy>
FOREIGN = ("respect", "cancel", "ignore")
UNPROTECTED = ("hold", "flatten")
CLAIM = "claim="
MOST_TOLERANCE = Decimal("0.001")


@dataclass(frozen=True, slots=True)
class Policy:
    """`externals` is one of EXTERNALS, or `claim=<owner>`: that strategy owns shares nobody explains.

    `qty_tolerance` in shares: a confirmed difference up to it is booked as an adjustment. `strict` = one mismatch stops
    the account; `fail_fast` = a halt ends the session with 3 at once; `accept_recovered` lifts the R11 halts once.
    `no_protect` waives protection; `protect_external_pct` above 0 gives shares of no strategy a stop so many percent
    from their entry price; `unprotected` is what becomes of shares that have no exit for a minute.
    """

    orphans: str = "close"
    mismatch: str = "halt"
    externals: str = "import"
    foreign: str = "respect"
    qty_tolerance: Decimal = ZERO
    strict: bool = False
    fail_fast: bool = False
    accept_recovered: bool = False
    halt_on_insufficient: bool = False
    no_protect: bool = False
    protect_external_pct: Decimal = ZERO
    unprotected: str = "hold"

    @property
    def claimant(self) -> str | None:
        """The owner that claims external shares."""
        return self.externals.removeprefix(CLAIM) if self.externals.startswith(CLAIM) else None


def parse_externals(text: str) -> str:
    """`claim=sma_cross` becomes `claim=smacross`. Raises ValueError for anything the policy does not know."""
    if text.startswith(CLAIM):
        return CLAIM + owner_slug(text.removeprefix(CLAIM))
    return one_of(text, EXTERNALS)


def one_of(text: str, choices: tuple[str, ...]) -> str:
    if text not in choices:
        raise ValueError(text)
    return text


def parse_percent(text: str) -> Decimal:
    """From 0 to below 100. Raises ValueError."""
    percent = amount(text)
    if not 0 <= percent < 100:
        raise ValueError(text)
    return percent


def parse_tolerance(text: str) -> Decimal:
    """Shares from 0 to 0.001. Raises ValueError."""
    tolerance = amount(text)
    if not 0 <= tolerance <= MOST_TOLERANCE:
        raise ValueError(text)
    return tolerance
