"""Parts of a window that users still send others of: sent ahead by a rider, so that a death costs little of them."""

import pytest

from actors.core.fleet.rider import RETRY_S_MAX
from actors.core.fleet.vocabulary import DropPart, GrantWindow, KvUpdate, PartReady, PutPart, StoreFault, TrimWindow
from protocol.model.fleet.rows import PartRow
from tests.actors.core.fleet.test_rider import Desk, of, window


def ahead(desk: Desk, part: int, digest: str = "", source: int = 0) -> None:
    desk.rider.part_ready(PartReady("j", part, digest or f"d{part}", f"h{part}", (source,), ahead=True), desk.now)


def test_a_part_sent_ahead_is_stored_and_named_but_its_window_goes_on() -> None:
    desk = Desk(window(0, 4))
    desk.act()
    ahead(desk, 2)
    assert [put.part for put in of(PutPart, desk.act())] == [2]
    desk.arrive(2)
    commands = desk.act()
    (written,) = of(KvUpdate, commands)
    assert (written.row.parts, [part.part for part in written.row.ahead]) == ((), [2])
    assert not of(GrantWindow, commands) + of(TrimWindow, commands) + of(DropPart, commands)


def test_of_a_file_that_is_sent_from_its_beginning_only_nothing_is_sent_ahead() -> None:
    desk = Desk(window(0, 4), divisible=False)
    ahead(desk, 2)
    assert not of(PutPart, desk.act())


def test_what_was_sent_ahead_is_not_sent_again_when_the_window_is_complete() -> None:
    desk = Desk(window(0, 2))
    ahead(desk, 0)
    desk.act()
    desk.arrive(0)
    desk.ready(0, 1, sources=(0, 1))
    commands = desk.act()
    assert [put.part for put in of(PutPart, commands)] == [1]
    (written,) = of(KvUpdate, commands)
    assert [(part.part, part.sources) for part in written.row.parts] == [(0, (0, 1))]
    assert not written.row.ahead


@pytest.mark.parametrize("arrives", ["before", "after"])
def test_a_part_that_was_another_one_when_it_was_sent_ahead_is_sent_again(arrives: str) -> None:
    desk = Desk(window(0, 2))
    ahead(desk, 0, "other", source=1)
    desk.act()
    if arrives == "before":
        desk.arrive(0)
    desk.ready(0)
    if arrives == "after":
        desk.arrive(0)
    assert [put.part for put in of(PutPart, desk.act())] == [0]
    desk.arrive(0)
    (written,) = of(KvUpdate, desk.act())
    assert [(part.part, part.digest) for part in written.row.parts] == [(0, "d0")]


def test_a_part_that_is_complete_while_it_is_sent_ahead_counts_at_once_if_it_is_the_same() -> None:
    desk = Desk(window(0, 2))
    ahead(desk, 0)
    desk.act()
    desk.ready(0)
    desk.arrive(0)
    commands = desk.act()
    assert not of(PutPart, commands)
    assert [part.part for part in of(KvUpdate, commands)[0].row.parts] == [0]


def test_a_refused_checksum_of_a_part_that_is_sent_ahead_waits_for_its_window() -> None:
    desk = Desk(window(0, 2))
    ahead(desk, 0)
    desk.act()
    assert not desk.fail(0, StoreFault.CHECKSUM)
    assert not of(PutPart, desk.act())
    ahead(desk, 1)
    desk.act()
    desk.fail(1, StoreFault.FULL)
    desk.now += RETRY_S_MAX
    assert [put.part for put in of(PutPart, desk.act())] == [1]


def test_who_takes_a_dead_nodes_window_takes_over_what_it_has_sent_ahead() -> None:
    sent = PartRow(part=1, etag="e1", digest="d1", node="n2", sources=(4,))
    spoilt = PartRow(part=2, etag="e2", digest="d2", node="n2", sources=(5,))
    desk = Desk(window(0, 4, "").but(ahead=(sent, spoilt)), excluded=(5,))
    desk.board.judge(0, (), (5,))
    (written,) = of(KvUpdate, desk.act())
    assert (written.row.parts, written.row.ahead) == ((sent,), ())


def test_a_large_row_is_not_written_again_for_each_part_that_is_sent_ahead() -> None:
    desk = Desk(window(0, 40))
    written = 0
    for part in range(36):
        ahead(desk, part)
        desk.act()
        desk.arrive(part)
        for each in of(KvUpdate, desk.act()):
            written += 1
            desk.put(each.row)
            desk.bus.written(each.request, 100 + written, desk.now)
    assert 20 <= written <= 28
    assert len(desk.board.windows[0].ahead) >= 33
