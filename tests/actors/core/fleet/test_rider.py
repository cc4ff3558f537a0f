"""Rider by itself: what one node fetches, sends, enters and gives back of one job, on drawn boards."""

from typing import Any

import pytest

from actors.core.fleet.board import Board, Contest
from actors.core.fleet.rider import (
    CHECKSUMS_MAX,
    LOOK_S,
    NO_SOURCE,
    PUTS_MAX,
    READY_MAX,
    RETRY_S_MAX,
    Me,
    Rider,
)
from actors.core.fleet.view import Bus, View
from actors.core.fleet.vocabulary import (
    DropPart,
    GrantWindow,
    KvCreate,
    KvUpdate,
    LocalJobFailed,
    PartPut,
    PartPutFailed,
    PartReady,
    PutPart,
    Report,
    StartLocalJob,
    StopLocalJob,
    StoreFault,
    TrimWindow,
)
from protocol.model.fleet.names import PARTS
from protocol.model.fleet.rows import ACTIVE, FleetJobRow, PartRow, WindowRow
from protocol.model.job_spec import JobSpec, PieceHashes

PART = 8 << 20
MIRRORS = {0: "http://a/f", 1: "http://b/f"}


def window(first: int, stop: int, node: str = "n1", *stored: int) -> WindowRow:
    parts = tuple(PartRow(part=number, etag=f"e{number}", digest=f"d{number}", node=node) for number in stored)
    return WindowRow(
        job="j", first=first, stop=stop, node=node, instance=f"{node}-1" if node else "", epoch=0, parts=parts
    )


class Desk:
    """A rider of node n1 that runs with two mirrors, its bus, and the rows of a job."""

    def __init__(self, *windows: WindowRow, parts: int = 40, started: bool = True, **fields: Any) -> None:
        given = {"sources": tuple(MIRRORS.values()), "nodes": ("n1",), "upload": "u", "state": ACTIVE, **fields}
        row = FleetJobRow(id="j", key="k", spec=JobSpec(folder="", name="f"), destination="f", **given)
        self.row = row.but(size_bytes=parts * PART, part_bytes=PART)
        self.rider, self.me, self.now = Rider("j"), Me("n1", "n1-1"), 100.0
        self.bus = Bus(View())
        self.bus.online = self.bus.open = True
        self.board = Board(0, ())
        for at, each in enumerate(windows):
            self.put(each, at + 1)
        if started:
            self.rider.start(self.row, MIRRORS, b"", self.bus)
            self.bus.out.clear()

    def put(self, row: WindowRow, revision: int = 99) -> None:
        self.board.set_window(row.first, row, self.now)
        self.bus.view.revisions[PARTS, f"j.{row.first}"] = revision

    def act(self, rate: float = 1.0) -> list[Any]:
        facts = Contest(
            node="n1",
            instance="n1-1",
            living=lambda *_: True,
            rate=lambda _: rate,
            nodes=("n1",),
            spare=frozenset(),
            end=-1,
        )
        self.rider.act(self.row, self.board, self.me, lambda: facts, self.bus, self.now)
        out, self.bus.out = self.bus.out, []
        return out

    def ready(self, *parts: int, sources: tuple[int, ...] = (0,)) -> None:
        for part in parts:
            self.rider.part_ready(PartReady("j", part, f"d{part}", f"h{part}", sources), self.now)

    def fail(self, part: int, fault: StoreFault, detail: str = "", epoch: int = 0) -> list[Any]:
        self.rider.put_failed(PartPutFailed("j", part, epoch, fault, detail), self.now, self.bus)
        out, self.bus.out = self.bus.out, []
        return out

    def arrive(self, *parts: int) -> None:
        for part in parts:
            self.rider.part_put(PartPut("j", part, 0, f"e{part}"), "n1")


def of(kind: type[Any], commands: list[Any]) -> list[Any]:
    return [command for command in commands if isinstance(command, kind)]


# --- the local job ---


def test_the_local_job_is_started_with_its_sources_once_and_again_when_they_change() -> None:
    desk = Desk(started=False)
    desk.rider.start(desk.row, MIRRORS, b"", desk.bus)
    assert desk.bus.out == [StartLocalJob("j", desk.row.spec, ("http://a/f", "http://b/f"), (0, 1), b"")]
    desk.rider.start(desk.row, MIRRORS, b"", desk.bus)
    assert len(desk.bus.out) == 1
    desk.rider.start(desk.row, {1: "http://b/f"}, b"", desk.bus)
    assert desk.bus.out[1:] == [StartLocalJob("j", desk.row.spec, ("http://b/f",), (1,), b"")]


def test_a_job_with_piece_hashes_waits_for_them() -> None:
    desk = Desk(started=False)
    row = desk.row.but(spec=desk.row.spec.but(pieces=PieceHashes(piece_algorithm="sha1", piece_bytes=1 << 20)))
    desk.rider.start(row, MIRRORS, b"", desk.bus)
    assert not desk.bus.out
    desk.rider.start(row, MIRRORS, b"hashes", desk.bus)
    assert [started.pieces for started in of(StartLocalJob, desk.bus.out)] == [b"hashes"]


@pytest.mark.parametrize("excluded", [(), (0, 1)])
def test_a_node_without_a_source_gives_up_and_refuses_only_what_was_excluded(excluded: tuple[int, ...]) -> None:
    desk = Desk(started=False, excluded=excluded)
    desk.rider.start(desk.row, {}, b"", desk.bus)
    assert (desk.rider.failure, desk.rider.refuses, desk.bus.out) == (NO_SOURCE, bool(excluded), [])


def test_users_that_fall_to_another_node_do_not_end_what_they_send_here() -> None:
    desk = Desk(window(0, 4))
    desk.act()
    desk.rider.start(desk.row, {}, b"", desk.bus)
    assert not desk.rider.failure
    assert desk.rider.sources == MIRRORS


def test_a_search_without_addresses_is_started() -> None:
    desk = Desk(started=False, sources=())
    desk.rider.start(desk.row, {}, b"", desk.bus)
    assert [started.sources for started in of(StartLocalJob, desk.bus.out)] == [()]


def test_a_local_job_that_failed_is_not_started_again_and_its_windows_are_given_back() -> None:
    desk = Desk(window(0, 4))
    desk.act()
    desk.rider.failed(LocalJobFailed("j", "404"))
    desk.rider.start(desk.row, {1: "http://b/f"}, b"", desk.bus)
    (given_back,) = desk.act()
    assert (given_back.row.node, given_back.row.instance, given_back.revision) == ("", "", 1)
    assert desk.rider.failure == "404"
    desk.rider.failed(LocalJobFailed("j", ""))
    assert desk.rider.failure == "the local job failed"


def test_what_never_ran_is_ended_only_where_its_bytes_go() -> None:
    desk = Desk(started=False)
    desk.rider.stop(desk.bus, keep=True)
    assert not desk.bus.out
    desk.rider.stop(desk.bus, keep=False)
    assert desk.bus.out == [StopLocalJob("j", keep=False)]


# --- sending parts ---


def test_parts_are_sent_in_order_a_few_at_a_time_by_the_revision_of_their_window() -> None:
    desk = Desk(window(0, 3), window(10, 16))
    desk.ready(12, 11, 10, 2, 1, 30)
    sent = of(PutPart, desk.act())
    assert [command.part for command in sent] == [1, 2, 10, 11]
    assert len(sent) == PUTS_MAX
    assert [command.token for command in sent] == [1, 1, 2, 2]
    assert sent[0] == PutPart("j", 1, 0, "u", "f", 1)
    assert not of(PutPart, desk.act())
    desk.arrive(1)
    assert [command.part for command in of(PutPart, desk.act())] == [12]


def test_what_arrived_is_entered_beside_what_the_row_has_and_leaves_the_disk_when_the_row_is_there() -> None:
    desk = Desk(window(0, 6, "n1", 0))
    desk.ready(1, 2)
    desk.act()
    desk.arrive(2)
    (entered,) = of(KvUpdate, desk.act())
    assert [part.part for part in entered.row.parts] == [0, 2]
    assert entered.row.parts[1] == PartRow(part=2, etag="e2", digest="d2", node="n1", head="", sources=(0,))
    desk.put(entered.row)
    assert of(DropPart, desk.act()) == [DropPart("j", 2, refetch=False)]
    assert 2 not in desk.rider.put


def test_the_head_of_a_part_is_entered_where_users_send_it() -> None:
    desk = Desk(window(0, 6), started=False, sources=("slsk://u/f",))
    desk.rider.start(desk.row, {0: "slsk://u/f"}, b"", desk.bus)
    desk.ready(0)
    desk.act()
    desk.arrive(0)
    (entered,) = of(KvUpdate, desk.act())
    assert entered.row.parts[0].head == "h0"


def test_an_answer_about_another_upload_is_none() -> None:
    desk = Desk(window(0, 6))
    desk.ready(0)
    desk.act()
    desk.rider.part_put(PartPut("j", 0, 1, "e"), "n1")
    assert not desk.rider.put
    assert not desk.fail(0, StoreFault.FULL, epoch=1)
    assert desk.rider.putting == {0: 0}


def test_a_part_whose_window_went_to_another_node_is_not_entered_but_kept() -> None:
    desk = Desk(window(0, 6))
    desk.ready(0, 4)
    desk.act()
    desk.arrive(0, 4)
    desk.put(window(3, 6, "n2"))
    (entered,) = of(KvUpdate, desk.act())
    assert [part.part for part in entered.row.parts] == [0]
    assert list(desk.rider.put) == [0]
    assert desk.rider.ready[4] == PartReady("j", 4, "d4", "", (0,))


def test_a_part_that_another_node_stored_leaves_the_disk_once_it_is_not_on_its_way() -> None:
    desk = Desk(window(0, 6))
    desk.ready(0, 1)
    desk.act()
    desk.ready(5)
    desk.put(window(0, 6, "n1", 0, 5))
    assert of(DropPart, desk.act()) == [DropPart("j", 5, refetch=False)]
    desk.arrive(0)
    assert of(DropPart, desk.act()) == [DropPart("j", 0, refetch=False)]
    assert set(desk.rider.ready) == {1}


def test_a_part_is_taken_note_of_once() -> None:
    desk = Desk(window(0, 6))
    desk.ready(0)
    desk.act()
    desk.ready(0)
    desk.arrive(0)
    desk.ready(0)
    assert (desk.rider.ready, list(desk.rider.put)) == ({}, [0])


def test_the_pace_is_that_of_parts_that_become_complete_smoothed() -> None:
    desk = Desk(window(0, 6))
    desk.ready(0)
    assert desk.rider.pace == 0
    desk.now += 2
    desk.ready(1)
    assert desk.rider.pace == 0.5
    desk.ready(2)  # in the same moment: says nothing
    desk.now += 0.5
    desk.ready(2)  # said before: says nothing
    assert desk.rider.pace == 0.5
    desk.now += 0.5
    desk.ready(3)
    assert desk.rider.pace == pytest.approx(0.7 * 0.5 + 0.3 * 2)


# --- refusals of the destination ---


def test_a_destination_that_refuses_is_asked_less_and_less_often_and_named_once() -> None:
    desk = Desk(window(0, 6))
    desk.ready(0)
    desk.act()
    said, waits = [], []
    for _ in range(7):
        said += desk.fail(0, StoreFault.SERVER)
        waits.append(desk.rider.retry_at - desk.now)
        desk.now = desk.rider.retry_at - 0.01
        assert not of(PutPart, desk.act())
        desk.now = desk.rider.retry_at
        assert of(PutPart, desk.act())
    assert waits == [1, 2, 4, 8, 16, RETRY_S_MAX, RETRY_S_MAX]
    assert said == [Report("the destination refuses parts (server)", job="j")]
    assert desk.fail(0, StoreFault.FULL, "no room") == [Report("no room", job="j")]
    desk.now = desk.rider.retry_at
    desk.act()
    assert desk.fail(0, StoreFault.DENIED, "a key is wrong") == [Report("a key is wrong", job="j")]
    desk.now = desk.rider.retry_at
    desk.act()
    desk.arrive(0)
    assert desk.rider.retry_s == 1


def test_a_part_that_arrives_damaged_is_sent_again_then_read_again_then_given_up() -> None:
    desk = Desk(window(0, 6))
    fates = []
    for _ in range(CHECKSUMS_MAX + 1):
        desk.ready(0)
        desk.act()
        fates.append((desk.fail(0, StoreFault.CHECKSUM), desk.rider.failure, 0 in desk.rider.ready))
    again = [DropPart("j", 0, refetch=True)]
    assert fates[0] == ([], "", True)
    assert fates[1:-1] == [(again, "", False)] * (CHECKSUMS_MAX - 1)
    assert fates[-1] == ([], "part 0 arrives damaged each time", True)


def test_a_part_that_arrived_forgets_its_refusals() -> None:
    desk = Desk(window(0, 6))
    desk.ready(0, 1)
    desk.act()
    desk.fail(0, StoreFault.CHECKSUM)
    desk.act()
    desk.arrive(0, 1)
    assert not desk.rider.refusals


def test_addresses_that_are_expired_are_asked_for_again_and_at_the_third_time_a_clock_is_suspected() -> None:
    desk = Desk(window(0, 6))
    desk.ready(0)
    for _ in range(2):
        desk.act()
        assert not desk.fail(0, StoreFault.EXPIRED)
    desk.act()
    assert desk.fail(0, StoreFault.EXPIRED) == [
        Report("addresses are expired when they arrive: is a clock wrong?", job="j")
    ]
    assert desk.rider.retry_at == desk.now + 1


def test_a_lost_upload_stops_sending_until_there_is_another() -> None:
    desk = Desk(window(0, 6))
    desk.ready(0)
    desk.act()
    assert not desk.fail(0, StoreFault.NO_UPLOAD)
    assert not of(PutPart, desk.act())
    desk.row = desk.row.but(epoch=1, upload="u2")
    desk.put(window(0, 6).but(epoch=1))
    desk.board.judge(1, ())
    assert [(command.epoch, command.upload) for command in of(PutPart, desk.act())] == [(1, "u2")]


def test_a_destination_without_room_for_parts_ends_the_job_here() -> None:
    desk = Desk(window(0, 6))
    desk.ready(0)
    desk.act()
    desk.fail(0, StoreFault.TOO_MANY_PARTS)
    assert desk.rider.failure == "the destination takes no more parts"


# --- windows ---


def test_a_window_is_claimed_only_while_few_complete_parts_wait() -> None:
    many = READY_MAX + PUTS_MAX
    for waiting, claims in ((many, True), (many + 1, False)):
        desk = Desk(window(0, waiting))
        desk.ready(*range(waiting))
        assert bool(of(KvCreate, desk.act())) == claims


def test_the_next_window_is_claimed_when_this_one_ends_within_seconds() -> None:
    for open_parts, rate, claims in ((4, 1.0, True), (5, 1.0, False), (5, 1.3, True), (9, 100.0, False)):
        desk = Desk(window(0, open_parts))
        assert bool(of(KvCreate, desk.act(rate))) == claims, (open_parts, rate)


def test_no_window_is_claimed_before_the_last_claim_is_answered_nor_before_the_job_runs() -> None:
    desk = Desk(started=False)
    assert not desk.act()
    desk.rider.start(desk.row, MIRRORS, b"", desk.bus)
    (claim,) = of(KvCreate, desk.act())
    assert (claim.row.node, claim.row.instance, claim.row.epoch, claim.row.parts) == ("n1", "n1-1", 0, ())
    assert not of(KvCreate, desk.act())


def test_where_nothing_could_be_claimed_it_is_looked_again_after_a_second_or_a_change() -> None:
    desk = Desk(window(0, 40, "n2"))
    asked = 0

    def contest() -> Contest:
        nonlocal asked
        asked += 1
        return Contest("n1", "n1-1", lambda *_: True, lambda _: 1.0, ("n1", "n2"), frozenset(), -1, as_one=True)

    def act() -> int:
        desk.rider.act(desk.row, desk.board, desk.me, contest, desk.bus, desk.now)
        return asked

    assert [act(), act()] == [1, 1]
    desk.now += LOOK_S - 0.01
    assert act() == 1
    desk.now += 0.01
    assert act() == 2
    desk.put(window(0, 40, "n2", 0))
    assert act() == 3


def test_a_file_that_begins_at_0_only_is_fetched_by_its_first_node() -> None:
    desk = Desk(divisible=False, nodes=("n2", "n1"))
    assert not desk.act()
    desk.row = desk.row.but(nodes=("n1", "n2"))
    assert desk.act()


def test_what_is_believed_of_a_dead_nodes_window_stays_in_its_row() -> None:
    dead = window(0, 4, "", 0, 1)
    desk = Desk(dead.but(parts=(dead.parts[0].but(sources=(1,)), dead.parts[1])), excluded=(1,))
    desk.board.judge(0, (), (1,))
    desk.rider.excluded = (1,)
    (claim,) = of(KvUpdate, desk.act())
    assert ([part.part for part in claim.row.parts], claim.row.node) == ([1], "n1")


def test_a_window_is_granted_once_grows_with_the_next_and_is_trimmed_where_another_node_begins() -> None:
    desk = Desk(window(0, 4), window(8, 12))
    desk.rider.look_at, desk.rider.looked = 1e9, (desk.board.version, 0)
    assert desk.act() == [GrantWindow("j", 0, 4, 40 * PART, PART)]
    assert desk.act() == []
    desk.put(window(4, 8))
    desk.rider.looked = (desk.board.version, 0)
    assert desk.act() == [GrantWindow("j", 0, 12, 40 * PART, PART)]
    desk.put(window(9, 12, "n2"))
    desk.rider.looked = (desk.board.version, 0)
    assert desk.act() == [TrimWindow("j", 9)]


def test_what_is_complete_does_not_move_the_beginning_of_what_is_granted() -> None:
    desk = Desk(window(2, 6))
    desk.rider.look_at = 1e9

    def act() -> list[Any]:
        desk.rider.looked = (desk.board.version, len(desk.rider.ready))
        return [command for command in desk.act() if isinstance(command, GrantWindow | TrimWindow)]

    assert act() == [GrantWindow("j", 2, 6, 40 * PART, PART)]
    desk.ready(2)
    assert act() == []
    desk.ready(5)
    assert act() == [TrimWindow("j", 5)]
    desk.ready(3, 4)
    assert act() == [TrimWindow("j", 2)]
    assert desk.rider.granted is None


def test_a_hole_that_another_node_stored_does_not_divide_what_is_granted() -> None:
    desk = Desk(window(0, 6))
    desk.rider.look_at = 1e9
    desk.rider.looked = (desk.board.version, 0)
    desk.act()
    desk.put(window(0, 6, "n1", 2))
    desk.rider.looked = (desk.board.version, 0)
    assert desk.act() == []
    other = Desk(window(0, 6, "n1", 2))
    other.rider.look_at, other.rider.looked = 1e9, (other.board.version, 0)
    assert of(GrantWindow, other.act()) == [GrantWindow("j", 0, 2, 40 * PART, PART)]


# --- giving back ---


def test_a_node_that_drains_stops_keeps_its_bytes_and_frees_the_window_when_all_on_its_way_has_arrived() -> None:
    desk = Desk(window(0, 6), window(10, 12))
    desk.ready(0)
    desk.act()
    desk.me.draining = True
    assert desk.act() == [StopLocalJob("j", keep=True)]
    assert not desk.rider.give_back(desk.row, desk.board, desk.me, desk.bus, desk.now)
    desk.arrive(0)
    commands = of(KvUpdate, desk.act())
    assert [(command.key, command.row.node) for command in commands] == [("j.0", "n1"), ("j.10", "")]
    desk.bus.lost()
    desk.bus.online = desk.bus.open = True
    desk.put(commands[0].row)
    desk.put(commands[1].row)
    (freed,) = of(KvUpdate, desk.act())
    assert (freed.key, freed.row.node, [part.part for part in freed.row.parts]) == ("j.0", "", [0])
    desk.put(freed.row)
    assert desk.rider.give_back(desk.row, desk.board, desk.me, desk.bus, desk.now)


def test_what_an_excluded_source_had_a_share_in_is_dropped_and_the_rest_stays() -> None:
    desk = Desk(window(0, 6), started=False)
    desk.rider.start(desk.row, {0: "http://a/f"}, b"", desk.bus)
    desk.ready(0, sources=(0, 1))
    desk.ready(1, sources=(0,))
    desk.row = desk.row.but(excluded=(1,))
    assert of(DropPart, desk.act()) == [DropPart("j", 0, refetch=True)]
    assert set(desk.rider.ready) == {1}
    assert desk.rider.sources == {0: "http://a/f"}


def test_where_the_local_job_has_the_excluded_source_all_of_it_is_fetched_again() -> None:
    desk = Desk(window(0, 6))
    desk.ready(0, 1)
    desk.act()
    desk.arrive(1)
    desk.row = desk.row.but(excluded=(1,))
    commands = desk.act()
    assert commands[0] == StopLocalJob("j", keep=False)
    assert of(DropPart, commands) == [DropPart("j", 0, refetch=False), DropPart("j", 1, refetch=False)]
    assert (desk.rider.ready, desk.rider.put, desk.rider.putting) == ({}, {}, {})
    assert not of(StopLocalJob, desk.act())


def test_a_window_elsewhere_is_granted_from_its_own_beginning() -> None:
    desk = Desk(window(0, 4), window(10, 14))
    desk.rider.look_at = 1e9
    desk.rider.looked = (desk.board.version, 0)
    assert of(GrantWindow, desk.act()) == [GrantWindow("j", 0, 4, 40 * PART, PART)]
    desk.ready(0, 1, 2, 3)
    desk.rider.looked = (desk.board.version, 4)
    assert of(GrantWindow, desk.act()) == [GrantWindow("j", 10, 14, 40 * PART, PART)]


def test_of_two_windows_that_meet_the_one_of_which_all_is_entered_is_freed_at_once() -> None:
    desk = Desk(window(0, 6), window(6, 8))
    desk.ready(6)
    desk.act()
    desk.arrive(6)
    desk.me.draining = True
    freed = [command.key for command in of(KvUpdate, desk.act()) if not command.row.node]
    assert freed == ["j.0"]


def test_what_is_fetched_in_one_go_is_fetched_to_its_end_before_more_is_claimed() -> None:
    for as_one, open_parts, claims in ((False, 1, True), (True, 1, False), (True, 0, True)):
        desk = Desk(window(0, 2, "n1", *range(2 - open_parts)))
        desk.rider.as_one = as_one
        assert bool(of(KvCreate, desk.act(100.0))) == claims, (as_one, open_parts)
