"""Deletion of jobs: when it is carried out, and whose files go with them."""

from actors.core.jobs.commands import DELETE_WAIT_S, DELETIONS_MAX
from protocol.messages import PartFileRemoved, ProcessReady, RemovePartFile, RequestAnswered, RequestRefused, Ticked
from protocol.model.job_views import JobView
from tests.actors.core.jobs.rig import Rig


def test_deleting_waits_for_the_last_word_of_the_run() -> None:
    rig = Rig()
    id = rig.order().id
    rig.cancel(id)
    rig.delete(id)
    assert not rig.heard
    rig.ended(1, "interrupted")
    assert rig.answer(JobView)[0].id == id
    assert id not in rig.store.jobs
    assert rig.store.files[id].name == "f.bin"


def test_of_two_deletions_that_wait_the_second_finds_nothing() -> None:
    rig = Rig()
    id = rig.order().id
    rig.cancel(id)
    rig.delete(id)
    rig.delete(id)
    rig.ended(1, "interrupted")
    assert len(rig.all_heard(RequestAnswered)) == 1
    assert rig.refusal().kind == "unknown"


def test_a_deletion_that_waits_for_too_long_is_refused_and_so_is_one_more_than_may_wait() -> None:
    rig = Rig(jobs_active_max=DELETIONS_MAX + 1)
    ids = [rig.order(name=str(at)).id for at in range(DELETIONS_MAX + 1)]
    for id in ids:
        rig.cancel(id)
        rig.delete(id)
    assert rig.refusal().kind == "unavailable"
    rig.s += DELETE_WAIT_S - 0.1
    rig.hear(Ticked())
    assert not rig.all_heard(RequestRefused)
    rig.s += 0.1
    rig.hear(Ticked())
    assert [each.kind for each in rig.all_heard(RequestRefused)] == ["unavailable"] * DELETIONS_MAX
    rig.ended(1, "interrupted")
    assert ids[0] in rig.store.jobs
    rig.delete(ids[0])
    assert ids[0] not in rig.store.jobs


def test_the_files_of_a_deleted_job_are_asked_for_until_the_store_has_removed_them() -> None:
    rig = Rig()
    id = rig.order().id
    rig.opened(1)
    rig.ended(1, "disagreed")
    rig.delete(id)
    asked = rig.all_heard(RemovePartFile)
    assert [each.name for each in asked] == ["f.bin"]
    rig.hear(ProcessReady(process="hub", pid=7))
    assert not rig.all_heard(RemovePartFile)
    rig.hear(ProcessReady(process="store", pid=7))
    assert rig.all_heard(RemovePartFile) == asked
    rig.hear(PartFileRemoved(id=id, detail=""))
    rig.hear(ProcessReady(process="store", pid=7))
    assert not rig.all_heard(RemovePartFile)


def test_a_sealed_file_is_not_removed_with_its_job() -> None:
    rig = Rig()
    id = rig.order().id
    rig.ended(1, "sealed")
    rig.delete(id)
    assert not rig.all_heard(RemovePartFile)


def test_a_file_that_another_job_writes_by_now_is_not_removed() -> None:
    rig = Rig()
    id = rig.order().id
    rig.ended(1, "disagreed")
    other = rig.order()
    assert rig.record(other.id).file_name == "f.bin"
    rig.delete(id)
    assert not rig.all_heard(RemovePartFile)
