"""Evidence that sources have the same file: groups, disputes, and the sources that lose their place."""

import math
from itertools import pairwise

import pytest

from actors.core.dispatch.identity.evidence import (
    DISPUTE_S_MAX,
    INVITE_EVERY_S,
    Dispute,
    Identity,
    Resolution,
    Standpoint,
    excluded_share,
    thinned,
)
from protocol.model.identity import KINDS, PLACES_MAX

A, B, C, D = range(4)
EARLIER = -7
ONE, OTHER = b"1" * 16, b"2" * 16
NAMED = Standpoint(named_rank=lambda member: member, rate_bytes_s=lambda _member: 0.0)


def disputed(identity: Identity, stored_by: int, other: int, chunk: int = 5) -> None:
    identity.dispute(stored_by, ONE, other, OTHER, chunk, now_s=0.0)


def resolved(
    identity: Identity, *, may_answer: tuple[int, ...] = (), chunk: int = 5, now_s: float = 0.0
) -> Resolution | None:
    return identity.resolve(identity.disputes[chunk], NAMED, may_answer=may_answer, now_s=now_s)


@pytest.mark.parametrize(("checks", "share"), [(0, 1.0), (1, 0.99), (2, 0.9), (4, 0.684), (10, 0.369)])
def test_the_excluded_share_is_that_of_independent_checks(checks: int, share: float) -> None:
    assert math.isclose(excluded_share(checks), share, abs_tol=0.001)


def test_agreement_ties_over_others_and_disagreement_does_not() -> None:
    identity = Identity()
    identity.agree(A, B, 3)
    identity.agree(B, EARLIER, 9)
    assert identity.tied(A, EARLIER)
    assert not identity.tied(A, C)
    assert {each for each in (A, B, C, EARLIER) if identity.tied(A, each)} == {A, B, EARLIER}


def test_the_same_chunk_counts_once_as_a_check_of_a_source() -> None:
    identity = Identity()
    for _ in range(3):
        identity.agree(A, B, 3)
    assert (identity.checks_of(A), identity.checks_agreed) == (1, 1)


def test_a_third_answer_is_waited_for_where_there_may_be_one() -> None:
    identity = Identity()
    disputed(identity, A, B)
    assert resolved(identity, may_answer=(C,)) is None


def test_two_against_one_decides_in_any_order_of_storing() -> None:
    identity = Identity()
    disputed(identity, A, B)
    identity.dispute(A, ONE, C, OTHER, 5, now_s=0.1)
    outcome = resolved(identity)
    assert outcome is not None
    assert set(outcome.losers) == {A}
    assert set(outcome.winners) == {B, C}


def test_a_source_counts_with_all_that_are_tied_to_it() -> None:
    identity = Identity()
    identity.agree(B, C, 1)
    disputed(identity, A, B)
    outcome = resolved(identity, may_answer=(D,))
    assert outcome is not None
    assert outcome.losers == {A}


@pytest.mark.parametrize(("searching", "decided"), [(False, True), (True, False)])
def test_while_a_spoiled_digest_is_looked_into_ties_elsewhere_decide_nothing(searching: bool, decided: bool) -> None:
    """One of those that are tied sent what spoiled it: a third answer is asked for, and outweighs them."""
    identity = Identity()
    identity.agree(A, C, 1)
    disputed(identity, A, B)
    dispute = identity.disputes[5]
    outcome = identity.resolve(dispute, NAMED, may_answer=(D,), now_s=0.1, searching=searching)
    assert (outcome is not None) is decided
    if searching:
        identity.dispute(A, ONE, D, OTHER, 5, now_s=0.2)
        outcome = identity.resolve(dispute, NAMED, may_answer=(), now_s=0.2, searching=True)
        assert outcome is not None
        assert A in outcome.losers


def test_the_whole_group_of_the_loser_is_out() -> None:
    identity = Identity()
    identity.agree(A, B, 1)
    identity.agree(C, D, 8)
    disputed(identity, B, C)
    outcome = resolved(identity)
    assert outcome is not None
    assert outcome.losers == {C, D}, "a tie goes to the source that was named first"


def test_a_source_that_differs_in_one_place_only_is_out_alone() -> None:
    identity = Identity()
    for pair in ((A, B), (A, C)):
        identity.agree(*pair, 1)
    disputed(identity, A, C)
    identity.repeat(B, A, ONE, 5)
    outcome = resolved(identity)
    assert outcome is not None
    assert outcome.losers == {C}


def test_a_tie_is_decided_when_no_answer_came_for_long() -> None:
    identity = Identity()
    disputed(identity, B, A)
    assert resolved(identity, may_answer=(C,), now_s=DISPUTE_S_MAX - 1) is None
    outcome = resolved(identity, may_answer=(C,), now_s=DISPUTE_S_MAX)
    assert outcome is not None
    assert outcome.losers == {B}


def test_the_source_that_the_order_names_never_loses() -> None:
    identity = Identity(anchor=A)
    identity.agree(B, C, 1)
    disputed(identity, B, A)
    outcome = resolved(identity)
    assert outcome is not None
    assert outcome.losers == {B, C}


def test_a_source_that_changes_its_answer_has_lost() -> None:
    identity = Identity()
    disputed(identity, A, B)
    identity.dispute(A, ONE, A, b"3" * 16, 5, now_s=0.2)
    outcome = resolved(identity, may_answer=(C,))
    assert outcome is not None
    assert outcome.losers == {A}


def test_an_answer_that_comes_for_the_stored_digest_is_a_vote_for_it() -> None:
    identity = Identity()
    disputed(identity, A, B)
    identity.repeat(C, A, None, 5)
    outcome = resolved(identity)
    assert outcome is not None
    assert outcome.losers == {B}


def test_a_vote_without_a_digest_is_for_what_the_sender_of_the_stored_chunk_gave() -> None:
    identity = Identity()
    disputed(identity, A, B)
    identity.repeat(C, A, None, 5)
    assert identity.disputes[5].answers == {A: ONE, B: OTHER, C: ONE}


def test_who_differed_only_from_losers_may_be_used_again() -> None:
    identity = Identity()
    assert identity.exclude([B], [A]) == []
    assert identity.exclude([A], [C]) == [B]
    assert set(identity.excluded) == {A}


def test_an_excluded_source_ties_nothing() -> None:
    identity = Identity()
    identity.agree(A, B, 1)
    identity.agree(B, C, 2)
    identity.exclude([B], [A])
    assert not identity.tied(A, C)


def test_a_digest_that_an_excluded_source_names_too_ties_it_to_no_source() -> None:
    identity = Identity()
    identity.exclude({B}, {A})
    revision = identity.revision
    identity.vouch(A, B)
    assert not identity.tied(A, B)
    assert identity.revision == revision
    identity.vouch(A, C)
    assert identity.tied(A, C)


def test_the_weakest_kind_is_that_of_the_weakest_link_over_the_strongest_way() -> None:
    identity = Identity()
    identity.agree(A, B, 1, kind="frames")
    identity.agree(B, C, 2)
    assert (identity.weakest([A, B]), identity.weakest([A, B, C])) == ("frames", "overlap")
    identity.agree(A, C, 3, kind="frames")
    assert identity.weakest([A, B, C]) == "frames"


def test_equal_attributes_are_noted_and_tie_no_bytes() -> None:
    identity = Identity()
    identity.agree(A, B, 0, kind="attributes")
    assert not identity.tied(A, B)
    assert (identity.weakest([A, B]), identity.checks_agreed) == ("attributes", 0)
    assert identity.weakest([A, C]) == "size"


def test_of_two_answers_in_a_bad_piece_the_one_that_is_not_stored_is_tried_first() -> None:
    for doubted, loser in ((False, B), (True, A)):
        identity = Identity()
        if doubted:
            identity.doubted.add(6, 9)
        dispute = identity.dispute(A, b"a", B, b"b", 7, now_s=0.0)
        found = identity.resolve(dispute, NAMED, may_answer=(), now_s=1.0)
        assert found is not None
        assert found.losers == {loser}


def test_contributors_of_good_pieces_are_tied_and_stronger_than_more_others() -> None:
    identity = Identity()
    identity.prove(0, 4, [D])
    identity.prove(8, 12, [C])
    assert identity.proven(C)
    assert identity.tied(C, D)
    assert identity.weakest([C, D]) == "overlap", "some pieces of them are proven, not all bytes"
    identity.agree(A, B, 20)
    identity.agree(A, EARLIER, 21)
    disputed(identity, D, A, 20)
    outcome = resolved(identity, chunk=20)
    assert outcome is not None
    assert outcome.losers == {A, B, EARLIER}


def test_a_proven_chunk_decides_its_dispute_at_once() -> None:
    identity = Identity(anchor=B)
    identity.prove(4, 6, [A])
    disputed(identity, A, B)
    outcome = resolved(identity, may_answer=(C, D))
    assert outcome is not None
    assert outcome.losers == {B}


@pytest.mark.parametrize("count", [0, 1, PLACES_MAX - 1, PLACES_MAX, PLACES_MAX + 1, 3 * PLACES_MAX + 1])
def test_of_many_places_some_are_kept_that_are_spread_over_all(count: int) -> None:
    kept = thinned(list(range(count)))
    assert len(kept) == count if count <= PLACES_MAX else PLACES_MAX / 2 <= len(kept) <= PLACES_MAX
    gaps = {later - earlier for earlier, later in pairwise((*kept, count))}
    assert max(gaps, default=0) <= -(-count // PLACES_MAX)


def test_users_are_invited_to_a_dispute_one_after_the_other() -> None:
    dispute = Dispute(chunk=5, since_s=10.0)
    assert dispute.invites(A, 10.0)
    dispute.invited.add(A)
    assert dispute.invites(A, 10.0), "who is invited stays so"
    assert not dispute.invites(B, 10.0 + INVITE_EVERY_S / 2)
    assert dispute.invites(B, 10.0 + INVITE_EVERY_S)
    dispute.answers[A] = ONE
    assert dispute.invites(B, 10.0), "its answer is there"


def test_one_contributor_needs_no_tie_and_two_that_were_never_compared_have_none() -> None:
    identity = Identity()
    assert identity.weakest([A]) == identity.weakest([]) == KINDS[-1]
    assert identity.weakest([A, B]) == "size"
    identity.agree(A, B, 3, kind="frames")
    identity.agree(B, C, 3)
    assert [identity.weakest(each) for each in ([A, B], [A, B, C], [A, C])] == ["frames", "overlap", "overlap"]
