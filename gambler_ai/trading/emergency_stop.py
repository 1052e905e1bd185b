"""The emergency-stop file: the second place, beside the halts table, that can refuse new risk."""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class EmergencyStopFile:
    """`.<label>_emergency_stop` in the data directory. Readable or not: while it exists, new risk is refused."""

    path: Path

    @classmethod
    def of(cls, data_dir: Path, label: str) -> "EmergencyStopFile":
        return cls(data_dir / f".{label}_emergency_stop")

    def reason(self) -> str | None:
        """Why new risk is stopped, None when there is no file. An unreadable file stops too."""
        if not self.path.exists():
            return None
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            return str(content["reason"])
        except (OSError, ValueError, KeyError, TypeError):
            return f"{self.path} exists but cannot be read; remove it only after you know why it is there"
