"""Bottlenecks of a job, in the words that people read; and who sent what of its file."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.jobs.attempts import merge_manifest
from actors.core.jobs.explain import bottlenecks
from protocol.messages import (
    ContributorsListed,
    DropSource,
    GetManifest,
    LimitTotal,
    ListContributors,
    ProcessLost,
    RequestAnswered,
    SessionChanged,
    SetTotalLimit,
    Ticked,
)
from protocol.model.identity import Claim
from protocol.model.job_policy import LimitWindow
from protocol.model.job_records import ManifestRange
from protocol.model.job_views import Bottleneck, unpack
from tests.actors.core.jobs.rig import GATEWAY, WEB, Rig, progressed, row

OTHER = "http://b.example/f.bin"
USER = "slsk://ann/a.flac"


def bindings(rig: Rig, id: str) -> list[Bottleneck]:
    job = rig.manager.find(id)
    if job is None:
        rig.manager.recall(rig.store.jobs[id], rig.store.sources_of(id))
        job = rig.manager.find(id)
    assert job is not None
    return bottlenecks(job, rig.manager.context_of(job, rig.now))


def kinds(rig: Rig, id: str) -> list[str]:
    return [binding.kind for binding in bindings(rig, id)]


def riding(rig: Rig, *rows: dict[str, Any], **order: Any) -> str:
    """A job that rides, of whose sources this was reported."""
    id = rig.order(**order).id
    rig.opened(1)
    rig.progressed(1, 100, rate=1000.0)
    for number, changes in enumerate(rows):
        rig.hear(row(1, number, **changes))
    return id


FLOWING: dict[str, Any] = {"phase": "flowing", "lease_first": 0, "lease_stop": 9, "chunks": 3}


def test_a_job_that_waits_for_its_turn_says_how_many_go_first() -> None:
    rig = Rig(jobs_active_max=1)
    for name in "123":
        id = rig.order(name=name).id
    (binding,) = bindings(rig, id)
    assert binding == Bottleneck(kind="queue", text="1 jobs are active, at most 1 may be; 1 wait before this one")


def test_a_failed_job_that_is_tried_again_says_when() -> None:
    rig = Rig(retry_first_s=3010.0)
    id = rig.order().id
    rig.ended(1, "starved", "no one has it")
    rig.s += 10
    (binding,) = bindings(rig, id)
    assert binding.text == "it failed and is tried again in 50 min 00 s: no one has it"


def test_a_pause_binds_and_an_end_says_how() -> None:
    rig = Rig(retries_max=0)
    id = rig.order().id
    rig.pause(id)
    assert kinds(rig, id) == ["paused"]
    rig.cancel(id)
    rig.ended(1, "interrupted")
    assert bindings(rig, id)[0].text == "it has ended: cancelled, cancelled"
    id = rig.order().id
    rig.ended(2, "sealed")
    assert bindings(rig, id) == [Bottleneck(kind="ended", text="it is complete")]


def test_the_disk_is_all_that_binds_while_it_fails() -> None:
    rig = Rig()
    id = rig.order().id
    rig.progressed(1, 0, state="paused", reason="/box: no space")
    assert bindings(rig, id) == [Bottleneck(kind="disk", text="the disk does not take it: /box: no space")]


def test_a_job_is_as_fast_as_its_sources_are() -> None:
    rig = Rig()
    id = riding(rig, FLOWING, FLOWING, urls=(WEB, OTHER))
    (binding,) = bindings(rig, id)
    assert (binding.kind, binding.text) == ("peers", "2 sources send, and this is how fast: 1000 B/s together")


def test_one_source_that_has_proven_itself_is_named() -> None:
    rig = Rig()
    id = riding(rig, FLOWING, {"standing": "cooling"}, urls=(WEB, OTHER))
    assert kinds(rig, id) == ["one source", "peers"]
    assert WEB in bindings(rig, id)[0].text


def test_places_in_queues_are_reported_with_their_numbers_the_best_first() -> None:
    rig = Rig()
    rows = [
        {"peer": "ann", "phase": "queued", "standing": "queued", "queue_place": 12},
        {"peer": "bob", "phase": "queued", "standing": "queued", "queue_place": 3},
    ]
    id = riding(rig, *rows, urls=(USER, "slsk://bob/a.flac"))
    (binding,) = bindings(rig, id)
    assert binding.kind == "places"
    assert "bob: place 3, ann: place 12" in binding.text


def test_five_places_are_named_those_that_are_not_known_last() -> None:
    rig = Rig()
    places = [-1, 0, 2, 3, 1, 4, -1]
    rows = [{"peer": f"u{at}", "phase": "queued", "queue_place": place} for at, place in enumerate(places)]
    id = riding(rig, *rows, urls=tuple(f"slsk://u{at}/a.flac" for at in range(len(places))))
    (binding,) = bindings(rig, id)
    shown = "u1: place 0, u4: place 1, u2: place 2, u3: place 3, u5: place 4, and 2 more"
    assert binding.text == f"waits in the queues of 7 peers ({shown})"


def test_what_has_not_been_opened_waits_for_its_sources() -> None:
    rig = Rig()
    id = rig.order().id
    assert [each.text for each in bindings(rig, id)] == ["its sources have not said yet whether they have the file"]
    rig.progressed(1, 0, state="verifying")
    assert kinds(rig, id) == ["disk"]


@pytest.mark.parametrize("phase", ["opening", "riding"])
def test_an_interface_that_is_gone_binds(phase: str) -> None:
    rig = Rig()
    id = riding(rig, {"standing": "candidate"})
    rig.progressed(1, 100, state=phase, reason="interface wg0 is gone")
    assert [each.text for each in bindings(rig, id)] == ["interface wg0 is gone: waits until it is back"]


def test_sources_that_all_failed_bind_while_the_job_rides_and_while_it_waits() -> None:
    rig = Rig()
    id = riding(rig, {"standing": "cooling", "reason": "503", "name": "a.example"})
    assert [each.text for each in bindings(rig, id)] == ["no source can deliver now: a.example: 503"]
    other = rig.order(name="other").id
    rig.progressed(2, 0, state="waiting")
    assert [each.text for each in bindings(rig, other)] == ["no source can deliver now: they have not answered"]


def test_a_limit_that_a_person_lifted_has_no_end() -> None:
    window = LimitWindow(days=(0,), begin_minute=0, end_minute=60, limit_bytes_s=1000)
    rig = Rig(schedule=(window,))
    id = riding(rig, FLOWING)
    job = rig.manager.find(id)
    assert job is not None
    assert rig.manager.context_of(job, rig.now).limit_left_s == 3600 - 100
    rig.hear(SetTotalLimit(request=1, reply_to=GATEWAY, limit_bytes_s=0))
    assert rig.manager.context_of(job, rig.now).limit_left_s == 0


def test_a_spent_budget_of_stops_binds() -> None:
    rig = Rig()
    spent = {"peer": "ann", "standing": "banned", "reason": "its stops of this day are spent: it is left alone"}
    id = riding(rig, spent, FLOWING, urls=(USER, WEB))
    assert "budget" in kinds(rig, id)


def test_a_limit_binds_when_the_rate_is_near_it() -> None:
    rig = Rig(limit_bytes_s=1100)
    id = riding(rig, FLOWING, limit_bytes_s=1050)
    assert kinds(rig, id)[:2] == ["limit", "limit"]
    assert "its own limit" in bindings(rig, id)[0].text
    rig.progressed(1, 200, rate=100.0)
    assert kinds(rig, id) == ["peers"]


def test_a_limit_of_the_schedule_says_how_long_it_holds() -> None:
    window = LimitWindow(days=(0,), begin_minute=0, end_minute=60, limit_bytes_s=1000)
    rig = Rig(schedule=(window,))
    id = riding(rig, FLOWING)
    rig.s = 30 * 60.0
    rig.hear(Ticked())
    assert bindings(rig, id)[0].text == "the limit of 1000 B/s for all jobs together, for another 30 min 00 s"


def test_a_job_without_users_says_what_the_search_said() -> None:
    rig = Rig()
    id = rig.order(urls=(), term="some words").id
    rig.progressed(1, 0, state="waiting", reason="the budget of searches is spent")
    assert bindings(rig, id) == [
        Bottleneck(
            kind="search",
            text="no user was found yet, it is searched for again: the budget of searches is spent",
        )
    ]


@pytest.mark.parametrize(
    ("phase", "kind", "words"),
    [
        ("searching", "search", "users who have the file are being searched for"),
        ("verifying", "disk", "is being read and checked"),
        ("opening", "sources", "have not said yet whether they have the file"),
        ("sealing", "disk", "the whole file is being checked"),
        ("riding", "sources", "they have not answered yet"),
    ],
)
def test_each_phase_of_an_attempt_says_what_it_waits_for(phase: str, kind: str, words: str) -> None:
    rig = Rig()
    id = rig.order().id
    rig.progressed(1, 0, state=phase)
    (binding,) = bindings(rig, id)
    assert binding.kind == kind
    assert words in binding.text


def test_a_job_whose_sources_were_all_dropped_waits_for_another_one() -> None:
    rig = Rig()
    id = rig.order().id
    rig.progressed(1, 0, state="riding")
    rig.hear(DropSource(request=1, reply_to=GATEWAY, id=id, source=0, banned=False))
    expected = [Bottleneck(kind="sources", text="it has no source; it goes on when one is added")]
    assert bindings(rig, id) == expected
    rig.progressed(1, 0, state="waiting")
    assert bindings(rig, id) == expected
    rig.progressed(1, 0, state="waiting", reason="all were left out")
    assert bindings(rig, id)[0].text == "all were left out"


def test_a_job_that_was_resumed_before_its_attempt_has_ended_says_so_and_then_takes_its_turn() -> None:
    rig = Rig(jobs_active_max=2)
    id = rig.order().id
    rig.pause(id)
    rig.resume(id)
    assert [each.text for each in bindings(rig, id)] == [
        "its last attempt is being stopped; then it takes its turn",
        "it is started in a moment",
    ]


def test_the_estimate_for_users_is_said_while_some_send() -> None:
    rig = Rig()
    id = riding(rig, FLOWING)
    rig.hear(progressed(1, 200, state="riding", rate=1000.0).but(estimate="1 min left"))
    assert [(each.kind, each.text) for each in bindings(rig, id)][1:] == [("users", "1 min left")]


@pytest.mark.parametrize(("count", "more"), [(1, ""), (5, ""), (7, ", and 2 more")])
def test_another_file_that_others_have_is_named_with_its_first_five_holders(count: int, more: str) -> None:
    rig = Rig()
    id = rig.order().id
    names = tuple(f"u{at}" for at in range(count))
    odd = Claim(excluded=names, excluded_chunks=(1,) * count, excluded_why=("digest",) * count)
    rig.ended(1, "sealed", claim=odd)
    ended, other = bindings(rig, id)
    assert (ended.kind, other.kind) == ("ended", "other group")
    assert other.text.endswith(f": {', '.join(odd.other_files[:5])}{more}")


def test_without_a_login_users_cannot_be_asked() -> None:
    rig = Rig()
    id = rig.order(urls=(USER,)).id
    rig.hear(SessionChanged(state="refused", detail="wrong password", final=True))
    assert bindings(rig, id)[0] == Bottleneck(kind="login", text="not logged in to Soulseek (refused): wrong password")


def test_the_death_of_the_session_for_good_is_a_login_that_is_gone() -> None:
    rig = Rig()
    id = rig.order(urls=(USER,)).id
    rig.hear(ProcessLost(process="soulseek", detail="killed", restart_s=-1.0))
    assert kinds(rig, id)[0] == "login"
    assert rig.all_heard(SessionChanged)[0].state == "offline"


def test_a_job_that_searches_says_so_and_one_that_may_not_yet_too() -> None:
    rig = Rig(searching_max=1)
    hunting = rig.order(name="1", urls=(), term="some words").id
    waiting = rig.order(name="2", urls=(), term="other words").id
    plain = rig.order(name="3").id
    assert kinds(rig, hunting) == ["search"]
    assert (rig.state(waiting), kinds(rig, waiting)) == ("queued", ["search"])
    assert rig.state(plain) == "active", "it does not search and passes by"


def test_a_job_that_waits_for_sources_says_what_is_known_of_each() -> None:
    rig = Rig()
    gone = {"standing": "banned", "reason": "404", "name": "a.example"}
    id = riding(rig, gone)
    rig.progressed(1, 100, state="waiting", rate=0.0)
    assert kinds(rig, id) == ["sources"]
    assert "a.example: 404" in bindings(rig, id)[0].text


# -- who sent what


def runs(*reported: tuple[int, int, int]) -> list[ManifestRange]:
    return [ManifestRange(first=first, stop=stop, source=source, url=f"u{source}") for first, stop, source in reported]


def test_what_a_later_run_does_not_know_is_known_from_before() -> None:
    before = runs((0, 4, 1), (6, 9, 2))
    assert merge_manifest(runs((0, 9, -1), (9, 12, 1)), before) == [
        *runs((0, 4, 1)),
        ManifestRange(first=4, stop=6, source=-1, url="u-1"),
        *runs((6, 9, 2), (9, 12, 1)),
    ]


@given(
    reported=st.lists(st.integers(-2, 2), max_size=12),
    before=st.lists(st.integers(-2, 2), max_size=12),
)
def test_every_chunk_has_the_owner_that_was_reported_else_the_one_of_before(
    reported: list[int], before: list[int]
) -> None:
    """-2: the chunk is missing."""

    def rows(owners: list[int]) -> list[ManifestRange]:
        return runs(*((at, at + 1, owner) for at, owner in enumerate(owners) if owner > -2))

    found = merge_manifest(rows(reported), rows(before))
    owners = {chunk: run.source for run in found for chunk in range(run.first, run.stop)}
    past = dict(enumerate(before))
    assert owners == {
        chunk: owner if owner >= 0 else max(past.get(chunk, -1), -1)
        for chunk, owner in enumerate(reported)
        if owner > -2
    }
    assert all((a.stop, a.source) != (b.first, b.source) for a, b in pairwise(found))
    assert all(run.first < run.stop for run in found)


def reported(number: int, *owned: tuple[int, int, int], request: int = 0, last: bool = True) -> ContributorsListed:
    firsts, stops, owners = zip(*owned, strict=True) if owned else ((), (), ())
    return ContributorsListed(job=number, request=request, firsts=firsts, stops=stops, owners=owners, last=last)


def test_the_manifest_is_kept_over_all_runs_and_for_ever() -> None:
    rig = Rig()
    id = rig.order(urls=(WEB, OTHER)).id
    rig.hear(reported(1, (0, 4, 0), last=False))
    rig.hear(reported(1, (6, 7, 1)))
    rig.pause(id)
    rig.ended(1, "interrupted")
    rig.resume(id)
    rig.hear(reported(2, (0, 4, -1), (4, 6, 1), (6, 7, -1)))
    rig.ended(2, "sealed")
    assert [(run.first, run.stop, run.source, run.url) for run in rig.store.manifests[id]] == [
        (0, 4, 0, WEB),
        (4, 7, 1, OTHER),
    ]


def test_a_running_job_is_asked_what_it_knows() -> None:
    rig = Rig()
    id = rig.order().id
    rig.hear(GetManifest(request=5, reply_to=GATEWAY, id=id))
    (asked,) = rig.all_heard(ListContributors)
    assert rig.said[-1].to == "hub/dispatcher-1"
    rig.hear(reported(1, (0, 4, 0), request=asked.request))
    assert [run.stop for run in rig.answer(ManifestRange)] == [4]
    assert id not in rig.store.manifests, "nothing is written down for a question"


def test_a_run_that_does_not_answer_is_not_waited_for() -> None:
    rig = Rig()
    id = rig.order().id
    rig.hear(reported(1, (0, 4, 0)))
    rig.hear(GetManifest(request=5, reply_to=GATEWAY, id=id))
    rig.s += 4
    rig.hear(Ticked())
    (answer,) = rig.all_heard(RequestAnswered)
    assert [run.stop for run in unpack(answer.body, ManifestRange)] == [4]
    assert rig.all_heard(LimitTotal) == []


def test_who_sent_what_of_an_unknown_job_is_refused() -> None:
    rig = Rig()
    rig.hear(GetManifest(request=5, reply_to=GATEWAY, id="nobody"))
    assert rig.refusal().kind == "unknown"
