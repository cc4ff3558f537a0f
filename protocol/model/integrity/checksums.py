"""Names and strength of digest algorithms; checksum files in the forms of GNU, BSD, OpenSSL and Fedora.

A checksum is ``algorithm:hex`` in lower case with the algorithm's name as in `HEX_DIGITS`. Pure text work: the
caller reads the file. Errors are `ValueError` with one line for people.
"""

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Final

from protocol.model.limits import HEX_DIGITS
from protocol.model.printable import count_of, printable
from protocol.model.value import Struct, late_pattern

CHECKSUM_FILE_BYTES_MAX: Final = 8 << 20
LINES_MAX: Final = 200_000
STRENGTH: Final = ("xxh3_128", "md5", "sha1", "sha224", "blake2s", "sha256", "sha384", "blake2b", "sha512")
"""Algorithms, weakest first. Those below sha224 can be forged."""
STRONG: Final = frozenset(STRENGTH[3:])
_BY_DIGITS: Final = {32: "md5", 40: "sha1", 56: "sha224", 64: "sha256", 96: "sha384", 128: "sha512"}
_BSD: Final = late_pattern(r"(\\?)([A-Za-z0-9_/-]{2,20}) ?\((.*)\) ?= ?(\S+)")
_GNU: Final = late_pattern(r"(\\?)([0-9A-Fa-f]{32,128})(?: [ *]|\t+| )(.+)")
_BARE: Final = late_pattern(r"[0-9A-Fa-f]{32,128}")
_ESCAPES: Final = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}


def algorithm_of(name: str) -> str:
    """Return an algorithm's name as in `HEX_DIGITS`, from ``SHA-256``, ``SHA2-256`` and the like; empty: unknown."""
    plain = name.strip().lower().replace("-", "").replace("_", "").replace("/", "")
    plain = {"sha": "sha1", "blake2b512": "blake2b", "blake2s256": "blake2s", "xxh3128": "xxh3_128"}.get(plain, plain)
    plain = re.sub(r"^sha2(?=(224|256|384|512)$)", "sha", plain)  # not in sha224 itself: no digits are left there
    return plain if plain in HEX_DIGITS else ""


def checked_digest(algorithm: str, digest: str) -> str:
    """Return ``algorithm:hex`` of a digest in hexadecimal digits. Raises `ValueError`."""
    text = digest.strip().lower()
    if re.fullmatch("[0-9a-f]+", text) is None:
        raise ValueError(f"the {algorithm} digest is not a hexadecimal number")
    if len(text) != HEX_DIGITS[algorithm]:
        raise ValueError(f"the {algorithm} digest has {len(text)} hexadecimal digits, not {HEX_DIGITS[algorithm]}")
    return f"{algorithm}:{text}"


def from_base64(algorithm: str, text: str) -> str:
    """Return ``algorithm:hex`` of a digest in base64. Raises `ValueError`."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"the {algorithm} digest is not base64") from None
    return checked_digest(algorithm, raw.hex())


def strongest(checksums: Iterable[str]) -> str:
    """Return the checksum of the strongest algorithm; empty for none."""
    return max(checksums, key=lambda each: STRENGTH.index(each.partition(":")[0]), default="")


class ChecksumLine(Struct, frozen=True):
    """Line of a checksum file. `name`: a path as written, empty where the line has only a digest."""

    checksum: str
    name: str


def read_checksum_file(text: str, *, hint: str = "") -> list[ChecksumLine]:
    """Return the lines of a checksum file that hold a digest of a known algorithm.

    Comments, signatures around the lines and lines of other algorithms are skipped. `hint` is the file's own name: it
    tells BLAKE2 from SHA-2 where only the digits are given.
    """
    lines = text.removeprefix("\ufeff").split("\0" if "\0" in text else "\n")
    if len(lines) > LINES_MAX:
        raise ValueError(f"the checksum file has {len(lines)} lines, at most {LINES_MAX}")
    return [found for line in lines if (found := _line(line.rstrip("\r"), hint)) is not None]


def _line(line: str, hint: str) -> ChecksumLine | None:
    text = line.strip(" \t") if not line.startswith("\\") else line
    if matched := _BSD.fullmatch(text):
        escaped, kind, name, digest = matched.groups()
        algorithm = algorithm_of(kind)
        if not algorithm:
            return None
        hexadecimal = len(digest) == HEX_DIGITS[algorithm]
        checksum = checked_digest(algorithm, digest) if hexadecimal else from_base64(algorithm, digest)
        return ChecksumLine(checksum, _unescaped(name) if escaped else name)
    matched = _GNU.fullmatch(text)
    digest, name = (matched[2], matched[3]) if matched else (text, "")
    if matched is None and _BARE.fullmatch(text) is None:
        return None
    algorithm = _guessed(len(digest), hint)
    if not algorithm:
        return None
    escaped = bool(matched and matched[1])
    return ChecksumLine(f"{algorithm}:{digest.lower()}", _unescaped(name) if escaped else name)


def _unescaped(name: str) -> str:
    return re.sub(r"\\[\\nr]", lambda found: _ESCAPES[found[0]], name)


def _guessed(digits: int, hint: str) -> str:
    """The algorithm of a line that does not name it: by its digits, and by the checksum file's name."""
    named = hint.lower()
    if digits == HEX_DIGITS["blake2b"] and ("b2sum" in named or "blake2b" in named):
        return "blake2b"
    return "blake2s" if digits == HEX_DIGITS["blake2s"] and "blake2s" in named else _BY_DIGITS.get(digits, "")


def checksum_for(lines: list[ChecksumLine], names: Iterable[str], *, shown: str) -> str:
    """Return the strongest checksum for a file that may be called by any of `names`, the likeliest first.

    A whole path goes before a last part. `shown` names the checksum file. Raises `ValueError` where no line is for the
    file, or where lines of one algorithm differ.
    """
    wanted = [name for name in dict.fromkeys(names) if name]
    for form in (_whole, _last):
        for name in wanted:
            found = [line for line in lines if line.name and form(line.name) == form(name)]
            if found:
                return _agreed(found, name, shown)
    if lines and not any(line.name for line in lines):
        return _agreed(lines, wanted[0] if wanted else "the file", shown)
    if not lines:
        raise ValueError(f"{shown}: there is no digest of a known algorithm in it")
    files = count_of(len({line.name for line in lines}), "file")
    for_whom = " or ".join(printable(name) for name in wanted[:3])
    if not for_whom:
        raise ValueError(f"{shown}: has digests of {files}, and the file's name is not known: give -o NAME")
    raise ValueError(f"{shown}: has digests of {files}, none for {for_whom}")


def _agreed(found: list[ChecksumLine], name: str, shown: str) -> str:
    by_algorithm: dict[str, str] = {}
    for line in found:
        algorithm = line.checksum.partition(":")[0]
        if by_algorithm.setdefault(algorithm, line.checksum) != line.checksum:
            paths = sorted({each.name for each in found if each.name})
            which = f" ({', '.join(printable(path) for path in paths[:3])})" if len(paths) > 1 else ""
            raise ValueError(f"{shown}: has different {algorithm} digests for {printable(name)}{which}")
    return strongest(by_algorithm.values())


def _whole(name: str) -> str:
    return name.replace("\\", "/").removeprefix("./")


def _last(name: str) -> str:
    return _whole(name).rpartition("/")[2]
