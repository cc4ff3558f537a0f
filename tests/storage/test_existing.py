"""A file that has the name already: when nothing is left to do, and when it is replaced or taken for the beginning."""

import os
from hashlib import sha256
from pathlib import Path

import pytest

from protocol.model.faults import PartFileFault, PartFileFaultKind
from storage.digests import Checksum, validator_digest, whole_digest
from storage.existing import digest_of, find_existing, read_mirrors, write_mirrors, write_origin
from storage.part_file import PartFile

CONTENT = bytes(range(256)) * 100
SIZE, CHUNK = len(CONTENT), 4096
SHA = "sha256:" + sha256(CONTENT).hexdigest()


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A finished file whose origin is known."""
    path = tmp_path / "f"
    path.write_bytes(CONTENT)
    fd = os.open(path, os.O_RDWR)
    write_origin(fd, whole_digest(fd, SIZE).xxh3_hex, [validator_digest('etag:"1"')])
    os.close(fd)
    return path


def why(folder: Path, *validators: str, policy: str = "auto", size: int = SIZE, checksum: str = "") -> str:
    wanted = Checksum.parse(checksum) if checksum else None
    found = find_existing(
        str(folder), "f", policy=policy, size_bytes=size, checksum=wanted, validators=validators
    )  # fmt: skip
    return found.why if found is not None else ""


def test_size_and_a_validator_of_its_sources_prove_a_file(there: Path) -> None:
    folder = there.parent
    assert why(folder, "date:x", 'etag:"1"') == "size and validator are those of the source"
    assert why(folder, 'etag:"2"') == "", "the source has another file now"
    assert why(folder) == "", "the source says nothing of its file"
    assert why(folder, 'etag:"1"', size=SIZE + 1) == ""
    assert why(folder, 'etag:"1"', policy="rename") == why(folder, 'etag:"1"', policy="overwrite") == ""


def test_a_file_that_was_touched_is_read_and_one_that_was_changed_is_another(there: Path) -> None:
    os.utime(there, ns=(1, 1))
    assert why(there.parent, 'etag:"1"')
    with there.open("r+b") as file:
        file.write(b"?")
    assert why(there.parent, 'etag:"1"') == ""


def test_the_noted_digest_of_a_file_of_the_same_size_and_time_is_believed_without_reading_it(there: Path) -> None:
    noted, status = digest_of(str(there)), there.stat()
    with there.open("r+b") as file:
        file.write(b"?")
    assert digest_of(str(there)) != noted
    os.utime(there, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert digest_of(str(there)) == noted


def test_a_file_counts_as_compared_only_where_its_checksum_was(there: Path) -> None:
    def compared(policy: str, checksum: str) -> bool:
        wanted = Checksum.parse(checksum)
        found = find_existing(str(there.parent), "f", policy=policy, size_bytes=-1, checksum=wanted, validators=())
        return found is not None and found.compared

    assert compared("auto", SHA)
    assert not compared("skip", SHA), "left because of its name, unread"
    assert not compared("skip", "sha256:" + "0" * 64)


def test_a_checksum_alone_decides_where_there_is_one(there: Path) -> None:
    os.removexattr(there, "user.shoal.origin")
    assert why(there.parent, 'etag:"1"') == ""
    assert why(there.parent, checksum=SHA) == why(there.parent, checksum=SHA, size=-1) == "its sha256 is the one wanted"
    assert why(there.parent, 'etag:"1"', checksum="sha256:" + "0" * 64) == ""


def test_any_file_is_left_where_that_is_wanted_and_no_folder_is_a_file(tmp_path: Path) -> None:
    assert why(tmp_path, policy="skip") == ""
    (tmp_path / "f").write_bytes(b"x")
    assert why(tmp_path, policy="skip") == "a file of this name is there"
    assert why(tmp_path, policy="resume", size=1) == "a file of this size is there"
    (tmp_path / "f").unlink()
    (tmp_path / "f").mkdir()
    assert why(tmp_path, policy="skip") == ""


def test_a_download_under_way_goes_on(there: Path) -> None:
    (there.parent / "f.part").write_bytes(b"")
    assert why(there.parent, 'etag:"1"') == ""


def opened(folder: Path, existing: str) -> PartFile:
    return PartFile.open(str(folder), "f", size_bytes=SIZE, chunk_size=CHUNK, existing=existing).part


def fill(part: PartFile) -> int:
    """Write what is missing; return the number of chunks."""
    from storage.digests import digests_of

    stored = {chunk for first, stop, _ in part.claims() for chunk in range(first, stop)}
    missing = [chunk for chunk in range(-(-SIZE // CHUNK)) if chunk not in stored]
    for chunk in missing:
        view = memoryview(CONTENT)[chunk * CHUNK : (chunk + 1) * CHUNK]
        part.write(chunk, view, digests_of(view, len(view), CHUNK), 7)
    return len(missing)


@pytest.mark.parametrize(
    ("existing", "names"), [("rename", ["f", "f (1)"]), ("auto", ["f", "f (1)"]), ("overwrite", ["f"])]
)
def test_another_file_of_the_name_stays_or_is_replaced_at_the_end(
    tmp_path: Path, existing: str, names: list[str]
) -> None:
    (tmp_path / "f").write_bytes(b"other")
    part = opened(tmp_path, existing)
    assert fill(part) == 7
    assert (tmp_path / "f").read_bytes() == b"other", "until the new one is complete"
    sealed = part.seal(None)
    part.close()
    assert sorted(os.listdir(tmp_path)) == names
    assert Path(sealed.path).read_bytes() == CONTENT
    assert sealed.path == str(tmp_path / names[-1])


def test_a_file_is_taken_for_the_beginning_and_replaced_by_the_whole(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(CONTENT[: 3 * CHUNK + 5])
    part = opened(tmp_path, "resume")
    assert fill(part) == 4
    part.seal(None)
    part.close()
    assert os.listdir(tmp_path) == ["f"]
    assert (tmp_path / "f").read_bytes() == CONTENT


def test_a_larger_file_is_no_beginning(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(CONTENT + b"x")
    with pytest.raises(PartFileFault) as caught:
        opened(tmp_path, "resume")
    assert caught.value.kind is PartFileFaultKind.OTHER_JOB
    assert (tmp_path / "f").read_bytes() == CONTENT + b"x"


def test_what_is_sealed_says_where_it_came_from(tmp_path: Path) -> None:
    part = opened(tmp_path, "auto")
    part.note("http://h/f", 'etag:"9"')
    fill(part)
    part.seal(None)
    part.close()
    assert why(tmp_path, 'etag:"9"')
    assert why(tmp_path, 'etag:"8"') == ""


NOTED_MAX = 2499
"""Characters of all noted addresses together with the ends of lines between them."""


@pytest.mark.parametrize(
    ("lengths", "kept"),
    [
        ([NOTED_MAX], [0]),
        ([NOTED_MAX + 1], []),
        ([NOTED_MAX + 1, 5], [1]),
        ([1000, NOTED_MAX - 1001], [0, 1]),
        ([1000, NOTED_MAX - 1000], [0]),
        ([1000, NOTED_MAX - 1000, 900, NOTED_MAX - 1902], [0, 2, 3]),
        ([1000, NOTED_MAX - 1000, 900, NOTED_MAX - 1901], [0, 2]),
    ],
)
def test_of_the_addresses_of_a_file_as_many_are_noted_as_fit(there: Path, lengths: list[int], kept: list[int]) -> None:
    urls = [str(number) * length for number, length in enumerate(lengths)]
    write_mirrors(str(there), ["http://\u00e9/", *urls, *urls])
    with there.open("rb") as file:
        assert read_mirrors(file.fileno()) == tuple(urls[each] for each in kept)
