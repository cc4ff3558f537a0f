"""One file from several mirrors: content, account, modes and options of a run in which nothing goes wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.digests import whole_digest
from tests.e2e.program import ROOT, Shoal
from tests.http_mirrors.box import Box, Character, Content, mirrors

CONTENT = Content(2_500_001, seed=21)
CHARACTERS = {
    "fast": Character(rate_bytes_s=8e6),
    "medium": Character(rate_bytes_s=4e6),
    "slow": Character(rate_bytes_s=1e6),
}


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with mirrors(CHARACTERS, CONTENT) as made:
        yield made


def test_several_mirrors_send_parts_of_one_file(shoal: Shoal) -> None:
    # A second and more together: on a busy machine each begins in time.
    slower = {
        "fast": Character(rate_bytes_s=1e6),
        "medium": Character(rate_bytes_s=6e5),
        "slow": Character(rate_bytes_s=4e5),
    }
    with mirrors(slower, CONTENT) as box:
        done = shoal.get(*box.urls, "-o", "file.bin", "--chunk-size", "32K")
    ended, given = done.ended, done.given
    assert (done.code, done.stderr) == (0, "")
    assert CONTENT.matches(shoal.folder / "file.bin")
    assert shoal.files == ["file.bin"]
    assert list(given) == box.urls
    assert all(count > 0 for count in given.values())
    assert sum(given.values()) == CONTENT.size
    assert ended["bytes_received"] - ended["bytes_refetched"] == CONTENT.size
    assert sum(row["chunks"] for row in ended["sources"]) == -(-CONTENT.size // 32768)


@pytest.mark.long
def test_no_more_is_counted_as_received_than_was_sent(shoal: Shoal) -> None:
    with mirrors(CHARACTERS, CONTENT) as own:
        done = shoal.get(*own.urls, "-o", "file.bin")
        sent = sum(count.bytes_sent for count in own.counts().values())
    assert CONTENT.size <= done.ended["bytes_received"] <= sent


def test_the_last_object_is_exactly_as_documented(shoal: Shoal, box: Box) -> None:
    done = shoal.get(*box.urls, "-o", "file.bin")
    ended = done.ended
    assert list(ended) == [
        "event", "state", "path", "size", "seconds", "bytes_received", "bytes_resumed", "bytes_refetched", "xxh3_128",
        "identity", "sources",
    ]  # fmt: skip
    assert list(ended["sources"][0]) == [
        "source", "bytes", "chunks", "leases", "stops", "rate_bytes_s", "standing", "reason",
        "phase", "peer", "queue_place",
    ]  # fmt: skip
    path = shoal.folder / "file.bin"
    with path.open("rb") as file:
        digest = whole_digest(file.fileno(), CONTENT.size, None).xxh3_hex
    assert ended["state"] == "sealed"
    assert ended["path"] == str(path)
    assert ended["size"] == CONTENT.size
    assert ended["xxh3_128"] == digest
    assert ended["bytes_resumed"] == 0
    assert 0 < ended["seconds"] < done.seconds


def test_events_come_in_their_order_and_every_line_is_json(shoal: Shoal, box: Box) -> None:
    done = shoal.get(*box.urls, "-o", "file.bin", "--verbose", "--chunk-size", "64K")
    assert [json.loads(line) for line in done.stdout.splitlines()] == done.events
    names = [event["event"] for event in done.events]
    assert names.count("job_opened") == names.count("job_ended") == 1
    assert names[-1] == "job_ended"
    chunks = [event for event in done.events if event["event"] == "chunk"]
    assert sorted(event["chunk"] for event in chunks) == list(range(39))
    assert [event["chunks_stored"] for event in chunks] == list(range(1, 40))
    assert {event["source"] for event in chunks} <= set(box.urls)


@pytest.mark.long
def test_json_and_quiet_together_give_the_last_object_only(shoal: Shoal, box: Box) -> None:
    done = shoal.get(*box.urls, "-o", "file.bin", "--quiet")
    assert [event["event"] for event in done.events] == ["job_ended"]


def test_quiet_says_nothing_when_all_is_well(shoal: Shoal, box: Box) -> None:
    done = shoal.run("get", *box.urls, "-o", "file.bin", "--quiet")
    assert (done.code, done.stdout, done.stderr) == (0, "", "")
    assert CONTENT.matches(shoal.folder / "file.bin")


def test_plain_lines_go_to_stderr_and_end_with_the_result(shoal: Shoal, box: Box) -> None:
    done = shoal.run("get", *box.urls, "-o", "file.bin", "--verbose", "--chunk-size", "128K")
    lines = done.stderr.splitlines()
    assert (done.code, done.stdout) == (0, "")
    assert lines[0].startswith(f"{shoal.folder}/file.bin.part: ")
    assert lines[-1].startswith(f"sealed: {shoal.folder}/file.bin (")
    assert sum(line.startswith("✓") and " chunk " in line for line in lines) == 20
    assert lines.index("who sent what:") == len(lines) - 6
    assert lines[-2].startswith("identity: ")
    assert all(str(box.port(name)) in done.stderr for name in box.names)


@pytest.mark.parametrize(
    "mode", ["race", *(pytest.param(mode, marks=pytest.mark.long) for mode in ("queue", "failover"))]
)
def test_every_mode_brings_the_right_content(shoal: Shoal, box: Box, mode: str) -> None:
    done = shoal.get(*box.urls, "-o", "file.bin", "--mode", mode, "--chunk-size", "64K")
    assert done.code == 0, done
    assert CONTENT.matches(shoal.folder / "file.bin")
    assert sum(done.given.values()) == CONTENT.size


@pytest.mark.long
def test_failover_uses_one_source_while_it_delivers(shoal: Shoal) -> None:
    with mirrors({"a": Character(), "b": Character(), "c": Character()}, CONTENT) as own:
        done = shoal.get(*own.urls, "-o", "file.bin", "--mode", "failover")
    assert done.code == 0
    assert sorted(done.given.values()) == [0, 0, CONTENT.size]


def test_failover_goes_on_with_the_next_source_at_the_same_byte(shoal: Shoal) -> None:
    # The first that is ready is the one that delivers: latency decides which.
    with mirrors({"a": Character(die_after_bytes=1_900_000), "b": Character(latency_s=1.0)}, CONTENT) as own:
        done = shoal.get(*own.urls, "-o", "file.bin", "--mode", "failover", "--chunk-size", "64K")
        sent = own.counts()["b"].bytes_sent
    assert done.code == 0, done
    assert CONTENT.matches(shoal.folder / "file.bin")
    assert done.given[own.url("a")] >= 327_680
    compared = 5 * 65_536  # the chunk before, by which it shows that it has the same file, and up to four more
    assert sent <= CONTENT.size - done.given[own.url("a")] + compared + 1


@pytest.mark.long
def test_in_a_race_everybody_is_asked_for_everything(shoal: Shoal) -> None:
    content = Content(1_000_000)
    with mirrors({"a": Character(rate_bytes_s=2e6), "b": Character(rate_bytes_s=1.9e6)}, content) as own:
        done = shoal.get(*own.urls, "-o", "file.bin", "--mode", "race", "--chunk-size", "64K")
    assert done.code == 0
    assert content.matches(shoal.folder / "file.bin")
    assert all(row["leases"] >= 1 for row in done.ended["sources"])
    assert done.ended["bytes_refetched"] > 0


@pytest.mark.long
def test_a_limit_is_kept_and_used(shoal: Shoal) -> None:
    content = Content(6_000_000)
    fair = Character(rate_bytes_s=1.5e6)
    with mirrors({"a": fair, "b": fair}, content) as own:
        done = shoal.get(*own.urls, "-o", "file.bin", "--limit", "1500000")
    assert done.code == 0
    rate_bytes_s = done.ended["bytes_received"] / done.ended["seconds"]
    # A quarter of it would do: this may run on a busy machine. The benches measure.
    assert 375_000 < rate_bytes_s < 1_500_000 * 1.1
    assert content.matches(shoal.folder / "file.bin")


def test_a_limit_is_kept_from_the_first_byte_on(shoal: Shoal) -> None:
    with mirrors({"a": Character(), "b": Character()}, Content(4_000_000)) as own:
        done = shoal.get(*own.urls, "-o", "file.bin", "--limit", "1000000")
    assert done.ended["bytes_received"] / done.ended["seconds"] < 1_100_000


@pytest.mark.long
def test_without_syncs_the_file_is_the_same(shoal: Shoal, box: Box) -> None:
    done = shoal.get(*box.urls, "-o", "file.bin", "--sync", "none")
    assert done.code == 0
    assert CONTENT.matches(shoal.folder / "file.bin")


@pytest.mark.long
def test_space_is_reserved_only_when_asked_for(shoal: Shoal) -> None:
    content = Content(4_000_000)
    with mirrors({"a": Character(stall_after_bytes=500_000)}, content) as own:
        blocks = {}
        for words in ([], ["--preallocate"]):
            name = f"file{len(words)}.bin"
            running = shoal.begun(*own.urls, "-o", name, "--chunk-size", "64K", *words)
            running.until_stored(1)
            blocks[len(words)] = (shoal.folder / f"{name}.part").stat().st_blocks * 512
            assert (shoal.folder / f"{name}.part").stat().st_size == content.size
            own.become("a", Character())
            assert running.finish().code == 0
            assert content.matches(shoal.folder / name)
            own.become("a", Character(stall_after_bytes=500_000))
    assert blocks[0] < content.size <= blocks[1]


def test_a_right_checksum_is_confirmed(shoal: Shoal, box: Box) -> None:
    done = shoal.get(*box.urls, "-o", "file.bin", "--checksum", f"SHA256:{CONTENT.sha256.upper()}")
    assert done.code == 0


def test_a_wrong_checksum_keeps_the_part_file_and_says_what_to_do(shoal: Shoal, box: Box) -> None:
    words = (*box.urls, "-o", "file.bin", "--checksum", f"sha256:{'0' * 64}")
    done = shoal.refused(*words)
    assert done.code == 4
    assert CONTENT.sha256 in done.the_line
    assert f"kept {shoal.folder}/file.bin.part: remove it to fetch again" in done.the_line
    assert shoal.files == ["file.bin.part", "file.bin.part.records"]
    # Other mirrors: those of the first run may still be counting what they sent to it.
    with mirrors(CHARACTERS, CONTENT) as own:
        again = shoal.get(*own.urls, *words[len(box.urls) :])
        asked = sum(count.bytes_sent for count in own.counts().values())
    assert (again.code, again.ended["bytes_resumed"]) == (4, CONTENT.size)
    assert CONTENT.sha256 in again.ended["reason"]
    compared = CONTENT.size + len(own.names) * 131_072
    assert asked <= compared, "each chunk is compared once with what other mirrors have, and each mirror with another"
    right = shoal.get(*box.urls, "-o", "file.bin", "--checksum", f"sha256:{CONTENT.sha256}")
    assert (right.code, right.ended["bytes_received"]) == (0, 0)
    assert CONTENT.matches(shoal.folder / "file.bin")


@pytest.mark.long
def test_the_same_address_twice_is_one_source(shoal: Shoal, box: Box) -> None:
    done = shoal.get(box.url("fast"), box.url("fast"), "-o", "file.bin")
    assert done.code == 0
    assert len(done.ended["sources"]) == 1
    assert "given twice" in done.the_line


@pytest.mark.long
def test_many_mirrors_serve_one_small_file(shoal: Shoal) -> None:
    content = Content(700_000)
    with mirrors([Character(latency_s=0.01)] * 40, content) as crowd:
        done = shoal.get(*crowd.urls, "-o", "file.bin", "--chunk-size", "4K")
    assert done.code == 0
    assert content.matches(shoal.folder / "file.bin")
    assert len(done.ended["sources"]) == 40


TWICE = """
import os, sys, threading
sys.path.insert(0, {root!r})
from actors.local.download import fetch
from protocol.cli.parsing import GetOptions
from protocol.cli.views.base import make_view
from protocol.model.job_spec import JobSpec, TransferPolicy

def once(name):
    policy = TransferPolicy(sync="none", slow_rate_bytes_s=0)
    options = GetOptions(spec=JobSpec(folder=os.getcwd(), name=name, policy=policy), urls=({url!r},), quiet=True)
    assert fetch(options, make_view(options, sys.stdout, sys.stderr)).state == "sealed"
    return len(os.listdir("/proc/self/fd")), threading.active_count()

if __name__ == "__main__":
    assert once("a") == once("b") == once("c"), "something stays open"
"""


@pytest.mark.long
def test_no_thread_and_no_descriptor_stays_in_a_front_that_lives_on(shoal: Shoal, box: Box, tmp_path: Path) -> None:
    script = tmp_path / "twice.py"
    script.write_text(TWICE.format(root=str(ROOT), url=box.url("fast")))
    subprocess.run([sys.executable, str(script)], cwd=shoal.folder, env=shoal.env, check=True, timeout=50)
    assert shoal.files == ["a", "b", "c"]
