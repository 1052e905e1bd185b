"""What would it notice? Each rule that keeps the books right is taken out of the real code, and a seed must fail.

Seeds are tried from 0 upward until one fails; with the rule in place the same seeds keep every promise.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from gambler_ai.broker.gateway import Accepted, Refused
from gambler_ai.domain import fills, sightings
from gambler_ai.domain.book import Draft
from gambler_ai.domain.fills import Fill
from gambler_ai.domain.orders import Order, OrderStatus, step
from gambler_ai.domain.protection import Act, Step, _Symbol
from gambler_ai.simulation import run
from gambler_ai.storage.journal import Ledger
from gambler_ai.trading.order_desk import OrderDesk

MOST_SEEDS = 500
"""In fact the first to fail were seeds 0 (another id on a retry), 0 (no look-up after a 422), 0 (fills that add up), 3
(two transactions), 0 (no token) and 7 (exits placed too early), on 2026-11-21."""


def another_id_on_retry(patch: pytest.MonkeyPatch) -> None:
    from gambler_ai.broker.alpaca_rest import RestGateway

    submit = RestGateway.submit

    def mutant(self: RestGateway, order: Order) -> Accepted | Refused:
        again = order.attempts > 1
        return submit(self, replace(order, client_order_id=f"{order.client_order_id[:-1]}7") if again else order)

    patch.setattr(RestGateway, "submit", mutant)


def no_lookup_after_422(patch: pytest.MonkeyPatch) -> None:
    def mutant(self: OrderDesk, order: Order, answer: Refused) -> Order:
        error = f"{answer.http_status} {answer.code}: {answer.message}"
        return self._outcome(order, step(order, OrderStatus.REJECTED, self._clock.now(), error=error))

    patch.setattr(OrderDesk, "_refused", mutant)


def fills_that_add_up(patch: pytest.MonkeyPatch) -> None:
    def mutant(booked: Sequence[Fill], seen: Fill) -> list[Fill]:
        start = fills.covered(booked)
        return [replace(seen, cum_from=start, cum_to=start + seen.qty, execution_id=None)]

    patch.setattr(sightings, "uncovered_parts", mutant)


def fill_and_position_in_two_transactions(patch: pytest.MonkeyPatch) -> None:
    write = Ledger._write

    def mutant(self: Ledger, journal: Any, draft: Draft, facts: Any, head: Any, rows: Any, guard: Any) -> None:
        positions, draft.positions = draft.positions, {}
        write(self, journal, draft, facts, head, rows, guard)
        draft.positions = positions
        if positions:
            self.head = head
            later = Draft(self.book, self.account_id)
            later.positions, later.new_positions = positions, draft.new_positions
            write(self, [], later, (), head, (), None)

    patch.setattr(Ledger, "_write", mutant)


def no_token_check(patch: pytest.MonkeyPatch) -> None:
    def mutant(self: Ledger, cursor: Any, head: Any) -> None:
        cursor.execute("UPDATE accounts SET seq = ?, hash = ?", (head.seq, head.hash))

    patch.setattr(Ledger, "_lock", mutant)


def exits_placed_before_the_old_ones_are_final(patch: pytest.MonkeyPatch) -> None:
    of_position = _Symbol._of_position

    def mutant(self: _Symbol, position: Any) -> Step | None:
        asked = [o for o in self.exits[position.position_id] if o.cancel_asked_at is not None]
        self.exits[position.position_id] = [o for o in self.exits[position.position_id] if o not in asked]
        return of_position(self, position)

    patch.setattr(_Symbol, "_of_position", mutant)
    assert Act.PLACE  # what it does too early


MUTATIONS = [
    another_id_on_retry,
    no_lookup_after_422,
    fills_that_add_up,
    fill_and_position_in_two_transactions,
    no_token_check,
    exits_placed_before_the_old_ones_are_final,
]


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda mutate: mutate.__name__)
def test_a_rule_that_is_taken_out_is_missed(
    mutate: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutate(monkeypatch)
    failed = next((seed for seed in range(MOST_SEEDS) if not run(seed).ok), None)
    assert failed is not None, "not noticed"
    monkeypatch.undo()
    assert run(failed).ok
