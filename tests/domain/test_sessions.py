from itertools import product

import pytest

from gambler_ai.domain.sessions import SessionStatus, may_step

ALLOWED = {
    ("active", "stopped"),
    ("active", "crashed"),
    ("crashed", "active"),
    ("crashed", "stopped"),
    ("stopped", "active"),
}


@pytest.mark.parametrize(("before", "after"), list(product(SessionStatus, SessionStatus)))
def test_a_session_takes_exactly_the_allowed_steps(before: SessionStatus, after: SessionStatus) -> None:
    assert may_step(before, after) is ((before.value, after.value) in ALLOWED)
