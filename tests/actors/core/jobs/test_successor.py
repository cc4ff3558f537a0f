"""Job managers and hubs that take over from one that died."""

from actors.core.jobs.explain import bottlenecks
from actors.core.jobs.job import snapshot
from protocol.messages import EventOccurred, ProcessReady, SessionChanged, StartJob, StopJob, WatchEvents
from protocol.model.job_policy import JobPolicy
from tests.actors.core.jobs.rig import WEB, Rig, row

OTHER = "http://b.example/f.bin"


def test_a_new_hub_is_asked_for_every_run_by_its_old_number() -> None:
    rig = Rig()
    rig.order(name="1")
    paused = rig.order(name="2").id
    rig.pause(paused)
    rig.hear(ProcessReady(process="hub", pid=2))
    assert [(asked.job, asked.attempt) for asked in rig.all_heard(StartJob)] == [(1, 1), (2, 1)]
    assert rig.all_heard(StopJob) == [StopJob(job=2)], "what was ordered before holds"


def test_a_new_job_manager_asks_for_the_runs_that_its_predecessor_began() -> None:
    rig = Rig(jobs_active_max=2)
    ids = [rig.order(name=str(at)).id for at in range(3)]
    rig.begin(fresh=False)
    assert [(asked.job, asked.attempt) for asked in rig.all_heard(StartJob)] == [(1, 1), (2, 1)]
    rig.ended(1, "sealed")
    assert [rig.state(id) for id in ids] == ["sealed", "active", "active"]
    assert rig.number(ids[2]) == 3


def test_after_the_death_of_everything_active_jobs_go_on_first_with_new_runs() -> None:
    rig = Rig(jobs_active_max=2)
    active = [rig.order(name="1").id, rig.order(name="2").id]
    waiting = rig.order(name="3", priority=9).id
    rig.hear(row(1, bytes_stored=10))
    rig.begin(fresh=True)
    assert [(asked.job, asked.attempt) for asked in rig.all_heard(StartJob)] == [(3, 0), (4, 0)]
    assert [rig.number(id) for id in active] == [3, 4]
    assert rig.state(waiting) == "queued"
    assert [rig.store.attempts[number].outcome for number in (1, 2)] == ["lost", "lost"]


def test_active_jobs_that_fewer_may_be_by_now_wait_in_the_store_too() -> None:
    rig = Rig(jobs_active_max=3)
    ids = [rig.order(name=str(number)).id for number in range(3)]
    rig.settings = JobPolicy(jobs_active_max=1)
    rig.begin(fresh=True)
    assert [rig.state(id) for id in ids] == ["active", "queued", "queued"]


def test_the_best_place_in_a_queue_is_shown_of_those_that_are_known() -> None:
    rig = Rig()
    id = rig.order(urls=(WEB, OTHER)).id
    for number, place in ((0, -1), (1, -1)):
        rig.hear(row(1, number, queue_place=place))
    job = rig.manager.jobs.living[id]
    assert snapshot(job, rig.now).queue_place == -1
    rig.hear(row(1, 1, queue_place=7))
    assert snapshot(job, rig.now).queue_place == 7
    rig.hear(row(1, 0, queue_place=0))
    assert snapshot(job, rig.now).queue_place == 0
    rig.pause(id)
    assert snapshot(job, rig.now).queue_place == -1


def test_what_was_paused_or_cancelled_stays_so_after_the_death_of_everything() -> None:
    rig = Rig()
    paused, cancelled = rig.order(name="1").id, rig.order(name="2").id
    rig.pause(paused)
    rig.cancel(cancelled)
    rig.begin(fresh=True)
    assert not rig.started()
    assert (rig.state(paused), rig.number(paused)) == ("paused", 0)
    assert (rig.state(cancelled), rig.number(cancelled)) == ("cancelled", 0)


def test_a_job_whose_attempt_no_store_remembers_begins_again_with_a_new_one() -> None:
    rig = Rig()
    id = rig.order().id
    rig.store.attempts.clear()
    rig.begin(fresh=False)
    assert rig.state(id) == "active"
    assert not rig.started()
    rig.begin(fresh=True)
    assert (rig.started(), rig.number(id)) == ([1], 1)


def test_what_a_job_manager_has_not_written_yet_is_written_at_its_end() -> None:
    rig = Rig()
    id = rig.order().id
    rig.opened(1)
    rig.progressed(1, 400)
    rig.hear(row(1, bytes_stored=400))
    assert rig.record(id).stored_bytes == 0
    rig._take(rig.manager.unwritten())
    assert rig.record(id).stored_bytes == 400


def test_a_job_manager_takes_watchers_login_and_policy_from_the_one_that_it_replaces() -> None:
    rig = Rig(jobs_active_max=1)
    rig.hear(WatchEvents(reply_to=WEB))
    rig.hear(SessionChanged(state="refused", detail="wrong password", final=True))
    old, rig.settings = rig.manager, JobPolicy(jobs_active_max=5)
    rig.begin(fresh=False)
    rig.manager.take_over(old)
    id = rig.order(urls=("slsk://ann/f.bin",)).id
    assert {each.kind for each in rig.all_heard(EventOccurred)} == {"job.queued", "job.started"}
    rig.order(name="2")
    assert not rig.started(), "one at a time, as the old one had it"
    job = rig.manager.find(id)
    assert job is not None
    assert bottlenecks(job, rig.manager.context_of(job, rig.now))[0].kind == "login"
