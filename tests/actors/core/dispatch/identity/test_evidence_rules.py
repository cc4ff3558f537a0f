"""Rules of the evidence to the letter: bounds of disputes, what is void when a contributor goes, words, the claim."""

from typing import Any

import pytest

from actors.core.dispatch.identity.evidence import (
    AUTHORITY,
    Dispute,
    Groups,
    Identity,
    Resolution,
    Standpoint,
    claim_of,
    shortfall,
    thinned,
)
from protocol.model.chunk_ranges import RangeSet
from protocol.model.identity import Claim

A, B, C, D, E, F = range(6)
ONE, OTHER, THIRD = b"1" * 16, b"2" * 16, b"3" * 16
NAMED = Standpoint(named_rank=lambda member: member, rate_bytes_s=lambda _member: 0.0)


def dispute_of(identity: Identity, answers: dict[int, bytes], *, chunk: int = 5, since_s: float = 0.0) -> Dispute:
    """A dispute in which these answered, in this order; the first one's answer is stored."""
    stored_by = next(iter(answers))
    for member, digest in list(answers.items())[1:]:
        identity.dispute(stored_by, answers[stored_by], member, digest, chunk, now_s=since_s)
    return identity.disputes[chunk]


def resolve(identity: Identity, dispute: Dispute, *, may_answer: tuple[int, ...] = (), now_s: float = 0.0) -> Any:
    return identity.resolve(dispute, NAMED, may_answer=may_answer, now_s=now_s)


# -- groups


def test_union_says_whether_two_sets_became_one() -> None:
    groups = Groups()
    assert groups.union(A, B)
    assert not groups.union(B, A)
    assert groups.union(C, D)
    assert groups.union(B, D)
    assert not groups.union(A, C)
    assert groups.members(C) == {A, B, C, D}
    assert groups.members(E) == {E}


# -- disputes


def test_five_answers_to_a_dispute_are_enough_whatever_more_there_may_be() -> None:
    identity = Identity()
    dispute = dispute_of(identity, {C: ONE, D: ONE, A: OTHER, B: OTHER})
    assert resolve(identity, dispute, may_answer=(F,)) is None
    dispute_of(identity, {C: ONE, E: THIRD})
    found = resolve(identity, dispute, may_answer=(F,))
    assert (found.losers, found.winners, found.votes) == ({C, D, E}, {A, B}, "2 against 3")
    assert not identity.disputes


@pytest.mark.parametrize(
    ("invited", "now_s", "decided"),
    [
        ({}, 21.9, False),
        ({}, 22.0, True),
        ({C}, 22.0, False),
        ({C}, 99.9, False),
        ({C}, 100.0, True),
        ({A}, 22.0, True),
    ],
)
def test_a_dispute_is_decided_after_12_s_or_90_s_where_a_users_turn_is_awaited(
    invited: set[int], now_s: float, decided: bool
) -> None:
    identity = Identity()
    dispute = dispute_of(identity, {A: ONE, B: OTHER}, since_s=10.0)
    dispute.invited |= set(invited)
    assert (resolve(identity, dispute, may_answer=(C,), now_s=now_s) is not None) is decided


def test_who_was_asked_and_has_not_answered_is_waited_for_though_it_may_not_be_asked_again() -> None:
    identity = Identity()
    dispute = dispute_of(identity, {A: ONE, B: OTHER})
    dispute.asked |= {A, C}
    assert resolve(identity, dispute) is None
    dispute.asked.remove(C)
    assert resolve(identity, dispute).losers == {B}


@pytest.mark.parametrize(
    ("invited", "waited_s", "asked"),
    [
        (0, 0.0, True),
        (1, 0.0, False),
        (1, 19.9, False),
        (1, 20.0, True),
        (1, 50.0, True),
        (2, 39.9, False),
        (2, 40.0, True),
    ],
)
def test_a_further_user_is_invited_every_20_s(invited: int, waited_s: float, asked: bool) -> None:
    dispute = Dispute(5, 100.0, invited=set(range(invited)))
    assert dispute.invites(F, 100.0 + waited_s) is asked


def test_of_answers_of_equal_weight_the_users_order_counts_then_the_rate_of_the_group() -> None:
    for ranks, rates, loser in (
        ({A: 3, B: 2}, {A: 9.0, B: 1.0}, A),
        ({A: 2, B: 3}, {A: 1.0, B: 9.0}, B),
        ({A: 2, B: 2}, {A: 1.0, B: 9.0}, A),
        ({A: 2, B: 2}, {A: 9.0, B: 1.0}, B),
    ):
        identity = Identity()
        standpoint = Standpoint(named_rank=ranks.__getitem__, rate_bytes_s=rates.__getitem__)
        found = identity.resolve(dispute_of(identity, {A: ONE, B: OTHER}), standpoint, may_answer=(), now_s=0.0)
        assert found is not None
        assert found.losers == {loser}


def test_a_group_in_which_both_answers_were_given_counts_for_neither() -> None:
    identity = Identity()
    identity.agree(A, B, 1)
    for other in (E, F):
        identity.agree(B, other, 2)
    dispute = dispute_of(identity, {A: ONE, B: OTHER, C: OTHER})
    found = resolve(identity, dispute)
    assert (found.losers, found.winners) == ({A}, {B, C}), "and it goes alone: the rest of its group agrees elsewhere"


def test_contributors_that_changed_their_answers_lose_and_where_all_did_none_is_right() -> None:
    identity = Identity()
    dispute = dispute_of(identity, {A: ONE, B: OTHER})
    identity.dispute(A, ONE, B, THIRD, 5, now_s=0.0)
    found = resolve(identity, dispute, may_answer=(C,))
    assert (found.losers, found.winners, found.votes) == ({B}, {A}, "answered differently when asked again")
    assert not identity.disputes
    dispute = dispute_of(identity, {A: ONE, B: OTHER})
    identity.dispute(A, THIRD, B, THIRD, 5, now_s=0.0)
    found = resolve(identity, dispute)
    assert (found.losers, found.winners) == ({A, B}, set())


def test_a_second_answer_that_is_the_first_one_changes_nothing() -> None:
    identity = Identity()
    dispute = dispute_of(identity, {A: ONE, B: OTHER})
    identity.dispute(A, ONE, B, OTHER, 5, now_s=0.0)
    assert dispute.changed == set()
    assert dispute.sides() == {ONE: [A], OTHER: [B]}
    assert (identity.checks_disagreed, identity.disputed_chunks) == (2, {5})


def test_the_authority_never_loses() -> None:
    identity = Identity(anchor=B)
    dispute = dispute_of(identity, {AUTHORITY: ONE, A: ONE, B: OTHER})
    assert resolve(identity, dispute).losers == {A}


@pytest.mark.parametrize(
    ("chunk", "why"),
    [(-1, "2 against 1"), (0, "overlap check of chunk 0, 2 against 1"), (7, "overlap check of chunk 7, 2 against 1")],
)
def test_what_showed_a_difference_is_said_with_its_chunk_where_there_is_one(chunk: int, why: str) -> None:
    assert Resolution(chunk, frozenset((A,)), frozenset((B,)), "2 against 1").why == why


# -- evidence


def test_a_contributor_agrees_with_another_one_only() -> None:
    identity = Identity()
    identity.agree(A, A, 3)
    identity.vouch(A, A)
    assert (identity.revision, identity.checks_agreed, identity.checks_of(A)) == (0, 0, 0)


def test_a_check_counts_for_both_and_once_for_each_pair_of_chunk_and_contributor() -> None:
    identity = Identity()
    identity.agree(A, B, 3, whole=False)
    identity.agree(A, C, 3)
    identity.agree(A, B, 7, whole=False)
    assert (identity.checks_agreed, identity.checks_of(A), identity.checks_of(B), identity.checks_of(C)) == (3, 2, 2, 1)
    assert identity.confirmed_chunks() == [3, 7]
    assert [identity.confirmed(chunk) for chunk in (3, 7, 8)] == [True, True, False]
    assert [identity.confirmed(chunk, whole=True) for chunk in (3, 7)] == [True, False]
    assert [identity.confirmed_by(C, chunk) for chunk in (3, 7)] == [True, False]
    assert [identity.compared_before(A, chunk) for chunk in (3, 4)] == [False, True]
    assert identity.revision == 3


def test_a_weaker_evidence_does_not_take_the_place_of_a_stronger_one() -> None:
    for kinds in (("frames", "overlap"), ("overlap", "frames")):
        identity = Identity()
        for kind in kinds:
            identity.agree(A, B, 1, kind=kind)
        assert identity.weakest([A, B]) == "frames"
        identity.vouch(A, B)
        assert identity.weakest([A, B]) == "frames"
    identity = Identity()
    identity.vouch(A, B)
    assert (identity.weakest([A, B]), identity.checks_agreed, identity.tied(A, B)) == ("overlap", 0, True)


def test_the_evidence_of_a_contributor_that_is_forgotten_is_void_and_that_of_others_stays() -> None:
    identity = Identity()
    identity.agree(A, B, 1)
    identity.agree(B, C, 2)
    identity.agree(A, C, 3)
    revision = identity.revision
    identity.forget(B)
    assert identity.revision == revision + 1
    assert [identity.tied(*pair) for pair in ((A, B), (B, C), (A, C))] == [False, False, True]
    assert identity.checks_of(B) == 0
    assert identity.confirmed_chunks() == [1, 2, 3], "others still hold what they confirmed"
    identity.forget(A)
    assert (identity.confirmed_chunks(), identity.confirmed(1, whole=True)) == ([2, 3], False)
    assert identity.weakest([A, C]) == "size"
    identity.forget(C)
    assert identity.confirmed_chunks() == []


def test_a_contributor_of_an_earlier_attempt_that_is_known_by_name_has_its_evidence() -> None:
    identity = Identity()
    identity.agree(-7, B, 1, kind="frames")
    identity.agree(A, B, 2)
    identity.agree(-7, A, 3)
    revision = identity.revision
    identity.rename(-9, D)
    assert identity.revision == revision, "nothing is known of that one"
    identity.rename(-7, A)
    assert identity.revision == revision + 1
    assert (identity.checks_of(A), identity.checks_of(-7)) == (3, 0)
    assert identity.tied(A, B)
    assert not identity.tied(-7, B)
    assert identity.weakest([A, B]) == "frames", "the stronger of both"


def test_an_exclusion_is_noted_with_what_was_sent_and_why() -> None:
    identity = Identity()
    identity.agree(A, B, 1)
    sent = {A: RangeSet([(0, 3), (5, 6)]), B: RangeSet()}
    assert identity.exclude([A, B], [C], sent=lambda members: sent[next(iter(members))], why="odd") == []
    assert identity.losses == {A: (4, "odd"), B: (0, "odd")}
    assert identity.excluded == {A: {C}, B: {C}}
    assert not identity.tied(A, B)
    identity.agree(A, C, 4)
    assert not identity.tied(A, C), "it is not tied again by what agrees later"
    assert identity.weakest([A, C]) == "size"


def test_an_excluded_contributor_comes_back_when_all_that_it_differed_from_are_excluded() -> None:
    identity = Identity()
    identity.exclude([A], [B, C])
    assert identity.exclude([B], [D]) == []
    assert identity.exclude([C], [D]) == [A]
    assert set(identity.excluded) == {B, C}
    identity.exclude([E], [])
    assert identity.exclude([F], [D]) == [], "one that differed from none stays out"


def test_where_bytes_do_not_fit_the_one_with_less_behind_it_loses() -> None:
    assert Identity().lighter(A, B, NAMED) == B
    assert Identity().lighter(B, A, NAMED) == B
    assert Identity(anchor=B).lighter(A, B, NAMED) == A
    level = Standpoint(named_rank=lambda _member: 0, rate_bytes_s=lambda _member: 0.0)
    assert Identity().lighter(A, B, level) == B, "of equals the second"


# -- the claim


def test_places_are_spread_and_none_is_left_out_of_few() -> None:
    assert thinned([4]) == (4,)
    assert thinned([]) == ()
    assert thinned([4, 5, 6]) == (4, 5, 6)
    assert thinned(list(range(400))) == tuple(range(0, 400, 2))


def test_each_number_of_a_claim() -> None:
    identity = Identity()
    identity.agree(A, B, 1)
    identity.agree(A, B, 9)
    identity.agree(B, C, 9)
    identity.dispute(A, ONE, D, OTHER, 4, now_s=0.0)
    identity.exclude([D], [A], sent=lambda _: RangeSet([(4, 6)]), why="odd")
    identity.exclude([E], [A])
    rows = ((0, 4, A), (4, 8, B), (8, 12, C))
    claim = claim_of(identity, rows, {D: "zoe", E: "ann", F: "bob"}, RangeSet([(4, 6), (8, 9)]), ("size", "no checks"))
    assert claim == Claim(
        kind="overlap",
        checks_agreed=3,
        checks_disagreed=1,
        groups=1,
        contributors=3,
        excluded_share=0.99,
        excluded=("ann", "bob", "zoe"),
        agreed_chunks=(1, 9),
        disagreed_chunks=(4,),
        freed_firsts=(4, 8),
        freed_stops=(6, 9),
        container="no checks",
        excluded_chunks=(0, 0, 2),
        excluded_why=("", "", "odd"),
    )


@pytest.mark.parametrize(
    ("agreed", "proven", "whole", "kind", "share"),
    [
        (0, 0, "size", "size", 1.0),
        (1, 0, "size", "overlap", 0.99),
        (2, 0, "size", "overlap", 0.9),
        (0, 7, "size", "size", 1.0),
        (0, 8, "size", "pieces", 0.0),
        (0, 8, "", "overlap", 1.0),
        (0, 0, "", "size", 1.0),
        (0, 0, "frames", "frames", 1.0),
        (1, 0, "decoded", "decoded", 0.0),
        (0, 0, "digest", "digest", 0.0),
    ],
)
def test_the_kind_of_a_claim_about_one_contributor(
    agreed: int, proven: int, whole: str, kind: str, share: float
) -> None:
    identity = Identity()
    for chunk in range(agreed):
        identity.agree(A, B, chunk)
    if proven:
        identity.proven_chunks.add(0, proven)
    claim = claim_of(identity, ((0, 8, A),), {}, RangeSet(), (whole, ""))
    assert (claim.kind, round(claim.excluded_share, 6)) == (kind, share)


def test_the_claim_about_nothing() -> None:
    claim = claim_of(Identity(), (), {}, RangeSet())
    assert (claim.kind, claim.contributors, claim.groups, claim.excluded_share) == ("size", 0, 0, 1.0)


def test_the_groups_of_a_claim_are_those_that_nothing_ties() -> None:
    identity = Identity()
    identity.agree(A, B, 1)
    claim = claim_of(identity, ((0, 4, A), (4, 8, B), (8, 12, C)), {}, RangeSet())
    assert (claim.kind, claim.groups, claim.contributors) == ("size", 2, 3)


@pytest.mark.parametrize(
    ("required", "kind", "words"),
    [
        ("", "size", ""),
        ("overlap", "overlap", ""),
        ("overlap", "frames", ""),
        (
            "overlap",
            "size",
            "overlap is required as evidence, there is size: no other source has confirmed any of it; one more source"
            " or a checksum would help",
        ),
        (
            "frames",
            "overlap",
            "frames is required as evidence, there is overlap: its own checks do not prove each place where two sources"
            " meet; a checksum would help",
        ),
        (
            "pieces",
            "frames",
            "pieces is required as evidence, there is frames: no hashes of all its pieces are known; a Metalink"
            " document that has them, or a checksum, would help",
        ),
        (
            "digest",
            "pieces",
            "digest is required as evidence, there is pieces: no digest of the whole file is known; a checksum, or a"
            " file of checksums, would help",
        ),
    ],
)
def test_what_is_lacking_is_said_with_what_would_help(required: str, kind: str, words: str) -> None:
    assert shortfall(required, Claim(kind=kind)) == words
