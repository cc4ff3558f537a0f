"""What becomes of jobs: how attempts end, names, sources, step by step."""

import json

import pytest

from actors.core.jobs.explain import bottlenecks
from actors.core.jobs.job import active_s, snapshot
from actors.core.jobs.transaction import Now
from protocol.messages import (
    AddSources,
    ClaimChanged,
    DropSource,
    EventOccurred,
    LimitJob,
    OfferSource,
    PartFileRemoved,
    PreferSource,
    ProcessLost,
    ProcessReady,
    RemovePartFile,
    RestoreSourceCounts,
    SourceDisabled,
    SourceFound,
    SourcePreferred,
    StartJob,
    StopJob,
    Ticked,
    UpdateJob,
    WatchEvents,
)
from protocol.model.identity import Claim
from tests.actors.core.jobs.rig import GATEWAY, WEB, Rig, row

OTHER = "http://b.example/f.bin"


# -- how attempts end


def test_a_failed_run_is_tried_again_later_each_time_and_then_given_up() -> None:
    rig = Rig(retries_max=2, retry_first_s=30.0)
    id = rig.order().id
    for wait_s in (30, 60):
        rig.ended(rig.number(id), "starved", "no source")
        assert (rig.state(id), rig.record(id).reason) == ("queued", f"no source; tried again in {wait_s} s")
        rig.s += wait_s - 1
        rig.hear(Ticked())
        assert not rig.started()
        rig.s += 1
        rig.hear(Ticked())
        assert rig.started()
    rig.ended(rig.number(id), "starved", "no source")
    assert (rig.state(id), rig.record(id).outcome, rig.record(id).reason) == ("failed", "starved", "no source")
    assert rig.kinds(id)[-1] == "job.failed"


@pytest.mark.parametrize(("origin", "waits"), [("multisource", True), ("cli", True), ("slskd", False)])
def test_a_job_waits_for_someone_who_can_deliver_unless_its_tool_would_take_another_user(
    origin: str, waits: bool
) -> None:
    rig = Rig()
    rig.order(origin=origin, user="ann", remote_path="m\\f.bin")
    (asked,) = rig.all_said(StartJob)
    assert asked.waits is waits


def test_a_job_is_not_tried_again_when_its_time_is_up_by_then() -> None:
    rig = Rig(retries_max=9, retry_first_s=30.0)
    id = rig.order(max_time_s=40.0).id
    rig.s += 5
    rig.ended(1, "starved", "no source")
    assert rig.state(id) == "queued"
    rig.s += 30
    rig.hear(Ticked())
    rig.ended(rig.number(id), "starved", "no source")  # 60 s until the next attempt
    assert (rig.state(id), rig.record(id).outcome, rig.record(id).reason) == ("failed", "starved", "no source")


def test_the_time_of_an_order_counts_between_attempts_and_not_while_a_user_pauses_it() -> None:
    rig = Rig(retries_max=9, retry_first_s=5.0, jobs_active_max=1)
    id, other = rig.order(max_time_s=60.0).id, rig.order(name="other").id
    rig.hear(Ticked())
    rig.s += 5
    rig.ended(1, "starved", "no source")
    assert (rig.state(id), rig.state(other)) == ("queued", "active")
    rig.pause(id)
    rig.s += 1000
    rig.hear(Ticked())
    rig.resume(id)
    for state in ("queued", "failed"):
        rig.s += 30
        rig.hear(Ticked())
        assert rig.state(id) == state
    assert (rig.record(id).outcome, rig.record(id).reason) == ("late", "not complete within 60 s")
    assert rig.kinds(id)[-1] == "job.failed"
    rig.retry(id)
    assert rig.state(id) == "queued", "with all of its time"


def test_bytes_that_came_begin_the_count_of_retries_again() -> None:
    rig = Rig(retries_max=1)
    id = rig.order().id
    rig.ended(rig.number(id), "starved")
    rig.s += 30
    rig.hear(Ticked())
    rig.progressed(rig.number(id), 500)
    rig.ended(rig.number(id), "starved")
    assert rig.state(id) == "queued"


def test_sources_that_disagree_are_not_asked_again() -> None:
    rig = Rig(retries_max=5)
    id = rig.order().id
    rig.ended(1, "disagreed", "sizes differ")
    assert (rig.state(id), rig.record(id).reason) == ("failed", "sizes differ")


def test_what_is_claimed_of_the_content_is_what_the_attempt_reported_whatever_checksum_was_ordered() -> None:
    """A checksum is a wish: where it was not compared, the API and its manifest must not call the bytes proven."""
    rig = Rig(retries_max=0)
    id = rig.order(checksum="md5:" + "0" * 32).id
    assert rig.record(id).claim == Claim()
    tied = Claim(kind="overlap", checks_agreed=4, contributors=2, groups=1, agreed_chunks=(3, 5))
    rig.ended(1, "failed", claim=tied)
    rig.retry(id)
    rig.ended(rig.number(id), "failed", claim=Claim())
    assert rig.record(id).claim == tied, "an attempt that stored nothing knows nothing"
    rig.retry(id)
    rig.ended(rig.number(id), "sealed", claim=Claim())
    assert rig.record(id).claim.kind == "size", "a file that was there, and was not read"
    other = rig.order(checksum="md5:" + "0" * 32).id
    rig.ended(rig.number(other), "sealed", claim=Claim(kind="digest", contributors=1))
    assert rig.record(other).claim.kind == "digest"


def test_the_claim_of_a_running_attempt_is_shown_and_its_end_says_it_to_listeners() -> None:
    rig = Rig()
    id = rig.order().id
    rig.hear(WatchEvents(reply_to=WEB))
    rig.hear(AddSources(request=1, reply_to=GATEWAY, id=id, urls=(OTHER, "http://c.example/f.bin")))
    for source, chunks in enumerate((3, 0, 1)):
        rig.hear(row(1, source, chunks=chunks))
    rig.opened(1, resumed=0)
    rig.hear(ClaimChanged(job=1, claim=Claim(contributors=2, groups=2)))
    job = rig.manager.find(id)
    assert job is not None
    assert snapshot(job, Now(s=0.0, ms=0)).claim.groups == 2
    rig.ended(1, "sealed", claim=Claim(kind="overlap", checks_agreed=4, contributors=2, groups=1, excluded_share=0.68))
    (reported,) = [json.loads(event.data) for event in rig.all_heard(EventOccurred) if event.kind == "job.sealed"]
    assert reported["identity"]["text"] == "4 overlap checks agree; a differing share above 68 % is excluded at 99 %"
    assert (reported["identity"]["kind"], reported["identity"]["checksAgreed"]) == ("overlap", 4)
    assert reported["sources"] == 2, "that sent chunks"


def test_stored_bytes_never_fall() -> None:
    rig = Rig()
    id = rig.order().id
    rig.opened(1, resumed=300)
    for stored, shown in ((500, 500), (400, 500), (700, 700)):
        rig.progressed(1, stored)
        assert rig.manager.find(id).record.stored_bytes == shown  # type: ignore[union-attr]
    rig.progressed(1, 900, state="verifying")
    assert rig.manager.find(id).record.stored_bytes == 700  # type: ignore[union-attr]


def test_a_late_word_about_a_run_that_is_over_changes_nothing() -> None:
    rig = Rig()
    id = rig.order().id
    rig.ended(1, "disagreed")
    before = rig.record(id)
    rig.progressed(1, 999)
    rig.ended(1, "sealed")
    rig.opened(1)
    assert rig.record(id) == before


def test_a_file_of_another_size_than_was_ordered_is_not_fetched() -> None:
    rig = Rig()
    id = rig.order(size_bytes=999).id
    rig.opened(1, size=1000)
    assert rig.all_heard(StopJob) == [StopJob(job=1)]
    rig.ended(1, "interrupted")
    record = rig.record(id)
    assert (record.state, record.outcome) == ("failed", "disagreed")
    assert record.reason == "sizes differ: 999 bytes were ordered, the sources have 1000"
    assert rig.kinds(id)[-1] == "job.failed"
    assert rig.all_heard(RemovePartFile) == [
        RemovePartFile(id=id, folder="/box", name="f.bin", reply_to="jobs/manager")
    ]
    rig.hear(PartFileRemoved(id=id, detail=""))
    assert not rig.store.files


def test_a_clock_that_was_set_back_keeps_no_one_waiting() -> None:
    rig = Rig(retry_s_max=100.0)
    id = rig.order().id
    rig.ended(1, "failed")
    rig.s -= 50_000
    rig.hear(Ticked())
    assert rig.state(id) == "active"


@pytest.mark.parametrize("jump_s", [-400 * 86_400.0, -90.0, 3 * 86_400.0, 400 * 86_400.0])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_wall_clock_that_is_set_makes_no_nonsense_of_times(jump_s: float, restarted: bool) -> None:
    rig = Rig()
    id = rig.order().id
    rig.opened(1)
    rig.s += 10.0
    rig.jumped_s = jump_s
    if restarted:
        rig.begin(fresh=False)  # by the wall clock alone it is known when the attempt began
    rig.s += 5.0
    job = rig.manager.find(id)
    assert job is not None
    shown = active_s(job, rig.now)
    if restarted:
        assert 0.0 <= shown <= rig.s, "no longer than the machine runs"
    else:
        assert shown == 15.0
    rig.ended(1, "sealed", path="/box/f.bin")
    record = rig.record(id)
    assert record.active_s == shown
    assert record.created_ms <= record.started_ms <= record.ended_ms


@pytest.mark.parametrize("jump_s", [-3 * 86_400.0, 3 * 86_400.0])
def test_a_retry_is_said_to_be_as_soon_as_it_is(jump_s: float) -> None:
    rig = Rig(retry_first_s=30.0, retry_s_max=100.0, jobs_active_max=1)
    id = rig.order().id
    rig.ended(1, "starved")
    rig.order(name="other")
    rig.jumped_s = jump_s
    job = rig.manager.find(id)
    assert job is not None
    texts = [each.text for each in bottlenecks(job, rig.manager.context_of(job, rig.now))]
    assert texts == ["1 jobs are active, at most 1 may be; 0 wait before this one"]


# -- names


def test_a_number_means_the_same_source_in_every_run() -> None:
    rig = Rig()
    id = rig.order(urls=(WEB,)).id
    rig.hear(SourceFound(job=1, source=0, url=WEB, size_bytes=9))
    rig.hear(SourceFound(job=1, source=1, url=OTHER, size_bytes=9))
    rig.hear(DropSource(request=1, reply_to=GATEWAY, id=id, source=0, banned=True))
    assert rig.all_heard(SourceDisabled) == [SourceDisabled(job=1, source=0, banned=True, detail="banned")]
    rig.pause(id)
    rig.ended(1, "interrupted")
    rig.resume(id)
    assert [offered.url for offered in rig.all_heard(OfferSource)] == [WEB, OTHER]
    assert rig.all_heard(StartJob)[0].source_count == 1


def test_a_source_that_the_hub_numbers_differently_is_still_ours() -> None:
    rig = Rig()
    id = rig.order(urls=(WEB,)).id
    rig.hear(AddSources(request=1, reply_to=GATEWAY, id=id, urls=(OTHER,)))
    assert [offered.url for offered in rig.all_heard(OfferSource)] == [OTHER]
    found = "slsk://peer/a.flac"
    rig.hear(SourceFound(job=1, source=1, url=found, size_bytes=9))
    rig.hear(SourceFound(job=1, source=2, url=OTHER, size_bytes=9))
    rig.hear(row(1, 1, peer="peer", bytes_stored=7))
    rig.hear(row(1, 2, bytes_stored=8))
    sources = rig.manager.find(id).sources  # type: ignore[union-attr]
    assert [(source.url, source.bytes_stored) for source in sources] == [(WEB, 0), (OTHER, 8), (found, 7)]
    rig.hear(DropSource(request=2, reply_to=GATEWAY, id=id, source=2, banned=False))
    assert [left.source for left in rig.all_heard(SourceDisabled)] == [1]


def test_a_preferred_source_is_one_in_every_attempt_until_it_is_not() -> None:
    rig = Rig()
    id = rig.order(urls=(WEB,)).id
    rig.hear(SourceFound(job=1, source=0, url=WEB, size_bytes=9))
    rig.hear(SourceFound(job=1, source=1, url=OTHER, size_bytes=9))
    prefer = PreferSource(request=1, reply_to=GATEWAY, id=id, source=1, preferred=True)
    rig.hear(prefer)
    assert rig.all_heard(SourcePreferred) == [SourcePreferred(job=1, source=1, preferred=True)]
    rig.hear(prefer)
    assert rig.all_heard(SourcePreferred) == []
    rig.pause(id)
    rig.ended(1, "interrupted")
    rig.resume(id)
    rig.hear(SourceFound(job=2, source=0, url=OTHER, size_bytes=9))
    assert rig.all_heard(SourcePreferred) == [SourcePreferred(job=2, source=0, preferred=True)]
    rig.hear(prefer.but(preferred=False))
    assert rig.all_heard(SourcePreferred) == [SourcePreferred(job=2, source=0, preferred=False)]


def test_a_banned_user_that_a_search_finds_again_is_left_at_once() -> None:
    rig = Rig()
    id = rig.order(term="some words").id
    rig.hear(DropSource(request=2, reply_to=GATEWAY, id=id, source=0, banned=True))
    rig.hear(SourceFound(job=1, source=3, url=WEB, size_bytes=9))
    assert rig.all_heard(SourceDisabled) == [SourceDisabled(job=1, source=3, banned=True, detail="banned")]


def test_what_a_source_did_is_reported_to_every_later_run_and_hub() -> None:
    rig = Rig()
    id = rig.order(urls=(WEB, OTHER)).id
    rig.hear(row(1, bytes_stored=100, chunks=1, stops=2))
    rig.hear(ProcessReady(process="hub", pid=2))
    known = RestoreSourceCounts(job=1, name=WEB, bytes_stored=100, chunks=1, leases=1, stops=2)
    assert rig.all_heard(RestoreSourceCounts) == [known]
    rig.hear(row(1, bytes_stored=150, chunks=2, leases=2, stops=3))
    rig.pause(id)
    rig.ended(1, "interrupted")
    rig.resume(id)
    (known,) = rig.all_heard(RestoreSourceCounts)
    assert (known.job, known.bytes_stored, known.stops) == (2, 150, 3)
    assert (rig.record(id).stops, rig.store.totals.chunks, rig.store.totals.stops) == (3, 2, 3)


def test_a_trim_counts_once_whichever_hub_tells_of_it() -> None:
    rig = Rig()
    id = rig.order(urls=(WEB, OTHER)).id
    rig.hear(row(1, trims=2))
    rig.hear(row(1, 1, trims=1))
    rig.hear(row(1, trims=2))
    rig.hear(ProcessReady(process="hub", pid=2))
    rig.hear(row(1, trims=0))
    rig.hear(row(1, trims=1))
    rig.pause(id)
    rig.ended(1, "interrupted")
    assert rig.store.totals.trims == 4


# -- limit and priority


def test_another_limit_reaches_a_running_job_at_once() -> None:
    rig = Rig()
    id = rig.order().id
    rig.hear(UpdateJob(request=1, reply_to=GATEWAY, id=id, limit_bytes_s=500, priority=-1))
    assert rig.all_heard(LimitJob) == [LimitJob(job=1, limit_bytes_s=500)]
    assert (rig.record(id).spec.limit_bytes_s, rig.record(id).spec.priority) == (500, 0)


# -- who gives way


def test_a_job_to_which_nothing_comes_lets_one_go_first_that_waits() -> None:
    rig = Rig(jobs_active_max=1, yield_s=600.0, starve_s=1e6)
    idle, waiting = rig.order(name="1").id, rig.order(name="2").id
    rig.s += 599
    rig.hear(Ticked())
    assert rig.state(idle) == "active"
    rig.s += 1
    rig.hear(Ticked())
    assert (rig.state(idle), rig.all_heard(StopJob)) == ("queued", [StopJob(job=1)])
    rig.ended(1, "interrupted")
    assert (rig.state(idle), rig.state(waiting)) == ("queued", "active")


def test_who_waits_for_sources_gives_way_sooner_than_who_waits_in_a_queue() -> None:
    rig = Rig(jobs_active_max=2, yield_s=600.0, yield_waiting_s=60.0)
    queued, gone, waiting = (rig.order(name=name).id for name in "123")
    rig.progressed(rig.number(gone), 0, state="waiting", reason="404")
    rig.s += 60
    rig.hear(Ticked())
    assert [rig.state(id) for id in (queued, gone, waiting)] == ["active", "queued", "queued"]
    rig.ended(2, "interrupted")
    assert rig.state(waiting) == "active"
    rig.s += 60
    rig.hear(Ticked())
    assert rig.state(queued) == "active"


def test_reports_without_a_new_byte_do_not_keep_a_stalled_job_from_giving_way() -> None:
    rig = Rig(jobs_active_max=1, yield_s=600.0, starve_s=1e6)
    stalled = rig.order().id
    queued = rig.order(name="g.bin").id
    rig.progressed(1, 100)
    for _ in range(6):
        assert rig.state(stalled) == "active"
        rig.s += 100
        rig.progressed(1, 100)
        rig.hear(Ticked())
    assert rig.state(stalled) == "queued"
    assert rig.all_said(StopJob) == [StopJob(job=1)]
    rig.ended(1, "interrupted")
    assert rig.state(queued) == "active"


def test_a_job_fails_when_its_attempts_have_taken_the_time_of_its_order_and_a_retry_gives_it_that_again() -> None:
    rig = Rig()
    id = rig.order(max_time_s=50.0).id
    for _ in range(2):
        for state in ("active", "failed"):
            rig.s += 30
            rig.progressed(rig.number(id), int(rig.s))
            rig.hear(Ticked())
            assert rig.state(id) == state
        assert (rig.record(id).outcome, rig.record(id).reason) == ("late", "not complete within 50 s")
        rig.ended(rig.number(id), "interrupted")
        assert rig.state(id) == "failed"
        rig.retry(id)


def test_a_job_that_no_source_can_deliver_to_is_not_waited_for_for_ever() -> None:
    rig = Rig(wait_s_max=100.0)
    id = rig.order().id
    for stored in (10, 20):
        rig.progressed(1, stored)
        rig.hear(Ticked())
        rig.progressed(1, stored, state="waiting", reason="a.example: 404")
        rig.s += 99
        rig.hear(Ticked())
        assert rig.state(id) == "active", "bytes came in between"
    rig.begin(fresh=False)
    rig.progressed(1, 20, state="waiting", reason="a.example: 404")
    rig.hear(Ticked())
    rig.s += 1
    rig.hear(Ticked())
    assert (rig.state(id), rig.record(id).outcome, rig.record(id).reason) == ("failed", "starved", "a.example: 404")
    rig.ended(1, "interrupted")
    assert (rig.record(id).outcome, rig.kinds(id)[-1]) == ("starved", "job.failed")


def test_what_came_through_slskds_door_does_not_wait() -> None:
    rig = Rig()
    rig.order(origin="slskd", user="ann", remote_path="a\\b.flac", name="b.flac")
    rig.order(name="c.flac")
    assert [asked.waits for asked in rig.all_said(StartJob)] == [False, True]


# -- events


def test_who_watches_hears_every_event_once_with_its_serial() -> None:
    rig = Rig()
    rig.hear(WatchEvents(reply_to=GATEWAY))
    rig.order()
    rig.progressed(1, 10)
    happened = rig.all_said(EventOccurred)
    rig.hear(WatchEvents(reply_to="front/front"))
    assert [event.kind for event in happened] == ["job.queued", "job.started", "job.progressed"]
    assert [event.serial for event in happened] == [2, 3, 0]
    rig.hear(ProcessLost(process="api", detail="killed", restart_s=0.0))
    rig.said.clear()
    rig.progressed(1, 20)
    assert [post.to for post in rig.said if isinstance(post.message, EventOccurred)] == ["front/front"]


# -- numbers


def test_a_source_that_there_was_no_room_for_changes_no_other() -> None:
    rig = Rig(sources_max=1)
    id = rig.order().id
    rig.hear(SourceFound(job=1, source=1, url=OTHER, size_bytes=-1))
    assert [(each.source, each.banned) for each in rig.all_heard(SourceDisabled)] == [(1, False)]
    rig.hear(row(1, 1, chunks=7, standing="banned"))
    assert [(each.chunks, each.standing) for each in rig.manager.jobs.living[id].sources] == [(0, "candidate")]


def test_waiting_counts_from_when_it_is_known_to_wait() -> None:
    rig = Rig()
    id = rig.order().id
    rig.progressed(1, 0, state="waiting")
    for passed_s in (0, 3, 5):
        rig.s += passed_s
        rig.hear(Ticked())
    assert rig.manager.jobs.living[id].record.waited_s == 8.0


def test_each_job_that_waits_counts_its_own_time_beside_others_that_go_on() -> None:
    rig = Rig()
    ids = [rig.order(name=f"f{each}.bin").id for each in range(3)]
    states = ["riding", "waiting", "waiting"]
    for id, state in zip(ids, states, strict=True):
        rig.progressed(rig.number(id), 10, state=state, rate=7.0)
        rig.hear(row(rig.number(id), 0, lease_first=3, lease_stop=9))
    rig.hear(Ticked())
    rig.s += 4
    rig.hear(Ticked())
    assert [rig.manager.jobs.living[id].record.waited_s for id in ids] == [0.0, 4.0, 4.0]
    rig.pause(ids[2])
    shown = [snapshot(rig.manager.jobs.living[id], Now(s=rig.s, ms=0)) for id in ids]
    assert [each.sources_active for each in shown] == [1, 1, 0]
    assert [each.rate_bytes_s for each in shown] == [7.0, 7.0, 0.0]


def test_a_stop_is_repeated_until_the_attempt_has_ended() -> None:
    rig = Rig()
    id = rig.order().id
    rig.hear(Ticked())
    assert rig.all_heard(StopJob) == [], "no one stopped it"
    rig.pause(id)
    asked = []
    for _second in range(6):
        rig.s += 1
        rig.hear(Ticked())
        asked.append(len(rig.all_heard(StopJob)))
    assert asked == [0, 1, 0, 1, 0, 1]
    rig.ended(1, "interrupted")
    rig.s += 3
    rig.hear(Ticked())
    assert rig.all_heard(StopJob) == []


def test_a_retry_queues_behind_others_and_a_pause_keeps_its_place() -> None:
    rig = Rig()
    retried, paused = rig.order(name="1").id, rig.order(name="2").id
    queued_ms = rig.record(paused).queued_ms
    rig.s += 50
    rig.ended(1, "starved")
    assert rig.record(retried).queued_ms == rig.now.ms
    rig.pause(paused)
    rig.ended(2, "interrupted")
    assert rig.record(paused).queued_ms == queued_ms


def test_only_jobs_that_go_on_have_a_rate_and_only_opened_ones_have_stored_anything() -> None:
    rig = Rig()
    first, _second = rig.order(name="1").id, rig.order(name="2").id
    rig.opened(1, "/box/1.part", resumed=300)
    rig.progressed(1, 500, rate=70.0)
    rig.progressed(2, 40, rate=5.0)
    counts = rig.manager.counts({})
    assert (counts.rate_bytes_s, counts.stored_bytes) == (75.0, 200)
    rig.pause(first)
    assert rig.manager.counts({}).rate_bytes_s == 5.0


def test_totals_of_an_attempt_that_stored_nothing_are_written_too() -> None:
    rig = Rig()
    rig.order()
    rig.ended(1, "starved")
    totals = rig.store.totals
    assert (totals.received_bytes, totals.refetched_bytes, totals.stored_bytes, totals.retries) == (1100, 100, 1000, 1)


def test_a_new_job_manager_counts_the_time_of_an_attempt_to_the_millisecond() -> None:
    rig = Rig()
    id = rig.order().id
    rig.s += 3.25
    rig.begin(fresh=False)
    rig.s += 1.5
    rig.ended(1, "sealed")
    assert rig.record(id).active_s == 4.75


@pytest.mark.parametrize(
    ("name", "words"),
    [("02 - Ebb and Flow.flac", "ebb and flow"), ("01 - Tide", "tide"), ("A " * 99, "a")],
)
def test_a_job_that_may_be_widened_is_searched_by_the_words_of_its_file(name: str, words: str) -> None:
    """By the same rule as a file of a folder: without number and extension, which half the network has."""
    rig = Rig()
    rig.order(urls=(WEB,), widen=True, name=name, size_bytes=1000)
    (asked,) = rig.all_said(StartJob)
    assert asked.spec.term == words


@pytest.mark.parametrize(("urls", "term", "words"), [((), "some words", "some words"), ((WEB,), "", "")])
def test_an_attempt_searches_where_its_job_was_ordered_to_and_is_counted(
    urls: tuple[str, ...], term: str, words: str
) -> None:
    rig = Rig()
    id = rig.order(urls=urls, term=term).id
    (asked,) = rig.all_said(StartJob)
    assert asked.spec.term == words
    assert rig.manager.jobs.living[id].record.attempts == 1
