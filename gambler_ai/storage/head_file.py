"""What was last known of a journal, kept outside its database: for writers, and for readers without SQLAlchemy."""

import json
from dataclasses import dataclass
from pathlib import Path

from gambler_ai.logs import get_logger

log = get_logger("opening")


@dataclass(frozen=True, slots=True)
class Head:
    """The chain's last row: its number and hash."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class HeadFile:
    """The chain's head kept outside the database, so that a cut tail or a rewritten chain shows. It speaks of one
    database only: for any other there is no known head, and the whole chain is verified."""

    data_dir: Path
    label: str
    database: str

    @property
    def path(self) -> Path:
        return self.data_dir / f"{self.label}.journal-head.json"

    def read(self, account_id: str | None) -> Head | None:
        """The head known of the account; None = of whichever account the label was bound to."""
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            about = (content["database"], content["account_id"])
            mine = (self.database, account_id or content["account_id"])
            return Head(content["seq"], content["hash"]) if about == mine else None
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("head_file.unreadable", path=str(self.path), error=str(error))
            return None

    def expect(self, account_id: str) -> None:
        """Books are about to be written into an empty database: empty, it stays refused; written, all of it is
        verified, for nobody knows its head yet."""
        self.write(account_id, Head(1, ""))

    def write(self, account_id: str, head: Head) -> None:
        """Replace the file in one step; a crash leaves the old or the new. A disk that refuses is only told: an older
        head costs time at the next start, nothing else."""
        temporary = self.path.with_suffix(".tmp")
        content = {"database": self.database, "account_id": account_id, "seq": head.seq, "hash": head.hash}
        try:
            temporary.write_text(json.dumps(content) + "\n", encoding="utf-8")
            temporary.replace(self.path)
        except OSError as error:
            log.warning("head_file.not_written", path=str(self.path), error=str(error))


def older_copy(ends_at: int, known: int) -> str:
    return (
        f"the journal ends at row {ends_at}, but row {known} was known: the database is an older copy of itself, and "
        "orders it does not know may be at the broker"
    )
