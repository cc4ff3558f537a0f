"""Digests that sources name: which source is odd, and what the finished file is compared with."""

from actors.core.dispatch.identity.pieces import GOOD_PER_BAD_MIN, PieceSenders
from actors.core.dispatch.identity.repair import NamedDigests

ONE, TWO = f"sha256:{'1' * 64}", f"sha256:{'2' * 64}"
WEAK, OTHER_WEAK = f"md5:{'1' * 32}", f"md5:{'2' * 32}"
LONG = f"sha512:{'3' * 128}"
A, B, C = range(3)


def named(**digests: list[str]) -> NamedDigests:
    made = NamedDigests()
    for name, checksums in digests.items():
        made.take("abc".index(name), checksums)
    return made


def odd_of(
    made: NamedDigests, *, able: tuple[int, ...] = (A, B, C), wanted: str = "", anchor: int | None = None
) -> set[int]:
    found = made.odd(able, wanted, anchor=anchor, rank=lambda source: source)
    return set(found.losers) if found is not None else set()


def test_most_sources_decide_then_the_order_of_the_user() -> None:
    assert odd_of(named(a=[ONE], b=[TWO], c=[TWO])) == {A}
    assert odd_of(named(a=[ONE], b=[TWO])) == {B}
    assert odd_of(named(a=[ONE], b=[ONE])) == set()
    assert odd_of(named(a=[ONE])) == set()


def test_the_users_checksum_goes_before_all_sources_but_leaves_one() -> None:
    assert odd_of(named(a=[TWO], b=[TWO], c=[ONE]), wanted=ONE) == {A, B}
    assert odd_of(named(a=[TWO], b=[TWO]), wanted=ONE) == {A, B}, "the third says nothing and may be right"
    assert odd_of(named(a=[TWO], b=[TWO]), able=(A, B), wanted=ONE) == set(), "then the file itself is compared"
    assert odd_of(named(a=[ONE], b=[TWO]), wanted=LONG) == {B}


def test_the_orders_own_source_and_a_document_go_before_many() -> None:
    assert odd_of(named(a=[ONE], b=[TWO], c=[TWO]), anchor=A) == {B, C}
    made = named(a=[TWO], b=[TWO])
    made.take(C, [ONE], document=True)
    assert odd_of(made) == set(), "all of them odd: the file is compared instead"
    made = named(a=[TWO], b=[ONE])
    made.take(C, [ONE], document=True)
    assert odd_of(made) == {A}


def test_weak_digests_exclude_no_source() -> None:
    assert odd_of(named(a=[WEAK], b=[OTHER_WEAK])) == set()


def test_the_strongest_digest_that_is_not_disputed_is_compared() -> None:
    made = named(a=[ONE, WEAK], b=[LONG])
    made.compare({A, B})
    assert (made.compared, made.namer) == (LONG, B)
    made.compare({A})
    assert (made.compared, made.namer) == (ONE, A)
    made.compare({C})
    assert (made.compared, made.namer) == ("", -1)
    made = named(a=[ONE, WEAK], b=[TWO, WEAK])
    made.compare({A, B})
    assert made.compared == WEAK


def test_what_a_source_named_first_stays() -> None:
    made = named(a=[ONE])
    made.take(A, [TWO])
    made.compare({A})
    assert made.compared == ONE
    assert made.agreeing(A, (A, B)) == []
    made.take(B, [ONE])
    assert made.agreeing(A, (A, B)) == [B]


def test_a_sender_goes_when_too_few_of_its_pieces_are_good() -> None:
    senders = PieceSenders()
    assert not senders.bad(A, 0), "one may be the connection's fault"
    for _ in range(2 * GOOD_PER_BAD_MIN - 1):
        senders.good({A})
    assert senders.bad(A, 8)
    senders = PieceSenders()
    for _ in range(2 * GOOD_PER_BAD_MIN):
        senders.good({A})
    assert not senders.bad(A, 0)
    assert not senders.bad(A, 8)
    assert senders.bad(A, 8), "the same piece again"
