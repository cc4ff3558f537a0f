"""Owner by itself: describes the file, begins the upload, and seals it once, whatever the destination answers."""

from typing import Any

import pytest

from actors.core.fleet.board import Board
from actors.core.fleet.evidence import CHECK_S_MAX
from actors.core.fleet.owner import EPOCHS_MAX, LOOK_S, RETRY_S_MAX, Owner
from actors.core.fleet.view import Bus, View
from actors.core.fleet.vocabulary import (
    AbortUpload,
    CheckObject,
    CheckPart,
    CompleteUpload,
    CreateUpload,
    FileDescribed,
    KvUpdate,
    ListUpload,
    ObjectSeen,
    PartChecked,
    Report,
    StoreFault,
    UploadCompleted,
    UploadCreated,
    UploadFailed,
    UploadListed,
)
from protocol.model.fleet.names import JOBS, PARTS, multipart_etag
from protocol.model.fleet.rows import (
    ACTIVE,
    FAILED,
    PLACED,
    QUEUED,
    SEALED,
    SEALING,
    CheckRow,
    FleetJobRow,
    PartRow,
    WindowRow,
)
from protocol.model.job_spec import JobSpec

PART = 8 << 20
SUM = f"sha256:{'a' * 64}"


def stored(part: int, node: str = "n1") -> PartRow:
    return PartRow(part=part, etag=f"{part:032x}", digest=f"d{part}", node=node)


ETAG = multipart_etag([stored(part).etag for part in range(3)])


class Desk:
    """The owner of a job of three parts on node n1, all stored in one window; commands by kind."""

    def __init__(self, state: str = ACTIVE, parts: int = 3, have: int = 3, node: str = "n1", **fields: Any) -> None:
        given = {"nodes": ("n1",), "upload": "u", "sources": ("http://a/f", "http://b/f"), **fields}
        spec = given.pop("spec", JobSpec(folder="", name="f", checksum=SUM))
        self.row = FleetJobRow(id="j", key="k", spec=spec, destination="f", state=state, **given)
        if state != PLACED:
            self.row = self.row.but(size_bytes=parts * PART, part_bytes=PART)
        self.owner, self.now = Owner("j", node), 100.0
        self.bus = Bus(View())
        self.bus.online = self.bus.open = True
        self.bus.view.revisions[JOBS, "j"] = 5
        self.board = Board(0, ())
        self.living: tuple[str, ...] = ("n1", "n2", "n3")
        self.put(
            WindowRow(
                job="j", first=0, stop=parts, node="n1", instance="a", epoch=0, parts=tuple(map(stored, range(have)))
            )
        )

    def put(self, window: WindowRow) -> None:
        self.board.set_window(window.first, window, self.now)
        self.bus.view.revisions[PARTS, f"j.{window.first}"] = 9

    def act(self, lost: int = -1) -> list[Any]:
        """Return the commands; each row of the job that was written is the next one."""
        self.owner.act(self.row, self.board, self.bus, self.now, self.living, lost)
        out, self.bus.out = self.bus.out, []
        for command in out:
            if isinstance(command, KvUpdate):
                self.bus.written(command.request, command.revision + 1, self.now)
                if isinstance(command.row, FleetJobRow):
                    self.row = command.row
        return out

    def fail(self, fault: StoreFault, detail: str = "") -> list[Any]:
        self.owner.upload_failed(UploadFailed("j", self.row.epoch, fault, detail), self.now, self.bus)
        out, self.bus.out = self.bus.out, []
        return out

    def see(self, etag: str, size_bytes: int = -1) -> None:
        self.owner.object_seen(ObjectSeen("j", self.row.epoch, etag, size_bytes), self.row, self.board, self.now)

    def sealing(self) -> "Desk":
        """To the request that completes the upload."""
        self.act()
        assert self.row.state == SEALING
        (complete,) = self.act()
        assert isinstance(complete, CompleteUpload)
        return self


def outcome(row: FleetJobRow) -> tuple[str, str]:
    return row.state, row.reason


# --- the beginning ---


def test_an_upload_is_begun_once_the_size_is_known_and_the_job_runs_with_it() -> None:
    desk = Desk(PLACED, have=0, nodes=("n1", "n2"), spread=2, upload="")
    assert desk.act() == []
    desk.owner.described(FileDescribed("j", 20 * PART, divisible=True))
    assert desk.act() == [CreateUpload("j", 0, "f", 20 * PART)]
    assert desk.act() == [], "it is not asked for twice"
    desk.owner.upload_created(UploadCreated("j", 0, "u"))
    desk.act()
    row = desk.row
    assert (row.state, row.upload, row.size_bytes, row.part_bytes) == (ACTIVE, "u", 20 * PART, PART)
    assert (row.nodes, row.spread, row.divisible) == (("n1", "n2"), 2, True)


@pytest.mark.parametrize(("size", "divisible", "spread"), [(20 * PART, False, 1), (PART, True, 2), (0, True, 2)])
def test_a_file_of_one_part_or_that_begins_at_0_only_is_one_nodes(size: int, spread: int, *, divisible: bool) -> None:
    desk = Desk(PLACED, have=0, nodes=("n1", "n2"), spread=2, upload="")
    desk.owner.described(FileDescribed("j", size, divisible=divisible))
    desk.owner.upload_created(UploadCreated("j", 0, "u"))
    desk.act()
    assert (desk.row.nodes, desk.row.spread, desk.row.size_bytes) == (("n1",), spread, size)


def test_only_the_first_node_begins_the_upload() -> None:
    desk = Desk(PLACED, have=0, nodes=("n2", "n1"))
    desk.owner.described(FileDescribed("j", PART, divisible=True))
    assert desk.act() == []


def test_a_file_too_large_for_any_upload_fails() -> None:
    desk = Desk(PLACED, have=0)
    desk.owner.described(FileDescribed("j", 10_000 * (5 << 30) + 1, divisible=True))
    desk.act()
    assert desk.row.state == FAILED
    assert "5 GiB" in desk.row.reason


def test_the_size_that_the_row_has_counts() -> None:
    desk = Desk(PLACED, have=0, size_bytes=3 * PART)
    desk.owner.described(FileDescribed("j", 9 * PART, divisible=True))
    assert [command.size_bytes for command in desk.act()] == [3 * PART]


def test_an_upload_that_no_row_names_is_aborted() -> None:
    desk = Desk(have=0)
    desk.owner.upload_created(UploadCreated("j", 0, "mine"))
    assert desk.act() == [AbortUpload("j", "mine")]
    assert desk.act() == []
    desk.owner.upload_created(UploadCreated("j", 0, "u"))
    assert desk.act() == []


# --- sealing ---


def test_a_whole_file_is_completed_once_and_sealed_by_the_etag() -> None:
    desk = Desk()
    desk.act()
    assert desk.row.state == SEALING
    assert desk.act() == [CompleteUpload("j", 0, "u", "f", tuple(map(stored, range(3))), SUM)]
    assert desk.act() == []
    desk.owner.completed(UploadCompleted("j", 0, "etag"), desk.board)
    desk.act()
    assert (desk.row.state, desk.row.etag, desk.row.sealed_by) == (SEALED, "etag", "n1")


def test_a_destination_that_names_no_etag_is_given_that_of_the_parts() -> None:
    desk = Desk().sealing()
    desk.owner.completed(UploadCompleted("j", 0, ""), desk.board)
    desk.act()
    assert desk.row.etag == ETAG


def test_a_file_of_one_part_was_compared_with_its_digest_by_the_local_job() -> None:
    desk = Desk(parts=1, have=1)
    desk.act()
    assert [command.checksum for command in desk.act()] == [""]


def test_only_the_first_node_seals() -> None:
    desk = Desk(nodes=("n2", "n1"))
    assert desk.act() == []


def test_what_misses_parts_is_not_sealed_and_goes_on_when_some_are_taken_back() -> None:
    assert Desk(have=2).act() == []
    desk = Desk(SEALING, have=2)
    desk.act()
    assert desk.row.state == ACTIVE


@pytest.mark.parametrize("fault", [StoreFault.NO_UPLOAD, StoreFault.EXISTS])
@pytest.mark.parametrize("size", [-1, 3 * PART])
def test_a_completion_that_was_not_heard_of_is_known_by_the_objects_etag(fault: StoreFault, size: int) -> None:
    desk = Desk().sealing()
    assert desk.fail(fault) == []
    assert desk.act() == [CheckObject("j", 0, "f", ETAG, PART, SUM)]
    desk.see(ETAG, size)
    desk.act()
    assert (desk.row.state, desk.row.etag) == (SEALED, ETAG)


@pytest.mark.parametrize(("etag", "size"), [("other", -1), (ETAG, 3 * PART + 1), (ETAG, 0)])
def test_an_object_of_other_content_or_size_fails_the_job(etag: str, size: int) -> None:
    desk = Desk().sealing()
    desk.fail(StoreFault.EXISTS)
    desk.act()
    desk.see(etag, size)
    desk.act()
    assert outcome(desk.row) == (FAILED, "another object has the name")


def test_a_name_that_was_taken_and_is_free_again_is_completed_again() -> None:
    desk = Desk().sealing()
    desk.fail(StoreFault.EXISTS)
    desk.act()
    desk.see("")
    assert [type(command) for command in desk.act()] == [CompleteUpload]


def test_an_object_seen_before_all_rows_are_here_says_nothing_yet() -> None:
    desk = Desk(SEALING, have=2)
    desk.see(ETAG)
    assert (desk.owner.look, desk.owner.foreign, desk.owner.etag) == (True, False, "")
    assert desk.owner.retry_at == desk.now + 1
    early = Desk(ACTIVE, have=2)
    early.see(ETAG)
    assert not early.owner.look


def test_a_file_of_another_digest_fails_with_what_was_said() -> None:
    for detail, said in (("a, not b", "a, not b"), ("", "the whole file has another digest than the order says")):
        desk = Desk().sealing()
        assert desk.fail(StoreFault.CONTENT, detail) == []
        desk.act()
        assert outcome(desk.row) == (FAILED, said)


# --- parts that the destination does not have ---


def test_parts_of_which_the_destination_has_another_content_are_taken_out_of_the_rows() -> None:
    desk = Desk(have=2)
    desk.put(WindowRow(job="j", first=2, stop=3, node="n1", instance="b", epoch=0, parts=(stored(2),)))
    desk.sealing()
    assert desk.fail(StoreFault.BAD_PART) == []
    assert desk.act() == [ListUpload("j", 0, "u", "f")]
    desk.owner.listed(UploadListed("j", 0, ((0, stored(0).etag), (1, "another"), (2, stored(2).etag))), desk.board)
    (taken,) = desk.act()
    assert (taken.key, taken.row.node, taken.row.instance) == ("j.0", "", "")
    assert [part.part for part in taken.row.parts] == [0]
    desk.put(taken.row)
    assert desk.act() == []
    assert [command.row.state for command in desk.act()] == [ACTIVE]


def test_a_destination_that_has_all_parts_is_asked_to_complete_again() -> None:
    desk = Desk().sealing()
    desk.fail(StoreFault.BAD_PART)
    desk.act()
    parts = tuple((part, stored(part).etag) for part in range(3))
    desk.owner.listed(UploadListed("j", 0, parts), desk.board)
    assert [type(command) for command in desk.act()] == [CompleteUpload]


def test_a_destination_that_cannot_list_parts_gets_another_upload() -> None:
    desk = Desk().sealing()
    desk.fail(StoreFault.BAD_PART)
    desk.act()
    desk.owner.listed(UploadListed("j", 0, (), known=False), desk.board)
    assert desk.act() == [CreateUpload("j", 1, "f", 3 * PART)]
    desk.owner.upload_created(UploadCreated("j", 1, "u2"))
    desk.act()
    assert (desk.row.state, desk.row.epoch, desk.row.upload) == (ACTIVE, 1, "u2")


# --- uploads that are gone ---


def test_an_upload_that_a_part_was_refused_for_is_begun_again_unless_the_object_stands() -> None:
    desk = Desk(have=2, node="n2", nodes=("n1", "n2"))  # any node that was refused a part does it
    assert desk.act(lost=0) == [CheckObject("j", 0, "f", "", PART, SUM)]
    desk.see("")
    assert desk.act(lost=0) == [CreateUpload("j", 1, "f", 3 * PART)]
    desk.owner.upload_created(UploadCreated("j", 1, "u2"))
    desk.act(lost=0)
    assert (desk.row.epoch, desk.row.upload) == (1, "u2")
    assert desk.act(lost=0) == []


def test_an_upload_that_was_made_for_another_number_is_not_taken() -> None:
    desk = Desk(have=2)
    desk.act(lost=0)
    desk.see("")
    desk.owner.upload_created(UploadCreated("j", 2, "u3"))
    assert desk.act(lost=0) == []


@pytest.mark.parametrize(("epoch", "state"), [(EPOCHS_MAX - 1, ACTIVE), (EPOCHS_MAX, FAILED)])
def test_a_destination_that_loses_every_upload_is_given_up(epoch: int, state: str) -> None:
    desk = Desk(have=2, epoch=epoch)
    desk.act(lost=epoch)
    desk.see("")
    commands = desk.act(lost=epoch)
    assert desk.row.state == state
    if state == ACTIVE:
        assert [command.epoch for command in commands] == [epoch + 1]
    else:
        assert desk.row.reason == "the destination loses uploads"


# --- refusals ---


def test_a_destination_that_refuses_is_asked_less_and_less_often_and_named_once() -> None:
    desk = Desk().sealing()
    said, waits = [], []
    for _ in range(7):
        said += desk.fail(StoreFault.SERVER)
        waits.append(desk.owner.retry_at - desk.now)
        desk.now = desk.owner.retry_at - 0.01
        assert desk.act() == []
        desk.now = desk.owner.retry_at
        assert [type(command) for command in desk.act()] == [CompleteUpload]
    assert waits == [1, 2, 4, 8, 16, RETRY_S_MAX, RETRY_S_MAX]
    assert said == [Report("the destination refuses (server)", job="j")]
    assert desk.fail(StoreFault.DENIED, "a key is wrong") == [Report("a key is wrong", job="j")]
    desk.owner.upload_created(UploadCreated("j", 0, "u"))
    assert desk.owner.retry_s == 1


def test_nothing_is_asked_of_the_destination_while_this_node_may_be_dead() -> None:
    desk = Desk()
    desk.act()
    desk.bus.open = False
    assert desk.act() == []
    desk.bus.open = True
    assert [type(command) for command in desk.act()] == [CompleteUpload]


# --- evidence ---


def two_nodes(**fields: Any) -> Desk:
    """Parts 0 to 2 of node n1, parts 3 to 5 of node n2; nothing was compared."""
    desk = Desk(parts=6, have=3, nodes=("n1", "n2", "n3"), **fields)
    theirs = tuple(stored(part, "n2") for part in range(3, 6))
    desk.put(WindowRow(job="j", first=3, stop=6, node="n2", instance="b", epoch=0, parts=theirs))
    return desk


def read(desk: Desk, part: int, node: str, digest: str, *sources: int) -> None:
    row = CheckRow(job="j", part=part, node=node, digest=digest, epoch=0, sources=sources)
    desk.board.set_check(f"check.{part}.{node}", row)


def checked_parts(desk: Desk) -> list[CheckPart]:
    return [command for command in desk.act() if isinstance(command, CheckPart)]


def test_a_part_of_another_node_is_read_once_and_what_was_read_is_entered() -> None:
    desk = two_nodes()
    desk.living = ("n1", "n2")
    (check,) = checked_parts(desk)
    assert check.part in (3, 4, 5)
    assert (check.size_bytes, check.part_bytes, check.head) == (6 * PART, PART, False)
    assert checked_parts(desk) == []
    desk.owner.checked(PartChecked("j", check.part, "other", (1,)))
    (entered,) = [command for command in desk.act() if command.bucket == PARTS]
    assert entered.key == f"j.check.{check.part}.n1"
    assert (entered.row.digest, entered.row.node, entered.row.sources) == ("other", "n1", (1,))
    assert (entered.row.epoch, entered.row.head) == (0, False)
    desk.board.set_check(f"check.{check.part}.n1", entered.row)
    assert not [command for command in desk.act() if isinstance(command, CheckPart)]


def test_what_was_read_from_an_excluded_source_is_read_again() -> None:
    desk = two_nodes()
    desk.living = ("n1", "n2")
    (check,) = checked_parts(desk)
    desk.owner.checked(PartChecked("j", check.part, "other", (1,)))
    desk.row = desk.row.but(excluded=(1,))
    assert checked_parts(desk) == [check]


def test_while_parts_are_missing_it_is_looked_once_a_second_what_is_to_be_compared() -> None:
    desk = two_nodes()
    desk.living = ("n1", "n2")
    desk.put(desk.board.windows[0].but(parts=(stored(0),)))
    assert len(checked_parts(desk)) == 1
    desk.owner.checking.clear()
    desk.now += LOOK_S - 0.01
    assert checked_parts(desk) == []
    desk.now += 0.01
    assert len(checked_parts(desk)) == 1


def settled(desk: Desk, digest_of_n2: str = "right") -> None:
    """Node n3 and the other one have read each part; of n2's they read what is given."""
    for part in range(6):
        other, theirs = ("n2", "n1") if part < 3 else ("n1", "n2")
        right = f"d{part}" if theirs == "n1" or digest_of_n2 == "right" else digest_of_n2
        for who in (other, "n3"):
            read(desk, part, who, right, 0)


def test_a_file_is_sealed_when_every_node_has_been_compared() -> None:
    desk = two_nodes()
    assert [command for command in desk.act() if isinstance(command, KvUpdate)] == []
    settled(desk)
    desk.act()
    assert desk.row.state == SEALING


def test_a_node_that_read_other_bytes_is_banned_and_named() -> None:
    desk = two_nodes()
    settled(desk, "odd")
    commands = desk.act()
    assert [command.text for command in commands if isinstance(command, Report)] == [
        "n2 read other bytes than the rest"
    ]
    assert (desk.row.banned, desk.row.nodes, desk.row.state) == (("n2",), ("n1", "n3"), ACTIVE)


def test_a_source_that_only_the_odd_node_had_is_excluded_and_named() -> None:
    desk = two_nodes()
    theirs = desk.board.windows[3]
    desk.put(theirs.but(parts=tuple(part.but(sources=(1,)) for part in theirs.parts)))
    settled(desk, "odd")
    commands = desk.act()
    said = [command.text for command in commands if isinstance(command, Report)]
    assert said == ["other bytes than the rest came from http://b/f"]
    assert (desk.row.excluded, desk.row.banned, desk.row.state) == ((1,), (), ACTIVE)


def test_two_nodes_that_differ_fail_the_job_where_no_third_can_decide() -> None:
    desk = two_nodes()
    desk.row = desk.row.but(nodes=("n1", "n2"))
    desk.living = ("n1", "n2")
    for part in range(6):
        read(desk, part, "n2" if part < 3 else "n1", "odd")
    desk.act()
    assert outcome(desk.row) == (FAILED, "two nodes read different bytes, and no third one can decide")


def test_a_job_whose_only_node_is_banned_waits_for_another() -> None:
    desk = two_nodes()
    desk.row = desk.row.but(nodes=("n1",))
    for part in range(3):
        for who in ("n2", "n3"):
            read(desk, part, who, "other")
    desk.act()
    assert (desk.row.banned, desk.row.nodes, desk.row.state) == (("n1",), (), QUEUED)


def test_parts_of_a_user_whose_node_is_gone_are_void_where_nothing_can_be_compared_with_them() -> None:
    desk = Desk(sources=("slsk://a/f", "slsk://b/f"), parts=6, have=3)
    theirs = tuple(stored(part, "n2").but(sources=(1,), head="h") for part in range(3, 6))
    mine = tuple(stored(part).but(sources=(0,), head="h") for part in range(3))
    desk.put(desk.board.windows[0].but(parts=mine))
    desk.put(WindowRow(job="j", first=3, stop=6, node="n2", instance="b", epoch=0, parts=theirs))
    desk.living = ("n1",)
    desk.act()
    assert not desk.row.banned
    desk.now += 1000
    said = [command.text for command in desk.act() if isinstance(command, Report)]
    assert said == ["n2 left parts that nothing can be compared with"]
    assert (desk.row.banned, desk.row.nodes, desk.row.state) == (("n2",), ("n1",), ACTIVE)


def test_of_several_nodes_one_reads_a_part_again_and_the_others_when_it_is_late() -> None:
    for waited_s, count in ((0.0, 1), (CHECK_S_MAX, 2)):
        asking = []
        for node in ("n1", "n3", "n4"):
            desk = two_nodes(node=node)
            desk.row = desk.row.but(nodes=("n1", "n2", "n3", "n4"))
            desk.living = desk.row.nodes
            desk.act()
            desk.owner.checking.clear()
            desk.now += waited_s
            asking += [check.part for check in checked_parts(desk) if check.part >= 3]
        assert len(asking) == count
