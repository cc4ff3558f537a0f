"""A finished file against what is known of it: the checksum of a user, what was noted when it was finished."""

import hashlib
import os
from pathlib import Path

import pytest
import xxhash

from protocol.model.faults import PartFileFault, PartFileFaultKind
from storage.damaged_database import rename_damaged
from storage.digests import READ_BYTES, Checksum, date_name, date_slots, file_digest, range_digest
from storage.existing import digest_of, find_existing, read_origin, write_origin
from storage.verify import FinishedFile, verify, verify_finished
from tests.storage.parts import CHUNK, NAME, content, leave_part

DATA = content(9 * CHUNK + 5)
SHA = Checksum("sha256", hashlib.sha256(DATA).hexdigest())
XXH = xxhash.xxh3_128_hexdigest(DATA)
ORIGIN = "user.shoal.origin"


@pytest.fixture
def there(tmp_path: Path) -> Path:
    path = tmp_path / NAME
    path.write_bytes(DATA)
    return path


def note(path: Path, digest_hex: str = XXH, validators: list[bytes] | None = None) -> None:
    fd = os.open(path, os.O_RDWR)
    write_origin(fd, digest_hex, validators or [])
    os.close(fd)


def noted(path: Path) -> list[str] | None:
    with path.open("rb") as file:
        return read_origin(file.fileno())


def test_a_finished_file_is_compared_with_the_checksum_of_the_user(there: Path) -> None:
    assert verify_finished(str(there), SHA) == FinishedFile(str(there), len(DATA), str(SHA), str(SHA))
    other = Checksum("sha256", "0" * 64)
    assert verify_finished(str(there), other) == FinishedFile(str(there), len(DATA), str(other), str(SHA))


def test_without_a_checksum_it_is_compared_with_what_was_noted_when_it_was_finished(there: Path) -> None:
    assert verify_finished(str(there)) == FinishedFile(str(there), len(DATA), "", "")
    note(there)
    assert verify_finished(str(there)) == FinishedFile(str(there), len(DATA), f"xxh3_128:{XXH}", f"xxh3_128:{XXH}")
    changed = DATA[:-1] + b"?"
    there.write_bytes(changed)
    found = f"xxh3_128:{xxhash.xxh3_128_hexdigest(changed)}"
    assert verify_finished(str(there)) == FinishedFile(str(there), len(DATA), f"xxh3_128:{XXH}", found)


def test_what_is_no_finished_file_is_not_compared(tmp_path: Path) -> None:
    assert verify_finished(str(tmp_path / NAME)) is None
    (tmp_path / "folder").mkdir()
    assert verify_finished(str(tmp_path / "folder")) is None
    leave_part(tmp_path, DATA, [(0, 10)])
    for suffix in ("", ".part", ".part.records"):
        (tmp_path / NAME).write_bytes(DATA)
        assert verify_finished(str(tmp_path / NAME) + suffix, SHA) is None, "a download goes on beside it"


@pytest.mark.parametrize("removed", [".part", ""])
def test_a_part_file_without_records_is_no_part_file(tmp_path: Path, removed: str) -> None:
    leave_part(tmp_path, DATA, [(0, 10)])
    (tmp_path / f"{NAME}.part.records").unlink()
    with pytest.raises(PartFileFault, match="nothing says what should be in the file") as fault:
        verify(str(tmp_path / NAME) + removed)
    assert fault.value.kind is PartFileFaultKind.OTHER_JOB
    (tmp_path / f"{NAME}.part.records").write_bytes(b"")
    with pytest.raises(PartFileFault, match="no intact header"):
        verify(str(tmp_path / NAME) + removed)


@pytest.mark.parametrize("size", [0, 1, READ_BYTES, 2 * READ_BYTES + 1])
def test_a_file_has_one_digest_by_each_algorithm_however_it_is_spelled(tmp_path: Path, size: int) -> None:
    data = content(size)
    (tmp_path / "f").write_bytes(data)
    for name, spelled in (("sha256", "SHA-256"), ("md5", "md5"), ("sha3_256", "sha3-256"), ("blake2b", " blake2b ")):
        assert file_digest(str(tmp_path / "f"), spelled) == hashlib.new(name, data).hexdigest()
    assert file_digest(str(tmp_path / "f"), "xxh64") == xxhash.xxh64_hexdigest(data)
    with pytest.raises(ValueError, match="checksum algorithm 'crc99' is not known"):
        file_digest(str(tmp_path / "f"), "crc99")
    with (tmp_path / "f").open("rb") as file:
        for start, stop in ((0, size), (size // 2, size), (size // 3, size // 2)):
            assert range_digest(file.fileno(), start, stop, "sha1") == hashlib.sha1(data[start:stop]).digest()


def test_dates_a_minute_apart_may_be_those_of_one_file() -> None:
    assert date_name("http://a/f") == "http://a/f\nLast-Modified"
    assert date_slots("") == ()
    assert date_slots("yesterday") == ("date:yesterday",)
    own = [date_slots(f"Thu, 01 Jan 1970 00:{minute:02}:{second:02} GMT") for minute in range(6) for second in (0, 59)]
    assert own[0] == own[1] == ("date slot 0", "date slot -1", "date slot 1")
    for at, one in enumerate(own):
        for other_at, other in enumerate(own):
            assert (one[0] in other) is (abs(at // 2 - other_at // 2) <= 1)


@pytest.mark.parametrize("logs", [(), ("-wal",), ("-shm",), ("-wal", "-shm")])
def test_a_damaged_database_is_moved_aside_with_its_log_and_an_earlier_one_goes(
    tmp_path: Path, logs: tuple[str, ...]
) -> None:
    path = str(tmp_path / "db")
    (tmp_path / "db.damaged").write_bytes(b"earlier")
    for suffix in ("", *logs):
        Path(path + suffix).write_bytes(b"x" + suffix.encode())
    assert rename_damaged(path) == f"{path}.damaged"
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {
        f"db.damaged{suffix}": b"x" + suffix.encode() for suffix in ("", *logs)
    }
    with pytest.raises(FileNotFoundError):
        rename_damaged(path)


def test_of_its_validators_forty_are_noted_each_once(there: Path) -> None:
    digests = [bytes([each]) * 16 for each in range(41)]
    status = there.stat()
    note(there, XXH, [digests[0], *digests])
    assert noted(there) == [str(len(DATA)), str(status.st_mtime_ns), XXH, *(each.hex() for each in digests[:40])]
    note(there, "")
    assert noted(there) is not None, "without a digest nothing is noted, and nothing is forgotten"


@pytest.mark.parametrize(
    ("words", "believed"),
    [("1 {size} {time} digest", True), ("2 {size} {time} digest", False), ("1 {size} {time}", False), ("", False)],
)
def test_what_another_version_noted_is_not_believed(there: Path, words: str, believed: bool) -> None:
    status = there.stat()
    os.setxattr(there, ORIGIN, words.format(size=status.st_size, time=status.st_mtime_ns).encode())
    assert digest_of(str(there)) == ("digest" if believed else XXH)
    os.setxattr(there, ORIGIN, words.format(size=status.st_size + 1, time=status.st_mtime_ns).encode())
    assert digest_of(str(there)) == XXH, "another size was noted"


def found(folder: Path, policy: str, size: int = len(DATA), checksum: Checksum | None = None) -> str | None:
    there = find_existing(str(folder), NAME, policy=policy, size_bytes=size, checksum=checksum, validators=())
    return there.why if there is not None else None


def test_where_a_beginning_is_wanted_a_file_of_the_size_is_the_whole(there: Path) -> None:
    folder = there.parent
    assert found(folder, "resume") == "a file of this size is there"
    assert found(folder, "resume", -1) is None
    assert found(folder, "resume", len(DATA) + 1) is None
    assert found(folder, "auto") is None
    assert found(folder, "resume", checksum=SHA) == "its sha256 is the one wanted"
    assert found(folder, "resume", checksum=Checksum("sha256", "0" * 64)) is None
    (folder / f"{NAME}.part.records").touch()
    assert found(folder, "resume") is None, "a download goes on beside it"
    assert found(folder, "skip") == "a file of this name is there"


@pytest.mark.parametrize("policy", ["overwrite", "resume", "skip", "auto", "rename"])
def test_a_folder_is_never_overwritten_and_a_link_is_no_file(tmp_path: Path, policy: str) -> None:
    (tmp_path / NAME).mkdir()
    if policy in ("overwrite", "resume"):
        with pytest.raises(PartFileFault, match="is a folder: not overwritten") as fault:
            found(tmp_path, policy)
        assert fault.value.kind is PartFileFaultKind.BAD_NAME
    else:
        assert found(tmp_path, policy) is None
    (tmp_path / NAME).rmdir()
    (tmp_path / "other").write_bytes(DATA)
    (tmp_path / NAME).symlink_to("other")
    assert found(tmp_path, policy) is None
