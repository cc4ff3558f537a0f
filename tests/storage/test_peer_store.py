"""What is remembered of peers survives a restart and is given back as it was meant."""

import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import storage.peer_store
from storage.peer_store import DAYS_KEPT, ODD_DAYS_KEPT, PeerPrior, PeerStore

DAY = 86400.0


_open: list[PeerStore] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while _open:
        _open.pop().close()


def book(tmp_path: Path) -> PeerStore:
    _open.append(PeerStore(str(tmp_path / "state" / "peers.sqlite")))
    return _open[-1]


def test_a_stranger_has_no_prior(tmp_path: Path) -> None:
    assert book(tmp_path).prior("ann", now_s=0.0) == PeerPrior(
        peer="ann", rate_bytes_s=0.0, setup_s=0.0, rides=0, failures=0, offset_ok=True, last_fault=0, stops_today=0
    )


def test_rates_are_remembered_over_a_restart_the_newest_weighing_most(tmp_path: Path) -> None:
    first = book(tmp_path)
    for rate in (1000.0, 1000.0, 3000.0):
        first.record_delivery("ann", rate_bytes_s=rate, setup_s=2.0, now_s=5.0)
    first.close()
    prior = book(tmp_path).prior("ann", now_s=6.0)
    assert (prior.rate_bytes_s, prior.setup_s, prior.rides) == (2000.0, 2.0, 3)


def test_a_failure_counts_until_a_ride_delivers(tmp_path: Path) -> None:
    subject = book(tmp_path)
    for _ in range(2):
        subject.record_failure("bob", fault=10, offset_ok=False, now_s=1.0)
    prior = subject.prior("bob", now_s=1.0)
    assert (prior.failures, prior.offset_ok) == (2, False)
    subject.record_delivery("bob", rate_bytes_s=10.0, setup_s=1.0, now_s=2.0)
    assert subject.prior("bob", now_s=2.0).failures == 0


def test_stops_are_counted_by_day(tmp_path: Path) -> None:
    subject = book(tmp_path)
    subject.record_stop("ann", now_s=10.0)
    subject.record_stop("ann", count=2, now_s=20.0)
    subject.record_stop("ann", now_s=DAY + 1)
    assert subject.prior("ann", now_s=30.0).stops_today == 3
    assert subject.prior("ann", now_s=DAY + 2).stops_today == 1


def test_old_days_are_forgotten(tmp_path: Path) -> None:
    subject = book(tmp_path)
    subject.record_stop("ann", now_s=0.0)
    subject.tidy(now_s=DAY * (DAYS_KEPT + 1))
    assert subject.prior("ann", now_s=0.0).stops_today == 0


def test_the_ledger_names_the_newest_day_first(tmp_path: Path) -> None:
    subject = book(tmp_path)
    for peer, day in (("ann", 3), ("bob", 4), ("ann", 4), ("ann", 4)):
        subject.record_stop(peer, now_s=day * DAY)
    assert subject.stop_history("", offset=0, limit=10) == (3, [("ann", 4, 2), ("bob", 4, 1), ("ann", 3, 1)])
    assert subject.stop_history("ann", offset=1, limit=1) == (2, [("ann", 3, 1)])


def test_the_fastest_are_listed_first_with_their_latest_fault(tmp_path: Path) -> None:
    subject = book(tmp_path)
    subject.record_delivery("slow", rate_bytes_s=10.0, setup_s=1.0, now_s=1.0)
    subject.record_delivery("fast", rate_bytes_s=99.0, setup_s=1.0, now_s=2.0)
    subject.record_failure("slow", fault=7, offset_ok=True, now_s=3.0)
    subject.record_stop("fast", now_s=4.0)
    total, page = subject.known(offset=0, limit=9, now_s=5.0)
    assert (total, [prior.peer for prior in page]) == (2, ["fast", "slow"])
    assert (page[0].stops_today, page[0].seen_s, page[0].last_fault) == (1, 2.0, 0)
    assert (page[1].failures, page[1].last_fault, page[1].rides) == (1, 7, 1)
    assert [prior.peer for prior in subject.known(offset=1, limit=1, now_s=5.0)[1]] == ["slow"]
    assert [prior.peer for prior in subject.known(offset=-5, limit=1, now_s=5.0)[1]] == ["fast"]
    assert subject.prior("slow", now_s=5.0) == page[1]


def test_the_peers_not_seen_for_longest_are_forgotten_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage.peer_store, "PEERS_MAX", 2)
    subject = book(tmp_path)
    for seen_s, peer in enumerate(("old", "new", "newest")):
        subject.record_failure(peer, fault=1, offset_ok=True, now_s=float(seen_s))
    subject.tidy(now_s=5.0)
    assert {prior.peer for prior in subject.known(offset=0, limit=9, now_s=5.0)[1]} == {"new", "newest"}


# -- uploads that a peer counts


def stops(subject: PeerStore) -> int:
    return subject.prior("ann", now_s=100.0).stops_today


@pytest.mark.parametrize(("failed", "counted"), [(True, 1), (False, 0)])
def test_the_first_report_of_the_peer_holds(tmp_path: Path, failed: bool, counted: int) -> None:
    subject = book(tmp_path)
    subject.upload_opened("ann", 1, pid=7, now_s=100.0)
    subject.upload_closed("ann", 1, stopped=True, now_s=101.0)
    for again in (failed, not failed, failed):
        subject.upload_settled("ann", 1, failed=again, now_s=102.0)
    assert stops(subject) == counted


def test_what_ended_by_itself_is_no_stop_and_what_no_worker_had_is_one_when_it_failed(tmp_path: Path) -> None:
    subject = book(tmp_path)
    subject.upload_opened("ann", 1, pid=7, now_s=100.0)
    subject.upload_closed("ann", 1, stopped=False, now_s=101.0)
    subject.upload_settled("ann", 1, failed=True, now_s=102.0)
    assert stops(subject) == 0
    subject.upload_settled("ann", 2, failed=False, now_s=102.0)
    subject.upload_settled("ann", 2, failed=True, now_s=102.0)
    assert stops(subject) == 1


def test_an_upload_whose_process_died_is_a_stop_after_the_grace(tmp_path: Path) -> None:
    subject = book(tmp_path)
    subject.upload_opened("ann", 1, pid=7, now_s=100.0)
    subject.settle_lost(lambda _pid: True, now_s=100.0, grace_s=10.0)
    assert stops(subject) == 0, "its process lives"
    subject.settle_lost(lambda _pid: False, now_s=100.0, grace_s=10.0)
    for now_s, counted in ((109.0, 0), (110.0, 1), (200.0, 1)):
        subject.settle_lost(lambda _pid: False, now_s=now_s, grace_s=10.0)
        assert stops(subject) == counted, now_s


@pytest.mark.parametrize(("grace_s", "counted"), [(0.0, 1), (10.0, 0)])
def test_an_upload_that_was_about_to_come_counts_where_all_processes_died(
    tmp_path: Path, grace_s: float, counted: int
) -> None:
    subject = book(tmp_path)
    subject.upload_opened("ann", 1, pid=7, ahead=True, now_s=100.0)
    subject.settle_lost(lambda pid: pid == 7, now_s=100.0, grace_s=grace_s)
    assert stops(subject) == 0, "its process lives"
    for now_s in (101.0, 200.0):
        subject.settle_lost(lambda _pid: False, now_s=now_s, grace_s=grace_s)
        assert stops(subject) == counted


def test_an_upload_that_came_counts_as_all_others_when_its_process_dies(tmp_path: Path) -> None:
    subject = book(tmp_path)
    subject.upload_opened("ann", 1, pid=7, ahead=True, now_s=100.0)
    subject.upload_opened("ann", 1, pid=7, now_s=100.1)
    for now_s in (101.0, 120.0):
        subject.settle_lost(lambda _pid: False, now_s=now_s, grace_s=10.0)
    assert stops(subject) == 1


def test_without_grace_a_lost_upload_counts_at_once_and_a_stopped_one_when_the_peer_says_nothing(
    tmp_path: Path,
) -> None:
    subject = book(tmp_path)
    subject.upload_opened("ann", 1, pid=7, now_s=100.0)
    subject.settle_lost(lambda _pid: False, now_s=100.0, grace_s=0.0)
    assert stops(subject) == 1
    subject.upload_opened("ann", 2, pid=7, now_s=100.0)
    subject.upload_closed("ann", 2, stopped=True, now_s=100.0)
    due_s = 100.0 + storage.peer_store._SETTLE_S_MAX
    for now_s, counted in ((due_s - 0.1, 1), (due_s, 2)):
        subject.settle_lost(lambda _pid: True, now_s=now_s)
        assert stops(subject) == counted, now_s


def test_a_clock_set_back_leaves_no_upload_unsettled(tmp_path: Path) -> None:
    subject = book(tmp_path)
    subject.upload_opened("ann", 1, pid=7, now_s=9000.0)
    subject.upload_closed("ann", 1, stopped=True, now_s=9000.0)
    subject.settle_lost(lambda _pid: True, now_s=100.0)
    assert stops(subject) == 1


def test_a_ticket_that_comes_again_is_another_upload(tmp_path: Path) -> None:
    subject = book(tmp_path)
    for now_s, counted in ((100.0, 1), (103.0, 1), (110.0, 2)):  # within 5 s the two messages have crossed
        subject.upload_opened("ann", 1, pid=7, now_s=now_s)
        subject.upload_settled("ann", 1, failed=True, now_s=now_s)
        assert stops(subject) == counted, now_s


# Files with other content than those of others.


def test_one_odd_file_is_remembered_as_that_file_alone(tmp_path: Path) -> None:
    store = book(tmp_path)
    store.record_content("ann", "Tide.flac", 100, differs=True, now_s=5.0)
    store.close()
    store = book(tmp_path)
    assert store.is_odd("ann", "tide.FLAC", 100, now_s=6.0)
    assert store.is_odd("ann", "tide.flac", -1, now_s=6.0), "its size is not known yet"
    assert not store.is_odd("ann", "tide.flac", 101, now_s=6.0)
    assert not store.is_odd("ann", "ebb.flac", 100, now_s=6.0), "one odd file makes no liar"
    assert not store.is_odd("bob", "tide.flac", 100, now_s=6.0)
    assert store.prior("ann", now_s=6.0).failures == 0
    store.record_content("ann", "tide.flac", 100, differs=False, now_s=7.0)
    assert not store.is_odd("ann", "tide.flac", 100, now_s=8.0)


def test_odd_files_are_forgotten_in_time_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage.peer_store, "ODD_FILES_MAX", 3)
    store = book(tmp_path)
    for at in range(5):
        store.record_content("ann", f"{at}.flac", 100, differs=True, now_s=float(at))
    assert [at for at in range(5) if store.is_odd("ann", f"{at}.flac", 100, now_s=5.0)] == [2, 3, 4]
    late_s = DAY * ODD_DAYS_KEPT + 3.5
    assert not store.is_odd("ann", "3.flac", 100, now_s=late_s)
    store.tidy(now_s=late_s)
    assert not store.is_odd("ann", "3.flac", 100, now_s=4.0)
    assert store.is_odd("ann", "4.flac", 100, now_s=4.0)


@pytest.mark.parametrize("number", [-1, 2**62, float("inf"), 1e300])
@pytest.mark.parametrize("column", ["rate_bytes_s", "setup_s", "rides", "failures", "last_fault", "seen_s"])
def test_a_damaged_number_is_forgotten(tmp_path: Path, column: str, number: float) -> None:
    path = str(tmp_path / "peers.sqlite")
    store = PeerStore(path)
    for peer in ("ann", "bob"):
        store.record_delivery(peer, rate_bytes_s=5.0, setup_s=1.0, now_s=1000.0)
        store.record_stop(peer, now_s=1000.0)
    store.close()
    with sqlite3.connect(path) as db, suppress(sqlite3.IntegrityError):  # a count is no fraction
        db.execute(f"UPDATE peers SET {column} = ? WHERE peer = 'ann'", (number,))
        db.execute("UPDATE stops SET count = ? WHERE peer = 'ann'", (number,))
    db.close()
    store = PeerStore(path)
    rows = {each.peer: each for each in store.known(offset=0, limit=9, now_s=1000.0)[1]}
    store.close()
    assert rows["bob"] == PeerPrior(peer="bob", rate_bytes_s=5.0, setup_s=1.0, rides=1, seen_s=1000.0, stops_today=1)
    assert all(0 <= getattr(rows["ann"], name) <= 1e12 for name in (column, "stops_today"))


def test_damaged_text_of_a_peer_hides_no_other(tmp_path: Path) -> None:
    path = str(tmp_path / "peers.sqlite")
    store = PeerStore(path)
    for peer in ("ann", "bob"):
        store.record_delivery(peer, rate_bytes_s=5.0, setup_s=1.0, now_s=1000.0)
    store.close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE peers SET peer = CAST(? AS TEXT) WHERE peer = 'ann'", (b"\xff\xfe",))
    db.close()
    store = PeerStore(path)
    assert "bob" in {each.peer for each in store.known(offset=0, limit=9, now_s=1000.0)[1]}
    store.close()
