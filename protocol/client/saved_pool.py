"""Saved pool: files that a search found or the user named, with their sources, kept between commands.

It lies in the user's state folder as ``pool.json``, whichever daemon is asked next; the daemon itself stores no search.
A target is one exact size, extension and name, as everywhere. Sources added by hand outlive a new search.
"""

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from protocol.config.paths import state_folder
from protocol.model.file_matches import extension_of, name_key
from protocol.model.filenames import base_name
from protocol.model.source_url import is_slsk, name_from_url, same_url_key, slsk_address, slsk_url

FILE: Final = "pool.json"
VERSION: Final = 1
TARGETS_MAX: Final = 1000
SOURCES_MAX: Final = 256
"""Of one target, and of one order."""


class BadPool(Exception):  # noqa: N818
    """The file cannot be read or written. The text is one line for people."""


class PoolSource(msgspec.Struct, frozen=True, kw_only=True):
    """One source of a target. `url` as in an order; of a mirror nothing else is known. `by_hand`: added by the user."""

    url: str
    free: bool = True
    queue: int = 0
    speed_bytes_s: int = 0
    by_hand: bool = False


class PoolTarget(msgspec.Struct, frozen=True, kw_only=True):
    """One file. `sources`: the soonest to send first, those added by hand last."""

    size_bytes: int
    name: str
    sources: tuple[PoolSource, ...]
    sureness: str = "single"
    """Why the users' files count as one, as the search said."""

    @property
    def extension(self) -> str:
        return extension_of(self.name)

    @property
    def free(self) -> int:
        return sum(source.free for source in self.sources)

    @property
    def speed_bytes_s(self) -> int:
        return sum(source.speed_bytes_s for source in self.sources)

    @property
    def shortest_queue(self) -> int:
        return min((source.queue for source in self.sources), default=0)


class Pool(msgspec.Struct, frozen=True, kw_only=True):
    """All targets, those with most sources first. `term`: the last search, empty: none."""

    version: int = VERSION
    term: str = ""
    targets: tuple[PoolTarget, ...] = ()

    def of_size(self, size_bytes: int) -> list[PoolTarget]:
        return [target for target in self.targets if target.size_bytes == size_bytes]

    def refreshed(self, term: str, found: Iterable[Mapping[str, Any]]) -> "Pool":
        """Return the pool with these results of a search instead of earlier ones."""
        targets = [_target(match) for match in found]
        for kept in self.targets:
            if by_hand := tuple(source for source in kept.sources if source.by_hand):
                targets = _joined(targets, replace(kept, sources=by_hand))
        return Pool(term=term, targets=_ranked(targets))

    def with_source(self, url: str, *, size_bytes: int, name: str) -> "Pool":
        """Return the pool with one more source. `name` empty: as the address calls it."""
        source = PoolSource(url=url, by_hand=True)
        target = PoolTarget(size_bytes=size_bytes, name=name or name_of(url), sources=(source,))
        return replace(self, targets=_ranked(_joined(list(self.targets), target)))


def name_of(url: str) -> str:
    """Return the file's name in this address; empty when it has none."""
    return base_name(slsk_address(url)[1]) if is_slsk(url) else (name_from_url(url) or "")


def source_of(url: str) -> dict[str, str]:
    """Return an address as a member of an order."""
    if not is_slsk(url):
        return {"url": url}
    username, path = slsk_address(url)
    return {"username": username, "fullPath": path}


def load(environ: Mapping[str, str]) -> Pool:
    """Return the saved pool, empty when there is none. Raises `BadPool`."""
    path = pool_file(environ)
    try:
        pool = msgspec.json.decode(path.read_bytes(), type=Pool)
    except FileNotFoundError:
        return Pool()
    except OSError as error:
        raise BadPool(f"the pool {path} cannot be read: {error.strerror}") from None
    except ValueError:
        pool = Pool(version=0)
    if pool.version != VERSION:
        raise BadPool(f"the pool {path} is not one of this version; start over: pool clear")
    return pool


def save(pool: Pool, environ: Mapping[str, str]) -> None:
    """Replace the file atomically, readable by its owner only, as addresses may have passwords. Raises `BadPool`."""
    path = pool_file(environ)
    new = path.with_name(f"{FILE}.{os.getpid()}.new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(msgspec.json.encode(pool))
        os.replace(new, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            new.unlink()
        raise BadPool(f"the pool {path} cannot be written: {error.strerror}") from None


def pool_file(environ: Mapping[str, str]) -> Path:
    """Return the path of the saved pool."""
    return Path(state_folder(environ), FILE)


def _target(match: Mapping[str, Any]) -> PoolTarget:
    sources = tuple(
        PoolSource(
            url=slsk_url(holder["username"], holder["fullPath"]),
            free=holder["slotsFree"],
            queue=holder["queueLength"],
            speed_bytes_s=holder["speedBytesS"],
        )
        for holder in match["sources"][:SOURCES_MAX]
    )
    return PoolTarget(size_bytes=match["size"], name=match["name"], sources=sources, sureness=match["sureness"])


def _joined(targets: list[PoolTarget], by_hand: PoolTarget) -> list[PoolTarget]:
    """Return the targets with sources added by hand.

    At the target of that size, as a mirror may call the file anything. Where there are several: at the one of that
    name, or the only one of that extension, or, where the address tells no kind of file, the first; else they are a
    target of their own. No source is repeated.
    """
    same = [index for index, target in enumerate(targets) if target.size_bytes == by_hand.size_bytes]
    named = [one for one in same if name_key(targets[one].name) == name_key(by_hand.name)]
    alike = [one for one in same if targets[one].extension == by_hand.extension]
    unnamed = same[:1] if not by_hand.extension else []
    index = next((choice[0] for choice in (named[:1], same, alike, unnamed) if len(choice) == 1), -1)
    if index < 0:
        return [*targets, by_hand]
    kept = {same_url_key(source.url): source for source in (*targets[index].sources, *by_hand.sources)}
    joined = replace(targets[index], sources=tuple(kept.values())[-SOURCES_MAX:])
    return [*targets[:index], joined, *targets[index + 1 :]]


def _ranked(targets: Iterable[PoolTarget]) -> tuple[PoolTarget, ...]:
    ranked = sorted(targets, key=lambda target: (-len(target.sources), -target.free, -target.size_bytes))
    return tuple(ranked[:TARGETS_MAX])
