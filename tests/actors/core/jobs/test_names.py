"""Names of files: two jobs never write one, and a name that was learned is kept."""

from protocol.messages import StartJob, StopJob
from tests.actors.core.jobs.rig import Rig

OTHER = "http://b.example/f.bin"


def test_two_jobs_never_write_one_part_file() -> None:
    rig = Rig()
    ids = [rig.order(name="a.tar.gz").id for _ in range(3)]
    assert [asked.spec.name for asked in rig.all_said(StartJob)] == ["a.tar.gz", "a (1).tar.gz", "a (2).tar.gz"]
    rig.ended(rig.number(ids[0]), "sealed")
    assert rig.order(name="A.TAR.GZ").name == "A.TAR.GZ"


def test_an_unnamed_file_whose_likely_name_is_taken_gets_another_one() -> None:
    rig = Rig()
    rig.order(name="f.bin")
    rig.order(name="", urls=(OTHER,))
    rig.order(name="", urls=("http://c.example/g.bin",))
    assert [asked.spec.name for asked in rig.all_said(StartJob)] == ["f.bin", "f (1).bin", ""]


def test_a_name_learned_too_late_ends_the_run_and_the_next_one_has_its_own() -> None:
    rig = Rig()
    first = rig.order(name="real.bin")
    second = rig.order(name="", urls=("http://c.example/?id=4",))
    rig.opened(rig.number(second.id), "/box/real.bin.part")
    assert rig.all_heard(StopJob) == [StopJob(job=2)]
    assert rig.state(second.id) == "queued"
    rig.ended(2, "interrupted")
    assert [asked.spec.name for asked in rig.all_heard(StartJob)] == ["real (1).bin"]
    assert rig.record(first.id).file_name == "real.bin"


def test_the_name_that_sources_gave_is_asked_for_in_every_later_run() -> None:
    rig = Rig()
    id = rig.order(name="").id
    rig.opened(1, "/box/theirs.bin.part")
    rig.pause(id)
    rig.ended(1, "interrupted")
    rig.resume(id)
    assert [asked.spec.name for asked in rig.all_heard(StartJob)] == ["theirs.bin"]


# -- sources


def test_a_paused_job_whose_name_belongs_to_another_one_stays_paused() -> None:
    rig = Rig()
    rig.order(name="real.bin")
    second = rig.order(name="", urls=("http://c.example/?id=4",)).id
    rig.pause(second)
    rig.opened(2, "/box/real.bin.part")
    assert (rig.state(second), rig.record(second).file_name) == ("paused", "real (1).bin")
