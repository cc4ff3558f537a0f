"""Digests agree with the libraries they come from; a user's checksum is read or refused in one clear line."""

import hashlib
import os
from pathlib import Path

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from storage.digests import (
    READ_BYTES,
    Checksum,
    FrontDigest,
    digests_of,
    source_hash,
    validator_digest,
    whole_digest,
)
from tests.storage.parts import content


@given(st.binary(max_size=300), st.integers(1, 100))
def test_digests_of_is_the_digest_of_every_chunk(data: bytes, chunk: int) -> None:
    whole = digests_of(memoryview(data + b"behind the end"), len(data), chunk)
    assert whole == b"".join(xxhash.xxh3_128_digest(data[at : at + chunk]) for at in range(0, len(data), chunk))


@pytest.mark.parametrize("size", [0, 1, READ_BYTES - 1, READ_BYTES, READ_BYTES + 1, 7 * READ_BYTES + 3])
@pytest.mark.parametrize("algorithm", ["", "sha256", "md5", "xxh3_128"])
def test_one_pass_gives_both_digests(tmp_path: Path, size: int, algorithm: str) -> None:
    data = content(size)
    path = tmp_path / "x"
    path.write_bytes(data)
    fast = xxhash.xxh3_128_hexdigest(data)
    checksum = Checksum(algorithm, "any") if algorithm else None
    fd = os.open(path, os.O_RDONLY)
    digest = whole_digest(fd, size, checksum)
    os.close(fd)
    assert digest.xxh3_hex == fast
    if algorithm in ("", "xxh3_128"):
        assert digest.checksum_hex == (algorithm and fast)
    else:
        assert digest.checksum_hex == hashlib.new(algorithm, data).hexdigest()


@pytest.mark.parametrize("algorithm", ["", "sha256"])
def test_a_file_that_ends_early_is_an_error(tmp_path: Path, algorithm: str) -> None:
    (tmp_path / "x").write_bytes(b"short")
    fd = os.open(tmp_path / "x", os.O_RDONLY)
    with pytest.raises(OSError, match="ends at 5 bytes"):
        whole_digest(fd, 6, Checksum(algorithm, "any") if algorithm else None)
    os.close(fd)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (f"sha256:{'aB' * 32}", "sha256"),
        (f" SHA-256 : {'ab' * 32} ", "sha256"),
        (f"sha-1:{'ab' * 20}", "sha1"),
        (f"sha3-256:{'ab' * 32}", "sha3_256"),
        (f"md5:{'ab' * 16}", "md5"),
        (f"blake2b:{'ab' * 64}", "blake2b"),
        (f"xxh3_128:{'ab' * 16}", "xxh3_128"),
        (f"sha512:{'ab' * 64}", "sha512"),
    ],
)
def test_checksums_people_write_are_read(text: str, name: str) -> None:
    checksum = Checksum.parse(text)
    assert checksum.algorithm == name
    assert set(checksum.hex) == {"a", "b"}
    assert Checksum.parse(str(checksum)) == checksum


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is not ALGORITHM:HEX"),
        ("ab" * 32, "is not ALGORITHM:HEX"),
        ("sha256:", "is not ALGORITHM:HEX"),
        (f"crc99:{'ab' * 4}", "is not known; known are blake2b"),
        ("sha256:xyz", "not hexadecimal"),
        ("sha256:abcd", "has 64 hexadecimal digits, not 4"),
        (f"md5:{'ab' * 32}", "has 32 hexadecimal digits, not 64"),
    ],
)
def test_checksums_that_cannot_be_are_refused_in_one_line(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as refusal:
        Checksum.parse(text)
    assert "\n" not in str(refusal.value)


@given(st.text())
def test_any_name_has_a_hash_that_fits_a_record(name: str) -> None:
    assert 0 < source_hash(name) < 1 << 32
    assert len(validator_digest(name)) == 16


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (0, 2, 1, 3), (1, 0, 3, 2), (2,), ()])
def test_a_digest_made_on_the_way_is_that_of_the_whole_file(tmp_path: Path, order: tuple[int, ...]) -> None:
    data, step = bytes(range(250)) * 40, 2_500
    path = tmp_path / "file"
    path.write_bytes(data)
    front = FrontDigest()
    for part in order:
        front.take(part * step, memoryview(data)[part * step : (part + 1) * step])
    with path.open("rb") as file:
        whole = whole_digest(file.fileno(), len(data)).xxh3_hex
        assert front.finished(file.fileno(), len(data)) == whole
        assert front.finished(file.fileno(), len(data)) == whole


def test_a_digest_made_on_the_way_of_a_file_that_is_too_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"short")
    with path.open("rb") as file, pytest.raises(OSError, match="ends at"):
        FrontDigest().finished(file.fileno(), 6)
