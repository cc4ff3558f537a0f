"""One node by itself: what it writes, what it must not write, and what it says of a wrong configuration."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from actors.core.fleet import vocabulary as v
from actors.core.fleet.node import RENEW_S, FleetNode
from protocol.model.fleet.names import (
    FLEET,
    JOBS,
    LEADER,
    LEASES,
    NODES,
    PARTS,
    SETTINGS,
    TTL_S,
    job_id,
    multipart_etag,
    rendezvous,
)
from protocol.model.fleet.rows import (
    ACTIVE,
    FAILED,
    SEALED,
    SEALING,
    AnyRow,
    FleetOrder,
    FleetSettings,
    LeaseRow,
    NodeRow,
    PartRow,
    WindowRow,
)
from protocol.model.job_spec import JobSpec
from protocol.model.source_url import slsk_url

HERE = "s3://bucket/"
PART = 8 << 20


@dataclass
class Bench:
    """A node, and a bus that answers at once unless it is silent."""

    name: str = "n1"
    destination: str = HERE
    now: float = 1000.0
    silent: bool = False
    rows: dict[tuple[str, str], tuple[AnyRow, int]] = field(default_factory=dict)
    revision: int = 0
    said: list[v.Command] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.node = FleetNode()
        self.give(v.Started(self.name, f"{self.name}-1", 0.0, self.destination, fleet="f"))

    def join(self) -> "Bench":
        self.give(v.BusBack())
        for (bucket, key), (row, revision) in list(self.rows.items()):
            self.give(v.KvChanged(bucket, key, row, revision))
        self.give(v.KvListed())
        self.tick()
        return self

    def put(self, bucket: str, key: str, row: AnyRow) -> None:
        """Another node's write."""
        self.revision += 1
        self.rows[bucket, key] = (row, self.revision)
        self.give(v.KvChanged(bucket, key, row, self.revision))

    def give(self, event: v.Event) -> list[v.Command]:
        waiting: list[v.Event] = [event]
        fresh: list[v.Command] = []
        while waiting:
            for command in self.node.handle(waiting.pop(0), self.now):
                fresh.append(command)
                if isinstance(command, v.KvCreate | v.KvUpdate | v.KvDelete) and not self.silent:
                    waiting += self._answers(command)
                if isinstance(command, v.KvRead) and not self.silent:
                    row, revision = self.rows.get((command.bucket, command.key), (None, 0))
                    waiting.append(v.KvChanged(command.bucket, command.key, row, revision))
        self.said += fresh
        return fresh

    def _answers(self, command: v.KvCreate | v.KvUpdate | v.KvDelete) -> list[v.Event]:
        name = (command.bucket, command.key)
        known = self.rows.get(name, (None, 0))[1]
        if known != (0 if isinstance(command, v.KvCreate) else command.revision):
            return [v.KvRefused(command.request)]
        self.revision += 1
        if isinstance(command, v.KvDelete):
            self.rows.pop(name)
            return [v.KvWritten(command.request, self.revision), v.KvChanged(*name, None, self.revision)]
        self.rows[name] = (command.row, self.revision)
        return [v.KvWritten(command.request, self.revision), v.KvChanged(*name, command.row, self.revision)]

    def tick(self, seconds: float = 0.5, times: int = 1) -> list[v.Command]:
        fresh: list[v.Command] = []
        for _ in range(times):
            self.now += seconds
            fresh += self.give(v.Tick(self.now))
        return fresh

    def of(self, kind: type[Any]) -> list[Any]:
        return [command for command in self.said if isinstance(command, kind)]

    def row(self, bucket: str, key: str) -> Any:
        return self.rows[bucket, key][0]

    def order(self, key: str = "k", *, number: int = 1, **fields: Any) -> list[v.Command]:
        given = {"sources": ("http://a/f",), "destination": "f", "spec": JobSpec(folder="", name="f"), **fields}
        order = FleetOrder(key=key, **given)
        return self.give(v.OrderReceived(number, number, order))

    def placed(self, parts: int = 3, **fields: Any) -> str:
        """A job of this node whose upload has begun."""
        self.order(**fields)
        job = job_id("k")
        self.give(v.FileDescribed(job, parts * PART, divisible=True))
        self.give(v.UploadCreated(job, 0, "u"))
        return job

    def store(self, job: str, part: int) -> None:
        self.give(v.PartReady(job, part, f"d{part}"))
        self.give(v.PartPut(job, part, 0, f"{part:032x}"))


def other(name: str, *, instance: str = "", **fields: Any) -> NodeRow:
    return NodeRow(name=name, instance=instance or f"{name}-1", **fields)


def test_a_node_alone_leads_places_fetches_and_seals() -> None:
    bench = Bench().join()
    job = bench.placed(parts=2)
    assert bench.row(JOBS, job).state == ACTIVE
    assert bench.of(v.AckOrder) == [v.AckOrder(1)]
    granted = bench.of(v.GrantWindow)[-1]
    assert (granted.first, granted.stop) in ((0, 1), (0, 2))
    for part in range(2):
        bench.store(job, part)
    assert bench.row(JOBS, job).state == SEALING
    assert [part.part for part in bench.of(v.CompleteUpload)[0].parts] == [0, 1]
    bench.give(v.UploadCompleted(job, 0, "etag-2"))
    assert (bench.row(JOBS, job).state, bench.row(JOBS, job).sealed_by) == (SEALED, "n1")
    assert bench.of(v.StopLocalJob) == [v.StopLocalJob(job, keep=False)]
    bench.tick(times=3)
    assert not [key for bucket, key in bench.rows if bucket == PARTS]


def test_two_orders_with_one_key_are_one_job() -> None:
    bench = Bench().join()
    bench.order("same", number=1)
    bench.order("same", number=2)
    assert [command.order for command in bench.of(v.AckOrder)] == [1, 2]
    assert len([key for bucket, key in bench.rows if bucket == JOBS]) == 1


def test_an_order_is_acknowledged_only_when_it_is_stored() -> None:
    bench = Bench().join()
    bench.silent = True
    bench.order()
    assert not bench.of(v.AckOrder)


def test_orders_with_a_login_or_a_name_outside_are_refused() -> None:
    bench = Bench().join()
    bad: tuple[dict[str, Any], ...] = (
        {"sources": ("http://me:secret@a/f",)},
        {"destination": "../f"},
        {"sources": ()},
        {"destination": ""},
    )
    for number, fields in enumerate(bad):
        bench.order(f"k{number}", number=number, **fields)
    refused = bench.of(v.AckOrder)
    assert len(refused) == 4
    assert all(command.refused and "secret" not in command.refused for command in refused)
    assert not [key for bucket, key in bench.rows if bucket == JOBS]


def test_without_a_confirmed_sign_of_life_nothing_is_written_or_stored() -> None:
    bench = Bench().join()
    job = bench.placed()
    bench.silent = True
    bench.tick(times=int(TTL_S / 2 / 0.5) + 1)
    bench.said.clear()
    bench.give(v.PartReady(job, 0, "d0"))
    bench.tick(times=8)
    written = [command for command in bench.of(v.KvUpdate) + bench.of(v.KvCreate) if command.bucket != NODES]
    assert not written
    assert not bench.of(v.PutPart)
    assert not bench.of(v.StopLocalJob), "it rides to the end of its window"
    bench.silent = False
    for command in bench.of(v.KvUpdate):
        bench.give(v.KvUnknown(command.request))
    bench.tick(times=40)
    assert bench.of(v.PutPart), "and goes on by itself"


def test_for_half_of_its_time_to_live_after_a_sign_of_life_a_node_goes_on() -> None:
    bench = Bench().join()
    job = bench.placed()
    while not [written for written in bench.tick() if isinstance(written, v.KvUpdate) and written.bucket == NODES]:
        pass
    bench.silent = True
    bench.tick(times=int(0.45 * TTL_S / 0.5))
    bench.give(v.PartReady(job, 0, "d0"))
    assert bench.of(v.PutPart)


def test_a_node_whose_own_row_is_not_there_yet_takes_an_equal_share_of_the_limit() -> None:
    bench = Bench(silent=True)
    bench.rows[SETTINGS, FLEET] = (FleetSettings(fleet="f", destination=HERE, limit_bytes_s=1000), 1)
    bench.rows[NODES, "n2"] = (other("n2", rate_bytes_s=160.0, jobs=1), 2)
    bench.join()
    assert [limit.rate_bytes_s for limit in bench.of(v.LimitRate)] == [500.0]


def test_a_pause_of_this_process_is_no_death_of_the_others() -> None:
    bench = Bench().join()
    bench.put(NODES, "n2", other("n2"))
    bench.now += 10 * TTL_S
    bench.give(v.Tick(bench.now))
    assert bench.node.view.alive("n2", bench.now)
    bench.tick(times=int(TTL_S / 0.5) + 1)
    assert not bench.node.view.alive("n2", bench.now)


def test_the_windows_of_a_dead_node_are_taken_by_its_revision() -> None:
    bench = Bench().join()
    bench.put(NODES, "n2", other("n2"))
    job = bench.placed(parts=40, spread=2)
    bench.put(PARTS, f"{job}.30", WindowRow(job=job, first=30, stop=40, node="n2", instance="n2-1", epoch=0))
    token = bench.rows[PARTS, f"{job}.30"][1]
    bench.tick(times=int(TTL_S / 0.5) + 2)
    assert "n2" not in bench.row(JOBS, job).nodes
    for part in range(30):
        bench.store(job, part)
    taken = [command for command in bench.of(v.KvUpdate) if command.key == f"{job}.30"]
    assert taken[0].revision == token
    assert taken[0].row.node == "n1"


def test_a_window_inside_this_ones_trims_it() -> None:
    bench = Bench().join()
    bench.put(NODES, "n2", other("n2"))
    job = bench.placed(parts=40, spread=2)
    granted = bench.of(v.GrantWindow)[-1]
    cut = granted.first + 1
    bench.put(
        PARTS, f"{job}.{cut}", WindowRow(job=job, first=cut, stop=granted.stop, node="n2", instance="n2-1", epoch=0)
    )
    assert bench.of(v.TrimWindow)[-1] == v.TrimWindow(job, cut)


def test_no_second_window_is_claimed_while_the_bus_has_not_answered_the_first() -> None:
    """The board changes meanwhile, another place looks best, and a node had two windows of which it needed one."""
    first = Bench().join()
    job = first.placed(parts=40)
    bench = Bench("n2").join()
    bench.put(NODES, "n1", other("n1"))
    bench.silent = True
    bench.put(JOBS, job, first.row(JOBS, job).but(nodes=("n1", "n2"), spread=2))
    for at in (20, 30):
        theirs = WindowRow(job=job, first=at, stop=at + 9, node="n1", instance="n1-1", epoch=0)
        bench.put(PARTS, f"{job}.{at}", theirs)
        bench.tick()
    assert len([each for each in bench.of(v.KvCreate) if each.bucket == PARTS]) == 1


def test_parts_are_read_again_beside_the_rest_once_half_of_the_file_is_stored() -> None:
    bench = Bench().join()
    bench.put(NODES, "n2", other("n2"))
    job = bench.placed(parts=4, spread=2)
    stored = (PartRow(part=3, etag="e", digest="d", node="n2"),)
    theirs = WindowRow(job=job, first=3, stop=4, node="n2", instance="n2-1", epoch=0, parts=stored)
    bench.put(PARTS, f"{job}.3", theirs)
    bench.tick(1.0)
    assert not bench.of(v.CheckPart)
    bench.store(job, 0)
    bench.tick(1.0)
    assert [check.part for check in bench.of(v.CheckPart)] == [3]
    assert bench.row(JOBS, job).state == ACTIVE


def test_a_part_without_a_row_is_sent_again_by_the_next_process() -> None:
    bench = Bench().join()
    job = bench.placed(parts=2)
    bench.give(v.PartReady(job, 0, "d0"))
    after = Bench(rows=bench.rows, revision=bench.revision, now=bench.now)
    after.give(v.Started("n1", "n1-2", 0.0, HERE, fleet="f"))
    after.join()
    after.tick(times=int(2 * RENEW_S / 0.5))
    assert after.of(v.GrantWindow)
    after.store(job, 0)
    after.store(job, 1)
    assert after.row(JOBS, job).state == SEALING


def test_a_completion_that_was_not_heard_of_is_recognised() -> None:
    bench = Bench().join()
    job = bench.placed(parts=1)
    bench.store(job, 0)
    complete = bench.of(v.CompleteUpload)[0]
    bench.give(v.UploadFailed(job, 0, v.StoreFault.NO_UPLOAD))
    assert bench.of(v.CheckObject)
    etag = multipart_etag([part.etag for part in complete.parts])
    bench.give(v.ObjectSeen(job, 0, etag, PART))
    assert bench.row(JOBS, job).state == SEALED


def test_another_object_of_the_name_fails_the_job_and_is_left_alone() -> None:
    bench = Bench().join()
    job = bench.placed(parts=1)
    bench.store(job, 0)
    bench.give(v.UploadFailed(job, 0, v.StoreFault.EXISTS))
    bench.give(v.ObjectSeen(job, 0, "an-other", 5))
    assert (bench.row(JOBS, job).state, bench.row(JOBS, job).reason) == (FAILED, "another object has the name")


def test_a_file_with_another_digest_than_the_order_says_fails_with_both() -> None:
    bench = Bench().join()
    wanted = f"sha256:{'a' * 64}"
    job = bench.placed(parts=2, spec=JobSpec(folder="", name="f", checksum=wanted))
    for part in range(2):
        bench.store(job, part)
    assert bench.of(v.CompleteUpload)[-1].checksum == wanted
    bench.give(v.UploadFailed(job, 0, v.StoreFault.CONTENT, "the whole file has sha256 b, not a"))
    assert (bench.row(JOBS, job).state, bench.row(JOBS, job).reason) == (FAILED, "the whole file has sha256 b, not a")


def test_a_lost_upload_is_begun_again_and_its_parts_count_for_nothing() -> None:
    bench = Bench().join()
    job = bench.placed(parts=2)
    bench.store(job, 0)
    bench.give(v.PartReady(job, 1, "d1"))
    bench.give(v.PartPutFailed(job, 1, 0, v.StoreFault.NO_UPLOAD))
    bench.give(v.ObjectSeen(job, 0, "", -1))
    bench.give(v.UploadCreated(job, 1, "u2"))
    assert (bench.row(JOBS, job).epoch, bench.row(JOBS, job).upload) == (1, "u2")
    assert bench.node.view.board(job).stored_count == 0


def test_a_part_that_arrived_in_a_lost_upload_is_sent_again() -> None:
    bench = Bench().join()
    job = bench.placed(parts=2)
    bench.give(v.PartReady(job, 0, "d0"))
    bench.give(v.PartReady(job, 1, "d1"))
    bench.give(v.PartPutFailed(job, 1, 0, v.StoreFault.NO_UPLOAD))
    bench.give(v.ObjectSeen(job, 0, "", -1))
    bench.give(v.UploadCreated(job, 1, "u2"))
    bench.give(v.PartPut(job, 0, 0, "0" * 32))
    bench.tick(times=4)
    assert bench.node.view.board(job).stored_count == 0
    assert {(command.part, command.epoch) for command in bench.of(v.PutPart)} >= {(0, 1), (1, 1)}


def test_a_full_destination_makes_jobs_wait_and_says_so_once() -> None:
    bench = Bench().join()
    job = bench.placed(parts=1)
    bench.give(v.PartReady(job, 0, "d0"))
    for _ in range(4):
        bench.give(v.PartPutFailed(job, 0, 0, v.StoreFault.FULL, "the bucket is full"))
        bench.tick(times=20)
    assert [report.text for report in bench.of(v.Report)] == ["the bucket is full"]
    assert len(bench.of(v.PutPart)) >= 3
    assert bench.row(JOBS, job).state == ACTIVE


def test_a_disk_that_damages_parts_gives_the_job_to_others() -> None:
    bench = Bench().join()
    job = bench.placed(parts=1)
    for _ in range(5):
        bench.give(v.PartReady(job, 0, "d0"))
        bench.give(v.PartPutFailed(job, 0, 0, v.StoreFault.CHECKSUM))
    assert bench.of(v.DropPart)[0].refetch
    assert bench.row(JOBS, job).refused == ("n1",)
    bench.tick(times=6)
    assert bench.row(JOBS, job).state == FAILED
    assert "damaged" in bench.row(JOBS, job).reason


def test_two_fleets_with_one_name_are_said_and_the_second_stays_out() -> None:
    bench = Bench()
    bench.rows[SETTINGS, FLEET] = (FleetSettings(fleet="g", destination="s3://elsewhere/"), 1)
    bench.revision = 1
    bench.join()
    report = bench.of(v.Report)[0]
    assert report.fatal
    assert "s3://elsewhere/" in report.text
    bench.said.clear()
    bench.tick(times=20)
    assert not bench.said


def test_two_nodes_with_one_name_are_said() -> None:
    bench = Bench()
    bench.rows[NODES, "n1"] = (other("n1", instance="another"), 1)
    bench.revision = 1
    bench.join()
    for at in range(40):
        if at % 6 == 0:
            bench.put(NODES, "n1", other("n1", instance="another", time_s=float(at)))
        bench.tick()
    assert any("another process is node n1" in report.text for report in bench.of(v.Report))
    assert bench.row(NODES, "n1").instance == "another"


def test_a_clock_that_is_an_hour_off_is_said_once() -> None:
    bench = Bench().join()
    for _ in range(3):
        bench.put(NODES, "n2", other("n2", time_s=bench.now + 3600))
        bench.tick()
    assert [report.text for report in bench.of(v.Report)] == ["the clocks of n2 and n1 differ by about +1.0 h"]


def test_a_drained_node_gives_its_jobs_to_others() -> None:
    bench = Bench().join()
    bench.put(NODES, "n2", other("n2"))
    job = bench.placed(parts=20)
    holder = bench.row(JOBS, job).nodes[0]
    bench.give(v.OrderReceived(9, 9, FleetOrder(kind="drain", node="n1")))
    bench.put(NODES, "n2", other("n2", time_s=1.0))
    bench.tick(times=10)
    assert bench.row(JOBS, job).nodes == ("n2",)
    if holder == "n1":
        assert not [row for row, _ in bench.rows.values() if isinstance(row, WindowRow) and row.node == "n1"]
        assert bench.of(v.StopLocalJob)[-1].keep


def test_soulseek_users_are_divided_and_a_job_goes_to_its_users_node() -> None:
    bench = Bench().join()
    for name in ("n2", "n3"):
        bench.put(NODES, name, other(name, schemes=("http", "https", "slsk")))
    for at in range(6):
        user = f"user{at}"
        bench.order(f"k{at}", number=at, sources=(slsk_url(user, "a\\f"),))
        assert bench.row(JOBS, job_id(f"k{at}")).nodes == (rendezvous(user, ["n2", "n3"]),)


def test_a_limit_of_the_fleet_is_shared() -> None:
    bench = Bench().join()
    bench.put(NODES, "n2", other("n2", rate_bytes_s=1e6, jobs=1))
    bench.give(v.OrderReceived(9, 9, FleetOrder(kind="limit", limit_bytes_s=10_000_000)))
    bench.give(v.SourceStates(9e6, -1, ("http", "https")))
    bench.tick(times=8)
    assert bench.of(v.LimitRate)
    assert 7e6 <= bench.of(v.LimitRate)[-1].rate_bytes_s <= 9.9e6


def test_a_second_leader_steps_down() -> None:
    bench = Bench().join()
    assert bench.of(v.PullOrders) == [v.PullOrders(on=True)]
    lease = bench.row(LEASES, LEADER)
    bench.put(LEASES, LEADER, lease.but(node="n2", instance="n2-1"))
    assert bench.of(v.PullOrders)[-1] == v.PullOrders(on=False)


def test_what_an_excluded_source_sent_is_dropped_and_fetched_again_without_it() -> None:
    bench = Bench().join()
    job = bench.placed(parts=2, sources=("http://a/f", "http://b/f"))
    bench.give(v.PartReady(job, 0, "d0", "", (1,)))
    bench.give(v.PartReady(job, 1, "d1", "", (0,)))
    row = bench.row(JOBS, job)
    bench.put(JOBS, job, row.but(excluded=(1,)))
    bench.tick(times=2)
    started = bench.of(v.StartLocalJob)[-1]
    assert (started.sources, started.numbers) == (("http://a/f",), (0,))
    bench.said.clear()
    bench.give(v.PartPut(job, 0, 0, f"{0:032x}"))  # it was on its way: its row is not written
    assert bench.row(PARTS, f"{job}.0").parts == ()
    for part in range(2):
        bench.give(v.PartReady(job, part, f"d{part}", "", (0,)))
        bench.give(v.PartPut(job, part, 0, f"{part:032x}"))
    assert bench.of(v.CompleteUpload)


def test_a_job_goes_first_to_a_node_that_could_reach_its_sources_lately() -> None:
    bench = Bench().join()
    bench.put(NODES, "n0", other("n0", unreachable=("a",), free_bytes=1 << 40))
    bench.order("far")
    assert bench.row(JOBS, job_id("far")).nodes == ("n1",)
    bench.order("near", number=2, sources=("http://b/f",))
    assert bench.row(JOBS, job_id("near")).nodes == ("n0",)
    bench.put(JOBS, job_id("far"), bench.row(JOBS, job_id("far")).but(nodes=(), refused=("n1",), state="queued"))
    bench.tick(times=8)
    assert bench.row(JOBS, job_id("far")).nodes == ("n0",), "it is tried where nothing else is left"


@pytest.mark.parametrize(("process", "taken"), [("n1-1", False), ("n1-2", True)])
def test_a_window_is_its_nodes_while_the_process_that_claimed_it_lives(process: str, *, taken: bool) -> None:
    first = Bench().join()
    job = first.placed(parts=40)
    bench = Bench("n2").join()
    bench.put(NODES, "n1", other("n1", instance=process))
    bench.put(NODES, "n3", other("n3"))
    for at, name in ((0, "n1"), (20, "n3")):
        theirs = WindowRow(job=job, first=at, stop=at + 20, node=name, instance=f"{name}-1", epoch=0)
        bench.put(PARTS, f"{job}.{at}", theirs)
    bench.put(JOBS, job, first.row(JOBS, job).but(nodes=("n1", "n2", "n3"), spread=3))
    bench.tick()
    claims = [each.key for each in bench.of(v.KvUpdate) if each.bucket == PARTS]
    assert claims == ([f"{job}.0"] if taken else [])


@pytest.mark.parametrize(("ahead_s", "said"), [(60.0, False), (61.0, True), (-61.0, True)])
def test_clocks_that_differ_by_more_than_a_minute_are_said(ahead_s: float, *, said: bool) -> None:
    bench = Bench().join()
    bench.put(NODES, "n2", other("n2", time_s=bench.now + ahead_s))
    bench.give(v.Tick(bench.now))
    assert bool(bench.of(v.Report)) == said


def test_a_row_of_another_version_is_named_once_where_it_matters() -> None:
    bench = Bench().join()
    for revision in range(2):
        for bucket, key in ((JOBS, "j"), (SETTINGS, "x"), (PARTS, "j.0"), (NODES, "n2")):
            bench.give(v.KvUnreadable(bucket, key, "no", 90 + revision))
    said = [report.text for report in bench.of(v.Report)]
    assert said == [
        f"{name}: a row of another version of the program is left alone" for name in ("jobs/j", "settings/x")
    ]


def test_a_node_whose_sources_have_another_size_gives_the_job_up() -> None:
    bench = Bench().join()
    job = bench.placed(parts=3)
    bench.give(v.FileDescribed(job, 3 * PART, divisible=True))
    assert bench.row(JOBS, job).nodes == ("n1",)
    bench.give(v.FileDescribed(job, 5, divisible=True))
    row = bench.row(JOBS, job)
    assert (row.nodes, row.refused) == ((), ("n1",))
    assert row.reason == f"n1: its sources have 5 bytes here, elsewhere {3 * PART}"


def test_an_upload_that_was_begun_for_a_job_of_another_node_is_aborted() -> None:
    bench = Bench().join()
    bench.give(v.UploadCreated("j", 0, "u"))
    assert bench.of(v.AbortUpload) == [v.AbortUpload("j", "u")]
    bench.give(v.PartPut("j", 0, 0, "e"))
    assert len(bench.of(v.AbortUpload)) == 1


def test_orders_are_for_the_leader() -> None:
    bench = Bench()
    lease = LeaseRow(node="n2", instance="n2-1")
    bench.rows[LEASES, LEADER], bench.revision = (lease, 1), 1
    bench.join()
    bench.order()
    assert not [key for bucket, key in bench.rows if bucket == JOBS]
    assert not bench.of(v.PullOrders)


def test_a_fleet_of_another_format_is_left_alone() -> None:
    bench = Bench()
    bench.rows[SETTINGS, FLEET] = (FleetSettings(fleet="f", destination=HERE, format=9), 1)
    bench.revision = 1
    bench.join()
    (report,) = bench.of(v.Report)
    assert (report.text, report.fatal) == ("this fleet is of format 9, this program of 1", True)


def test_the_limit_of_a_fleet_is_divided_by_what_its_nodes_can_use_and_lifted() -> None:
    bench = Bench()
    bench.rows[SETTINGS, FLEET] = (FleetSettings(fleet="f", destination=HERE, limit_bytes_s=1000), 1)
    bench.revision = 1
    bench.join()
    assert [limit.rate_bytes_s for limit in bench.of(v.LimitRate)] == [1000.0], "alone it has all of it"
    bench.put(NODES, "n2", other("n2", rate_bytes_s=160.0, jobs=1))
    bench.tick()
    assert bench.of(v.LimitRate)[-1].rate_bytes_s == pytest.approx(800.0)
    bench.put(NODES, "n3", other("n3", rate_bytes_s=160.0))  # without work it needs none
    bench.put(NODES, "n2", other("n2", rate_bytes_s=168.0, jobs=1))
    bench.tick()
    assert len(bench.of(v.LimitRate)) == 2, "a small change is none"
    bench.put(SETTINGS, FLEET, FleetSettings(fleet="f", destination=HERE))
    bench.tick(times=2)
    assert [limit.rate_bytes_s for limit in bench.of(v.LimitRate)][2:] == [0.0]


def test_a_node_says_of_itself_what_it_has_and_could_reach() -> None:
    bench = Bench().join()
    bench.placed()
    bench.give(v.SourceStates(1000.0, 5, ("http", "slsk"), tuple(f"h{at}" for at in range(9))))
    bench.give(v.SourceStates(100.0, 5, ("http", "slsk"), tuple(f"h{at}" for at in range(9))))
    bench.tick(times=int(RENEW_S / 0.5) + 1)
    row = bench.row(NODES, "n1")
    assert (row.rate_bytes_s, row.could_bytes_s, row.free_bytes, row.jobs) == (100.0, 900.0, 5, 1)
    assert (row.schemes, row.unreachable) == (("http", "slsk"), tuple(f"h{at}" for at in range(8)))
    bench.give(v.SourceStates(0.0, 5, ("http",)))
    bench.tick(times=int(RENEW_S / 0.5) + 1)
    assert bench.row(NODES, "n1").could_bytes_s == 900.0
