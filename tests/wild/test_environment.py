"""Outputs that are no ordinary files, names as they are typed, and a process that was started oddly."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.e2e.program import Shoal
from tests.wild.conftest import DATA, Serve
from tests.wild.server import File, Reply, Request

FILE = File(DATA)
RUN = Path(__file__).parents[2] / "run.py"
RUN_S_MAX = 90.0


def run(folder: Path, script: str, url: str, **more: str) -> subprocess.CompletedProcess[bytes]:
    """Run a shell script in a folder; ``$GET`` is the command and ``$URL`` the address."""
    environment = {**os.environ, "GET": f"{sys.executable} {RUN} get", "URL": url, "HOME": str(folder), **more}
    command = ["bash", "-c", script]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=RUN_S_MAX, check=False)


@pytest.mark.parametrize(
    "closed", [*(pytest.param(one, marks=pytest.mark.long) for one in ("<&-", ">&-", "2>&-")), "<&- >&- 2>&-"]
)
def test_closed_streams_do_no_harm(shoal: Shoal, serve: Serve, closed: str) -> None:
    done = run(shoal.folder, f"$GET -o file.bin $URL {closed}", serve(FILE).url())
    assert done.returncode == 0, done
    assert (shoal.folder / "file.bin").read_bytes() == DATA


@pytest.mark.parametrize("locale", ["C.UTF-8", "C"])
def test_a_file_does_not_go_to_a_stdout_that_is_closed(shoal: Shoal, serve: Serve, locale: str) -> None:
    more = {"LC_ALL": locale, "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0" if locale == "C" else "1"}
    done = run(shoal.folder, "$GET -o - $URL >&-", serve(FILE).url(), **more)
    assert (done.returncode, done.stderr) == (2, b"error: -o -: stdout is closed\n")


def test_an_open_file_is_written_to_by_its_number(shoal: Shoal, serve: Serve) -> None:
    done = run(shoal.folder, "$GET -q -o /dev/fd/3 $URL 3>by-number", serve(FILE).url())
    assert (done.returncode, os.listdir(shoal.folder)) == (0, ["by-number"]), done
    assert (shoal.folder / "by-number").read_bytes() == DATA


def test_words_that_cannot_be_written_end_in_words(shoal: Shoal) -> None:
    done = run(shoal.folder, "$GET --help > /dev/full", "")
    assert (done.returncode, done.stderr) == (5, b"error: cannot write: No space left on device\n")


def test_a_locale_of_ascii_takes_every_name(shoal: Shoal, serve: Serve) -> None:
    named = "Content-Disposition: attachment; filename*=UTF-8''%E6%97%A5%C3%BC.bin"
    server = serve(lambda request, reply: FILE(request, reply, named))
    ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = run(shoal.folder, "$GET $URL && $GET -o 日本.bin $URL", server.url(), **ascii_only)
    assert done.returncode == 0, done
    assert sorted(os.listdir(shoal.folder)) == ["日ü.bin", "日本.bin"]


def test_a_folder_that_is_gone_is_named(shoal: Shoal, serve: Serve) -> None:
    done = run(shoal.folder, "mkdir gone; cd gone; rmdir ../gone; $GET $URL", serve(FILE).url())
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: the current folder is gone")


def test_from_a_folder_that_is_gone_a_file_goes_to_another(shoal: Shoal, serve: Serve) -> None:
    script = 'there=$PWD; mkdir gone; cd gone; rmdir ../gone; $GET -o "$there/file.bin" $URL'
    done = run(shoal.folder, script, serve(FILE).url())
    assert done.returncode == 0, done
    assert (shoal.folder / "file.bin").read_bytes() == DATA


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("mkdir $'n\\xff'; cd $'n\\xff'; $GET $URL", b"error: the path of the current folder is not UTF-8"),
        ("mkfifo shoal.toml; $GET $URL", b"error: ./shoal.toml is not read, it is not a plain file"),
        ("ulimit -f 0; $GET $URL", b"error: no folder for temporary files can be written: see TMPDIR and ulimit -f"),
    ],
)
def test_a_place_that_cannot_be_used_is_named(shoal: Shoal, serve: Serve, script: str, words: bytes) -> None:
    done = run(shoal.folder, script, serve(FILE).url())
    assert done.returncode == 2, done
    assert done.stderr.startswith(words), done


def test_a_folder_is_not_overwritten(shoal: Shoal, serve: Serve) -> None:
    done = run(shoal.folder, "mkdir big.bin; $GET --existing overwrite $URL", serve(FILE).url())
    assert done.returncode == 5, done
    assert done.stderr.splitlines()[-1].endswith(b"big.bin is a folder: not overwritten")


def test_the_file_goes_to_stdout(shoal: Shoal, serve: Serve) -> None:
    done = run(shoal.folder, "$GET -o - $URL", serve(FILE).url())
    assert (done.returncode, done.stdout) == (0, DATA)
    assert done.stderr.splitlines()[-1] == b"written: stdout"
    assert os.listdir(shoal.folder) == []


def test_nothing_is_said_to_be_kept_of_what_went_to_stdout(shoal: Shoal, serve: Serve) -> None:
    def breaks_off(request: Request, reply: Reply) -> bool:
        if request.number > 1:
            return False
        return FILE(request, reply, cut=300_000)

    done = run(shoal.folder, "$GET -q -o - $URL", serve(breaks_off).url())
    assert (done.returncode, done.stdout) == (3, b"")
    assert done.stderr.endswith(b"; nothing is kept of what goes to stdout, a pipe or a device\n")
    other = "--checksum sha256:" + 64 * "0"
    done = run(shoal.folder, f"$GET -q -o - {other} $URL", serve(FILE).url())
    assert (done.returncode, done.stdout) == (4, b"")
    assert done.stderr.startswith(b"content disagrees: checksum differs: ")
    assert b"kept" not in done.stderr


def test_a_reader_of_stdout_may_stop_early(shoal: Shoal, serve: Serve) -> None:
    done = run(shoal.folder, "$GET -q -o - $URL | head -c 3", serve(FILE).url())
    assert (done.returncode, done.stdout, done.stderr) == (0, DATA[:3], b"")


def test_a_device_and_a_pipe_are_written_to(shoal: Shoal, serve: Serve) -> None:
    assert run(shoal.folder, "$GET -o /dev/null $URL", serve(FILE).url()).returncode == 0
    assert not Path("/dev/null (1)").exists()
    os.mkfifo(shoal.folder / "pipe")
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append((shoal.folder / "pipe").read_bytes()))
    reader.start()
    done = run(shoal.folder, "$GET -o pipe $URL", serve(FILE).url())
    reader.join(RUN_S_MAX)
    assert (done.returncode, got) == (0, [DATA])
    assert done.stderr.splitlines()[-1] == b"written: pipe"


@pytest.mark.parametrize("more", ["--json", "--url http://127.0.0.1:1"])
def test_stdout_goes_with_neither_json_nor_a_daemon(shoal: Shoal, serve: Serve, more: str) -> None:
    done = run(shoal.folder, f"$GET -o - {more} $URL", serve(FILE).url())
    assert done.returncode == 2
    assert b"-o -: " in done.stderr


@pytest.mark.parametrize(
    "name",
    [
        "tab\tnew\nline",
        "-x",
        *(
            pytest.param(name, marks=pytest.mark.long)
            for name in ("name. ", "con.iso", "C:x.iso", " lead", ".hidden", "\u202egnp")
        ),
    ],
)
def test_a_name_is_used_as_it_is_typed(shoal: Shoal, serve: Serve, name: str) -> None:
    done = shoal.run("get", "-q", "-o", name, serve(FILE).url())
    assert done.code == 0, done
    assert os.listdir(shoal.folder) == [name]


def test_a_name_that_is_too_long_is_refused(shoal: Shoal, serve: Serve) -> None:
    done = shoal.run("get", "-o", "n" * 239, serve(FILE).url())
    assert done.code == 2
    assert "longer than 238 bytes" in done.stderr


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("-n 10", b"error: at least 40 open files are needed: see ulimit -n"),
        ("-f 100", b"error: files may not be as large"),
    ],
)
def test_a_limit_that_is_too_small_is_named(shoal: Shoal, serve: Serve, limit: str, words: bytes) -> None:
    done = run(shoal.folder, f"ulimit {limit}; $GET $URL", serve(FILE).url())
    assert done.returncode == 2, done
    assert done.stderr.startswith(words)
    assert b"Traceback" not in done.stderr
    assert os.listdir(shoal.folder) == []


def test_a_limit_of_processes_is_named(shoal: Shoal, serve: Serve) -> None:
    if os.geteuid() == 0:
        pytest.skip("the system limits no process of root")
    done = run(shoal.folder, "ulimit -u 8; $GET $URL", serve(FILE).url())
    assert (done.returncode, b"ulimit -u" in done.stderr) == (2, True), done


def test_a_long_path_of_temporary_files_does_no_harm(shoal: Shoal, serve: Serve) -> None:
    long = shoal.folder.parent / ("x" * 200)
    long.mkdir()
    done = run(shoal.folder, "$GET -o file.bin $URL", serve(FILE).url(), TMPDIR=str(long))
    assert done.returncode == 0, done
    assert (shoal.folder / "file.bin").read_bytes() == DATA
