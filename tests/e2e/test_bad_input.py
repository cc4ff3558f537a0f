"""What people and servers get wrong: one line that says whose fault it is, the right exit code, nothing lost."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.program import Shoal
from tests.http_mirrors.box import Box, Character, Content, mirrors
from tests.storage.parts import leave_part

SIZE = 300_000
CONTENT = Content(SIZE, seed=11)

CHARACTERS = {
    "honest": Character(),
    "late": Character(latency_s=0.2),
    "gone": Character(status=404),
    "forbidden": Character(status=403),
    "larger": Character(size_lie=SIZE + 7),
    "chunked": Character(chunked=True),
    "endless": Character(no_length=True),
    "generous": Character(extra_body=5000),
    "short": Character(short_body=1000),
    "gzip": Character(gzip=True),
    "looping": Character(redirect_loop=True),
    "moved": Character(redirect_to="honest"),
    "astray": Character(redirect_to="ftp://127.0.0.1/file"),
    "wrong": Character(wrong_range=True),
    "locked": Character(auth="user:secret"),
    "tls": Character(tls=True),
}


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with mirrors(CHARACTERS, CONTENT) as made:
        yield made


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ftp://127.0.0.1/file"], "ftp:// is not supported"),
        ([], "at least one address"),
        (["http://127.0.0.1/f", "--chunk-size", "0"], "must be from 4K to 1M"),
        (["http://127.0.0.1/f", "--colour"], "--colour"),
        *(
            pytest.param(words, said, marks=pytest.mark.long)
            for words, said in [
                (["127.0.0.1/file"], "no scheme in 127.0.0.1/file"),
                (["http:///file"], "no host"),
                (["http://127.0.0.1:99999/file"], "port"),
                (["http://127.0.0.1/f", "--chunk-size", "1T"], "must be from 4K to 1M"),
                (["http://127.0.0.1/f", "--chunk-size", "many"], "--chunk-size"),
                (["http://127.0.0.1/f", "--checksum", "sha256:12"], "64 hexadecimal digits"),
                (["http://127.0.0.1/f", "--mode", "magic"], "swarm, queue, failover, race"),
                (["http://127.0.0.1/f", "--limit", "-1"], "--limit"),
                (["http://127.0.0.1/f", "--sync", "maybe"], "full, none"),
                (["http://127.0.0.1/f", "-o", ""], "the path is empty"),
            ]
        ),
    ],
)
def test_a_command_that_makes_no_sense_is_refused_in_one_line(shoal: Shoal, words: list[str], said: str) -> None:
    done = shoal.run("get", *words)
    assert done.code == 2
    assert done.stdout == ""
    assert said in done.the_line
    assert done.the_line.startswith("error: ")
    assert shoal.files == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gone", "404 Not Found"),
        ("wrong", "sends bytes 1 to"),
        pytest.param("forbidden", "403 Forbidden", marks=pytest.mark.long),
        pytest.param("looping", "redirects in a circle", marks=pytest.mark.long),
        pytest.param("astray", "ftp", marks=pytest.mark.long),
    ],
)
def test_a_source_that_cannot_be_used_is_named_with_its_fault(shoal: Shoal, box: Box, name: str, said: str) -> None:
    done = shoal.refused(box.url(name), "-o", "file.bin")
    assert done.code == 3
    assert done.the_line.startswith("no source can deliver: ")
    assert said in done.the_line
    assert f"127.0.0.1:{box.port(name)}" in done.the_line
    assert shoal.files == []


def test_a_file_that_is_compressed_for_the_transfer_is_decoded(shoal: Shoal, box: Box) -> None:
    done = shoal.get(box.url("gzip"), "-o", "file.bin")
    assert done.code == 0, done
    assert CONTENT.matches(shoal.folder / "file.bin")


def test_all_refusing_sources_are_named(shoal: Shoal, box: Box) -> None:
    done = shoal.refused(box.url("gone"), box.url("forbidden"), "-o", "file.bin")
    assert done.code == 3
    assert "404" in done.the_line
    assert "403" in done.the_line


def test_a_host_that_does_not_exist_is_named(shoal: Shoal) -> None:
    done = shoal.refused("http://no-such-host.invalid/file")
    assert done.code == 3
    assert "no-such-host.invalid" in done.the_line
    assert shoal.files == []


def test_a_refused_connection_is_said_to_be_one(shoal: Shoal) -> None:
    with socket.socket() as taken:  # bound, but no one listens
        taken.bind(("127.0.0.1", 0))
        done = shoal.refused(f"http://127.0.0.1:{taken.getsockname()[1]}/file")
    assert done.code == 3
    assert "refused" in done.the_line.lower()


def test_a_server_that_speaks_no_http_is_named(shoal: Shoal) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = shoal.start("get", f"http://127.0.0.1:{listener.getsockname()[1]}/file", "--quiet")
        listener.settimeout(0.5)
        while running.process.poll() is None:
            try:
                peer, _ = listener.accept()
            except TimeoutError:
                continue
            with peer:
                peer.sendall(b"220 ready for mail\r\n")
        done = running.finish()
    assert done.code == 3
    assert "HTTP" in done.the_line


def test_an_untrusted_certificate_is_named(shoal: Shoal, box: Box) -> None:
    done = shoal.refused(box.url("tls"))
    assert done.code == 3
    assert "certificate" in done.the_line
    assert shoal.files == []


def test_a_trusted_certificate_is_accepted(shoal: Shoal, box: Box) -> None:
    done = shoal.get(box.url("tls"), "-o", "file.bin", SSL_CERT_FILE=str(box.ca_path))
    assert done.code == 0
    assert CONTENT.matches(shoal.folder / "file.bin")


def test_a_mirror_of_another_size_is_left_out_and_said(shoal: Shoal, box: Box) -> None:
    done = shoal.get(box.url("late"), box.url("larger"), "-o", "file.bin")
    assert done.code == 0
    assert CONTENT.matches(shoal.folder / "file.bin")
    for part in (str(SIZE), str(SIZE + 7), str(box.port("larger"))):
        assert part in done.stdout


@pytest.mark.parametrize("name", ["chunked", "endless"])
def test_a_file_of_unknown_size_comes_in_one_stream(shoal: Shoal, box: Box, name: str) -> None:
    done = shoal.get(box.url(name), "-o", "file.bin")
    assert (done.code, done.ended["size"], done.ended["state"]) == (0, SIZE, "sealed"), done.stderr
    assert done.given == {box.url(name): SIZE}
    assert CONTENT.matches(shoal.folder / "file.bin")
    assert shoal.files == ["file.bin"]


@pytest.mark.long
def test_two_sources_of_unknown_size_still_give_one_file(shoal: Shoal, box: Box) -> None:
    done = shoal.get(box.url("chunked"), box.url("endless"), "-o", "file.bin")
    assert done.code == 0, done
    assert CONTENT.matches(shoal.folder / "file.bin")


@pytest.mark.long
def test_a_source_that_tells_no_size_is_left_out_where_others_do(shoal: Shoal, box: Box) -> None:
    done = shoal.get(box.url("chunked"), box.url("honest"), "-o", "file.bin")
    assert done.code == 0
    assert CONTENT.matches(shoal.folder / "file.bin")


def test_a_mirror_that_sends_more_than_asked_for_spoils_nothing(shoal: Shoal, box: Box) -> None:
    done = shoal.get(box.url("generous"), "-o", "file.bin", "--chunk-size", "16K")
    assert done.code == 0
    assert CONTENT.matches(shoal.folder / "file.bin")


@pytest.mark.long
def test_bytes_that_end_early_are_blamed_on_their_source(shoal: Shoal, box: Box) -> None:
    done = shoal.refused(box.url("short"), "-o", "file.bin")
    assert done.code == 3
    assert "sent 1000 of" in done.the_line
    assert shoal.files == []


@pytest.mark.parametrize(
    "name",
    ["short", "wrong", *(pytest.param(name, marks=pytest.mark.long) for name in ("gzip", "looping", "generous"))],
)
def test_one_honest_mirror_is_enough(shoal: Shoal, box: Box, name: str) -> None:
    done = shoal.get(box.url(name), box.url("honest"), "-o", "file.bin", "--chunk-size", "32K")
    assert done.code == 0, done
    assert CONTENT.matches(shoal.folder / "file.bin")
    assert sum(done.given.values()) == SIZE


@pytest.mark.parametrize("size", [0, 1, *(pytest.param(size, marks=pytest.mark.long) for size in (4096, 131_073))])
def test_small_files_are_files(shoal: Shoal, size: int) -> None:
    content = Content(size, seed=3)
    with mirrors({"a": Character(), "b": Character()}, content) as small:
        done = shoal.get(*small.urls, "-o", "file.bin")
    assert (done.code, done.ended["size"]) == (0, size), done
    assert size <= done.ended["bytes_received"] <= 3 * size, "chunks of two mirrors are compared"
    assert content.matches(shoal.folder / "file.bin")
    assert shoal.files == ["file.bin"]


@pytest.mark.parametrize(
    "character",
    [
        Character(ranges=False),
        *(
            pytest.param(character, marks=pytest.mark.long)
            for character in (Character(chunked=True), Character(no_length=True))
        ),
    ],
)
def test_an_empty_file_is_a_file_however_it_is_served(shoal: Shoal, character: Character) -> None:
    with mirrors({"a": character}, Content(0)) as empty:
        done = shoal.get(empty.url("a"), "-o", "file.bin")
    assert (done.code, done.ended["size"]) == (0, 0), done
    assert Content(0).matches(shoal.folder / "file.bin")


def test_a_missing_folder_is_the_targets_fault(shoal: Shoal, box: Box) -> None:
    done = shoal.refused(box.url("honest"), "-o", "not/there/file.bin")
    assert done.code == 5
    assert "not/there" in done.the_line
    assert done.the_line.startswith("disk or folder: ")
    assert shoal.files == []


@pytest.mark.long
def test_a_refused_target_is_reported_without_a_wait(shoal: Shoal, box: Box) -> None:
    done = shoal.get(box.url("honest"), "-o", "not/there/file.bin")
    assert done.ended["state"] == "disk"
    assert done.ended["seconds"] < 2.5


def test_a_file_where_a_folder_should_be_is_the_targets_fault(shoal: Shoal, box: Box) -> None:
    (shoal.folder / "plain").write_bytes(b"mine")
    done = shoal.refused(box.url("honest"), "-o", "plain/file.bin")
    assert done.code == 5
    assert "plain" in done.the_line
    assert (shoal.folder / "plain").read_bytes() == b"mine"


def test_a_folder_that_takes_no_files_is_the_targets_fault(shoal: Shoal, box: Box) -> None:
    done = shoal.refused(box.url("honest"), "-o", "/proc/file.bin")
    assert done.code == 5
    assert "/proc" in done.the_line


@pytest.mark.long
def test_a_read_only_folder_is_the_targets_fault(shoal: Shoal, box: Box, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    done = shoal.refused(box.url("honest"), "-o", small_disk / "file.bin")
    assert done.code == 5
    assert "read-only" in done.the_line.lower()
    assert str(small_disk) in done.the_line


@pytest.mark.long
def test_preallocation_on_a_full_disk_fails_before_the_first_byte(shoal: Shoal, box: Box, small_disk: Path) -> None:
    sent = box.counts()["honest"].bytes_sent
    subprocess.run(["mount", "-o", "remount,size=200k", str(small_disk)], check=True)
    done = shoal.refused(box.url("honest"), "-o", small_disk / "file.bin", "--preallocate")
    assert done.code == 5
    assert box.counts()["honest"].bytes_sent - sent < 100
    assert list(small_disk.iterdir()) == []


def test_a_part_file_of_something_else_is_not_touched(shoal: Shoal, box: Box) -> None:
    (shoal.folder / "file.bin.part").write_bytes(b"someone's unfinished work")
    done = shoal.refused(box.url("honest"), "-o", "file.bin")
    assert done.code == 4
    assert "file.bin.part" in done.the_line
    assert "choose another name or delete it" in done.the_line
    assert (shoal.folder / "file.bin.part").read_bytes() == b"someone's unfinished work"
    assert shoal.files == ["file.bin.part"]


@pytest.mark.long
def test_records_of_another_size_are_not_touched(shoal: Shoal, box: Box) -> None:
    leave_part(shoal.folder, bytes(SIZE + 1), [(0, 1)], chunk=131_072)
    before = {name: (shoal.folder / name).read_bytes() for name in shoal.files}
    done = shoal.refused(box.url("honest"), "-o", "file.bin")
    assert done.code == 4
    assert str(SIZE + 1) in done.the_line
    assert {name: (shoal.folder / name).read_bytes() for name in shoal.files} == before


def test_the_second_run_on_a_target_says_so_and_leaves(shoal: Shoal) -> None:
    with mirrors({"a": Character(stall_after_bytes=200_000)}, CONTENT) as stalling:
        first = shoal.begun(*stalling.urls, "-o", "file.bin", "--chunk-size", "32K")
        first.until_stored(1)
        second = shoal.refused(*stalling.urls, "-o", "file.bin")
        assert second.code == 5
        assert "is being written by another process" in second.the_line
        stalling.become("a", Character())
        done = first.finish()
    assert done.code == 0
    assert CONTENT.matches(shoal.folder / "file.bin")
    assert shoal.files == ["file.bin"]
