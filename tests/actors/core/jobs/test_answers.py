"""Answers and refusals of commands: what is written, posted and said, and where the bounds of each field are."""

import json
from typing import Any

import pytest

from actors.core.jobs.job import due, next_to_start, retry_wait_s
from actors.core.jobs.transaction import ManifestReport, Transaction
from protocol.messages import (
    AddSources,
    CancelJob,
    DropSource,
    EventOccurred,
    LimitJob,
    PreferSource,
    RequestAnswered,
    RequestRefused,
    RetryJob,
    StartJob,
    StopJob,
    Ticked,
    UpdateJob,
    WatchEvents,
)
from protocol.messages.addresses import Post
from protocol.model.identity import Claim
from protocol.model.job_policy import JobPolicy
from protocol.model.job_records import SaveJob, SaveLimit, TrimEvents
from protocol.model.job_views import JobDetail, JobView, whole
from tests.actors.core.jobs.rig import GATEWAY, WEB, PlainStore, Rig, order, row
from tests.specs import job_record

OTHER = "http://b.example/f.bin"


def events(rig: Rig) -> list[tuple[str, dict[str, Any]]]:
    heard = rig.all_heard(EventOccurred)
    return [(each.kind, json.loads(each.data)) for each in heard if each.kind != "job.noted"]


def watched(**policy: Any) -> Rig:
    rig = Rig(**policy)
    rig.hear(WatchEvents(reply_to=GATEWAY))
    return rig


# -- orders


@pytest.mark.parametrize(
    ("field", "most"),
    [("name", 4096), ("folder", 4096), ("term", 250), ("origin", 32), ("user", 256), ("remote_path", 4096)],
)
def test_a_text_of_an_order_has_as_many_bytes_as_it_may_have(field: str, most: int) -> None:
    for letter, count in (("x", most), ("é", most // 2)):
        text = f"/{'x' * (len(letter.encode()) - 1)}{letter * (count - 1)}" if field == "folder" else letter * count
        for more, refused in (("", []), ("x", [(field, f"longer than {most} bytes")])):
            rig = Rig(jobs_active_max=0)
            rig.hear(order(1, (WEB,), **{field: text + more}))
            assert [(each.field, each.detail) for each in rig.all_heard(RequestRefused)] == refused


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"folder": "box"}, ("folder", "not an absolute path")),
        ({"name": " /. "}, ("name", "cannot be the name of a file")),
        ({"name": "/a"}, None),
        ({"size_bytes": -2}, ("size_bytes", "less than 0")),
        ({"size_bytes": 0}, None),
        ({"chunk_size": 4095}, ("chunk_size", "not from 4096 to 1048576")),
        ({"chunk_size": 1048577}, ("chunk_size", "not from 4096 to 1048576")),
        ({"chunk_size": 4096}, None),
        ({"chunk_size": 1048576}, None),
        ({"chunk_size": 0}, None),
        ({"chunk_size": 1}, ("chunk_size", "not from 4096 to 1048576")),
        ({"checksum": "md5:" + "0" * 31}, ("checksum", "not 32 hexadecimal digits behind md5:")),
        ({"checksum": "md5:" + "g" * 32}, ("checksum", "not 32 hexadecimal digits behind md5:")),
        ({"checksum": " MD5:" + "A" * 32}, None),
        ({"mode": "fast"}, ("mode", "none of swarm, queue, failover, race")),
        ({"limit_bytes_s": -1}, ("limit_bytes_s", "less than 0")),
        ({"sources": ()}, ("sources", "none, and nothing to search for")),
        ({"sources": (), "term": "words"}, None),
        ({"sources": (), "user": "ann", "remote_path": "a"}, None),
        ({"sources": (), "user": "ann"}, ("sources", "none, and nothing to search for")),
        ({"sources": (), "remote_path": "a"}, ("sources", "none, and nothing to search for")),
    ],
)
def test_an_order_is_refused_with_its_reason_or_taken(changes: dict[str, Any], refused: tuple[str, str] | None) -> None:
    rig = Rig(jobs_active_max=0)
    rig.hear(order(1, (WEB,), **changes))
    found = [(each.request, each.kind, each.field, each.detail) for each in rig.all_heard(RequestRefused)]
    assert found == ([(1, "invalid", *refused)] if refused else [])
    assert len(rig.store.jobs) == (refused is None)


def test_a_checksum_of_another_kind_is_refused_with_those_that_there_are() -> None:
    rig = Rig()
    for text in ("crc:00", "md5"):
        rig.hear(order(1, (WEB,), checksum=text))
        assert rig.refusal().detail.startswith("not ALGORITHM:HEX with one of sha256, sha1, ") == (text == "crc:00")


def test_the_answer_to_an_order_is_the_job_with_its_sources() -> None:
    rig = watched(jobs_active_max=0)
    rig.hear(order(5, (WEB, OTHER, WEB), size_bytes=70, key="k", digest="d", checksum=" MD5:" + "A" * 32))
    (answered,) = rig.all_heard(RequestAnswered)
    assert (answered.request, answered.last) == (5, True)
    detail = whole(rig.answer(JobDetail))
    assert [(each.number, each.url) for each in detail.sources] == [(0, WEB), (1, OTHER)], "as they were named first"
    record = rig.record(detail.job.id)
    assert (record.serial, record.state, record.created_ms, record.queued_ms) == (
        1,
        "queued",
        rig.now.ms,
        rig.now.ms,
    )
    assert (record.order_key, record.order_digest, record.source_count, record.file_name) == ("k", "d", 2, "f.bin")
    assert record.spec.checksum == "md5:" + "a" * 32
    assert events(rig) == [("job.queued", {"name": "f.bin", "size": 70, "origin": "multisource"})]
    rig.hear(order(6, (WEB,)))
    assert whole(rig.answer(JobDetail)).job.serial == 2


def test_as_many_jobs_as_may_wait_are_taken() -> None:
    rig = Rig(jobs_max=2, jobs_active_max=0)
    for number, refused in ((1, 0), (2, 0), (3, 1)):
        rig.hear(order(number, (WEB,), name=str(number)))
        assert len(rig.all_heard(RequestRefused)) == refused


@pytest.mark.parametrize("count", [2, 3])
def test_as_many_sources_as_one_job_may_have_are_taken_at_once_and_later(count: int) -> None:
    rig = Rig(sources_max=2)
    urls = tuple(f"http://{at}.example/f.bin" for at in range(count))
    rig.hear(order(1, urls))
    assert [each.detail for each in rig.all_heard(RequestRefused)] == ["more than 2 of one job"] * (count - 2)
    id = rig.order(urls=(WEB,), name="2").id
    rig.hear(AddSources(request=1, reply_to=GATEWAY, id=id, urls=urls[1:]))
    assert [(each.field, each.detail) for each in rig.all_heard(RequestRefused)] == [
        ("urls", "more than 2 of one job")
    ] * (count - 2)


# -- commands about a job


def test_each_command_writes_its_event_and_answers_with_the_job() -> None:
    rig = watched()
    id = rig.order().id
    rig.progressed(1, 40)
    for act, state, kind in (
        (rig.pause, "paused", "job.paused"),
        (rig.resume, "queued", "job.resumed"),
        (rig.cancel, "cancelled", "job.cancelled"),
        (rig.retry, "queued", "job.resumed"),
    ):
        act(id)
        (view,) = rig.answer(JobView)
        assert (view.id, view.state) == (id, state)
        assert events(rig) == [(kind, {"storedBytes": 40})]
        assert rig.all_heard(StopJob) == ([] if state == "queued" else [StopJob(job=1)])


def test_a_command_about_no_job_says_so() -> None:
    rig = Rig()
    rig.hear(CancelJob(request=4, reply_to=GATEWAY, id="none", removed=False))
    assert rig.refusal() == RequestRefused(request=4, kind="unknown", field="", detail="no such job")


def test_a_cancelled_job_says_when_and_why_and_a_retry_begins_all_counts_again() -> None:
    rig = Rig(retry_first_s=30.0)
    id = rig.order().id
    rig.s += 3
    rig.ended(1, "starved")
    assert rig.record(id).retries == 1
    rig.s += 4
    rig.cancel(id, removed=True)
    record = rig.record(id)
    assert (record.state, record.reason, record.ended_ms, record.removed) == (
        "cancelled",
        "cancelled",
        rig.now.ms,
        True,
    )
    rig.s += 5
    rig.retry(id)
    record = rig.record(id)
    assert (record.state, record.reason, record.ended_ms, record.removed) == ("active", "", 0, False)
    assert (record.retries, record.retry_at_ms, record.waited_s, record.queued_ms) == (0, 0, 0.0, rig.now.ms)
    assert (record.timed_from_s, record.attempts) == (3.0, 2)


def test_a_resumed_job_goes_on_counting_its_time() -> None:
    rig = Rig()
    id = rig.order(max_time_s=50.0).id
    rig.s += 30
    rig.pause(id)
    rig.ended(1, "interrupted")
    rig.resume(id)
    assert rig.record(id).timed_from_s == 0.0
    for passed_s, state in ((19.9, "active"), (0.1, "failed")):
        rig.s += passed_s
        rig.hear(Ticked())
        assert rig.state(id) == state


def test_a_removed_job_that_is_living_is_cancelled_and_off_the_list() -> None:
    rig = Rig()
    id = rig.order().id
    rig.cancel(id, removed=True)
    assert (rig.state(id), rig.record(id).removed, rig.answer(JobView)[0].removed) == ("cancelled", True, True)
    other = rig.order(name="2").id
    rig.cancel(other)
    assert not rig.record(other).removed


@pytest.mark.parametrize(
    ("limit", "priority", "found", "sent"),
    [(-1, -1, (5, 3), []), (0, -1, (0, 3), [0]), (4, 2, (4, 2), [4]), (9, 0, (9, 0), [9]), (5, 7, (5, 7), [])],
)
def test_an_update_changes_what_it_names_up_and_down(
    limit: int, priority: int, found: tuple[int, int], sent: list[int]
) -> None:
    rig = watched()
    id = rig.order(limit_bytes_s=5, priority=3).id
    rig.hear(UpdateJob(request=1, reply_to=GATEWAY, id=id, limit_bytes_s=limit, priority=priority))
    spec = rig.record(id).spec
    assert (spec.limit_bytes_s, spec.priority) == found
    assert rig.all_heard(LimitJob) == [LimitJob(job=1, limit_bytes_s=each) for each in sent]
    changed = [("job.changed", {"limitBytesS": found[0], "priority": found[1]})]
    assert events(rig) == ([] if found == (5, 3) else changed)
    assert rig.answer(JobView)[0].id == id


@pytest.mark.parametrize("number", [-1, 2])
def test_a_source_that_a_job_has_not_is_refused(number: int) -> None:
    rig = Rig()
    id = rig.order(urls=(WEB, OTHER)).id
    for command in (
        DropSource(request=1, reply_to=GATEWAY, id=id, source=number, banned=False),
        PreferSource(request=1, reply_to=GATEWAY, id=id, source=number, preferred=True),
    ):
        rig.hear(command)
        assert rig.refusal() == RequestRefused(request=1, kind="invalid", field="source", detail="no such source")


def test_commands_about_sources_are_events_with_public_addresses() -> None:
    rig = watched()
    id = rig.order(urls=(WEB, "http://ann:secret@b.example/f.bin")).id
    drop = DropSource(request=1, reply_to=GATEWAY, id=id, source=1, banned=True)
    prefer = PreferSource(request=1, reply_to=GATEWAY, id=id, source=1, preferred=True)
    added = AddSources(request=1, reply_to=GATEWAY, id=id, urls=("http://x:y@c.example/f.bin",))
    for command, kind, data in (
        (prefer, "source.preferred", {"source": 1, "url": OTHER, "preferred": True}),
        (drop, "source.dropped", {"source": 1, "url": OTHER, "banned": True}),
        (drop.but(restored=True), "source.added", {"source": 1, "url": OTHER}),
        (drop.but(banned=False), "source.dropped", {"source": 1, "url": OTHER, "banned": False}),
        (added, "source.added", {"source": 2, "url": "http://c.example/f.bin"}),
    ):
        rig.hear(command)
        assert events(rig) == [(kind, data)]
        assert len(rig.answer(JobView)) == 1
    assert rig.store.sources[id, 1].preferred
    assert (rig.store.sources[id, 1].left, rig.store.sources[id, 1].standing) == ("dropped", "candidate")


# -- the other group


CLAIM = Claim(contributors=1, excluded=(OTHER,), excluded_chunks=(3,), excluded_why=("digest",))


@pytest.mark.parametrize(
    ("outcome", "notes"), [("sealed", ["the other group is fetched now; the file before is /box/f.bin"]), ("late", [])]
)
def test_the_other_group_is_fetched_from_nothing_and_the_file_before_is_named(outcome: str, notes: list[str]) -> None:
    rig = Rig()
    id = rig.order(urls=(WEB, OTHER, "http://c.example/f.bin"), widen=True, size_bytes=1000).id
    rig.hear(DropSource(request=1, reply_to=GATEWAY, id=id, source=1, banned=True))
    rig.hear(DropSource(request=1, reply_to=GATEWAY, id=id, source=2, banned=True))
    rig.progressed(1, 50)
    rig.ended(1, outcome, path="/box/f.bin", claim=CLAIM)
    rig.hear(RetryJob(request=2, reply_to=GATEWAY, id=id, other_group=True))
    record = rig.record(id)
    assert [each.left for each in rig.store.sources_of(id)] == ["dropped", "", "banned"]
    assert {(each.standing, each.reason) for each in rig.store.sources_of(id)} == {("candidate", "")}
    assert (record.stored_bytes, record.path, record.digest_hex, record.outcome) == (0, "", "", "")
    assert (record.claim, record.spec.term, record.spec.widen) == (Claim(), "", False)
    assert [text for _, text in rig.store.notes] == notes
    assert [each.job for each in rig.all_heard(StartJob)] == [2]
    assert rig.answer(JobView)[0].state == "queued"


def test_another_group_is_not_taken_while_an_attempt_is_under_way_in_the_words_of_the_state() -> None:
    rig = Rig()
    id = rig.order().id
    rig.cancel(id)
    rig.hear(RetryJob(request=2, reply_to=GATEWAY, id=id, other_group=True))
    assert rig.refusal().detail == "cannot take another group while the job is cancelled"
    assert rig.refusal().kind == "conflict"


# -- the queue


@pytest.mark.parametrize(("wait_ms", "is_due"), [(-5, True), (0, True), (1, False), (9000, False), (9001, True)])
def test_a_retry_is_due_at_its_time_and_not_later_than_retries_may_wait(wait_ms: int, is_due: bool) -> None:
    record = job_record(id="x", retry_at_ms=100_000 + wait_ms)
    assert due(record, JobPolicy(retry_s_max=9.0), 100_000) is is_due


@pytest.mark.parametrize(("retries", "wait_s"), [(0, 30.0), (1, 60.0), (3, 240.0), (7, 3600.0), (10_000, 3600.0)])
def test_each_retry_waits_twice_as_long_up_to_an_hour(retries: int, wait_s: float) -> None:
    assert retry_wait_s(JobPolicy(), retries) == wait_s


def test_the_longest_wait_is_still_twice_the_one_before_after_thirty_retries() -> None:
    assert retry_wait_s(JobPolicy(retry_first_s=1.0, retry_s_max=1e12), 31) == float(1 << 30)


@pytest.mark.parametrize(("room", "chosen"), [(-1, []), (0, []), (1, ["b"]), (2, ["b", "a"]), (9, ["b", "a", "d"])])
def test_as_many_are_started_as_there_is_room_for_those_that_may_not_search_are_passed_over(
    room: int, chosen: list[str]
) -> None:
    jobs = [
        job_record(id="a", serial=1),
        job_record(id="b", serial=2, priority=5, term="words"),
        job_record(id="c", serial=3, priority=4, widen=True),
        job_record(id="d", serial=4),
        job_record(id="e", serial=5, priority=9, number=7),
        job_record(id="f", serial=6, priority=9, retry_at_ms=5),
    ]
    policy = JobPolicy(searching_max=3, starve_s=1e6)
    assert [job.id for job in next_to_start(jobs, policy, room=room, searching=2, now_ms=0)] == chosen


# -- counts, and what is written from time to time


def test_the_counts_are_the_totals_and_what_is_stored_of_the_attempts_under_way() -> None:
    rig = Rig(limit_bytes_s=77)
    rig.order(name="1")
    rig.order(name="2")
    rig.opened(1, "/box/1.part", resumed=300)
    rig.progressed(1, 500)
    rig.opened(2, "/box/2.part", resumed=0)
    rig.progressed(2, 0)
    rig.hear(row(1, chunks=3, stops=2, trims=1))
    counts = rig.manager.counts({"active": 2, "cancelled": 9})
    assert (counts.active, counts.cancelled, counts.paused) == (2, 9, 0)
    assert (counts.stored_bytes, counts.chunks, counts.stops, counts.trims) == (200, 3, 2, 1)
    assert (counts.limit_bytes_s, counts.last_serial) == (77, len(rig.store.events))
    assert (counts.received_bytes, counts.refetched_bytes, counts.retries) == (0, 0, 0)
    rig.ended(1, "starved")
    counts = rig.manager.counts({})
    assert (counts.received_bytes, counts.refetched_bytes, counts.stored_bytes, counts.retries) == (1100, 100, 1000, 1)


def test_an_empty_store_begins_every_count_at_one() -> None:
    rig = Rig(store=PlainStore())
    id = rig.order().id
    assert (rig.record(id).serial, rig.number(id), rig.store.events[0].serial) == (1, 1, 1)
    assert rig.store.limit_bytes_s == -1


def test_old_events_are_removed_every_ten_minutes() -> None:
    rig = Rig(events_days=1, events_max=5)

    def trims() -> list[TrimEvents]:
        writes = rig.manager.handle(Ticked(), now=rig.now).writes
        return [each for each in writes if isinstance(each, TrimEvents)]

    assert trims() == [TrimEvents(5, rig.now.ms - 86_400_000)]
    for passed_s, count in ((599.9, 0), (0.1, 1), (599.9, 0), (0.1, 1)):
        rig.s += passed_s
        assert len(trims()) == count


@pytest.mark.parametrize(
    ("transaction", "is_one"),
    [
        (Transaction(), False),
        (Transaction(at_once=[Post(to=GATEWAY, message=Ticked())]), False),
        (Transaction(posts=[Post(to=GATEWAY, message=Ticked())]), True),
        (Transaction(counted=[(1, GATEWAY)]), True),
        (Transaction(manifests=[ManifestReport("x", None)]), True),
        (Transaction(writes=[SaveLimit(5)]), True),
    ],
)
def test_a_transaction_is_one_where_something_waits_for_the_commit(transaction: Transaction, is_one: bool) -> None:
    """What is sent at once needs none."""
    assert bool(transaction) is is_one


def test_a_question_is_no_write() -> None:
    rig = Rig()
    assert not rig.manager.handle(Ticked(), now=rig.now).urgent
    transaction = rig.manager.handle(order(1, (WEB,)), now=rig.now)
    assert transaction
    assert transaction.urgent
    assert isinstance(transaction.writes[0], SaveJob)
