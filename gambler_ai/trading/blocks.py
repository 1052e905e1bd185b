"""Why no new risk may be taken now: what the order desk asks before each entry, and what `gambler status` shows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gambler_ai.domain.blocks import block
from gambler_ai.trading.position_reconciler import HALTED, PositionReconciler
from gambler_ai.trading.state_manager import StateManager

EVERYTHING = "*"


@dataclass
class Blocks:
    """By symbol or "*". `degraded` are losses of this process: by name (broker, database, account, stream X) why."""

    state: StateManager
    reconciler: PositionReconciler
    unprotected: Callable[[], Mapping[str, str]] = dict
    degraded: dict[str, str] = field(default_factory=dict)
    _halted: dict[str, str] = field(default_factory=dict)

    def refresh(self) -> None:
        """Read the halts again; the send transaction reads them once more, so that none can slip through."""
        self._halted = {h.symbol or EVERYTHING: f"halted: {h.reason}" for h in self.state.records.active_halts()}

    @property
    def halted(self) -> bool:
        """Whether a halt, or the emergency-stop file, is in force, as far as we have read."""
        return bool(self._halted) or self.state.stop_file.reason() is not None

    def all(self) -> dict[str, str]:
        result = {**self.unprotected(), **self.reconciler.blocks(), **self._halted}
        if self.degraded:
            result[EVERYTHING] = "; ".join(self.degraded.values())
        reason = self.state.stop_file.reason()
        if reason is not None:
            result[EVERYTHING] = f"emergency stop: {reason}"
        return result

    def tell(self) -> None:
        """Let other processes know what only this one knows; durable, and written only when it changed."""
        waiting = (*self.reconciler.standing, *self.reconciler.pending)
        self.state.tell_blocks(
            [
                *(block(q.action.symbol, q.state, q.told) for q in waiting if q.state != HALTED),
                *(block(symbol, "unprotected", why) for symbol, why in self.unprotected().items()),
                *(block(EVERYTHING, name, why) for name, why in self.degraded.items()),
            ]
        )

    def forget_losses(self) -> None:
        """This process ends: what it had lost is nobody's loss any more."""
        self.degraded.clear()
