"""Any orders, deaths and ends of attempts in any order: what was answered is stored, and nothing happens twice."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from protocol.messages import (
    AddSources,
    DropSource,
    ProcessReady,
    RequestAnswered,
    RequestRefused,
    SourceFound,
    StartJob,
    StopJob,
    Ticked,
)
from protocol.model.job_policy import JobPolicy
from protocol.model.job_views import JobDetail, JobView, unpack
from tests.actors.core.jobs.rig import GATEWAY, PlainStore, Rig, row

OUTCOMES = st.sampled_from(["sealed", "starved", "disagreed", "disk", "interrupted", "failed"])
TRANSITIONS = ["pause", "resume", "cancel", "retry", "delete"]
LIKELY = {
    "queued": ["pause", "cancel"],
    "active": ["pause", "pause", "cancel"],
    "paused": ["resume", "resume", "cancel"],
    "sealed": ["delete"],
    "failed": ["retry", "delete"],
    "cancelled": ["retry", "retry", "delete"],
}
NAMES = st.sampled_from(["a.bin", "b.bin", "A.bin", ""])
URLS = st.sampled_from([f"http://{host}.example/{name}" for host in "xyz" for name in ("a.bin", "c.bin")])
NUMBERS = st.integers(0, 20)
SIZES = st.sampled_from([-1, -1, 1000, 999])


def views(body: bytes) -> list[JobView]:
    """The jobs of an answer: of a whole job to an order, of a view to every other command."""
    try:
        return unpack(body, JobView)
    except ValueError:
        return [row.job for row in unpack(body, JobDetail)]


class JobManagers(RuleBasedStateMachine):
    """Plays the gateway and the hub. `hub` are the attempts that the hub knows, with the name each writes under."""

    @initialize(active=st.integers(1, 3), retries=st.integers(0, 2))
    def begin(self, active: int, retries: int) -> None:
        self.active = active
        changes: dict[str, Any] = {"retry_first_s": 10.0, "yield_s": 60.0, "starve_s": 500.0}
        self.rig = Rig(JobPolicy(jobs_active_max=active, retries_max=retries, **changes), PlainStore())
        self.hub: dict[int, str] = {}
        self.numbers: set[int] = set()
        self.answered: dict[str, JobView] = {}
        self.deleted: set[str] = set()
        self.stored: dict[str, int] = {}
        self.ordered: dict[str, str] = {}
        self.heard = 0
        self.listen()

    def hear(self, message: Any) -> None:
        self.rig.hear(message)
        self.listen()

    def listen(self) -> None:
        """What the job manager said since, as the hub and the desk take it."""
        for post in self.rig.said[self.heard :]:
            match post.message:
                case StartJob(job=number, attempt=attempt, spec=spec):
                    if attempt == 0:
                        assert number not in self.numbers, "a number that was carry_over before"
                    self.numbers.add(number)
                    self.hub[number] = spec.name
                case StopJob(job=number):
                    assert number in self.hub
                case RequestAnswered(body=body):
                    for snapshot in views(body):
                        self.answered[snapshot.id] = snapshot
                case _:
                    pass
        self.heard = len(self.rig.said)

    @property
    def ids(self) -> list[str]:
        return sorted(set(self.rig.store.jobs))

    # -- the desk

    @precondition(lambda self: len(self.rig.store.jobs) < 5)
    @rule(name=NAMES, url=URLS, priority=st.integers(0, 2), term=st.sampled_from(["", "words"]), size=SIZES)
    def order(self, name: str, url: str, priority: int, term: str, size: int) -> None:
        placed = self.rig.order(name=name, urls=(url,), priority=priority, term=term, size_bytes=size)
        assert placed.id not in self.answered, "an id that was carry_over before"
        self.listen()
        assert placed.id in self.rig.store.jobs

    @precondition(lambda self: self.rig.store.jobs)
    @rule(data=st.data())
    def command(self, data: st.DataObject) -> None:
        id = data.draw(st.sampled_from(self.ids))
        before = self.rig.store.jobs[id]
        what = data.draw(st.sampled_from([*LIKELY[before.state] * 3, *TRANSITIONS]))
        getattr(self.rig, what)(id)
        self.listen()
        if self.rig.all_heard(RequestRefused):
            assert self.rig.store.jobs[id] == before
        elif what == "delete":
            self.deleted.add(id)
        else:
            self.ordered[id] = what

    @precondition(lambda self: self.rig.store.jobs)
    @rule(data=st.data())
    def command_more(self, data: st.DataObject) -> None:
        self.command(data)

    @precondition(lambda self: self.rig.store.jobs)
    @rule(data=st.data(), url=URLS, source=st.integers(-1, 3), banned=st.booleans())
    def feed_or_drop(self, data: st.DataObject, url: str, source: int, banned: bool) -> None:
        id = data.draw(st.sampled_from(self.ids))
        if source < 0:
            self.hear(AddSources(request=1, reply_to=GATEWAY, id=id, urls=(url,)))
        else:
            self.hear(DropSource(request=1, reply_to=GATEWAY, id=id, source=source, banned=banned))

    # -- the hub

    @precondition(lambda self: self.hub)
    @rule(data=st.data(), name=st.sampled_from(["a.bin", "d.bin"]))
    def open(self, data: st.DataObject, name: str) -> None:
        number = data.draw(st.sampled_from(sorted(self.hub)))
        self.hub[number] = self.hub[number] or name
        self.rig.opened(number, f"/box/{self.hub[number]}.part")
        self.listen()

    @precondition(lambda self: self.hub)
    @rule(data=st.data(), stored=st.integers(0, 1000))
    def progress(self, data: st.DataObject, stored: int) -> None:
        self.rig.progressed(data.draw(st.sampled_from(sorted(self.hub))), stored)
        self.listen()

    @precondition(lambda self: self.hub)
    @rule(data=st.data(), source=st.integers(0, 4), leases=st.integers(0, 5), url=URLS, found=st.booleans())
    def tell_source(self, data: st.DataObject, source: int, leases: int, url: str, found: bool) -> None:
        number = data.draw(st.sampled_from(sorted(self.hub)))
        if found:
            self.hear(SourceFound(job=number, source=source, url=url, size_bytes=9))
        self.hear(row(number, source, leases=leases, chunks=leases))

    @precondition(lambda self: self.hub)
    @rule(data=st.data(), outcome=OUTCOMES)
    def end(self, data: st.DataObject, outcome: str) -> None:
        number = data.draw(st.sampled_from(sorted(self.hub)))
        del self.hub[number]
        self.rig.ended(number, outcome)
        self.listen()

    @rule(number=NUMBERS, outcome=OUTCOMES)
    def say_something_late(self, number: int, outcome: str) -> None:
        if number not in self.hub:
            before = dict(self.rig.store.jobs)
            self.rig.ended(number, outcome)
            self.rig.progressed(number, 999)
            self.listen()
            assert self.rig.store.jobs == before

    # -- time and deaths

    @rule(seconds=st.sampled_from([0.0, 1.0, 11.0, 70.0, 600.0]))
    def tick(self, seconds: float) -> None:
        self.rig.s += seconds
        self.hear(Ticked())

    @rule(who=st.sampled_from(["hub", "jobs", "all"]))
    def die(self, who: str) -> None:
        """A job manager goes with what it had not written down, and with the deletions that it had put off."""
        if who != "jobs":
            self.hub.clear()
        if who == "hub":
            self.hear(ProcessReady(process="hub", pid=1))
            return
        self.stored.clear()
        self.rig.begin(fresh=who == "all")
        self.listen()

    # -- what always holds

    @invariant()
    def nothing_answered_is_lost(self) -> None:
        if hasattr(self, "rig"):
            assert set(self.answered) - set(self.rig.store.jobs) <= self.deleted

    @invariant()
    def what_was_ordered_last_holds(self) -> None:
        if not hasattr(self, "rig"):
            return
        for id, what in self.ordered.items():
            record = self.rig.store.jobs.get(id)
            if record is not None and what in ("pause", "cancel"):
                assert record.state in ("sealed", {"pause": "paused", "cancel": "cancelled"}[what])

    @invariant()
    def store_and_manager_agree(self) -> None:
        if not hasattr(self, "rig"):
            return
        jobs = self.rig.manager.jobs
        for record in self.rig.store.jobs.values():
            living = jobs.living.get(record.id)
            if record.state in ("queued", "active", "paused") or record.number:
                assert living is not None
                assert (living.record.state, living.record.number) == (record.state, record.number)
                assert (living.attempt is not None) == bool(record.number)
            else:
                assert living is None
            assert record.state != "active" or record.number

    @invariant()
    def no_more_than_allowed_are_active(self) -> None:
        if hasattr(self, "rig"):
            running = [record.number for record in self.rig.store.jobs.values() if record.number]
            assert len(running) <= self.active
            assert set(running) == set(self.hub)

    @invariant()
    def no_two_attempts_write_one_file(self) -> None:
        if hasattr(self, "rig"):
            names = [
                job.record.file_name.casefold() for job in self.rig.manager.jobs.living.values() if job.record.file_name
            ]
            assert len(names) == len(set(names))

    @invariant()
    def stored_bytes_never_fall(self) -> None:
        if hasattr(self, "rig"):
            for id, job in self.rig.manager.jobs.living.items():
                assert job.record.stored_bytes >= self.stored.get(id, 0)
                self.stored[id] = job.record.stored_bytes

    @invariant()
    def no_job_waits_while_there_is_room(self) -> None:
        if hasattr(self, "rig") and len(self.hub) < self.active:
            now_ms = self.rig.now.ms
            waiting = [
                record
                for record in self.rig.store.jobs.values()
                if record.state == "queued" and not record.number and record.retry_at_ms <= now_ms
            ]
            assert not waiting or self.ticks_pending(waiting)

    def ticks_pending(self, waiting: list[Any]) -> bool:
        """Whose retry became due just now is started at the next tick."""
        return all(record.retry_at_ms for record in waiting)

    def teardown(self) -> None:
        """Each that waits gets its turn, however many there are."""
        if not hasattr(self, "rig"):
            return
        for _ in range(len(self.rig.store.jobs) * 4 + 10):
            for number in list(self.hub):
                del self.hub[number]
                self.rig.ended(number, "sealed")
                self.listen()
            self.rig.s += 5000
            self.hear(Ticked())
        assert all(
            record.state in ("sealed", "paused", "failed", "cancelled") for record in self.rig.store.jobs.values()
        )


TestJobManagers = JobManagers.TestCase
TestJobManagers.settings = settings(max_examples=80, stateful_step_count=50, deadline=None)
