"""Validation of the command line's words, and the options that commands are run with.

Raw words go in, a value comes out; anything wrong is one `BadUsage` line. Nothing is created and no address is tried
here: whether a folder can be written or a host exists shows later and has its own exit code.
"""

import os
import re
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from protocol.model.errors import BadUsage
from protocol.model.filenames import NAME_BYTES_MAX
from protocol.model.integrity.metalink import PIECE_BYTES_MAX, Pieces
from protocol.model.job_spec import JobSpec
from protocol.model.limits import (
    CHUNK_SIZE_MIN,
    HEX_DIGITS,
    MEMORY_LIMIT_MIN,
    PATH_BYTES_MAX,
    SOURCES_MAX,
    TERM_CHARS_MAX,
    TIMEOUT_S_MAX,
)
from protocol.model.printable import printable
from protocol.model.remote_paths import folder_of_url
from protocol.model.source_url import check_url, for_connections, is_slsk, public_url, same_url_key
from protocol.model.units import parse_chunk_size, parse_rate, parse_seconds, parse_size
from protocol.model.value import Struct

_STREAM: Final = re.compile(r"/dev/(?:stdout|stderr|fd/[0-9]+)|/proc/(?:self|[0-9]+)/fd/[0-9]+")

if TYPE_CHECKING:
    from protocol.config.settings import Account

DEMO_KINDS: Final = ("soulseek", "http")
MEMORY_LIMIT_BYTES: Final = 1 << 30
WAIT_S_MAX: Final = 120.0
TARGETS_SHOWN_MAX: Final = 2000
USER_FILE_BYTES_MAX: Final = 4 << 20
"""Longest file with logins or cookies: a device without end is none."""


class GetOptions(Struct, frozen=True, kw_only=True):
    """Options of a download, from `urls` or from the Soulseek users that a search for the term of `spec` finds.

    `account` is there when Soulseek is needed. A process of the program that has more memory of its own than
    `memory_limit_bytes` is replaced. The job is given up after `max_time_s`, 0: never. `on_complete` is a command
    for the sealed file. `copy_to`: where it is written when it is complete, ``-`` for stdout, else the path of a pipe
    or a device; empty: it stays where it is. `pieces`: what the parts of the file must hash to.
    `whole_folder`: all files of ``(user, remote folder)``, found by the term
    where `remote_folder` is None. `connections`: to each server; here `urls` has them already.
    """

    spec: JobSpec
    urls: tuple[str, ...] = ()
    json: bool = False
    quiet: bool = False
    verbose: bool = False
    memory_limit_bytes: int = MEMORY_LIMIT_BYTES
    max_time_s: float = 0.0
    on_complete: tuple[str, ...] = ()
    account: "Account | None" = None
    copy_to: str = ""
    pieces: Pieces | None = None
    whole_folder: bool = False
    remote_folder: tuple[str, str] | None = None
    connections: int = 1


class SearchOptions(Struct, frozen=True, kw_only=True):
    """Options of a search among Soulseek users; the first `targets_max` targets are shown."""

    term: str
    wait_s: float
    targets_max: int
    json: bool
    account: "Account | None"
    """None where a daemon searches."""
    interface: str = ""
    """That the session is bound to; empty: the account's."""


class DemoOptions(Struct, frozen=True, kw_only=True):
    """Options of the demonstration.

    `page`: with a daemon and its page instead of a download here. `fleet`: with three daemons and a bucket.
    """

    kind: str
    page: bool = False
    fleet: bool = False
    json: bool
    quiet: bool
    verbose: bool


class VerifyOptions(Struct, frozen=True, kw_only=True):
    """Options of the check of a part file or a finished file."""

    path: Path
    json: bool
    checksum: str = ""


class ExportOptions(Struct, frozen=True, kw_only=True):
    """Options of the description of a finished file.

    `mirrors`: its addresses, empty: those that were noted when it was downloaded. `piece_bytes` 0: by its size.
    `output`: where to, ``-`` for stdout, empty: beside the file. `manifest`: as JSON with the digest of each chunk and
    its sender: `ranges` are ``(start byte, stop byte, address of the sender)``, as far as they are known.
    """

    path: Path
    manifest: bool = False
    chunk_size: int = 0
    ranges: tuple[tuple[int, int, str], ...] = ()
    mirrors: tuple[str, ...] = ()
    piece_bytes: int = 0
    output: str = ""


class DaemonOptions(Struct, frozen=True, kw_only=True):
    """Options of the daemon.

    `config`: the file to read, empty: the first that is found. `show`: ``config`` or ``unit`` is to be printed and
    nothing run; empty else. `fleet`: addresses of brokers, with commas between them; empty: as configured.
    """

    config: str
    log_json: bool
    show: str
    version: str
    fleet: str = ""


def needs_soulseek(urls: Sequence[str]) -> bool:
    """Whether one of these addresses is a Soulseek user's file."""
    return any(is_slsk(url) for url in urls)


def checked_urls(words: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """``(addresses, notes)``: every address is usable and stands once; a note for each one dropped."""
    if not words:
        raise BadUsage("get needs at least one address, like http://host/file")
    kept: dict[tuple[str, ...], str] = {}
    notes: list[str] = []
    for word in words:
        try:
            check_url(word)
        except ValueError as error:
            raise BadUsage(str(error)) from None
        key = same_url_key(word)
        if key in kept:
            notes.append(f"given twice, used once: {public_url(word)}")
        kept.setdefault(key, word)
    urls = tuple(kept.values())
    if len(urls) > SOURCES_MAX:
        raise BadUsage(f"too many addresses: {len(urls)}, at most {SOURCES_MAX}")
    return urls, tuple(notes)


def checked_term(words: Sequence[str]) -> str:
    """Return the search term, from one quoted word of the shell or many."""
    term = " ".join(" ".join(words).split())
    if "://" in term:
        raise BadUsage("TERM is what to search for; to fetch an address, write: get URL")
    if not term:
        raise BadUsage("TERM is missing: the words to search for")
    if not term.isprintable():
        raise BadUsage("TERM: control characters in what is to be searched for")
    if len(term) > TERM_CHARS_MAX:
        raise BadUsage(f"TERM: longer than {TERM_CHARS_MAX} characters")
    return term


def checked_wanted_size(word: str) -> int:
    """Exact bytes; empty is any, -1."""
    if not word:
        return -1
    size = _amount("--size", word, rate=False)
    if size == 0:
        raise BadUsage("--size: an empty file needs no source")
    return size


def checked_wait(word: str) -> float:
    """Seconds that a search may take."""
    return _time("--wait", word, WAIT_S_MAX)


def checked_count(option: str, most: int, word: str) -> int:
    """A number from 1 to `most`."""
    if not (word.isascii() and word.isdigit() and len(word) < 10 and 0 < int(word) <= most):
        raise BadUsage(f"{option} {_shown(word)}: must be a number from 1 to {most}")
    return int(word)


def checked_option(option: str, check: Callable[[str], None], word: str) -> str:
    """The word, which `check` has not refused."""
    try:
        check(word)
    except ValueError as error:
        raise BadUsage(f"{option}: {error}") from None
    return word


def checked_file(option: str, word: str) -> str:
    """The absolute path of a file that can be read."""
    try:
        with open(os.open(word, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:  # a pipe would be waited for
            pipe = stat.S_ISFIFO(os.fstat(file.fileno()).st_mode)
            endless = not pipe and len(file.read(USER_FILE_BYTES_MAX + 1) or b"") > USER_FILE_BYTES_MAX
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no possible path"
        raise BadUsage(f"{option} {printable(word[:200])}: cannot be read: {why}") from None
    if pipe:
        raise BadUsage(f"{option} {printable(word[:200])}: is a pipe, and has to be read more than once")
    if endless:
        raise BadUsage(f"{option} {printable(word[:200])}: longer than {USER_FILE_BYTES_MAX >> 20} MiB")
    return os.path.abspath(word)


def netrc_file(named: str, *, required: bool) -> str:
    """Return the path of the file with logins, empty for none.

    ``~/.netrc`` is used where only its owner can read it and it can be understood; unless `required`, another one is
    left alone: other programs understand more. Raises `BadUsage`.
    """
    from netrc import NetrcParseError, netrc

    from protocol.config.paths import is_private

    path = named or os.path.join(os.path.expanduser("~"), ".netrc")
    try:
        private = is_private(os.stat(path))
        if not private and not named:
            if required:
                raise BadUsage(f"--netrc: others can read {printable(path)}: chmod 600 it")
            return ""
        try:
            checked_file("--netrc", path)
        except BadUsage:
            if required or named:
                raise
            return ""
        netrc(path)
    except OSError as error:
        if required or named:
            raise BadUsage(f"--netrc: {printable(path)} cannot be read: {error.strerror}") from None
        return ""
    except (NetrcParseError, UnicodeDecodeError) as error:
        line = getattr(error, "lineno", None)
        where = f" in line {line}" if line else ""
        if required or named:
            raise BadUsage(f"--netrc: {printable(path)} cannot be understood{where}") from None
        return ""
    return path


def folder_of(words: Sequence[str]) -> tuple[str, str] | None:
    """``(user, remote folder)`` of ``slsk://user/folder/``; None for other addresses. It goes with no other address."""
    try:
        found = [folder_of_url(word) for word in words]
    except ValueError as error:
        raise BadUsage(str(error)) from None
    if len(found) > 1 and any(found):
        raise BadUsage("a folder of a Soulseek user goes with no other address")
    return found[0] if found else None


def with_connections(urls: Sequence[str], count: int) -> tuple[str, ...]:
    """The addresses, those of HTTP servers `count` times. Raises `BadUsage`."""
    every = for_connections(urls, count)
    if len(every) > SOURCES_MAX:
        raise BadUsage(f"too many connections: {len(every)}, at most {SOURCES_MAX}")
    return every


def split_target(output: str | None) -> tuple[str, str]:
    """``(folder, name)`` of ``-o``: an existing folder or a path with a slash at its end is a folder."""
    if output is None or copy_target(output):
        return _working_folder(), ""
    _check_path("-o", output, controls_ok=True)
    if output.endswith("/") or os.path.isdir(output):
        return str(Path(_working_folder(), output)), ""
    folder, _, name = output.rpartition("/")
    if name in (".", ".."):
        raise BadUsage(f"-o {printable(output)}: there is no such folder")
    if len(name.encode()) > NAME_BYTES_MAX:
        raise BadUsage(f"-o: the name is longer than {NAME_BYTES_MAX} bytes, which its part file needs")
    folder = folder or ("/" if output.startswith("/") else "")
    return folder if folder.startswith("/") else str(Path(_working_folder(), folder)), name


def copy_target(output: str | None) -> str:
    """Return what a finished file is copied to: ``-`` for stdout, or a pipe, device, open file. Empty for others."""
    if not output or output == "-" or _STREAM.fullmatch(output):
        return output or ""
    try:
        mode = os.stat(output).st_mode
    except (OSError, ValueError):
        return ""
    return "" if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else output


def _working_folder() -> str:
    try:
        folder = os.getcwd()
        folder.encode()
    except OSError as error:
        raise BadUsage(f"the current folder is gone: {error.strerror}; go to another one") from None
    except UnicodeEncodeError:
        raise BadUsage("the path of the current folder is not UTF-8; go to another one") from None
    return folder


def checked_path(word: str) -> Path:
    """A path that can be."""
    _check_path("PATH", word)
    return Path(word)


def _check_path(what: str, word: str, *, controls_ok: bool = False) -> None:
    if not word:
        raise BadUsage(f"{what}: the path is empty")
    if not controls_ok and any(ord(char) < 0x20 or ord(char) == 0x7F for char in word):
        raise BadUsage(f"{what}: control characters in the path {word!a}")
    try:
        length = len(word.encode())
    except UnicodeEncodeError:
        raise BadUsage(f"{what}: the path is not UTF-8: {word!a}") from None
    if length > PATH_BYTES_MAX:
        raise BadUsage(f"{what}: the path is longer than {PATH_BYTES_MAX} bytes")


def checked_checksum(word: str) -> str:
    """``algorithm:hex`` in lower case, only its form is checked; empty stays empty (none wanted)."""
    if not word:
        return ""
    algorithm, colon, digest = word.strip().lower().partition(":")
    algorithm = algorithm if algorithm in HEX_DIGITS else algorithm.replace("-", "")  # SHA-256, as many pages have it
    if not colon or algorithm not in HEX_DIGITS:
        raise BadUsage(f"--checksum {_shown(word)}: write it as ALGORITHM:HEX with one of {', '.join(HEX_DIGITS)}")
    if re.fullmatch("[0-9a-f]*", digest) is None:
        raise BadUsage(f"--checksum: what follows {algorithm}: is not a hexadecimal number")
    if len(digest) != HEX_DIGITS[algorithm]:
        raise BadUsage(f"--checksum: {algorithm} has {HEX_DIGITS[algorithm]} hexadecimal digits, not {len(digest)}")
    return f"{algorithm}:{digest}"


def checked_chunk_size(word: str) -> int:
    """Bytes; 0: auto."""
    try:
        return parse_chunk_size(word)
    except ValueError as error:
        raise BadUsage(f"--chunk-size {error}") from None


def checked_piece_size(word: str) -> int:
    """Bytes of a piece, at least a chunk's least size."""
    size = _amount("--piece-size", word, rate=False)
    if not CHUNK_SIZE_MIN <= size <= PIECE_BYTES_MAX:
        raise BadUsage(f"--piece-size {_shown(word)}: must be from 4K to 1G")
    return size


def checked_mirrors(words: Sequence[str]) -> tuple[str, ...]:
    """Addresses of HTTP servers, without passwords in them."""
    urls, _ = checked_urls(words)
    if needs_soulseek(urls) or any(public_url(url) != url for url in urls):
        raise BadUsage("--mirror: an address that everyone may use, http:// or https://, without a password")
    return urls


def checked_memory(word: str) -> int:
    """Bytes. Far less than what a process needs to begin is a slip of the hand."""
    size = _amount("--memory-limit", word, rate=False)
    if size < MEMORY_LIMIT_MIN:
        raise BadUsage(f"--memory-limit {_shown(word)}: must be at least {MEMORY_LIMIT_MIN >> 20}M")
    return size


def checked_rate(option: str, word: str) -> int:
    """Bytes a second; 0 is a rate."""
    return _amount(option, word, rate=True)


def checked_seconds(option: str, word: str) -> float:
    """Seconds, at most a day."""
    return _time(option, word, 86400)


def checked_patience(word: str) -> float:
    """Seconds, at most a day, or 0."""
    return 0.0 if word.strip() in ("0", "0s") else _time("--patience", word, 86400)


def checked_timeout(option: str, word: str) -> float:
    """Seconds, at most two minutes: a process whose worker waits longer is taken for dead."""
    return _time(option, word, TIMEOUT_S_MAX)


def checked_word(option: str, known: Sequence[str], word: str) -> str:
    """One of the known words."""
    if word not in known:
        raise BadUsage(f"{option} {_shown(word)}: must be one of {', '.join(known)}")
    return word


def _time(option: str, word: str, most_s: float) -> float:
    try:
        return parse_seconds(word, least_s=0.1, most_s=most_s)
    except ValueError as error:
        raise BadUsage(f"{option}: {error}") from None


def _amount(option: str, word: str, *, rate: bool) -> int:
    try:
        return parse_rate(word) if rate else parse_size(word)
    except ValueError as error:
        raise BadUsage(f"{option}: {error}") from None


def _shown(word: str) -> str:
    """A wrong word as it may be shown: it could be an address with a password, put in the wrong place."""
    return repr(printable(public_url(word)[:80]))
