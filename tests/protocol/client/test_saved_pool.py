"""The pool: what a search found, what was added by hand, and how it is kept."""

import stat
from pathlib import Path
from typing import Any

import pytest

from protocol.client import saved_pool as pools
from protocol.client.saved_pool import BadPool, Pool, PoolSource
from protocol.model.source_url import slsk_url


def found(size: int, *users: str, name: str = "tide.flac") -> dict[str, Any]:
    holders = [
        {"username": user, "fullPath": f"music\\{name}", "slotsFree": n == 0, "queueLength": n, "speedBytesS": 10}
        for n, user in enumerate(users)
    ]
    return {"size": size, "name": name, "sureness": "names", "sources": holders}


def test_what_most_users_have_comes_first() -> None:
    pool = Pool().refreshed("tide", [found(1, "a"), found(2, "a", "b"), found(3, "a", "b")])
    assert [target.size_bytes for target in pool.targets] == [3, 2, 1]
    first = pool.targets[0]
    assert (first.free, first.speed_bytes_s, first.shortest_queue, first.extension) == (1, 20, 0, "flac")
    assert pool.term == "tide"


def test_a_new_search_replaces_the_old_one_but_not_what_was_added_by_hand() -> None:
    pool = Pool().refreshed("tide", [found(1, "a"), found(2, "b")])
    pool = pool.with_source("http://h/x", size_bytes=1, name="").with_source("http://h/y.mp3", size_bytes=9, name="")
    pool = pool.refreshed("other", [found(1, "c")])
    (one,) = pool.of_size(1)
    assert [source.url for source in one.sources] == [slsk_url("c", "music\\tide.flac"), "http://h/x"]
    assert pool.of_size(2) == []
    assert [target.name for target in pool.of_size(9)] == ["y.mp3"]


def test_a_source_added_by_hand_joins_the_file_of_its_size_whatever_it_is_called() -> None:
    pool = Pool().refreshed("tide", [found(5, "a", "b"), found(5, "c", name="tide.mp3")])
    pool = pool.with_source("http://h/get?id=1", size_bytes=5, name="")
    pool = pool.with_source("http://h/b.mp3", size_bytes=5, name="")
    assert sorted((target.extension, len(target.sources)) for target in pool.of_size(5)) == [("flac", 3), ("mp3", 2)]


def test_a_source_added_by_hand_joins_the_file_of_its_name_or_none_of_several() -> None:
    pool = Pool().refreshed("tide", [found(5, "a", "b", name="tide (usa).rom"), found(5, "c", name="tide (eur).rom")])
    pool = pool.with_source("http://h/Tide_EUR.rom", size_bytes=5, name="")
    pool = pool.with_source("http://h/tide-beta.rom", size_bytes=5, name="")
    assert sorted((target.name, len(target.sources)) for target in pool.of_size(5)) == [
        ("tide (eur).rom", 2),
        ("tide (usa).rom", 2),
        ("tide-beta.rom", 1),
    ]


def test_the_same_source_stands_there_once() -> None:
    pool = Pool()
    for _ in range(3):
        pool = pool.with_source("http://h/a.bin", size_bytes=1, name="")
        pool = pool.with_source("http://H:80/a.bin", size_bytes=1, name="")
    assert len(pool.of_size(1)[0].sources) == 1


def test_no_target_has_more_sources_than_an_order_may() -> None:
    pool = Pool().refreshed("x", [found(1, *(f"u{n}" for n in range(400)))])
    pool = pool.with_source("http://h/a", size_bytes=1, name="")
    sources = pool.targets[0].sources
    assert len(sources) == pools.SOURCES_MAX
    assert sources[-1].by_hand


def test_what_is_saved_is_read_again_and_is_its_owner_s_alone(tmp_path: Path) -> None:
    environ = {"SHOAL_STATE": str(tmp_path / "new" / "state")}
    assert pools.load(environ) == Pool()
    pool = Pool().refreshed("tide", [found(1, "ann\u202e")]).with_source("http://me:pw@h/a", size_bytes=2, name="n")
    pools.save(pool, environ)
    assert pools.load(environ) == pool
    assert stat.S_IMODE(pools.pool_file(environ).stat().st_mode) == 0o600
    assert [path.name for path in pools.pool_file(environ).parent.iterdir()] == ["pool.json"]


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"targets": 7}', '{"version": 2, "targets": []}', '{"version": 1, "term": "x", "targets": [{"a": 1}]}'],
)
def test_a_file_that_is_none_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "pool.json").write_text(text)
    with pytest.raises(BadPool, match="is not one of this version"):
        pools.load({"SHOAL_STATE": str(tmp_path)})


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadPool, match="cannot be written"):
        pools.save(Pool(), {"SHOAL_STATE": str(tmp_path / "file" / "state")})


def test_an_order_has_users_by_name_and_mirrors_by_address() -> None:
    assert pools.source_of("slsk://ann%20b/music%5Ca.mp3") == {"username": "ann b", "fullPath": "music\\a.mp3"}
    assert pools.source_of("http://h/a") == {"url": "http://h/a"}
    assert PoolSource(url="http://h/a").free
