"""What is remembered of peers survives a restart and is given back as it was meant."""

from pathlib import Path

from storage.peer_store import DAYS_KEPT, PeerPrior, PeerStore

DAY = 86400.0


def book(tmp_path: Path) -> PeerStore:
    return PeerStore(str(tmp_path / "state" / "peers.sqlite"))


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
