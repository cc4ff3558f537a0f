"""One part file, any order of arrival: the same file, each chunk stored once, nothing left behind."""

import os
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.digests import digests_of
from storage.part_file import Spoiled
from tests.storage.parts import CHUNK, NAME, chunks, content, count, finish, opened, put

DATA = content(9 * CHUNK + 5)
N = count(DATA)

runs = st.tuples(st.integers(0, N - 1), st.integers(1, 4)).map(lambda run: (run[0], min(N, sum(run))))


@settings(max_examples=60, deadline=None)
@given(st.lists(runs, max_size=12), st.integers(0, 12))
def test_any_order_with_duplicates_and_a_restart_gives_the_same_file(
    script: list[tuple[int, int]], restart_at: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run, model = opened(folder, len(DATA)), set[int]()
        for at, (first, stop) in enumerate(script):
            if at == restart_at:
                run.part.close()
                run = opened(folder, len(DATA))
                assert chunks(run.verified) == model
            written = put(run.part, DATA, first, stop)
            asked = set(range(first, stop))
            assert {c for begin, end in written.stored for c in range(begin, end)} == asked - model
            assert {c for begin, end in written.repeated for c in range(begin, end)} == asked & model
            assert written.disputed == []
            model |= asked
            assert chunks(run.part.missing()) == set(range(N)) - model
        finish(run, DATA)
        assert os.listdir(folder) == [NAME]


def test_two_sources_that_disagree_are_reported_apart_and_the_first_stays(tmp_path: Path) -> None:
    target = opened(tmp_path, len(DATA)).part
    put(target, DATA, 2, 4, source=77)
    other = bytearray(DATA)
    other[3 * CHUNK] ^= 1
    written = put(target, bytes(other), 1, 6, source=88)
    assert written.stored == [(1, 2), (4, 6)]
    assert written.repeated == [(2, 3)]
    assert [each[:2] for each in written.disputed] == [(3, 77)]
    held = Path(target.part_path).read_bytes()
    assert held[CHUNK : 6 * CHUNK] == DATA[CHUNK : 6 * CHUNK]
    target.close()


def test_who_sent_a_chunk_is_known_after_a_restart(tmp_path: Path) -> None:
    target = opened(tmp_path, len(DATA)).part
    put(target, DATA, 0, 1, source=77)
    target.close()
    target = opened(tmp_path, len(DATA)).part
    assert put(target, bytes(len(DATA)), 0, 1).disputed[0][:2] == (0, 77)
    target.close()


def test_bytes_that_changed_on_their_way_are_not_written(tmp_path: Path) -> None:
    target = opened(tmp_path, len(DATA)).part
    good = memoryview(DATA)[: 2 * CHUNK]
    digests = digests_of(good, len(good), CHUNK)
    bad = bytearray(good)
    bad[CHUNK + 1] ^= 1
    with pytest.raises(Spoiled):
        target.write(0, memoryview(bad), digests, 1)
    assert target.missing().count == N
    assert Path(target.part_path).read_bytes() == bytes(len(DATA))
    target.close()


@pytest.mark.parametrize(
    ("first", "length"),
    [(0, CHUNK - 1), (0, CHUNK + 1), (N - 1, CHUNK), (N - 1, 4), (N, CHUNK), (N - 2, 2 * CHUNK), (-1, CHUNK), (0, 0)],
)
def test_lengths_that_fill_no_chunks_are_our_fault(tmp_path: Path, first: int, length: int) -> None:
    target = opened(tmp_path, len(DATA)).part
    view = memoryview(bytes(length))
    with pytest.raises(ValueError, match="chunk"):
        target.write(first, view, digests_of(view, length, CHUNK), 1)
    target.close()


def test_a_digest_too_few_is_our_fault(tmp_path: Path) -> None:
    target = opened(tmp_path, len(DATA)).part
    with pytest.raises(ValueError, match="digests"):
        target.write(0, memoryview(DATA)[: 2 * CHUNK], bytes(16), 1)
    target.close()


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1])
def test_small_files_are_files_too(tmp_path: Path, size: int) -> None:
    data = content(size)
    path = finish(opened(tmp_path, size), data)
    assert path == tmp_path / NAME
    assert os.listdir(tmp_path) == [NAME]


@pytest.mark.parametrize("size", [0, 1, 3 * CHUNK, 3 * CHUNK + 9])
def test_a_file_of_unknown_size_grows_until_its_end_is_known(tmp_path: Path, size: int) -> None:
    data = content(size)
    target = opened(tmp_path, -1).part
    assert target.size_bytes == -1
    for chunk in range(count(data)):
        put(target, data, chunk, chunk + 1)
    with pytest.raises(ValueError, match="unknown size"):
        target.missing()
    with pytest.raises(ValueError, match="not complete"):
        target.seal()
    target.learn_size(size)
    target.learn_size(size)
    assert not target.missing()
    assert Path(target.seal().path).read_bytes() == data
    target.close()


@pytest.mark.parametrize("size", [2 * CHUNK, 2 * CHUNK + 8, 2 * CHUNK + 10, 3 * CHUNK])
def test_a_learned_size_must_fit_what_is_stored(tmp_path: Path, size: int) -> None:
    target = opened(tmp_path, -1).part
    put(target, content(2 * CHUNK + 9), 0, 3)
    with pytest.raises(ValueError, match="do not fit"):
        target.learn_size(size)
    target.close()


def test_a_known_size_cannot_be_learned_again(tmp_path: Path) -> None:
    target = opened(tmp_path, len(DATA)).part
    with pytest.raises(ValueError, match="not 5"):
        target.learn_size(5)
    target.close()


def test_the_part_file_is_sparse_unless_room_is_asked_for(tmp_path: Path) -> None:
    size = 4 << 20
    sparse = opened(tmp_path, size, chunk=1 << 20, name="sparse").part
    full = opened(tmp_path, size, chunk=1 << 20, name="full", preallocate=True).part
    assert os.stat(sparse.part_path).st_size == os.stat(full.part_path).st_size == size
    assert os.stat(sparse.part_path).st_blocks * 512 < size
    assert os.stat(full.part_path).st_blocks * 512 >= size
    sparse.close()
    full.close()


def test_a_start_that_stored_nothing_leaves_no_litter(tmp_path: Path) -> None:
    target = opened(tmp_path, len(DATA)).part
    target.note("http://a/", "etag")
    assert len(os.listdir(tmp_path)) == 2
    target.close()
    target.close()
    assert os.listdir(tmp_path) == []


def test_a_part_file_of_an_earlier_run_stays_even_when_this_run_stored_nothing(tmp_path: Path) -> None:
    target = opened(tmp_path, len(DATA)).part
    put(target, DATA, 0, 1)
    target.close()
    opened(tmp_path, len(DATA)).part.close()
    assert sorted(os.listdir(tmp_path)) == [f"{NAME}.part", f"{NAME}.part.records"]


@pytest.mark.parametrize("sync", ["full", "none"])
def test_commits_run_beside_writing_and_end_with_close(tmp_path: Path, sync: str) -> None:
    fds, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    run = opened(tmp_path, len(DATA), sync=sync)
    for chunk in range(N):
        put(run.part, DATA, chunk, chunk + 1)
        run.part.commit()
    finish(run, DATA)
    run = opened(tmp_path, len(DATA), sync=sync)
    put(run.part, DATA, 0, 3)
    run.part.commit()
    run.part.close()
    opened(tmp_path, len(DATA), sync=sync, chunk=CHUNK // 2).part.close()
    assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/fd")) == fds


def test_a_span_of_a_chunk_is_compared_with_what_is_stored_and_never_written(tmp_path: Path) -> None:
    target = opened(tmp_path, len(DATA)).part
    put(target, DATA, 2, 4, source=77)

    def compare(chunk: int, at: int, data: bytes) -> bool | None:
        view = memoryview(data)
        return target.compare(chunk, at, view, digests_of(view, len(data), CHUNK), 88)

    held = Path(target.part_path).read_bytes()
    span = DATA[3 * CHUNK + 2 : 3 * CHUNK + 6]
    assert compare(3, 2, span) is True
    assert target.evidence.repeats[3] == {88}, "that outlives this run"
    assert compare(3, 3, span) is False
    assert compare(3, 2, span[:-1] + bytes([span[-1] ^ 1])) is False
    assert compare(4, 2, span) is None, "not stored"
    with pytest.raises(Spoiled):
        target.compare(3, 2, memoryview(span), digests_of(memoryview(span), 3, CHUNK), 88)
    assert Path(target.part_path).read_bytes() == held
    target.close()
