"""Passwords and headers: apart from the job store, readable by the owner alone, and gone when their job has ended."""

import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.model.job_records import DropJob, JobRecord, SaveJob, SaveLimit, SaveSource, SourceRecord
from protocol.model.job_spec import HttpOptions
from protocol.model.source_url import public_url
from storage.job_store import JobStore
from storage.job_store_schema import SOURCES
from storage.peer_store import PeerStore
from tests.storage.test_job_store import job

SECRETS = (b"s3cret", b"Bearer-t0ken", b"pr0xy-pass", b"c00kie", b"netrc-w0rd", b"s1gned", b"ref-tok")
SIGNED = "https://host/f?v=1&X-Amz-Signature=s1gned"


def ordered(at: int = 1, **changes: object) -> JobRecord:
    made = job(at, state="active", **changes)
    http = HttpOptions(
        headers=("Authorization: Bearer-t0ken",),
        proxy="http://me:pr0xy-pass@proxy:3128",
        referer="https://host/page?token=ref-tok",
        cookies=("host\tFALSE\t/\tFALSE\t0\ta\tc00kie",),
        logins=("host\tme\tnetrc-w0rd",),
    )
    return made.but(spec=made.spec.but(http=http))


def source(at: int = 1, number: int = 0) -> SourceRecord:
    return SourceRecord(id=f"id-{at}", number=number, url="https://me:s3cret@host/f", peer="", path="")


def holders(folder: Path) -> set[str]:
    """Files in which a secret can be found."""
    files = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name for name, held in files.items() if any(secret in held for secret in SECRETS)}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JobStore]:
    made = JobStore(str(tmp_path / "jobs.sqlite"))
    made.apply([SaveSource(source()), SaveJob(ordered())])
    yield made
    made.close()


def test_secrets_of_a_living_job_are_only_in_the_login_store_and_come_back(store: JobStore, tmp_path: Path) -> None:
    assert holders(tmp_path) == {"logins.sqlite"}
    assert stat.S_IMODE((tmp_path / "logins.sqlite").stat().st_mode) == 0o600
    for _ in range(2):
        assert list(store.living()) == [(ordered(), [source()], None)]
        assert (store.job("id-1"), store.sources("id-1")) == (ordered(), [source()])
        assert store.jobs(limit=9) == ([ordered()], 1)
        store.close()
        store = JobStore(str(tmp_path / "jobs.sqlite"))
    assert holders(tmp_path) == {"logins.sqlite"}


@pytest.mark.parametrize("state", ["sealed", "failed", "cancelled"])
def test_secrets_are_gone_when_the_job_has_ended(store: JobStore, tmp_path: Path, state: str) -> None:
    store.apply([SaveJob(ordered().but(state=state, number=3))])
    assert store.sources("id-1") == [source()], "its attempt has not ended yet"
    store.apply([SaveSource(source()), SaveJob(ordered().but(state=state))])
    assert holders(tmp_path) == set()
    assert [each.url for each in store.sources("id-1")] == ["https://host/f"]
    found = store.job("id-1")
    assert found is not None
    assert found.spec.http.but(referer="") == HttpOptions(proxy="http://proxy:3128")
    store.close()
    assert holders(tmp_path) == set()


@pytest.mark.parametrize("state", ["sealed", "failed", "cancelled"])
def test_a_signed_address_of_a_job_that_may_be_tried_again_stays_apart_without_its_login(
    store: JobStore, tmp_path: Path, state: str
) -> None:
    signed = source(number=1).but(url=SIGNED.replace("//", "//me:s3cret@"))
    store.apply([SaveSource(signed)])
    assert store.sources("id-1")[1] == signed
    store.apply([SaveJob(ordered().but(state=state))])
    for _ in range(2):
        assert store.sources("id-1")[1].url == (public_url(SIGNED) if state == "sealed" else SIGNED)
        assert holders(tmp_path) == (set() if state == "sealed" else {"logins.sqlite"})
        assert not any(b"s3cret" in path.read_bytes() for path in tmp_path.iterdir())
        store.close()
        store = JobStore(str(tmp_path / "jobs.sqlite"))
    store.apply([DropJob("id-1")])
    assert holders(tmp_path) == set()
    store.close()


@pytest.mark.parametrize(
    ("number", "text"), [(-1, "[1, 2"), (-1, "[1, 2]"), (-1, "7"), (-1, b"\xff["), (0, "https://evil/f"), (0, b"\xff")]
)
def test_a_changed_row_of_the_login_store_costs_its_login_only(
    store: JobStore, tmp_path: Path, number: int, text: str | bytes
) -> None:
    store.close()
    with sqlite3.connect(tmp_path / "logins.sqlite") as db:
        db.execute("UPDATE logins SET text = CAST(? AS TEXT) WHERE number = ?", (text, number))
    db.close()
    store = JobStore(str(tmp_path / "jobs.sqlite"))
    [(found, sources, _)] = store.living()
    assert (sources[0].url == "https://host/f") == (number == 0)
    assert (found == ordered()) == (number != -1)
    store.close()


def test_secrets_of_a_deleted_job_are_gone(store: JobStore, tmp_path: Path) -> None:
    store.apply([DropJob("id-1")])
    assert holders(tmp_path) == set()


def test_a_crash_before_the_job_was_written_leaves_no_secret_behind_the_next_start(
    store: JobStore, tmp_path: Path
) -> None:
    with pytest.raises(sqlite3.Error):
        store.apply([SaveSource(source(2)), SaveJob(job(2)), SaveLimit("many")])  # type: ignore[arg-type]
    assert store.sources("id-2") == []
    store.close()
    JobStore(str(tmp_path / "jobs.sqlite")).close()
    with sqlite3.connect(tmp_path / "logins.sqlite") as db:
        assert {id for (id,) in db.execute("SELECT id FROM logins")} == {"id-1"}
    db.close()


def test_passwords_that_an_older_program_wrote_are_moved(tmp_path: Path) -> None:
    path = str(tmp_path / "jobs.sqlite")
    store = JobStore(path)
    store.apply([SaveJob(job(1, state="queued")), SaveJob(job(2, state="sealed"))])
    store.close()
    with sqlite3.connect(path) as db:
        for at in (1, 2):
            db.execute(SOURCES.put, SOURCES.values(source(at)))
    db.close()
    assert "jobs.sqlite" in holders(tmp_path)
    store = JobStore(path)
    assert store.sources("id-1") == [source(1)]
    assert [each.url for each in store.sources("id-2")] == ["https://host/f"]
    store.close()
    assert holders(tmp_path) == {"logins.sqlite"}


@pytest.mark.parametrize("held", [b"no database at all" * 100, b""])
def test_a_damaged_login_store_costs_the_logins_only(store: JobStore, tmp_path: Path, held: bytes) -> None:
    store.close()
    (tmp_path / "logins.sqlite").write_bytes(held)
    store = JobStore(str(tmp_path / "jobs.sqlite"))
    assert [each.url for each in store.sources("id-1")] == ["https://host/f"]
    store.apply([SaveSource(source())])
    assert store.sources("id-1") == [source()]


@pytest.mark.parametrize("name", ["jobs.sqlite", "peers.sqlite", "logins.sqlite"])
def test_what_others_may_read_is_tightened(tmp_path: Path, name: str) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o755)
    (state / name).touch(mode=0o644)
    store, peers = JobStore(str(state / "jobs.sqlite")), PeerStore(str(state / "peers.sqlite"))
    store.apply([SaveJob(job(1))])
    peers.record_stop("ann", now_s=1.0)
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in state.iterdir()}
    assert len(modes) >= 3
    assert set(modes.values()) == {0o600}, modes
    store.close()
    peers.close()


def test_a_folder_that_everyone_may_write_stays_as_it_is(tmp_path: Path) -> None:
    shared = tmp_path / "tmp"
    shared.mkdir()
    os.chmod(shared, 0o1777)
    PeerStore(str(shared / "peers.sqlite")).close()
    assert stat.S_IMODE(shared.stat().st_mode) == 0o1777
