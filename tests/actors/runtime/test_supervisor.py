"""Real child processes: started together, watched, restarted, ended in order, and nothing of them is left."""

import contextlib
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest

from actors.core.supervision.process_policy import HealthPolicy
from actors.runtime.process import ProcessSpec
from actors.runtime.stop_signals import stop_signals_deferred
from actors.runtime.supervisor import StartFailed, Supervisor
from actors.runtime.unix_links import socket_path
from protocol.messages import (
    ActorDied,
    JobClosed,
    JobNoted,
    Message,
    Ping,
    Pong,
    ProcessLost,
    ProcessReady,
    StartWorker,
    StopProcess,
)
from protocol.messages.codec import decode
from tests.actors.runtime.children import HERE, echo_specs

ROOT = Path(__file__).parents[3]
Inbox = queue.SimpleQueue[Message]


@pytest.fixture(autouse=True)
def runtime_dir(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where run folders are made (and everything temporary of the programs started here), empty before and after."""
    with tempfile.TemporaryDirectory(prefix="s-") as path:
        monkeypatch.setenv("XDG_RUNTIME_DIR", path)
        monkeypatch.setenv("TMPDIR", path)
        yield path
        assert os.listdir(path) == []


@pytest.fixture
def supervised() -> Iterator[Callable[..., tuple[Supervisor, Inbox]]]:
    """Starts the given specs; the second thing is the inbox of ``front/answers``."""
    with contextlib.ExitStack() as stack:

        def start(specs: list[ProcessSpec], **options: object) -> tuple[Supervisor, Inbox]:
            options.setdefault("health_policy", HealthPolicy())
            supervisor = Supervisor(specs, **options)  # type: ignore[arg-type]
            stack.callback(supervisor.stop, 2.0)
            answers: Inbox = queue.SimpleQueue()
            supervisor.bus.register("answers", lambda frame: answers.put(decode(frame)))
            supervisor.start()
            assert {type(supervisor.inbox.get(timeout=30)) for _ in specs} == {ProcessReady}
            return supervisor, answers

        yield start


Supervised = Callable[..., tuple[Supervisor, Inbox]]


def children(names: tuple[str, ...], builder: str) -> list[ProcessSpec]:
    return [ProcessSpec(process=name, builder=f"{HERE}:{builder}") for name in names]


def next_of(inbox: Inbox, kind: type) -> Message:
    while not isinstance(message := inbox.get(timeout=30), kind):
        pass
    return message


def wait_for_end(pidfds: list[int], within_s: float) -> bool:
    """Whether all these processes ended in time."""
    deadline_s = time.monotonic() + within_s
    return all(select.select([pidfd], [], [], max(0.0, deadline_s - time.monotonic()))[0] for pidfd in pidfds)


def test_ten_thousand_messages_cross_two_processes_in_order_and_none_is_lost(supervised: Supervised) -> None:
    supervisor, answers = supervised(echo_specs("hub"))
    for serial in range(10_000):
        supervisor.bus.post("hub/echo", Ping(serial=serial))
    for serial in range(10_000):
        assert answers.get(timeout=30) == Pong(process="hub", serial=serial)


def test_what_is_posted_to_a_process_that_is_still_loading_is_delivered(tmp_path: Path, supervised: Supervised) -> None:
    """However long it loads, and without the sender waiting for it."""
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    slow = ProcessSpec(process="hub", builder=f"{HERE}:build_slow_echo", settings=str(fifo))
    eager = ProcessSpec(process="store", builder=f"{HERE}:build_eager")
    sent = threading.Event()

    def let_go() -> None:
        with fifo.open("wb"):
            sent.wait(10)

    gate = threading.Thread(target=let_go)
    gate.start()
    supervisor = Supervisor([slow, eager], health_policy=HealthPolicy())
    answers: Inbox = queue.SimpleQueue()

    def deliver(frame: bytes) -> None:
        message = decode(frame)
        sent.set() if isinstance(message, JobNoted) else answers.put(message)

    supervisor.bus.register("answers", deliver)
    with supervisor:
        gate.join()
        assert answers.get(timeout=30) == Pong(process="hub", serial=7)


def test_the_arena_and_the_settings_reach_the_builder(supervised: Supervised) -> None:
    with tempfile.TemporaryFile() as arena:
        arena.write(b"shared ")
        arena.flush()
        spec = ProcessSpec(process="store", builder=f"{HERE}:build_reader_of_the_arena", settings={"more": "bytes"})
        supervisor = Supervisor([spec], arena_fd=arena.fileno(), slot_count=7, health_policy=HealthPolicy())
        with supervisor:
            assert next_of(supervisor.inbox, JobNoted) == JobNoted(job=7, text="shared bytes")


def test_a_killed_child_is_reported_at_once_to_the_front_and_to_the_others(supervised: Supervised) -> None:
    supervisor, answers = supervised(echo_specs("hub", "fetch-1"), lost_to=("front/answers", "fetch-1/echo"))
    began_s = time.monotonic()
    os.kill(supervisor.pid_of("fetch-1"), signal.SIGKILL)
    lost = ProcessLost(process="fetch-1", detail="killed by SIGKILL")
    assert supervisor.inbox.get(timeout=30) == lost
    assert time.monotonic() - began_s < 2  # a few ms; the rest is for a busy machine
    assert answers.get(timeout=30) == lost
    assert supervisor.inbox.empty()


def test_a_receiver_killed_in_mid_stream_is_found_again_after_its_restart(supervised: Supervised) -> None:
    supervisor, answers = supervised(echo_specs("hub"))
    enough = threading.Event()

    def stream() -> None:
        serial = 0
        while not enough.is_set():
            supervisor.bus.post("hub/echo", Ping(serial=serial))
            serial += 1
        supervisor.bus.post("hub/echo", Ping(serial=-1))

    streamer = threading.Thread(target=stream, daemon=True)
    streamer.start()
    assert answers.get(timeout=30) == Pong(process="hub", serial=0)
    first_pid = supervisor.pid_of("hub")
    os.kill(first_pid, signal.SIGKILL)
    next_of(supervisor.inbox, ProcessLost)
    supervisor.restart("hub")
    ready = next_of(supervisor.inbox, ProcessReady)
    assert ready == ProcessReady(process="hub", pid=supervisor.pid_of("hub"))
    assert supervisor.pid_of("hub") != first_pid
    enough.set()
    streamer.join(timeout=5)
    serials: list[int] = []
    while not serials or serials[-1] != -1:
        answer = next_of(answers, Pong)
        assert isinstance(answer, Pong)
        serials.append(answer.serial)
    assert serials[:-1] == sorted(set(serials[:-1]))  # some are lost, none comes twice or out of order


def test_restarting_a_living_child_kills_it_first_and_says_so(supervised: Supervised) -> None:
    supervisor, answers = supervised(echo_specs("hub"))
    supervisor.restart("hub")
    assert supervisor.inbox.get(timeout=30) == ProcessLost(process="hub", detail="killed to be restarted")
    assert supervisor.inbox.get(timeout=30) == ProcessReady(process="hub", pid=supervisor.pid_of("hub"))
    supervisor.bus.post("hub/echo", Ping(serial=1))
    assert answers.get(timeout=30) == Pong(process="hub", serial=1)


def test_a_child_that_stands_still_is_killed_and_reported_as_silent(supervised: Supervised) -> None:
    supervisor, _answers = supervised(
        echo_specs("hub", "store"), ping_s=0.1, health_policy=HealthPolicy(pings_unanswered_max=5)
    )
    os.kill(supervisor.pid_of("store"), signal.SIGSTOP)
    lost = supervisor.inbox.get(timeout=30)
    assert lost == ProcessLost(process="store", detail="silent: 5 pings without an answer, killed")
    assert [figures.process for figures in supervisor.health()] == ["front", "hub"]


def test_an_actor_that_fails_is_reported_once_and_its_process_lives(supervised: Supervised) -> None:
    supervisor, answers = supervised(echo_specs("hub", "store"))
    supervisor.bus.post("store/echo", JobClosed(job=3))
    died = ActorDied(process="store", actor="echo", detail="RuntimeError: job 3 is unforgettable")
    assert supervisor.inbox.get(timeout=30) == died
    supervisor.bus.post("hub/echo", Ping(serial=1))
    assert answers.get(timeout=30) == Pong(process="hub", serial=1)
    assert supervisor.inbox.empty()


def test_an_actor_that_fails_while_its_process_starts_is_reported(supervised: Supervised) -> None:
    with Supervisor(children(("hub",), "build_with_a_stillborn"), health_policy=HealthPolicy()) as supervisor:
        died = ActorDied(process="hub", actor="stillborn", detail="RuntimeError: never lived")
        assert next_of(supervisor.inbox, ActorDied) == died


def test_an_actor_that_cannot_be_made_is_reported_under_its_name_and_the_root_lives(supervised: Supervised) -> None:
    supervisor, _answers = supervised(children(("hub",), "build_with_a_failing_maker"))
    for source in (4, 5):
        supervisor.bus.post("hub/root", StartWorker(job=1, source=source, url="gopher://x"))
    for source in (4, 5):
        died = supervisor.inbox.get(timeout=30)
        assert isinstance(died, ActorDied)
        assert (died.actor, died.detail) == (f"worker-1-{source}", "RuntimeError: cannot read gopher://x")


def test_a_builder_that_fails_is_a_failed_start_and_leaves_nothing() -> None:
    supervisor = Supervisor([*echo_specs("hub"), *children(("store",), "build_and_fail")], health_policy=HealthPolicy())
    with pytest.raises(StartFailed, match="store: exited with code 1"):
        supervisor.start()
    assert not os.path.exists(supervisor.run_dir)
    assert [figures.process for figures in supervisor.health()] == ["front"]


def test_a_start_that_no_one_wants_any_more_is_not_waited_for_and_leaves_nothing(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    specs = [ProcessSpec(process="hub", builder=f"{HERE}:build_slow_echo", settings=str(fifo))]
    supervisor = Supervisor(specs, health_policy=HealthPolicy())
    looks = iter([False, False])
    with pytest.raises(StartFailed, match="stopped while it started"):
        supervisor.start(unwanted=lambda: next(looks, True))
    assert not os.path.exists(supervisor.run_dir)
    assert [figures.process for figures in supervisor.health()] == ["front"]


def test_children_are_stopped_in_the_order_of_their_ranks(supervised: Supervised) -> None:
    ranks = {"store": 2, "hub": 0, "fetch-1": 1}
    specs = [ProcessSpec(process=name, builder=f"{HERE}:build_echo", stop_rank=rank) for name, rank in ranks.items()]
    supervisor, answers = supervised(specs)
    supervisor.stop()
    stopped = [answers.get(timeout=30) for _ in specs]
    assert stopped == [JobNoted(job=0, text=f"{name} stopped") for name in ("hub", "fetch-1", "store")]
    assert supervisor.inbox.empty()  # an end that was asked for is no loss
    supervisor.stop()


@pytest.mark.parametrize("order", ["SIGTERM", "StopProcess"])
def test_a_child_asked_by_another_ends_in_order_too_and_is_reported(supervised: Supervised, order: str) -> None:
    supervisor, answers = supervised(echo_specs("hub"))
    if order == "SIGTERM":
        os.kill(supervisor.pid_of("hub"), signal.SIGTERM)
    else:
        supervisor.bus.post("hub/root", StopProcess())
    assert answers.get(timeout=30) == JobNoted(job=0, text="hub stopped")
    assert supervisor.inbox.get(timeout=30) == ProcessLost(process="hub", detail="exited with code 0")


def test_a_child_that_does_not_stop_is_killed_within_bounds() -> None:
    with Supervisor(children(("hub", "store"), "build_stubborn"), health_policy=HealthPolicy()) as supervisor:
        pidfds = [os.pidfd_open(supervisor.pid_of(name)) for name in ("hub", "store")]
        began_s = time.monotonic()
        supervisor.stop(grace_s=0.1)
        assert time.monotonic() - began_s < 20
    assert wait_for_end(pidfds, 0)
    for pidfd in pidfds:
        os.close(pidfd)


def test_a_child_that_takes_no_stop_message_is_stopped_in_order_by_a_signal(supervised: Supervised) -> None:
    supervisor, answers = supervised(echo_specs("hub"))
    path = socket_path(supervisor.run_dir, "hub")
    os.unlink(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as refusing:
        refusing.bind(path)
        supervisor.stop(grace_s=0.3)
    assert answers.get(timeout=30) == JobNoted(job=0, text="hub stopped")


def test_health_tells_of_every_process(supervised: Supervised) -> None:
    supervisor, _answers = supervised(echo_specs("hub", "store"))
    figures = supervisor.health()
    assert [(one.process, one.pid) for one in figures] == [
        ("front", os.getpid()),
        ("hub", supervisor.pid_of("hub")),
        ("store", supervisor.pid_of("store")),
    ]
    for one in figures:
        assert one.pss_bytes > 1_000_000
        assert one.threads >= 1
        assert one.fds >= 3


def test_twenty_starts_and_stops_leak_no_descriptor_thread_process_or_file(runtime_dir: str) -> None:
    def held() -> tuple[int, set[threading.Thread], set[int], list[str]]:
        processes = {child.pid for child in psutil.Process().children(recursive=True)}
        return len(os.listdir("/proc/self/fd")), set(threading.enumerate()), processes, os.listdir(runtime_dir)

    def once() -> None:
        with Supervisor(echo_specs("hub", "store"), health_policy=HealthPolicy()):
            pass

    once()  # brings the forkserver, which stays until this program ends
    before = held()
    for _ in range(20):
        once()
    assert held() == before


@contextlib.contextmanager
def supervising_program() -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A program of its own, in a process group of its own, and a pidfd for everything it started (itself excluded)."""
    command = [sys.executable, "-m", "tests.actors.runtime.children"]
    program = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
    with program, contextlib.ExitStack() as stack:
        assert program.stdout is not None
        stack.callback(program.kill)
        assert os.path.isdir(program.stdout.readline().strip())
        started = psutil.Process(program.pid).children(recursive=True)
        assert len(started) >= 3  # two children, the forkserver
        pidfds = [os.pidfd_open(process.pid) for process in started]
        for pidfd in pidfds:
            stack.callback(os.close, pidfd)
        yield program, pidfds


def test_children_end_within_a_second_when_their_supervisor_is_killed() -> None:
    with supervising_program() as (program, pidfds):
        program.kill()
        assert wait_for_end(pidfds, 1.0)


@pytest.mark.parametrize("whom", ["everybody", "the supervisor"])
def test_ctrl_c_leaves_no_process_and_no_file(whom: str) -> None:
    with supervising_program() as (program, pidfds):
        if whom == "everybody":
            os.killpg(program.pid, signal.SIGINT)
        else:
            os.kill(program.pid, signal.SIGINT)
        assert program.wait(timeout=5) == 130
        assert wait_for_end(pidfds, 1.0)


def test_folders_of_a_killed_process_group_go_at_the_next_start_and_no_living_one_s(runtime_dir: str) -> None:
    with supervising_program() as (living, _living_pidfds):
        in_use = set(os.listdir(runtime_dir))
        with supervising_program() as (killed, pidfds):
            os.killpg(killed.pid, signal.SIGKILL)
            assert wait_for_end(pidfds, 1.0)
        left = set(os.listdir(runtime_dir)) - in_use
        assert left, "nothing was left that could remove it"
        os.mkdir(f"{runtime_dir}/shoal-of-another-program")
        with supervising_program() as (third, _pidfds):
            there = set(os.listdir(runtime_dir))
            assert not there & left
            assert there > in_use
            os.kill(third.pid, signal.SIGINT)
            assert third.wait(timeout=5) == 130
        assert set(os.listdir(runtime_dir)) == in_use | {"shoal-of-another-program"}
        os.rmdir(f"{runtime_dir}/shoal-of-another-program")
        os.kill(living.pid, signal.SIGINT)
        assert living.wait(timeout=5) == 130


def test_a_ctrl_c_while_children_are_being_started_takes_effect_when_they_are_noted() -> None:
    passed = threading.Event()

    def hold() -> None:
        with stop_signals_deferred():
            os.kill(os.getpid(), signal.SIGINT)  # any thread of ours may take it
            os.sched_yield()
            passed.set()

    taker = threading.Thread(target=passed.wait)  # has SIGINT unblocked
    taker.start()
    with pytest.raises(KeyboardInterrupt):
        hold()
    assert passed.is_set()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    taker.join()


def test_a_killed_forkserver_is_no_loss_of_its_children_and_the_next_start_brings_another(
    supervised: Supervised,
) -> None:
    supervisor, answers = supervised(echo_specs("hub", "store"))
    parent = psutil.Process(supervisor.pid_of("hub")).parent()
    assert parent is not None
    parent.kill()
    supervisor.bus.post("hub/echo", Ping(serial=1))
    assert answers.get(timeout=30) == Pong(process="hub", serial=1)
    supervisor.restart("store")
    assert next_of(supervisor.inbox, ProcessReady) == ProcessReady(process="store", pid=supervisor.pid_of("store"))
    assert [figures.process for figures in supervisor.health()] == ["front", "hub", "store"]
