"""Search hits of strangers become targets; nonsense does not."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.messages import SearchHit
from protocol.model.file_matches import CANDIDATES_MAX, FileMatches, base_name, candidates, extension_of, sensible


def hit(
    peer: str = "ann",
    path: str = "music\\A\\song.flac",
    *,
    size: int = 1000,
    free: bool = True,
    speed: int = 0,
    queue: int = 0,
    locked: bool = False,
) -> SearchHit:
    return SearchHit(
        search=1,
        peer=peer,
        path=path,
        size_bytes=size,
        slots_free=free,
        speed_bytes_s=speed,
        queue_length=queue,
        locked=locked,
    )


def test_the_same_size_and_extension_are_one_target_whatever_the_name() -> None:
    targets = FileMatches()
    for each in (hit("ann"), hit("bob", "x\\Song.FLAC"), hit("cid", "song.mp3"), hit("dan", size=1001)):
        assert targets.add(each)
    assert [(t.size_bytes, t.extension, sorted(t.hits)) for t in targets.best()] == [
        (1000, "flac", ["ann", "bob"]),
        (1001, "flac", ["dan"]),
        (1000, "mp3", ["cid"]),
    ]
    assert [t.size_bytes for t in targets.best(size_bytes=1001)] == [1001]


def test_a_peer_counts_once_for_a_target() -> None:
    targets = FileMatches()
    for path in ("a\\song.flac", "b\\song.flac"):
        targets.add(hit(path=path))
    assert len(targets.best()[0].hits) == 1


def test_those_who_would_send_soonest_come_first() -> None:
    targets = FileMatches()
    for each in (
        hit("queued", free=False, queue=3),
        hit("slow", speed=10),
        hit("fast", speed=1000),
        hit("long", free=False, queue=30, speed=9999),
    ):
        targets.add(each)
    assert [each.peer for each in targets.best()[0].ranked()] == ["fast", "slow", "queued", "long"]


def test_only_so_many_become_candidates_and_none_twice() -> None:
    targets = FileMatches()
    for number in range(50):
        targets.add(hit(f"peer{number:02}"))
    target = targets.best()[0]
    first = [each.peer for each in candidates(target, [])]
    assert len(first) == CANDIDATES_MAX
    rest = [each.peer for each in candidates(target, first, room=3)]
    assert len(rest) == 3
    assert not set(rest) & set(first)
    assert {each.peer for each in candidates(target, first[:15])}.isdisjoint(first[:15])


def test_nonsense_is_refused_and_counted() -> None:
    targets = FileMatches()
    bad = [
        hit(size=0),
        hit(size=2**64 - 1),
        hit(path="a\\b\x00.flac"),
        hit(path=""),
        hit(path="folder\\"),
        hit(path="x" * 5000),
        hit(peer=""),
        hit(peer="a\nb"),
        hit(queue=-1),
        hit(locked=True),
    ]
    assert not any(targets.add(each) for each in bad)
    assert targets.refused == len(bad)
    assert targets.best() == []


@given(st.text(max_size=30), st.text(max_size=60), st.integers(-(2**63), 2**63))
def test_whatever_strangers_send_is_sorted_or_refused(peer: str, path: str, size: int) -> None:
    targets = FileMatches()
    each = hit(peer, path, size=size)
    assert targets.add(each) == sensible(each)


@given(st.text(max_size=60))
def test_a_base_name_has_no_separator(path: str) -> None:
    assert not set(base_name(path)) & {"\\", "/"}
    assert "." not in extension_of(path)
