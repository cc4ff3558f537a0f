"""Options of ``get`` on the real program: lists of files, limits of time, connections, commands, defaults of a file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.program import Shoal
from tests.http_mirrors.box import Box, Character, Content, mirrors

CONTENT = Content(600_000, seed=77)


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with mirrors({"a": Character(), "b": Character(), "login": Character(auth="me:s3cret")}, CONTENT) as made:
        yield made


def test_a_list_of_files_is_fetched_one_after_another(shoal: Shoal, box: Box, tmp_path: Path) -> None:
    (tmp_path / "list").write_text(
        f"# two forms\n\n{box.url('a')} {box.url('b')} -o one.bin\n{box.url('a')}\n  dir=sub\n  out=two.bin\n"
        f"{box.url('a')}\n  --quiet\n"
    )
    (shoal.folder / "sub").mkdir()
    done = shoal.run("get", "-i", tmp_path / "list", "--json")
    assert done.code == 0, done.stderr
    ended = [event for event in done.events if event["event"] == "job_ended"]
    assert [Path(each["path"]).name for each in ended] == ["one.bin", "two.bin", "content.bin"]
    assert len(ended[0]["sources"]) == 2
    for name in ("one.bin", "sub/two.bin", "content.bin"):
        assert CONTENT.matches(shoal.folder / name)


def test_one_file_that_fails_does_not_keep_the_others_from_coming(shoal: Shoal, box: Box, tmp_path: Path) -> None:
    (tmp_path / "list").write_text(f"http://127.0.0.1:9/x -o gone\n{box.url('a')} -o here\n")
    done = shoal.run("get", "-i", tmp_path / "list", "--quiet")
    assert done.code == 3
    assert done.the_line.startswith("no source can deliver: ")
    assert shoal.files == ["here"]


@pytest.mark.long
def test_several_connections_to_one_server_share_a_file(shoal: Shoal, box: Box) -> None:
    before = box.counts()["a"].connections
    done = shoal.get(box.url("a"), "-x", "3", "-o", "f")
    assert done.code == 0
    assert len(done.ended["sources"]) == 3
    assert box.counts()["a"].connections - before >= 3
    assert CONTENT.matches(shoal.folder / "f")


@pytest.mark.long
def test_after_its_time_a_job_is_given_up_and_goes_on_later(shoal: Shoal) -> None:
    with mirrors({"slow": Character(rate_bytes_s=60_000)}, CONTENT) as slow:
        done = shoal.get(slow.url("slow"), "-o", "f", "--max-time", "6", "--chunk-size", "16K")
        assert (done.code, done.ended["state"], done.ended["reason"]) == (
            3, "late", "not complete within 6 s (--max-time)",
        )  # fmt: skip
        assert shoal.files == ["f.part", "f.part.records"]
        slow.become("slow", Character())
        done = shoal.get(slow.url("slow"), "-o", "f", "--max-time", "30")
    assert (done.code, done.ended["bytes_resumed"] > 0) == (0, True)
    assert CONTENT.matches(shoal.folder / "f")


@pytest.mark.long
def test_a_command_is_run_with_the_finished_file(shoal: Shoal, box: Box) -> None:
    done = shoal.get(box.url("a"), "-o", "f", "--on-complete", "cp {} copy")
    assert (done.code, done.stderr) == (0, "")
    assert CONTENT.matches(shoal.folder / "copy")
    done = shoal.get(box.url("a"), "-o", "g", "--on-complete", "sh -c 'echo $SHOAL_PATH; exit 7' x")
    assert done.code == 0, "the file is there all the same"
    assert done.stderr.splitlines() == [
        str(shoal.folder / "g"), "note: the command of --on-complete, sh, ended with 7",
    ]  # fmt: skip
    done = shoal.get(box.url("a"), "-o", "h", "--on-complete", "no-such-program")
    assert (
        done.the_line == "note: the command of --on-complete, no-such-program, cannot be run: No such file or directory"
    )
    assert shoal.get("http://127.0.0.1:9/", "-o", "i", "--on-complete", "touch ran").code == 3
    assert "ran" not in shoal.files


@pytest.mark.long
def test_a_login_comes_from_netrc_where_it_is_private(shoal: Shoal, box: Box, tmp_path: Path) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login me password s3cret\n")
    netrc.chmod(0o644)
    wanted = (box.url("login").replace("me:s3cret@", ""), "-o", "f", "--quiet")
    assert shoal.run("get", *wanted, HOME=str(tmp_path)).code == 3
    refused = shoal.run("get", *wanted, "--netrc", HOME=str(tmp_path))
    assert (refused.code, refused.the_line) == (2, f"error: --netrc: others can read {netrc}: chmod 600 it")
    netrc.chmod(0o600)
    assert shoal.run("get", *wanted, "--no-netrc", HOME=str(tmp_path)).code == 3
    assert shoal.run("get", *wanted, HOME=str(tmp_path)).code == 0
    assert CONTENT.matches(shoal.folder / "f")


def test_the_get_table_has_the_defaults_and_a_foreign_file_is_refused(shoal: Shoal, box: Box) -> None:
    file = shoal.folder / "shoal.toml"
    file.write_text(
        '[get]\nfolder = "sub"\nchunk_size = "32K"\nheader = ["Authorization: Basic bWU6czNjcmV0"]\nlimit = "50M"\n'
    )
    file.chmod(0o600)
    (shoal.folder / "sub").mkdir()
    bare = box.url("login").replace("me:s3cret@", "")
    done = shoal.run("get", bare, "--json")
    assert (done.code, done.stderr) == (0, "note: the configuration is ./shoal.toml of this folder\n")
    sizes = [event["chunk_size"] for event in done.events if "chunk_size" in event]
    assert (sizes[0], done.ended["path"]) == (32768, str(shoal.folder / "sub/content.bin"))
    done = shoal.run("get", bare, "-o", "here", "--chunk-size", "64K", "--json", "--quiet")
    assert (done.code, done.ended["path"]) == (0, str(shoal.folder / "here"))
    file.chmod(0o666)
    assert shoal.run("get", box.url("a")).the_line.startswith("error: ./shoal.toml is not read, others may write it")
    if os.geteuid() == 0:
        file.chmod(0o600)
        os.chown(file, 65534, 65534)
        assert "it belongs to another user (uid 65534)" in shoal.run("get", box.url("a")).the_line


def test_the_same_command_after_success_says_so_and_asks_for_nothing(shoal: Shoal) -> None:
    with mirrors({"a": Character(), "b": Character()}, CONTENT) as box:
        assert shoal.get(*box.urls, "-o", "f").code == 0
        before = sum(count.bytes_sent for count in box.counts().values())
        done = shoal.run("get", *box.urls, "-o", "f")
        assert done.code == 0
        assert done.stderr.splitlines()[-1] == (
            f"already there: {shoal.folder}/f (585.9 KiB; size and validator are those of the source)"
        )
        again = shoal.get(*box.urls, "-o", "f")
        assert (again.code, again.ended["state"], again.ended["path"]) == (0, "sealed", str(shoal.folder / "f"))
        assert again.ended["reason"] == "size and validator are those of the source"
        assert sum(count.bytes_sent for count in box.counts().values()) - before < CONTENT.size // 4
        assert shoal.files == ["f"]


@pytest.mark.long
def test_a_file_that_is_not_proven_is_renamed_replaced_or_continued(shoal: Shoal) -> None:
    wanted, other = CONTENT, b"another file of mine"
    file = shoal.folder / "f"
    with mirrors({"a": Character()}, wanted) as box:
        url = box.url("a")
        file.write_bytes(other)
        assert shoal.get(url, "-o", "f").code == 0
        assert (shoal.files, file.read_bytes()) == (["f", "f (1)"], other)
        (shoal.folder / "f (1)").unlink()
        ended = shoal.get(url, "-o", "f", "--existing", "skip").ended
        assert (ended["reason"], ended["size"]) == ("a file of this name is there", None)
        assert file.read_bytes() == other
        assert shoal.get(url, "-o", "f", "--existing", "overwrite").code == 0
        assert wanted.matches(file)
        whole = file.read_bytes()
        file.write_bytes(whole[:400_000])
        done = shoal.get(url, "-o", "f", "--existing", "resume")
        assert (done.code, done.ended["bytes_resumed"]) == (0, 393_216)
        assert wanted.matches(file)
        assert shoal.files == ["f"]
        file.write_bytes(whole + b"x")
        assert shoal.get(url, "-o", "f", "--existing", "resume").code == 4
        assert file.read_bytes() == whole + b"x"


@pytest.mark.long
def test_a_changed_origin_and_a_changed_file_are_fetched_again(shoal: Shoal) -> None:
    with mirrors({"a": Character()}, CONTENT) as box:
        assert shoal.get(box.url("a"), "-o", "f").code == 0
        box.become("a", Character(etag='"other"', last_modified=None))
        again = shoal.get(box.url("a"), "-o", "f")  # no validator says so, but the bytes turn out to be the same
        assert (again.ended["path"], shoal.files) == (str(shoal.folder / "f"), ["f"])
        assert shoal.get(box.url("a"), "-o", "f", "--existing", "rename").ended["path"].endswith("f (1)")
        box.become("a", Character())
        with (shoal.folder / "f").open("r+b") as file:
            file.write(b"mine")
        assert shoal.get(box.url("a"), "-o", "f").ended["path"].endswith("f (2)")
