"""The emergency-stop file: the second place, beside the halts table, that can refuse new risk."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from gambler_ai.domain.market import iso
from gambler_ai.logs import get_logger

log = get_logger("halt")


@dataclass(frozen=True, slots=True)
class EmergencyStopFile:
    """`.<label>_emergency_stop` in the data directory. Readable or not: while it exists, new risk is refused."""

    path: Path

    @classmethod
    def of(cls, data_dir: Path, label: str) -> "EmergencyStopFile":
        return cls(data_dir / f".{label}_emergency_stop")

    def reason(self) -> str | None:
        """Why new risk is stopped, None when there is no file. An unreadable file stops too."""
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            return str(content["reason"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            return f"{self.path} exists but cannot be read; remove it only after you know why it is there"

    def write(self, account_id: str, reason: str, at: datetime, additional_data: Mapping[str, Any]) -> bool:
        """Stop new risk on the whole account, also with the database down; whether this call did. Synced before it
        counts; never replaced: the first reason is the one to look into. A disk that refuses is only told: the halts
        table stops too."""
        if self.reason() is not None:
            return False
        content = {
            "timestamp": iso(at),
            "account": account_id,
            "symbol": None,
            "reason": reason,
            "additional_data": dict(additional_data),
        }
        temporary = self.path.with_name(self.path.name + ".tmp")
        try:
            with temporary.open("w", encoding="utf-8") as handle:
                handle.write(json.dumps(content) + "\n")
                handle.flush()
                os.fsync(handle.fileno())
            temporary.replace(self.path)
            _sync(self.path.parent)
        except OSError as error:
            log.error("emergency_stop.not_written", path=str(self.path), error=str(error))
            return False
        return True

    def remove(self) -> bool:
        """Whether there was one."""
        existed = self.path.exists()
        self.path.unlink(missing_ok=True)
        return existed


def _sync(folder: Path) -> None:
    """A new name is on the disk only when its directory is."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
