"""Everything that can happen to a trader here, by the names under which it is counted."""

from collections.abc import Collection

from gambler_ai.simulation import disk, hand, network, nights, person, stream, traders, world

HAPPENINGS = frozenset(
    {
        *network.ON_CHANGES,
        *(network.spoilt(fault, endpoint) for fault in network.ON_READS for endpoint in network.READ),
        *(network.stale(endpoint) for endpoint in network.ENDPOINTS),
        *stream.ON_FRAMES,
        *disk.FAULTS,
        *world.CLOCK_JUMPS.values(),
        *traders.ACCIDENTS,
        *hand.ACTS,
        *person.ACTS,
        *nights.ACTS,
    }
)
"""Faults, accidents, and what people, companies and the night do."""


def never_seen(fired: Collection[str], died_at: Collection[str]) -> list[str]:
    """What did not happen, and where nobody died; empty when nothing is left out."""
    deaths = (f"death at {place}" for place in traders.PLACES if place not in died_at)
    return sorted([*HAPPENINGS.difference(fired), *deaths])
