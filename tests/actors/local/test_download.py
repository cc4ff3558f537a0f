"""The front with scripted partners in real processes: what ends a search, and what the death of the session means."""

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from actors.core.supervision.process_policy import HealthPolicy, RestartPolicy
from actors.local.download import Interrupts, run_job
from actors.local.search import Searched, run_search
from actors.runtime.actor import Actor, stop_actors
from actors.runtime.process import ProcessActors, ProcessContext, ProcessSpec
from actors.runtime.supervisor import Supervisor
from protocol.cli.views.search import found_in
from protocol.messages import (
    FrontInbox,
    JobEnded,
    JobOpened,
    Message,
    ProcessLost,
    ProcessReady,
    SearchEnded,
    SearchHit,
    SessionChanged,
    StartJob,
    StartSearch,
)
from protocol.messages.addresses import FRONT, POOL, SESSION, split_address
from tests.specs import start_job

HERE = __name__


def hit(peer: str, path: str = "music\\song.flac", size: int = 1000) -> SearchHit:
    return SearchHit(
        search=1, peer=peer, path=path, size_bytes=size, slots_free=True, speed_bytes_s=0, queue_length=0, locked=False
    )


ENDED = SearchEnded(search=1, peers=9, refused="")
SCRIPTS: dict[str, list[Message]] = {
    "found": [
        SessionChanged(state="connecting", detail="", final=False),
        SessionChanged(state="online", detail="listening at port 1", final=False),
        hit("ann"),
        hit("bob", "other\\Song.FLAC"),
        hit("cid", size=5),
        hit("dan", "evil\x1b[2J.flac"),
        ENDED,
    ],
    "nothing": [ENDED],
    "budget": [SearchEnded(search=1, peers=0, refused="the search budget is spent")],
    "away": [SessionChanged(state="offline", detail="h:1 cannot be reached; trying again in 1 s", final=False)],
    "refused": [SessionChanged(state="refused", detail="the password is wrong", final=True)],
    "kicked": [hit("ann"), SessionChanged(state="kicked", detail="someone else", final=True)],
    "silent": [],
}


class Scripted(Actor):
    """The session: answers a search with the script of that name; ``dies`` ends its process."""

    def handle(self, message: Any) -> None:
        if isinstance(message, StartSearch):
            if message.term == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            for said in SCRIPTS[message.term]:
                self.bus.post(message.reply_to, said)


class LastHope(Actor):
    """The pool of a job whose only hope is Soulseek: ends it when the login is over."""

    def handle(self, message: Any) -> None:
        if isinstance(message, SessionChanged) and message.final:
            self.bus.post(FRONT, ended("starved", message.detail))


def ended(state: str, reason: str) -> JobEnded:
    return JobEnded(
        job=1, state=state, reason=reason, path="", size_bytes=-1, seconds=0.0,
        bytes_received=0, bytes_resumed=0, bytes_refetched=0, digest_hex="",
    )  # fmt: skip


class Forgetful(Actor):
    """The pool of a hub that dies at the first asking."""

    def handle(self, message: Any) -> None:
        if isinstance(message, StartJob):
            if message.attempt == 0:
                self.bus.post(FRONT, opened(7))
                os.kill(os.getpid(), signal.SIGKILL)
            self.bus.post(FRONT, opened(7))
            reported = f"attempt {message.attempt}, {message.resumed_bytes} bytes, {message.elapsed_s > 0}"
            self.bus.post(FRONT, ended("starved", reported))


def opened(resumed_bytes: int) -> JobOpened:
    return JobOpened(
        job=1, part_path="/f.part", size_bytes=9, chunk_size=1, resumed_bytes=resumed_bytes, message=""
    )  # fmt: skip


def build_forgetful(context: ProcessContext) -> ProcessActors:
    actor = Forgetful.start(split_address(POOL)[1], context.bus)

    def stop() -> None:
        stop_actors([actor], timeout_s=5)

    return ProcessActors(stop=stop)


def build_session(context: ProcessContext) -> ProcessActors:
    actor = Scripted.start(split_address(SESSION)[1], context.bus)

    def stop() -> None:
        stop_actors([actor], timeout_s=5)

    return ProcessActors(stop=stop)


def build_pool(context: ProcessContext) -> ProcessActors:
    actor = LastHope.start(split_address(POOL)[1], context.bus)

    def stop() -> None:
        stop_actors([actor], timeout_s=5)

    return ProcessActors(stop=stop)


def specs(*names: str) -> list[ProcessSpec]:
    builders = {"soulseek": "build_session", "hub": "build_pool"}
    return [ProcessSpec(process=name, builder=f"{HERE}:{builders[name]}") for name in names]


def searched(term: str, *, wait_s: float = 5.0, interrupted: bool = False) -> tuple[Searched, list[FrontInbox]]:
    shown: list[FrontInbox] = []
    interrupts = Interrupts()
    interrupts.count = int(interrupted)
    with Supervisor(specs("soulseek"), health_policy=HealthPolicy()) as supervisor:
        asked = StartSearch(search=1, term=term, wait_s=wait_s, reply_to=FRONT)
        return run_search(supervisor, shown.append, asked, interrupts), shown


def test_hits_become_targets_and_what_cannot_be_counts_nowhere() -> None:
    result, shown = searched("found")
    assert (result.state, result.peers) == ("ended", 3)
    assert [(each.size_bytes, sorted(each.hits)) for each in result.targets.best()] == [
        (1000, ["ann", "bob"]),
        (5, ["cid"]),
    ]
    assert [each.state for each in shown if isinstance(each, SessionChanged)] == ["connecting", "online"]
    assert not any(isinstance(each, SearchHit) for each in shown)
    reported = found_in("song", result.targets, state="ended", users=result.peers, refused="", most=1)
    assert (reported.target_count, reported.users, reported.state) == (2, 3, "ended")
    (target,) = reported.targets
    assert (target.name, target.extension, target.users) == ("Song.FLAC", "flac", 2)
    assert target.sources == ("slsk://ann/music%5Csong.flac", "slsk://bob/other%5CSong.FLAC")


@pytest.mark.parametrize(
    ("term", "state", "why"),
    [
        ("nothing", "ended", ""),
        ("budget", "refused", "the search budget is spent"),
        ("away", "refused", "h:1 cannot be reached"),
        ("refused", "refused", "the password is wrong"),
        ("kicked", "refused", "someone else"),
        ("dies", "failed", "soulseek died: killed by SIGKILL"),
    ],
)
def test_a_search_ends_with_its_reason(term: str, state: str, why: str) -> None:
    result, _ = searched(term)
    assert (result.state, result.refused) == (state, why)
    assert result.peers == (term == "kicked")


def test_a_session_that_never_answers_is_waited_for_within_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.local.search.SPARE_S", 0.2)
    result, _ = searched("silent", wait_s=0.1)
    assert (result.state, result.refused) == ("refused", "the session did not answer")


def test_ctrl_c_ends_a_search() -> None:
    assert searched("silent", interrupted=True)[0].state == "interrupted"


class Shown:
    def __init__(self, act: Callable[[FrontInbox], None] = lambda _message: None) -> None:
        self.messages: list[FrontInbox] = []
        self._act = act

    def show(self, message: FrontInbox, *, now_s: float) -> None:
        self.messages.append(message)
        self._act(message)

    def refresh(self, *, now_s: float) -> None:
        pass


def asked_job() -> StartJob:
    return start_job(folder="/", chunk_size=4096, slow_rate_bytes_s=0, slow_after_s=1.0, term="x")


def test_the_death_of_the_session_is_reported_to_the_pool_and_ends_no_job_by_itself() -> None:
    view = Shown()
    with Supervisor(specs("hub", "soulseek"), health_policy=HealthPolicy()) as supervisor:
        os.kill(supervisor.pid_of("soulseek"), signal.SIGKILL)
        last = run_job(supervisor, view, asked_job(), (), Interrupts())
    assert last.state == "starved", "the pool has decided"
    assert last.reason == "the soulseek process died: killed by SIGKILL"
    (lost,) = [each for each in view.messages if isinstance(each, SessionChanged)]
    assert (lost.state, lost.final) == ("offline", True)


def test_the_death_of_the_hub_ends_the_job() -> None:
    with Supervisor(specs("hub", "soulseek"), health_policy=HealthPolicy()) as supervisor:
        os.kill(supervisor.pid_of("hub"), signal.SIGKILL)
        last = run_job(supervisor, Shown(), asked_job(), (), Interrupts())
    assert (last.state, last.reason) == ("failed", "hub died: killed by SIGKILL")


def test_a_hub_that_is_started_again_is_asked_for_the_job_again_and_knows_how_far_it_was() -> None:
    view = Shown()
    spec = ProcessSpec(process="hub", builder=f"{HERE}:build_forgetful")
    with Supervisor([spec], restart_policy=RestartPolicy(), health_policy=HealthPolicy()) as supervisor:
        last = run_job(supervisor, view, asked_job(), (), Interrupts())
    assert last.reason == "attempt 1, 7 bytes, True"
    assert len([each for each in view.messages if isinstance(each, JobOpened)]) == 1, "it was opened once"


def test_the_death_of_a_session_that_is_started_again_is_a_note_and_no_end() -> None:
    view = Shown()
    with Supervisor(
        specs("hub", "soulseek"), restart_policy=RestartPolicy(restarts_max=1), health_policy=HealthPolicy()
    ) as supervisor:
        os.kill(supervisor.pid_of("soulseek"), signal.SIGKILL)
        while not isinstance(supervisor.inbox.get(timeout=30), ProcessLost):
            pass
        while not isinstance(supervisor.inbox.get(timeout=30), ProcessReady):
            pass
        os.kill(supervisor.pid_of("soulseek"), signal.SIGKILL)
        last = run_job(supervisor, view, asked_job(), (), Interrupts())
    assert last.state == "starved"
    assert last.reason.startswith("the soulseek process died: killed by SIGKILL; it was restarted 1 times")
