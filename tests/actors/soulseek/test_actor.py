"""The login through good and bad days, searches within their budget, and what we share."""

import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.demo.content import Content
from actors.demo.soulseek.wire import bind
from actors.soulseek import network as soulseek_network
from protocol.messages import (
    CancelSearch,
    EnqueueRefused,
    FileFinished,
    GetSearchRation,
    ListShares,
    ListUploads,
    LogIn,
    LogOut,
    RequestAnswered,
    SearchEnded,
    SearchHit,
    StartSearch,
)
from protocol.model.faults import FaultKind
from protocol.model.job_views import SearchRation, SharedFolderView, UploadView, unpack
from tests.actors.soulseek.rig import ME, Rig, read_body, times
from tests.soulseek_network.network import Character, Network, network

SIZE = 1 << 20


@pytest.fixture(scope="module")
def box() -> Iterator[Network]:
    with network({"a": Character(), "b": Character()}, Content(SIZE), passwords={"owned": "secret"}) as made:
        yield made


def search(rig: Rig, term: str, *, number: int = 1, wait_s: float = 0.4) -> tuple[list[SearchHit], SearchEnded]:
    rig.say(StartSearch(search=number, term=term, wait_s=wait_s, reply_to="hub/pool"))
    hits: list[SearchHit] = []
    while True:
        heard = rig.hear(SearchHit, SearchEnded)
        if isinstance(heard, SearchEnded):
            return hits, heard
        assert isinstance(heard, SearchHit)
        hits.append(heard)


def test_a_lost_login_comes_back_by_itself(box: Network) -> None:
    with Rig(box.server_port) as rig:
        rig.online()
        assert box.drop_session(ME)
        assert not rig.state("offline").final
        rig.state("online")
        assert search(rig, box.term)[1].peers == 2


def test_logins_that_do_not_hold_are_followed_by_growing_pauses(box: Network) -> None:
    """A server that ends each login at once must not get one a second for good."""
    with Rig(box.server_port, username="short", retry_s=(0.5, 1.5)) as rig:
        for pause in ("in 0 s", "in 1 s"):
            rig.online()
            assert box.drop_session("short")
            assert pause in rig.state("offline").detail
        rig.online()
        assert search(rig, box.term, wait_s=1.7)[1].peers == 2
        assert box.drop_session("short")
        assert "in 0 s" in rig.state("offline").detail, "one that held"


def test_a_connection_to_the_server_that_is_cut_off_without_a_word_is_noticed(box: Network) -> None:
    """The kernel asks a silent server: else a router that forgot the connection leaves it for minutes."""
    with Rig(box.server_port, username="silent") as rig:
        rig.online()
        deadline_s = time.monotonic() + 10
        while not (asked_s := _probed_in_s(box.server_port)):
            assert time.monotonic() < deadline_s
        assert max(asked_s) <= 60


def _probed_in_s(server_port: int) -> list[float]:
    """Return when the kernel asks whether the other end of connections to this port is there."""
    rows = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    timers = [row[5].split(":") for row in rows if int(row[2].partition(":")[2], 16) == server_port and row[3] == "01"]
    return [int(ticks, 16) / os.sysconf("SC_CLK_TCK") for kind, ticks in timers if kind == "02"]


def test_what_a_server_says_of_its_refusal_is_one_printable_line() -> None:
    with network({"a": Character()}) as own:
        own.refuse_logins("try\n\u202elater")
        with Rig(own.server_port) as rig:
            assert "refuses logins for now: try\ufffd\ufffdlater" in rig.state("offline").detail


def test_a_server_that_is_away_is_tried_again_until_it_is_back() -> None:
    with network({"a": Character()}) as own:
        own.vanish_server()
        with Rig(own.server_port) as rig:
            for _ in range(3):
                assert "cannot be reached" in rig.state("offline").detail
            own.return_server()
            rig.state("online")


def test_a_wrong_password_is_final_and_said_in_words(box: Network) -> None:
    with Rig(box.server_port, username="owned") as rig:
        refused = rig.state("refused")
        assert refused.final
        assert "password" in refused.detail
        logins = box.logins()
        began_s = time.monotonic()
        assert search(rig, box.term)[1].refused == "not logged in"
        rig.ask(box, "a")
        assert rig.hear(EnqueueRefused).fault == FaultKind.NOT_LOGGED_IN
        assert time.monotonic() - began_s < 5, "a login that will not come is not waited for"
        assert box.logins() == logins


def test_another_login_of_the_same_name_is_not_fought(box: Network) -> None:
    with Rig(box.server_port, username="twin") as first:
        first.online()
        with Rig(box.server_port, username="twin") as second:
            second.online()
            assert not first.state("kicked").final
            assert "another program" in search(first, box.term)[1].refused, "it says so meanwhile"
            box.wait_for("twin-watch")
            logins = box.logins()
            assert search(second, box.term, wait_s=1.0)[1].peers == 2
            assert box.logins() == logins
        first.state("online")
        assert search(first, box.term, wait_s=1.0)[1].peers == 2, "it has come back by itself"
        box.wait_for("twin-watch", online=False)


def test_where_the_name_cannot_be_watched_another_login_is_left_alone() -> None:
    with (
        network({"a": Character()}, passwords={"twin-watch": "taken"}) as own,
        Rig(own.server_port, username="twin") as first,
    ):
        first.online()
        with Rig(own.server_port, username="twin") as second:
            second.online()
            first.state("kicked")
            while not first.state("kicked").final:
                pass


def test_without_the_second_account_it_comes_back_after_a_pause(box: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soulseek_network, "UNWATCHED_S", 0.5)
    with Rig(box.server_port, username="alone", watch=False) as first:
        first.online()
        with Rig(box.server_port, username="alone") as second:
            second.online()
            assert not first.state("kicked").final
        first.online()
        box.wait_for("alone-watch", online=False)


def test_a_taken_listening_port_is_passed_over_and_when_all_are_taken_that_is_said(box: Network) -> None:
    with bind("127.0.0.1", 0) as taken, bind("127.0.0.1", 0) as free:
        taken.listen()
        port, next_port = taken.getsockname()[1], free.getsockname()[1]
        free.close()
        with Rig(box.server_port, ports=(port, next_port)) as rig:
            assert str(next_port) in rig.state("online").detail
        with Rig(box.server_port, ports=(port,)) as rig:
            said = rig.state("port taken")
            assert said.final
            assert str(port) in said.detail
        with Rig(box.server_port, ports=(port,), retry_ports=True) as rig:
            assert not rig.state("port taken").final
            taken.close()
            assert str(port) in rig.state("online").detail


def test_what_is_asked_before_the_login_waits_for_it(box: Network) -> None:
    with Rig(box.server_port, times=times(login_s_max=10.0)) as rig:
        hits, ended = search(rig, box.term)
        assert ended.peers == 2
        assert {hit.peer for hit in hits} == {"a", "b"}
        wanted = next(hit for hit in hits if hit.path == box.remote_path("a"))
        assert wanted.size_bytes == SIZE
        assert wanted.slots_free


def test_a_search_over_the_budget_is_refused_with_the_time_of_the_next_one(box: Network) -> None:
    with Rig(box.server_port, searches_max=2, searches_s=60.0) as rig:
        rig.online()
        for number in (1, 2):
            assert search(rig, box.term, number=number)[1].refused == ""
        ended = search(rig, box.term, number=3)[1]
        assert (ended.search, ended.peers) == (3, 0)
        assert "budget" in ended.refused
        assert 50 < ended.retry_after_s <= 60
        rig.say(GetSearchRation(request=8, reply_to="hub/pool"))
        (ration,) = unpack(rig.hear(RequestAnswered).body, SearchRation)
        assert (ration.left, ration.most, ration.span_s) == (0, 2, 60.0)
        assert 50 < ration.next_s <= 60
        assert len([term for user, term in box.searches() if user == ME]) >= 2


def test_several_askers_share_one_budget_and_number_their_searches_themselves(box: Network) -> None:
    with Rig(box.server_port, username="shared", searches_max=2, searches_s=60.0) as rig:
        rig.online()
        askers = ("hub/pool", "hub/dispatcher-1", "hub/dispatcher-2")
        for asker in askers:
            rig.say(StartSearch(search=1, term=box.term, wait_s=0.4, reply_to=asker))
        ends = [rig.hear(SearchEnded) for _ in askers]
        assert sorted((ended.peers, bool(ended.refused)) for ended in ends) == [(0, True), (2, False), (2, False)]


def test_a_search_that_no_one_wants_any_more_ends_at_once(box: Network) -> None:
    with Rig(box.server_port, username="impatient") as rig:
        rig.online()
        began_s = time.monotonic()
        rig.say(StartSearch(search=7, term=box.term, wait_s=60.0, reply_to="hub/pool"))
        rig.hear(SearchHit)
        rig.say(CancelSearch(search=7, reply_to="hub/dispatcher-1"))
        rig.say(CancelSearch(search=8, reply_to="hub/pool"))
        rig.say(CancelSearch(search=7, reply_to="hub/pool"))
        ended = rig.hear(SearchEnded)
        assert (ended.search, ended.refused) == (7, "")
        assert time.monotonic() - began_s < 30


def test_a_search_ends_when_it_has_brought_enough(box: Network) -> None:
    with Rig(box.server_port, username="modest") as rig:
        rig.online()
        rig.say(StartSearch(search=1, term=box.term, wait_s=60.0, reply_to="hub/pool", hits_max=3))
        heard = [rig.hear(SearchHit, SearchEnded) for _ in range(4)]
        assert [type(each) for each in heard] == [SearchHit] * 3 + [SearchEnded]


@pytest.mark.parametrize("term", ["", "  ", "a\0b", "x" * 300])
def test_an_impossible_term_is_not_sent(box: Network, term: str) -> None:
    with Rig(box.server_port, username="picky") as rig:
        rig.online()
        assert search(rig, term)[1].refused
        assert not [user for user, _term in box.searches() if user == "picky"]


def test_shared_folders_and_finished_files_are_found_and_sent_and_nothing_beside_them(
    box: Network, tmp_path: Path
) -> None:
    folder, later, back = tmp_path / "music", tmp_path / "downloads", tmp_path / "state" / "finished"
    for made in (folder, later):
        made.mkdir()
    content = Content(300_000, seed=7).whole()
    (folder / "Shared Song.flac").write_bytes(content)
    (folder / "Shared Other.flac.part").write_bytes(content)
    with (
        Rig(box.server_port, username="giver", shared_folders=(str(folder),), finished_folder=str(back)) as giver,
        Rig(box.server_port) as taker,
    ):
        giver.online()
        taker.online()
        assert box.shares("giver")
        (hit,), _ended = search(taker, "shared")
        assert (hit.peer, hit.size_bytes) == ("giver", len(content))
        giver.say(ListShares(request=5, reply_to="hub/pool"))
        (shared,) = unpack(giver.hear(RequestAnswered).body, SharedFolderView)
        assert (shared.path, shared.folders, shared.files) == (str(folder), 1, 1), "not the part file"
        taker.ask(box, "giver", path=hit.path)
        sock, handed = taker.take_turn()
        with sock:
            assert read_body(sock, 5, len(content) - 5) == content[5:]
        giver.say(ListUploads(request=6, reply_to="hub/pool"))
        (sent,) = unpack(giver.hear(RequestAnswered).body, UploadView)
        assert (sent.path, sent.size_bytes) == (hit.path, len(content))
        taker.end(handed, stopped=False)
        (later / "Shared Later.flac").write_bytes(content)
        (later / "Shared Secret.flac").write_bytes(content)
        giver.say(FileFinished(path=str(later / "Shared Later.flac")))
        found = _shared_until(taker, 2)
        assert not [path for path in found if "Secret" in path], "only the file that was finished"
    with (
        Rig(box.server_port, username="giver", finished_folder=str(back)) as again,
        Rig(box.server_port) as taker,
    ):
        again.online()
        taker.online()
        (path,) = _shared_until(taker, 1)
        taker.ask(box, "giver", path=path)
        sock, handed = taker.take_turn()
        with sock:
            assert read_body(sock, 0, len(content)) == content
        taker.end(handed, stopped=False)


def _shared_until(taker: Rig, count: int) -> set[str]:
    """Search until a given number of files are found."""
    deadline_s = time.monotonic() + 10
    while len(found := {hit.path for hit in search(taker, "shared", wait_s=0.2)[0]}) < count:
        assert time.monotonic() < deadline_s
    return found


def test_an_offset_behind_the_end_does_not_keep_our_upload_slot(box: Network, tmp_path: Path) -> None:
    (tmp_path / "Shared Song.flac").write_bytes(bytes(1000))
    with (
        Rig(box.server_port, username="giver", shared_folders=(str(tmp_path),), upload_slots=1) as giver,
        Rig(box.server_port) as taker,
    ):
        giver.online()
        taker.online()
        assert box.shares("giver")
        (hit,), _ended = search(taker, "shared")
        for offset in ((1 << 64) - 1, 1 << 63, 1001, 0):
            taker.ask(box, "giver", path=hit.path)
            sock, handed = taker.take_turn()
            with sock:
                assert len(read_body(sock, offset, 1000)) == (1000 if offset == 0 else 0)
            taker.end(handed, stopped=False)


def test_sharing_nothing_is_said_once_with_its_consequence(box: Network, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), Rig(box.server_port, sharing=False, shared_folders=("/tmp",)) as rig:
        rig.online()
    said = [record.getMessage() for record in caplog.records if "ban" in record.getMessage()]
    assert said == ["sharing is switched off: many users ban those who share nothing"]


def test_the_password_is_in_no_repr(box: Network) -> None:
    with Rig(box.server_port, password="hunter2") as rig:
        assert "hunter2" not in repr(rig.settings)


def test_everything_listens_on_loopback_only(box: Network) -> None:
    with Rig(box.server_port) as rig:
        port = int(rig.state("online").detail.rpartition(" ")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=5):
            pass
        with pytest.raises(OSError, match="refused"), socket.create_connection(("127.0.0.2", port), timeout=5):
            pass


def test_who_logs_out_stays_out_until_a_login_is_wanted_again(box: Network) -> None:
    with Rig(box.server_port, username="guest") as rig:
        rig.online()
        rig.say(LogOut())
        out = rig.state("offline")
        assert (out.final, out.detail) == (True, "logged out, as was asked for")
        box.wait_for("guest", online=False)
        logins = box.logins()
        assert search(rig, box.term)[1].refused == "not logged in"
        assert box.logins() == logins
        rig.say(LogOut())
        rig.say(LogIn())
        rig.state("online")
        assert search(rig, box.term)[1].peers == 2


def test_a_login_that_is_wanted_is_tried_at_once_however_long_the_pause() -> None:
    with network({"a": Character()}) as own:
        own.vanish_server()
        with Rig(own.server_port, retry_s=(1000.0, 1000.0)) as rig:
            rig.state("offline")
            own.return_server()
            own.wait_for("a")
            rig.say(LogIn())
            rig.state("online")
            rig.say(LogIn())
            assert search(rig, own.term)[1].peers == 1, "where there is one nothing changes"


def test_a_login_that_another_one_took_is_taken_back_when_it_is_wanted(box: Network) -> None:
    with Rig(box.server_port, username="twin") as first:
        first.online()
        with Rig(box.server_port, username="twin") as second:
            second.online()
            first.state("kicked")
            first.say(LogIn())
            first.state("online")
            second.state("kicked")
