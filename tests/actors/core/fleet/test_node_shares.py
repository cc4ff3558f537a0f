"""Rates of a fleet's nodes, as each node reckons with them: predictions, the common limit, clocks and signs of life."""

import itertools
from typing import Any

import pytest

from actors.core.fleet import vocabulary as v
from actors.core.fleet.board import USER_WINDOWS
from actors.core.fleet.node import RATE_UNKNOWN, RENEW_S
from actors.core.fleet.rider import Rider
from actors.core.fleet.view import Bus, View
from protocol.model.fleet.names import FLEET, JOBS, LEADER, LEASES, NODES, PARTS, SETTINGS, TTL_S, job_id
from protocol.model.fleet.rows import FleetSettings, WindowRow
from tests.actors.core.fleet.test_node import HERE, PART, Bench, other


@pytest.mark.parametrize(
    ("fields", "parts_s"),
    [
        ({}, 0.0),
        ({"rate_bytes_s": 4.0 * PART}, 4.0),
        ({"rate_bytes_s": 4.0 * PART, "jobs": 1}, 4.0),
        ({"rate_bytes_s": 4.0 * PART, "jobs": 2}, 2.0),
        ({"rate_bytes_s": 4.0 * PART, "could_bytes_s": 6.0 * PART}, 4.0),
        ({"rate_bytes_s": 4.0 * PART, "could_bytes_s": 10.0 * PART}, 5.0),
        ({"could_bytes_s": 10.0 * PART}, 5.0),
        ({"rate_bytes_s": 1.0}, 10_000.0 / PART),
    ],
)
def test_a_nodes_rate_in_one_of_its_jobs_is_its_share_of_what_it_has_or_half_of_what_it_could(
    fields: dict[str, Any], parts_s: float
) -> None:
    bench = Bench().join()
    job = bench.placed()
    row = bench.node.view.jobs[job]
    bench.put(NODES, "n2", other("n2", **fields))
    assert bench.node._rate("n2", row) == pytest.approx(parts_s, abs=0)
    assert bench.node._rate("n2", row.but(part_bytes=0)) == 0.0
    assert bench.node._rate("n3", row) == 0.0


def test_a_node_of_unknown_rate_is_taken_for_a_usual_one_of_the_job() -> None:
    bench = Bench().join()
    job = bench.placed(parts=40)
    row, rider, board = bench.node.view.jobs[job], bench.node.riders[job], bench.node.view.board(job)
    facts = bench.node._contest(row, board, rider, bench.now)
    assert facts.rate("n1") == facts.rate("n2") == RATE_UNKNOWN
    bench.put(NODES, "n2", other("n2", rate_bytes_s=2.0 * PART))
    bench.put(NODES, "n3", other("n3", rate_bytes_s=4.0 * PART))
    facts = bench.node._contest(row.but(nodes=("n2", "n3", "n4")), board, rider, bench.now)
    assert [facts.rate(name) for name in ("n1", "n2", "n3", "n4", "n5")] == [3.0, 2.0, 4.0, 3.0, 3.0]
    assert (facts.node, facts.instance, facts.nodes) == ("n1", "n1-1", ("n2", "n3", "n4"))


def test_a_process_competes_while_it_lives_and_its_node_has_the_job() -> None:
    bench = Bench().join()
    job = bench.placed(parts=40)
    bench.put(NODES, "n2", other("n2"))
    bench.put(NODES, "n3", other("n3"))
    row, board = bench.node.view.jobs[job].but(nodes=("n1", "n2")), bench.node.view.board(job)
    living = bench.node._contest(row, board, bench.node.riders[job], bench.now).living
    assert [name for name in ("n1-1", "n1-2", "n2-1", "n2-2", "n3-1") if living(name[:2], name)] == ["n1-1", "n2-1"]


def test_parts_that_are_complete_and_in_no_window_of_this_node_are_spare() -> None:
    bench = Bench().join()
    bench.put(NODES, "n2", other("n2"))
    job = bench.placed(parts=40, spread=2)
    granted = bench.of(v.GrantWindow)[-1]
    rider, board = bench.node.riders[job], bench.node.view.board(job)
    bench.silent = True
    for part in (granted.first, 39):
        bench.give(v.PartReady(job, part, "d"))
    facts = bench.node._contest(bench.node.view.jobs[job], board, rider, bench.now)
    assert (facts.spare, facts.end) == (frozenset({39}), board.reach(granted.first))
    facts = bench.node._contest(bench.node.view.jobs[job], board, Rider(job), bench.now)
    assert (facts.spare, facts.end) == (frozenset(), board.reach(granted.first))


@pytest.mark.parametrize(
    ("sources", "windows", "divisible", "as_one"),
    [
        (("http://a/f",), 0, True, False),
        (("http://a/f",), USER_WINDOWS, True, False),
        (("http://a/f",), 0, False, True),
        (("slsk://u/f",), 0, True, True),
        (("slsk://u/f",), USER_WINDOWS, True, True),
        (("slsk://u/f", "http://a/f"), 0, True, True),
        (("slsk://u/f", "http://a/f"), USER_WINDOWS - 1, True, True),
        (("slsk://u/f", "http://a/f"), USER_WINDOWS, True, False),
        (("slsk://u/f", "http://a/f"), USER_WINDOWS + 1, True, False),
        (("slsk://u/f", "http://a/f", "ftp://a/f"), USER_WINDOWS, True, False),
        (("slsk://u/f", "http://a/f"), USER_WINDOWS, False, True),
    ],
)
def test_what_users_send_is_claimed_in_one_until_they_were_asked_twice_and_there_are_mirrors(
    sources: tuple[str, ...], windows: int, *, divisible: bool, as_one: bool
) -> None:
    bench = Bench(silent=True).join()
    for at in range(windows):
        window = WindowRow(job="j", first=at, stop=at + 1, node="n1", instance="n1-1", epoch=0)
        bench.give(v.KvChanged(PARTS, f"j.{at}", window, 10 + at))
    first = Bench().join()
    row = first.row(JOBS, first.placed()).but(divisible=divisible, sources=sources)
    rider = Rider("j", sources=dict(enumerate(sources)))
    board = bench.node.view.board("j")
    assert board.windows_of("n1") == windows
    assert bench.node._contest(row, board, rider, bench.now).as_one == as_one
    assert not bench.node._contest(row.but(divisible=True), board, Rider("j"), bench.now).as_one


@pytest.mark.parametrize(
    ("limits", "given"),
    [
        ((1,), [1.0]),
        ((1000, 1050, 1053), [1000.0, 1053.0]),
        ((1000, 960, 949), [1000.0, 949.0]),
        ((0,), []),
        ((1000, 0, 0, 1), [1000.0, 0.0, 1.0]),
    ],
)
def test_a_limit_is_given_again_when_it_moved_by_more_than_a_twentieth(
    limits: tuple[int, ...], given: list[float]
) -> None:
    bench = Bench().join()
    for limit in limits:
        bench.put(SETTINGS, FLEET, FleetSettings(fleet="f", destination=HERE, limit_bytes_s=limit))
        bench.tick(0.1)
    assert [each.rate_bytes_s for each in bench.of(v.LimitRate)] == given


def test_no_node_is_limited_to_less_than_a_byte_a_second() -> None:
    bench = Bench(silent=True)
    bench.rows[SETTINGS, FLEET] = (FleetSettings(fleet="f", destination=HERE, limit_bytes_s=1), 1)
    bench.rows[NODES, "n2"] = (other("n2", rate_bytes_s=160.0, jobs=1), 2)
    bench.join()
    assert [limit.rate_bytes_s for limit in bench.of(v.LimitRate)] == [1.0]


@pytest.mark.parametrize("name", ["n0", "n2"])
@pytest.mark.parametrize(
    ("ahead_s", "hours"), [(7200.0, "+2.0"), (-5400.0, "-1.5"), (61.0, "+0.0"), (60.0, ""), (-60.0, "")]
)
def test_the_clock_of_any_other_node_is_compared(name: str, ahead_s: float, hours: str) -> None:
    bench = Bench(now=100_000.0).join()
    bench.put(NODES, name, other(name, time_s=bench.now + ahead_s))
    bench.give(v.Tick(bench.now))
    said = [f"the clocks of {name} and n1 differ by about {hours} h"] if hours else []
    assert [report.text for report in bench.of(v.Report)] == said


def test_a_node_that_says_no_time_and_this_one_itself_have_no_other_clock() -> None:
    bench = Bench().join()
    bench.put(NODES, "n2", other("n2", time_s=0.0))
    bench.put(NODES, "n1", other("n1", time_s=9e9))
    bench.give(v.Tick(bench.now))
    assert not bench.of(v.Report)


def test_a_node_that_has_fetched_nothing_could_fetch_nothing_and_a_byte_a_second_is_something() -> None:
    bench = Bench().join()
    first = bench.row(NODES, "n1")
    assert (first.rate_bytes_s, first.could_bytes_s, first.free_bytes, first.jobs) == (0.0, 0.0, -1, 0)
    assert (first.schemes, first.unreachable, first.draining) == (("http", "https"), (), False)
    bench.give(v.SourceStates(1.0, -1, ("http",)))
    bench.tick(times=int(RENEW_S / 0.5) + 1)
    assert bench.row(NODES, "n1").could_bytes_s == 1.0
    assert bench.row(NODES, "n1").time_s == pytest.approx(bench.now, abs=RENEW_S)


@pytest.mark.parametrize("bucket", [NODES, LEASES])
def test_a_sign_of_life_is_given_and_the_lease_of_the_lead_renewed_every_three_seconds(bucket: str) -> None:
    bench = Bench().join()
    at_s = [
        bench.now
        for _ in range(40)
        if any(isinstance(each, v.KvUpdate) and each.bucket == bucket for each in bench.tick(0.25))
    ]
    assert {after - before for before, after in itertools.pairwise(at_s)} == {3.0}


def test_a_connection_that_was_made_again_is_listed_before_anything_is_written() -> None:
    bench = Bench().join()
    job = bench.placed()
    bench.give(v.BusBack())
    bench.said.clear()
    bench.give(v.PartReady(job, 0, "d0"))
    bench.tick(times=20)
    assert not bench.said
    for (bucket, key), (row, revision) in list(bench.rows.items()):
        bench.give(v.KvChanged(bucket, key, row, revision))
    bench.give(v.KvListed())
    bench.tick(times=2)
    assert [each.part for each in bench.of(v.PutPart)] == [0]


def test_while_the_bus_is_lost_nothing_is_decided() -> None:
    bench = Bench().join()
    job = bench.placed()
    bench.said.clear()
    bench.give(v.BusLost())
    assert bench.said == [v.PullOrders(on=False)]
    bench.give(v.PartReady(job, 0, "d0"))
    bench.tick(times=20)
    assert bench.said == [v.PullOrders(on=False)]


def test_a_leader_whose_lease_is_not_confirmed_for_a_quarter_of_its_time_leads_no_more() -> None:
    bench = Bench().join()
    while not any(isinstance(each, v.KvUpdate) and each.bucket == LEASES for each in bench.tick(0.25)):
        pass
    bench.silent = True
    confirmed = bench.now
    while v.PullOrders(on=False) not in bench.tick(0.25):
        assert bench.now - confirmed <= TTL_S / 4
    assert bench.now - confirmed == TTL_S / 4 + 0.25
    assert bench.row(LEASES, LEADER).node == "n1"


def test_another_process_of_the_name_is_said_after_nine_seconds_in_which_it_lived() -> None:
    bench = Bench()
    bench.rows[NODES, "n1"], bench.revision = (other("n1", instance="another"), 1), 1
    bench.join()
    listed = bench.now - 0.5
    while not bench.of(v.Report):
        bench.put(NODES, "n1", other("n1", instance="another", time_s=bench.now))
        bench.tick()
        assert bench.now - listed < 20
    assert bench.now - listed == 3 * RENEW_S + 0.5
    assert bench.of(v.Report) == [v.Report("another process is node n1: give this one another name")]


@pytest.mark.parametrize(("upload", "aborted"), [("", []), ("u", []), ("w", ["u"])])
def test_an_upload_that_lost_against_another_nodes_is_aborted_when_the_job_leaves(
    upload: str, aborted: list[str]
) -> None:
    bench = Bench().join()
    bench.order()
    job = job_id("k")
    bench.give(v.FileDescribed(job, 3 * PART, divisible=True))
    bench.silent = True
    bench.give(v.UploadCreated(job, 0, "u"))
    row = bench.row(JOBS, job)
    bench.put(JOBS, job, row.but(nodes=("n2",), upload=upload))
    assert [each.upload for each in bench.of(v.AbortUpload)] == aborted


def test_a_node_whose_local_job_fails_while_the_file_is_sealed_keeps_the_job() -> None:
    bench = Bench().join()
    job = bench.placed(parts=1)
    bench.store(job, 0)
    bench.give(v.LocalJobFailed(job, "the disk is full"))
    assert (bench.row(JOBS, job).state, bench.row(JOBS, job).nodes) == ("sealing", ("n1",))
    bench.give(v.UploadCompleted(job, 0, "etag-1"))
    assert bench.row(JOBS, job).state == "sealed"


def test_before_there_is_a_bus_nothing_is_written_not_even_a_sign_of_life() -> None:
    bus = Bus(View())
    assert not bus.write(NODES, "n1", other("n1"), 0.0, vital=True)
    assert not bus.out
