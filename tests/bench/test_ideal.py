"""The ideal that the wasted-time claim is measured against."""

from __future__ import annotations

from tests.bench.wasted_time import FAULTS, HONEST, given_bytes, shaped
from tests.http_mirrors.box import Character


def crowd(*characters: Character) -> list[Character]:
    return list(characters)


def test_honest_mirrors_give_the_sum_of_their_rates() -> None:
    assert given_bytes([mirror.character for mirror in shaped(HONEST)], 20.0) == 947_000_000


def test_mirrors_that_go_away_give_only_what_they_sent_before() -> None:
    stalling = Character(rate_bytes_s=1000, stall_after_bytes=5000)
    assert given_bytes(crowd(stalling), 3.0) == 3000
    assert given_bytes(crowd(stalling, Character(rate_bytes_s=1000, die_after_bytes=100)), 30.0) == 5100


def test_of_the_mirrors_that_can_only_begin_at_byte_0_the_fastest_counts_alone() -> None:
    assert given_bytes(crowd(Character(rate_bytes_s=30, ranges=False), Character(rate_bytes_s=20)), 2.0) == 100
    both = crowd(Character(rate_bytes_s=30, ranges=False), Character(rate_bytes_s=20, refuse_offsets=True))
    assert given_bytes(both, 2.0) == 60


def test_the_faulty_crowd_has_each_fault_of_the_claim_once() -> None:
    given = given_bytes([mirror.character for mirror in shaped(FAULTS)], 20.0)
    assert given == 20 * (20_000 + 10_000 + 3_000 + 1_000 + 50) * 1000 + 40_000_000 + 20_000_000
