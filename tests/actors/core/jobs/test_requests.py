"""What the hub is asked for: the attempt, its sources and their counts, each field of them; again after its death."""

import pytest

from protocol.messages import (
    AddSources,
    ContributorsListed,
    DropSource,
    GetManifest,
    ListContributors,
    OfferSource,
    ProcessReady,
    RequestAnswered,
    RestoreSourceCounts,
    SourceDisabled,
    SourceFound,
    StartJob,
    StopJob,
    Ticked,
    UpdateJob,
)
from protocol.model.job_records import ManifestRange
from tests.actors.core.jobs.rig import GATEWAY, WEB, Rig, row

OTHER = "http://b.example/f.bin"
THIRD = "http://c.example/f.bin"


def test_the_first_request_of_an_attempt() -> None:
    rig = Rig()
    id = rig.order(urls=(WEB, OTHER), size_bytes=700).id
    (asked,) = rig.all_said(StartJob)
    assert asked == StartJob(
        job=1,
        spec=rig.record(id).spec.but(name="f.bin", size_bytes=700, term=""),
        source_count=2,
        watcher="jobs/manager",
        attempt=0,
        elapsed_s=0.0,
        resumed_bytes=-1,
        waits=True,
        make_folder=True,
        begun=False,
    )
    rig.s += 5
    rig.pause(id)
    rig.ended(1, "interrupted")
    rig.s += 5
    rig.resume(id)
    (asked,) = rig.all_heard(StartJob)
    assert (asked.job, asked.attempt, asked.elapsed_s, asked.resumed_bytes) == (2, 0, 0.0, -1)


def test_the_request_of_an_attempt_at_another_hub_says_what_the_first_one_found() -> None:
    rig = Rig()
    id = rig.order(urls=(WEB, OTHER)).id
    rig.hear(DropSource(request=1, reply_to=GATEWAY, id=id, source=1, banned=False))
    rig.opened(1, "/box/g.bin.part", size=500, resumed=300)
    for attempt, elapsed_s in ((1, 7.5), (2, 15.0)):
        rig.s += 7.5
        rig.hear(ProcessReady(process="hub", pid=2))
        (asked,) = rig.all_heard(StartJob)
        assert (asked.job, asked.attempt, asked.elapsed_s, asked.resumed_bytes) == (1, attempt, elapsed_s, 300)
        assert (asked.source_count, asked.begun) == (1, True)
        assert (asked.spec.name, asked.spec.size_bytes, asked.spec.chunk_size) == ("g.bin", 500, 4096)
        assert [(each.job, each.url, each.disabled) for each in rig.all_heard(OfferSource)] == [
            (1, WEB, False),
            (1, OTHER, True),
        ]
        assert rig.store.attempts[1].attempt == attempt


def test_only_sources_that_had_a_lease_and_were_not_dropped_go_on_counting() -> None:
    rig = Rig()
    id = rig.order(urls=(WEB, OTHER, THIRD)).id
    rig.hear(row(1, 0, bytes_stored=5, chunks=2, leases=3, stops=4))
    rig.hear(row(1, 1, leases=0))
    rig.hear(row(1, 2, bytes_stored=5, chunks=2, leases=3, stops=4))
    rig.hear(DropSource(request=1, reply_to=GATEWAY, id=id, source=2, banned=False))
    rig.hear(ProcessReady(process="hub", pid=2))
    assert rig.all_heard(RestoreSourceCounts) == [
        RestoreSourceCounts(job=1, name=WEB, bytes_stored=5, chunks=2, leases=3, stops=4)
    ]
    kinds = [type(post.message) for post in rig.heard if post.to == "hub/pool"]
    assert kinds == [StartJob, RestoreSourceCounts, OfferSource, OfferSource, OfferSource]


def test_an_attempt_that_was_to_end_is_asked_for_at_another_hub_and_ended_at_once() -> None:
    rig = Rig()
    id = rig.order().id
    rig.pause(id)
    rig.hear(ProcessReady(process="hub", pid=2))
    assert rig.all_heard(StartJob)[0].job == 1
    assert rig.all_heard(StopJob) == [StopJob(job=1)]
    assert rig.state(id) == "paused"
    rig.hear(ProcessReady(process="assembler", pid=2))
    assert rig.all_heard(StartJob) == [], "that process has no attempts"


@pytest.mark.parametrize("private", [True, False])
def test_an_offer_says_whether_private_files_will_do(private: bool) -> None:
    rig = Rig()
    id = rig.order(private_ok=private).id
    assert rig.all_said(OfferSource) == [OfferSource(job=1, url=WEB, disabled=False, private_ok=private)]
    rig.hear(AddSources(request=1, reply_to=GATEWAY, id=id, urls=(OTHER,)))
    assert rig.all_heard(OfferSource) == [OfferSource(job=1, url=OTHER, disabled=False, private_ok=private)]
    assert rig.record(id).source_count == 2


def test_an_interface_of_the_configuration_goes_before_the_one_of_an_order() -> None:
    rig = Rig(interface="tun0")
    rig.order()
    assert rig.all_said(StartJob)[0].spec.http.interface == "tun0"


def test_each_command_about_a_source_reaches_the_hub_by_the_hubs_number() -> None:
    rig = Rig()
    id = rig.order(urls=(WEB, OTHER)).id
    rig.hear(SourceFound(job=1, source=0, url=OTHER, size_bytes=9))
    rig.hear(SourceFound(job=1, source=1, url=WEB, size_bytes=9))
    drop = DropSource(request=1, reply_to=GATEWAY, id=id, source=0, banned=False)
    rig.hear(drop)
    assert rig.all_heard(SourceDisabled) == [SourceDisabled(job=1, source=1, banned=False, detail="dropped")]
    rig.hear(drop.but(banned=True))
    assert rig.all_heard(SourceDisabled) == [SourceDisabled(job=1, source=1, banned=True, detail="banned")]
    rig.hear(drop)
    assert rig.all_heard(SourceDisabled) == [], "a ban is not less than a drop"
    assert rig.store.sources[id, 0].left == "banned"
    rig.hear(drop.but(restored=True))
    assert rig.all_heard(SourceDisabled) == [SourceDisabled(job=1, source=1, banned=False, detail="", restored=True)]
    rig.hear(row(1, 1, chunks=5))
    assert [source.chunks for source in rig.manager.jobs.living[id].sources] == [5, 0]


def test_as_many_sources_as_one_job_may_have_are_found_and_the_next_one_is_left() -> None:
    rig = Rig(sources_max=2)
    id = rig.order().id
    rig.hear(SourceFound(job=1, source=1, url=OTHER, size_bytes=9))
    assert (rig.record(id).source_count, rig.all_heard(SourceDisabled)) == (2, [])
    rig.hear(SourceFound(job=1, source=2, url=THIRD, size_bytes=9))
    assert rig.all_heard(SourceDisabled) == [SourceDisabled(job=1, source=2, banned=False, detail="enough sources")]
    rig.hear(row(1, 2, chunks=5))
    assert [source.chunks for source in rig.store.sources_of(id)] == [0, 0]


def test_a_stop_is_repeated_at_the_second_second_and_not_before() -> None:
    rig = Rig()
    id = rig.order().id
    rig.pause(id)
    for passed_s, stops in ((1.999, 0), (0.001, 1), (1.999, 0), (0.001, 1)):
        rig.s += passed_s
        rig.hear(Ticked())
        assert len(rig.all_heard(StopJob)) == stops


# -- manifests


def ask(rig: Rig, id: str, request: int) -> None:
    rig.hear(GetManifest(request=request, reply_to=GATEWAY, id=id))


def listed(request: int, first: int, owner: int, *, last: bool) -> ContributorsListed:
    return ContributorsListed(job=1, request=request, firsts=(first,), stops=(first + 2,), owners=(owner,), last=last)


def test_each_question_for_the_contributors_has_its_own_number_and_answer() -> None:
    rig = Rig()
    id = rig.order().id
    for asked in (7, 8):
        ask(rig, id, asked)
        assert rig.all_heard(ListContributors) == [ListContributors(job=1, request=asked - 6, reply_to="jobs/manager")]
        assert [post.to for post in rig.heard] == ["hub/dispatcher-1"]
    rig.hear(listed(2, 4, -1, last=False))
    rig.hear(listed(1, 0, 0, last=True))
    assert [each.request for each in rig.all_heard(RequestAnswered)] == [7]
    assert rig.answer(ManifestRange) == [ManifestRange(first=0, stop=2, source=0, url=WEB)]
    rig.hear(listed(1, 0, 0, last=True))
    assert rig.all_heard(RequestAnswered) == [], "that one was answered"
    rig.hear(listed(2, 6, 0, last=True))
    assert [each.request for each in rig.all_heard(RequestAnswered)] == [8]
    assert rig.answer(ManifestRange) == [
        ManifestRange(first=4, stop=6, source=-1, url=""),
        ManifestRange(first=6, stop=8, source=0, url=WEB),
    ]


def test_a_question_that_is_overdue_is_answered_from_the_store_at_its_time() -> None:
    rig = Rig()
    id = rig.order().id
    ask(rig, id, 7)
    rig.s += 3 - 0.001
    rig.hear(Ticked())
    assert rig.all_heard(RequestAnswered) == []
    rig.s += 0.001
    rig.hear(Ticked())
    assert [each.request for each in rig.all_heard(RequestAnswered)] == [7]


def test_more_questions_than_may_wait_are_answered_from_the_store_at_once() -> None:
    rig = Rig()
    id = rig.order().id
    for number in range(100):
        ask(rig, id, number)
        assert rig.all_heard(RequestAnswered) == []
    ask(rig, id, 999)
    assert [each.request for each in rig.all_heard(RequestAnswered)] == [999]
    assert rig.all_heard(ListContributors) == []


def test_another_limit_is_not_sent_where_it_is_the_same_or_no_attempt_is_under_way() -> None:
    rig = Rig(jobs_active_max=1)
    running, queued = rig.order(limit_bytes_s=5).id, rig.order(name="2").id
    change = UpdateJob(request=1, reply_to=GATEWAY, id=running, limit_bytes_s=-1, priority=3)
    for id in (running, queued):
        rig.hear(change.but(id=id))
        assert [post.to for post in rig.heard] == [GATEWAY]
        assert (rig.record(id).spec.priority, rig.record(id).spec.limit_bytes_s) == (3, 5 if id == running else 0)
