"""Cut, flipped, foreign: whatever happens to the records, only what matches its bytes is believed."""

from pathlib import Path

import pytest

from storage.chunk_journal import (
    CHUNK_SIZE_MAX,
    HEADER_BYTES,
    RECORD_BYTES,
    START,
    Header,
    packed_record,
    read_journal,
)
from storage.layout import Layout
from storage.part_file import PartFile
from tests.storage.parts import CHUNK, NAME, chunks, content, count, finish, leave_part, opened, put

DATA = content(4 * CHUNK + 7)
ALL = set(range(count(DATA)))


@pytest.fixture
def part(tmp_path: Path) -> Path:
    """An interrupted run: everything stored, one note first."""
    target = opened(tmp_path, len(DATA)).part
    target.note("http://a/", "etag")
    put(target, DATA, 0, count(DATA))
    target.close()
    return tmp_path / f"{NAME}.part"


def records_of(part: Path) -> Path:
    return Path(f"{part}.records")


def overwrite(path: Path, data: bytes) -> None:
    """In place: emptying a file first makes some file systems flush it, which takes seconds over thousands of times."""
    with path.open("r+b") as file:
        file.write(data)
        file.truncate()


def with_flipped_bit(data: bytes, bit: int) -> bytes:
    flipped = bytearray(data)
    flipped[bit // 8] ^= 1 << bit % 8
    return bytes(flipped)


def reopened(part: Path) -> set[int]:
    """What a new run believes; every one of these chunks is right in the part file."""
    run = opened(part.parent, len(DATA))
    held = part.read_bytes()
    run.part.close()
    good = chunks(run.verified)
    assert all(held[c * CHUNK : (c + 1) * CHUNK] == DATA[c * CHUNK : (c + 1) * CHUNK] for c in good)
    return good


def test_a_whole_journal_brings_everything_back(part: Path) -> None:
    assert records_of(part).stat().st_size == START + RECORD_BYTES * (1 + len(ALL))
    assert reopened(part) == ALL


def test_cut_at_every_byte_only_the_chunks_cut_off_are_lost(part: Path) -> None:
    whole = records_of(part).read_bytes()
    for cut in range(len(whole)):
        overwrite(records_of(part), whole[:cut])
        overwrite(part, DATA)
        kept = max(0, (cut - START) // RECORD_BYTES - 1)
        assert reopened(part) == set(range(kept)), f"cut at {cut}"


def test_what_is_fetched_after_a_torn_tail_is_on_record_too(part: Path) -> None:
    whole = records_of(part).read_bytes()
    for cut in range(START, len(whole)):
        overwrite(records_of(part), whole[:cut])
        run = opened(part.parent, len(DATA))
        for first, stop in run.part.missing():
            put(run.part, DATA, first, stop)
        run.part.close()
        assert reopened(part) == ALL, f"cut at {cut}"


NINTHS = [0, *(pytest.param(each, marks=pytest.mark.long) for each in range(1, 9))]
"""Every ninth bit, from one of the first nine on: a bit of every byte, each time another one."""


@pytest.mark.parametrize("first", NINTHS)
def test_any_flipped_bit_of_the_records_loses_at_most_its_own_chunk(part: Path, first: int) -> None:
    whole = records_of(part).read_bytes()
    for bit in range(first, 8 * len(whole), 9):
        overwrite(records_of(part), with_flipped_bit(whole, bit))
        record = (bit // 8 - START) // RECORD_BYTES
        expected = ALL - {record - 1} if bit // 8 >= START else ALL
        assert reopened(part) == expected, f"bit {bit}"


@pytest.mark.parametrize("first", NINTHS)
def test_any_flipped_bit_of_the_part_file_loses_just_its_chunk(part: Path, first: int) -> None:
    for bit in range(first, 8 * len(DATA), 9):
        overwrite(part, with_flipped_bit(DATA, bit))
        assert reopened(part) == ALL - {bit // 8 // CHUNK}, f"bit {bit}"


def test_a_damaged_header_copy_is_repaired_so_the_other_may_go_next(part: Path) -> None:
    whole = records_of(part).read_bytes()
    for damaged in (0, HEADER_BYTES):
        broken = bytearray(records_of(part).read_bytes())
        broken[damaged : damaged + HEADER_BYTES] = bytes(HEADER_BYTES)
        records_of(part).write_bytes(broken)
        assert reopened(part) == ALL
        assert records_of(part).read_bytes() == whole


def test_both_header_copies_gone_means_starting_over_and_saying_so(part: Path) -> None:
    whole = records_of(part).read_bytes()
    records_of(part).write_bytes(bytes(START) + whole[START:])
    run = opened(part.parent, len(DATA))
    assert not run.verified
    assert "starting over" in run.message
    finish(run, DATA)


def test_records_of_another_journal_are_not_believed_even_when_they_would_match(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    leave_part(tmp_path / "a", DATA, [(0, 5)])
    leave_part(tmp_path / "b", DATA, [(0, 1)])
    mine, other = (records_of(tmp_path / folder / f"{NAME}.part") for folder in "ba")
    (tmp_path / "b" / f"{NAME}.part").write_bytes(DATA)
    mine.write_bytes(mine.read_bytes() + other.read_bytes()[START:])
    assert reopened(tmp_path / "b" / f"{NAME}.part") == {0}


def test_the_later_record_of_a_chunk_wins(part: Path) -> None:
    part.write_bytes(bytes(CHUNK) + DATA[CHUNK:])
    run = opened(part.parent, len(DATA))
    assert chunks(run.verified) == ALL - {0}
    put(run.part, DATA, 0, 1)
    run.part.close()
    assert records_of(part).stat().st_size == START + RECORD_BYTES * (2 + len(ALL))
    assert reopened(part) == ALL


def test_lost_data_under_good_records_is_fetched_again(part: Path) -> None:
    with part.open("r+b") as file:
        file.truncate(2 * CHUNK + 5)
    run = opened(part.parent, len(DATA))
    assert chunks(run.verified) == {0, 1}
    assert "3 damaged chunks will be fetched again" in run.message
    finish(run, DATA)


def test_records_without_a_part_file_promise_nothing(part: Path) -> None:
    part.unlink()
    run = opened(part.parent, len(DATA))
    assert not run.verified
    finish(run, DATA)


def test_notes_come_back_the_last_of_each_source(tmp_path: Path) -> None:
    from storage.digests import source_hash, validator_digest

    target = opened(tmp_path, len(DATA)).part
    for validator in ("old", "new", "new"):
        target.note("http://a/", validator)
    target.note("http://b/", "etag")
    put(target, DATA, 0, 1)
    target.close()
    run = opened(tmp_path, len(DATA))
    run.part.close()
    assert dict(run.notes) == {
        source_hash("http://a/"): validator_digest("new"),
        source_hash("http://b/"): validator_digest("etag"),
    }
    assert records_of(tmp_path / f"{NAME}.part").stat().st_size == START + 4 * RECORD_BYTES


def test_bytes_that_are_gone_are_not_taken_for_those_read_before_them(tmp_path: Path) -> None:
    chunk = 128 << 10
    data = content(1 << 20) * 3  # each read finds in its buffer what the next should have brought
    leave_part(tmp_path, data, [(0, 24)], chunk=chunk)
    with (tmp_path / f"{NAME}.part").open("r+b") as file:
        file.truncate((1 << 20) + 5)
    run = opened(tmp_path, len(data), chunk=chunk)
    assert chunks(run.verified) == set(range(8))
    run.part.close()


@pytest.mark.parametrize("length", [1, CHUNK - 1, CHUNK + 1, 2 * CHUNK])
@pytest.mark.parametrize("size", [len(DATA), -1])
def test_a_record_of_a_length_that_its_chunk_cannot_have_is_damage(tmp_path: Path, length: int, size: int) -> None:
    layout = Layout(size, CHUNK)
    header = Header(layout)
    good = packed_record(0, CHUNK, bytes(range(16)), 7, header.seed)
    odd = packed_record(1, length, bytes(range(16)), 7, header.seed)
    (tmp_path / "journal").write_bytes(header.packed() * 2 + good + odd)
    with (tmp_path / "journal").open("rb") as file:
        contents = read_journal(file.fileno(), "journal")
    believed = size == -1 and length < CHUNK  # of unknown size it may be the last one
    assert list(contents.index.ranges()) == [(0, 2 if believed else 1)]
    assert contents.damaged_records == (0 if believed else 1)
    assert contents.end_bytes == (CHUNK + length if believed else CHUNK)


@pytest.mark.parametrize("chunk", [count(DATA), 1 << 25, 1 << 31])
def test_a_record_beyond_the_file_is_damage(tmp_path: Path, chunk: int) -> None:
    header = Header(Layout(len(DATA), CHUNK))
    (tmp_path / "journal").write_bytes(
        header.packed() * 2 + packed_record(chunk, CHUNK, bytes(range(16)), 7, header.seed)
    )
    with (tmp_path / "journal").open("rb") as file:
        contents = read_journal(file.fileno(), "journal")
    assert (contents.index.ranges().count, contents.damaged_records) == (0, 1)


def test_a_record_without_a_digest_takes_back_its_chunk_and_a_later_one_brings_it_again(tmp_path: Path) -> None:
    header = Header(Layout(len(DATA), CHUNK))

    def record(chunk: int, digest: bytes) -> bytes:
        return packed_record(chunk, CHUNK, digest, 7, header.seed)

    held = [record(0, b"a" * 16), record(1, b"b" * 16), record(0, bytes(16)), record(count(DATA), bytes(16))]
    for more, expected in (([], {1}), ([record(0, b"c" * 16)], {0, 1})):
        (tmp_path / "journal").write_bytes(header.packed() * 2 + b"".join(held + more))
        with (tmp_path / "journal").open("rb") as file:
            contents = read_journal(file.fileno(), "journal")
        assert chunks(contents.index.ranges()) == expected
        assert contents.damaged_records == 1, "one lies beyond the file"


@pytest.mark.parametrize(("chunk_size", "readable"), [(1, True), (CHUNK_SIZE_MAX, True), (CHUNK_SIZE_MAX + 1, False)])
def test_a_header_with_an_absurd_chunk_size_is_no_header(tmp_path: Path, chunk_size: int, readable: bool) -> None:
    (tmp_path / "journal").write_bytes(Header(Layout(100, chunk_size)).packed() * 2)
    with (tmp_path / "journal").open("rb") as file:
        assert (read_journal(file.fileno(), "journal").header is not None) == readable


# Evidence about the sources.


def compared(folder: Path) -> PartFile:
    """Source 1 sent all, 2 chunks 0 and 3 again, 3 something else for chunk 1; 4 was taken back."""
    target = opened(folder, len(DATA)).part
    put(target, DATA, 0, count(DATA))
    put(target, DATA, 0, 1, source=2)
    put(target, DATA, 3, 4, source=2)
    put(target, DATA, 3, 4, source=1)
    put(target, content(len(DATA), seed=2), 1, 2, source=3)
    target.judge([3, 4])
    target.judge([], [4])
    return target


def test_what_sources_agreed_in_and_who_is_odd_is_there_after_any_end(tmp_path: Path) -> None:
    target = compared(tmp_path)
    before = target.evidence
    assert (before.repeats, before.excluded) == ({0: {2}, 3: {2}}, {3})
    target.abandon()
    again = opened(tmp_path, len(DATA)).part
    assert again.evidence == before
    again.close()


def test_it_stays_when_the_journal_is_written_again(tmp_path: Path) -> None:
    target = compared(tmp_path)
    Path(f"{target.part_path}.records").unlink()
    target.commit()
    target.abandon()
    again = opened(tmp_path, len(DATA)).part
    assert (again.evidence.repeats, again.evidence.excluded) == ({0: {2}, 3: {2}}, {3})
    again.close()


def test_agreement_in_bytes_that_are_there_no_more_says_nothing(tmp_path: Path) -> None:
    target = compared(tmp_path)
    target.drop([(3, 4, -1)])
    assert target.evidence.repeats == {0: {2}}
    target.close()
    with Path(target.part_path).open("r+b") as file:
        file.write(b"?" * CHUNK)
    again = opened(tmp_path, len(DATA)).part
    assert (again.evidence.repeats, again.evidence.excluded) == ({}, {3})
    put(again, DATA, 0, 1, source=2)
    put(again, content(len(DATA), seed=3), 3, 4, source=2)
    again.close()
    last = opened(tmp_path, len(DATA)).part
    assert last.evidence.repeats == {}, "the same chunks, of other content or of that very source"
    last.close()


def test_no_one_is_odd_beside_nothing(tmp_path: Path) -> None:
    target = compared(tmp_path)
    target.close()
    Path(target.part_path).write_bytes(bytes(len(DATA)))
    again = opened(tmp_path, len(DATA)).part
    assert again.evidence.excluded == set()
    again.close()
