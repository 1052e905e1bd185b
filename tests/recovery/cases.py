"""The table: a story, the switches, and how `gambler reconcile` must end. Rows are those of the restore policy."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from gambler_ai.domain.policy import Policy


@dataclass(frozen=True)
class Case:
    """`rows` = policy rows of the plan in any order; `shares` = what the books hold afterwards by symbol and owner;
    `halts` = symbols, `*` for the account; `sent` = methods of requests that change the broker's state; `says` = a part
    of the printed screen."""

    row: str
    story: str
    rows: str = ""
    shares: str = ""
    code: int = 0
    halts: str = ""
    sent: str = ""
    says: str = ""
    differs: bool = False
    policy: Policy = field(default_factory=Policy)
    label: str = ""

    def __str__(self) -> str:
        return f"{self.row} {self.story} {self.label}".strip()


def switched(label: str, **switches: Any) -> dict[str, Any]:
    return {"policy": Policy(**switches), "label": label}


AGREE = "books and broker agree"
STRICT = switched("--strict", strict=True)
ADOPT = switched("--mismatch=adopt", mismatch="adopt")
STOP_ALL = switched("--mismatch=stop-all", mismatch="stop-all")
TOLERANT = switched("--qty-tolerance=0.001", qty_tolerance=Decimal("0.001"))
ORPHANS_HALT = switched("--orphans=halt", orphans="halt")
ORPHANS_ASK = switched("--orphans=ask", orphans="ask")
CLAIM = switched("--externals=claim=alpha", externals="claim=alpha")
IGNORE = switched("--externals=ignore", externals="ignore")
EXTERNALS_HALT = switched("--externals=halt", externals="halt")
ADOPT_LATER = switched("then --mismatch=adopt", mismatch="adopt")
ACCEPT = switched("--accept-recovered", accept_recovered=True)

CASES = [
    Case("R1", "", says=AGREE),
    Case("R2", "buy AAA", shares="AAA alpha 10", says=AGREE),
    Case("R2", "short AAA", shares="AAA alpha -10", says=AGREE),
    Case("R2", "rest AAA", "R13", says=AGREE),
    Case("R2", "hand buy BBB 4; reconciled; buy AAA", shares="AAA alpha 10, BBB EXTERNAL 4", says=AGREE),
    Case("R3", "protected AAA", shares="AAA alpha 10", says=AGREE),
    Case("R3", "protected AAA; cancelled AAA", "R3 R13 R13", "AAA alpha 10", sent="POST", says="place exit"),
    Case("R4", "missed AAA", "R4", "AAA alpha 10", says="book fills"),
    Case("R4", "buy AAA; hand buy AAA 5", "R4", "AAA EXTERNAL 5, AAA alpha 10", says="book foreign fills"),
    Case("R4", "buy AAA; hand sell AAA 4", "R4", "AAA alpha 6", says="book foreign fills"),
    Case("R4", "hand buy BBB 4", "R4", "BBB EXTERNAL 4", says="a trade made outside this program"),
    Case("R5", "buy AAA; sold AAA", "R5", says="closed while nobody looked"),
    Case("R5", "buy AAA; hand sell AAA 10", "R5", says="closed while nobody looked"),
    Case("R6", "buy AAA; theirs AAA 0", "R6", says="exit price unknown"),
    Case("R6", "short AAA; theirs AAA 0", "R6", says="exit price unknown"),
    Case("R6", "protected AAA; theirs AAA 0", "R6 R6 R13", sent="DELETE", says="close orphaned position"),
    Case("R6", "buy AAA; theirs AAA 0", "R6", "AAA alpha 10", 3, "AAA", differs=True, **ORPHANS_HALT),
    Case("R6", "buy AAA; theirs AAA 0", "R6", "AAA alpha 10", 3, differs=True, says="=ask leaves it", **ORPHANS_ASK),
    Case("R6", "buy AAA; forgotten AAA", "R6", "AAA alpha 10", 3, "*", differs=True, says="was reset"),
    Case("R7", "buy AAA; theirs AAA 7", "R7", "AAA alpha 10", 3, "AAA", differs=True, says="ours 10, broker 7"),
    Case("R7", "buy AAA; theirs AAA 14", "R7", "AAA alpha 10", 3, "AAA", differs=True),
    Case("R7", "buy AAA; theirs AAA 7", "R7", "AAA alpha 7", **ADOPT),
    Case("R7", "buy AAA; theirs AAA 14", "R7", "AAA EXTERNAL 4, AAA alpha 10", **ADOPT),
    Case("R7", "hand buy AAA 5; buy AAA; theirs AAA 12", "R7", "AAA EXTERNAL 2, AAA alpha 10", **ADOPT),
    Case("R7", "buy AAA; theirs AAA 7", "R7 R7", "AAA alpha 10", 3, "* AAA", differs=True, **STOP_ALL),
    Case("R7", "buy AAA; theirs AAA 7", "R7 R7", "AAA alpha 10", 3, "* AAA", differs=True, **STRICT),
    Case("R7", "buy AAA; buy BBB; theirs AAA 7; theirs BBB 7", "R7 R7 R7", "AAA alpha 10, BBB alpha 10", 3, "* AAA BBB",
         differs=True, says="20 %"),
    Case("R7", "buy AAA; theirs AAA 10.0009", "R7", "AAA EXTERNAL 0.0009, AAA alpha 10", **TOLERANT),
    Case("R7", "buy AAA; theirs AAA 9.999", "R7", "AAA alpha 9.999", **TOLERANT),
    Case("R7", "buy AAA; theirs AAA 9.998", "R7", "AAA alpha 10", 3, "AAA", differs=True, **TOLERANT),
    Case("R7", "buy AAA; theirs AAA 7; reconciled", "R7", "AAA alpha 10", 3, "AAA", differs=True, label="known"),
    Case("R7", "buy AAA; theirs AAA 7; reconciled", "R7", "AAA alpha 7", **ADOPT_LATER),
    Case("R8", "buy AAA; theirs AAA -10", "R8", "AAA alpha 10", 3, "AAA", differs=True, says="opposite signs"),
    Case("R8", "short AAA; theirs AAA 3", "R8", "AAA alpha -10", 3, "AAA", differs=True),
    Case("R8", "buy AAA; theirs AAA -10", "R8", "AAA alpha 10", 3, "AAA", differs=True, **ADOPT),
    Case("R9", "buy AAA; database lost", "R9", "AAA alpha 10", says="restore position"),
    Case("R9", "buy AAA 4; buy AAA 6; database lost", "R9", "AAA alpha 10"),
    Case("R9", "hand buy AAA 5; buy AAA; database lost", "R9", "AAA EXTERNAL 5, AAA alpha 10"),
    Case("R9", "buy AAA; theirs AAA 14; database lost", "R9", "AAA EXTERNAL 4, AAA alpha 10"),
    Case("R9", "buy AAA; theirs AAA 7; database lost", "R7", "", 3, "AAA", differs=True, says="explain more shares"),
    Case("R10", "theirs BBB 4", "R10", "BBB EXTERNAL 4", says="imported at the broker's average price"),
    Case("R10", "theirs BBB -4", "R10", "BBB EXTERNAL -4"),
    Case("R10", "theirs BBB 0.123456789", "R10", "BBB EXTERNAL 0.123456789"),
    Case("R10", "hand buy BBB 5; database lost", "R10", "BBB EXTERNAL 5"),
    Case("R10", "theirs BBB 4; reconciled; theirs BBB 6", "R10", "BBB EXTERNAL 6"),
    Case("R10", "theirs BBB 4", "R10", "BBB alpha 4", says="claimed for alpha", **CLAIM),
    Case("R10", "theirs BBB 4", "R10", "", 0, differs=True, says="ignored", **IGNORE),
    Case("R10", "theirs BBB 4", "R10", "", 3, "BBB", differs=True, **EXTERNALS_HALT),
    Case("R11", "unknown AAA", "R11", "", 3, "AAA", says="ids of our form"),
    Case("R11", "unknown AAA filled", "R11", "AAA beta 5", 3, "AAA"),
    Case("R11", "unknown AAA", "R11", **ACCEPT),
    Case("R11", "unknown AAA filled", "R11", "AAA beta 5", **ACCEPT),
    Case("R11", "rest AAA; database lost", "R11", "", 3, "AAA"),
    Case("R12", "stranger BBB", "R12", says="recorded, never traded"),
    Case("R12", "stranger BBB", "R12 R12 R13", sent="DELETE", **switched("--foreign=cancel", foreign="cancel")),
    Case("R12", "stranger BBB", "R12", **switched("--foreign=ignore", foreign="ignore")),
    Case("R13", "rest AAA; cancelled AAA", "R13", says="update order"),
    Case("R13", "lost after AAA; reconciled", says=AGREE),
    Case("R14", "lost before AAA", "R14", says="mark order absent", label="absent after the window"),
    Case("R14", "lost before AAA 9999", "R14", says="mark order absent", label="still wanted, but nothing is opened"),
    Case("R16", "buy AAA; split AAA 4", "R16", "AAA alpha 40", says="SPLIT"),
    Case("R16", "buy AAA; split AAA 0.5", "R16", "AAA alpha 5"),
    Case("R16", "buy AAA; renamed AAA BBB", "R16", "BBB alpha 10", says="into 10 BBB"),
    Case("R17", "poor; buy AAA", "", "AAA alpha 10", says=AGREE),
    Case("R17", "poor", "", "", 3, "*", **switched("halt_on_insufficient", halt_on_insufficient=True)),
    Case("moving", "moving BBB", "R12 R12 R12 R12 moving", "", 3, "BBB", says="kept changing"),
]  # fmt: skip
