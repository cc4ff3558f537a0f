"""The supervisor starts the dead and the silent again, for as long as that helps. Real processes."""

import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest

from actors.core.supervision.process_policy import HealthPolicy, RestartPolicy
from actors.runtime.process import ProcessSpec
from actors.runtime.supervisor import Supervisor
from protocol.messages import JobClosed, JobNoted, Message, Ping, Pong, ProcessLost, ProcessReady
from protocol.messages.codec import decode
from tests.actors.runtime.children import HERE, echo_specs

ROOT = Path(__file__).parents[3]
Inbox = queue.SimpleQueue[Message]


def heard(supervisor: Supervisor, name: str) -> Inbox:
    """What is said to an actor of the front."""
    said: Inbox = queue.SimpleQueue()
    supervisor.bus.register(name, lambda frame: said.put(decode(frame)))
    return said


def next_of(inbox: Inbox, kind: type) -> Message:
    while not isinstance(message := inbox.get(timeout=10), kind):
        pass
    return message


@pytest.fixture
def two() -> Iterator[Supervisor]:
    """``hub`` and ``store``, restarted up to twice a minute; ``front/answers`` gets each loss."""
    with Supervisor(
        echo_specs("hub", "store"),
        lost_to=("front/answers",),
        restart_policy=RestartPolicy(restarts_max=2),
        health_policy=HealthPolicy(),
    ) as made:
        assert {type(made.inbox.get(timeout=30)) for _ in range(2)} == {ProcessReady}
        yield made


def test_a_killed_child_is_started_again_and_works(two: Supervisor) -> None:
    answers = heard(two, "answers")
    before = two.pid_of("store")
    os.kill(before, signal.SIGKILL)
    lost = ProcessLost(process="store", detail="killed by SIGKILL", restart_s=0.0)
    assert two.inbox.get(timeout=30) == lost
    back = next_of(two.inbox, ProcessReady)
    assert back == ProcessReady(process="store", pid=two.pid_of("store"))
    assert two.pid_of("store") != before
    assert answers.get(timeout=30) == lost
    assert answers.get(timeout=30) == back, "the others hear that it is back"
    two.bus.post("store/echo", Ping(serial=7))
    assert answers.get(timeout=30) == Pong(process="store", serial=7)


def test_a_listener_that_is_being_restarted_hears_later_of_deaths_meanwhile(tmp_path: Path) -> None:
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    listener = ProcessSpec(process="hub", builder=f"{HERE}:build_slow_listener", settings=str(fifo))
    with Supervisor(
        [listener, *echo_specs("store")],
        lost_to=("hub/listener",),
        restart_policy=RestartPolicy(),
        health_policy=HealthPolicy(),
    ) as supervisor:
        said = heard(supervisor, "heard")
        assert {type(supervisor.inbox.get(timeout=30)) for _ in range(2)} == {ProcessReady}
        os.kill(supervisor.pid_of("hub"), signal.SIGKILL)
        next_of(supervisor.inbox, ProcessLost)
        with fifo.open("wb"):  # opens when the second hub waits there
            os.kill(supervisor.pid_of("store"), signal.SIGKILL)
            ready = next_of(supervisor.inbox, ProcessReady)
            assert ready == ProcessReady(process="store", pid=supervisor.pid_of("store"))
        assert said.get(timeout=10) == ProcessLost(process="store", detail="killed by SIGKILL", restart_s=0.0)
        assert said.get(timeout=10) == ready


def test_after_too_many_restarts_a_death_is_final_and_says_so(two: Supervisor) -> None:
    for wait_s in (0.0, 0.1):
        os.kill(two.pid_of("store"), signal.SIGKILL)
        lost = next_of(two.inbox, ProcessLost)
        assert isinstance(lost, ProcessLost)
        assert lost.restart_s == pytest.approx(wait_s)
        next_of(two.inbox, ProcessReady)
    os.kill(two.pid_of("store"), signal.SIGKILL)
    why = "killed by SIGKILL; it was restarted 2 times within 60 s"
    assert next_of(two.inbox, ProcessLost) == ProcessLost(process="store", detail=why)
    assert two.living() == ["hub"]


def test_a_stopped_child_is_killed_as_silent_and_started_again() -> None:
    health_policy = HealthPolicy(pings_unanswered_max=3)
    with Supervisor(
        echo_specs("hub"), ping_s=0.1, health_policy=health_policy, restart_policy=RestartPolicy()
    ) as supervisor:
        next_of(supervisor.inbox, ProcessReady)
        os.kill(supervisor.pid_of("hub"), signal.SIGSTOP)
        lost = next_of(supervisor.inbox, ProcessLost)
        detail = "silent: 3 pings without an answer, killed"
        assert lost == ProcessLost(process="hub", detail=detail, restart_s=0.0)
        next_of(supervisor.inbox, ProcessReady)


@pytest.mark.parametrize("order", [signal.SIGSTOP, signal.SIGKILL])
def test_a_forkserver_that_stands_still_or_is_dead_holds_no_restart_up(two: Supervisor, order: signal.Signals) -> None:
    server = psutil.Process(two.pid_of("hub")).parent()
    assert server is not None
    server.send_signal(order)
    os.kill(two.pid_of("store"), signal.SIGKILL)
    lost = next_of(two.inbox, ProcessLost)
    assert (
        lost == ProcessLost(process="store", detail="ended, exit code unknown", restart_s=0.0)
        or order != signal.SIGSTOP
    )
    assert next_of(two.inbox, ProcessReady) == ProcessReady(process="store", pid=two.pid_of("store"))
    assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE
    assert two.living() == ["hub", "store"]


def test_a_deadlocked_child_says_where_it_stands_before_it_is_killed() -> None:
    """In a program of its own: children write to the stderr that the forkserver was started with."""
    command = [sys.executable, "-m", HERE, "deadlock"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.splitlines() == ["silent: 3 pings without an answer, killed", "hub is back"]
    assert "in stand_for_ever" in done.stderr


def test_a_child_with_an_actor_that_takes_no_more_messages_is_silent_too() -> None:
    spec = ProcessSpec(process="hub", builder=f"{HERE}:build_stuck", log_level=logging.CRITICAL)
    health_policy = HealthPolicy(pings_unanswered_max=3)
    with Supervisor([spec], ping_s=0.1, health_policy=health_policy, restart_policy=RestartPolicy()) as supervisor:
        next_of(supervisor.inbox, ProcessReady)
        supervisor.bus.post("hub/stuck", Ping(serial=0))
        lost = next_of(supervisor.inbox, ProcessLost)
        assert isinstance(lost, ProcessLost)
        assert lost.detail.startswith("silent")
        next_of(supervisor.inbox, ProcessReady)


def test_an_actor_that_fails_takes_a_process_that_lives_as_a_whole_along_and_there_is_an_end_to_it() -> None:
    spec = ProcessSpec(process="hub", builder=f"{HERE}:build_echo", whole=True, log_level=logging.CRITICAL + 1)
    with Supervisor([spec], restart_policy=RestartPolicy(window_s=1e-9), health_policy=HealthPolicy()) as supervisor:
        answers = heard(supervisor, "answers")
        details = []
        for _ in range(4):
            supervisor.bus.post("hub/echo", Ping(serial=1))
            assert answers.get(timeout=10) == Pong(process="hub", serial=1), "it works again"
            supervisor.bus.post("hub/echo", JobClosed(job=3))
            lost = next_of(supervisor.inbox, ProcessLost)
            assert isinstance(lost, ProcessLost)
            details.append((lost.detail, lost.restart_s))
            if lost.restart_s >= 0:
                next_of(supervisor.inbox, ProcessReady)
        assert supervisor.inbox.empty(), "no word of the actor beside that of the process"
    why = "echo failed: RuntimeError: job 3 is unforgettable"
    assert details == [(why, 0.0)] * 3 + [(f"{why}; it was restarted 3 times after the same failure", -1.0)]


def test_a_child_that_grows_too_large_is_killed_and_started_again() -> None:
    spec = ProcessSpec(process="hub", builder=f"{HERE}:build_greedy", settings=64 << 20)
    health_policy = HealthPolicy(memory_bytes_max=48 << 20)
    with Supervisor(
        [spec], ping_s=0.1, health_policy=health_policy, restart_policy=RestartPolicy(restarts_max=1)
    ) as supervisor:
        lost = next_of(supervisor.inbox, ProcessLost)
        assert isinstance(lost, ProcessLost)
        assert lost.detail.startswith("too large: ")
        assert lost.restart_s == 0.0


def test_a_supervisor_is_well_while_it_goes_round_and_its_children_answer() -> None:
    with Supervisor(
        echo_specs("hub"), restart_policy=RestartPolicy(), ping_s=60.0, health_policy=HealthPolicy()
    ) as supervisor:
        next_of(supervisor.inbox, ProcessReady)
        assert supervisor.well()
        child = supervisor._children["hub"]
        child.pinged += 10  # as if ten had gone unanswered; no one looks for a minute
        assert not supervisor.well()
        child.answered = child.pinged
        assert supervisor.well()
        supervisor._checked_s -= 1000.0
        assert not supervisor.well(), "no one looks after them any more"


def test_fifty_restarts_leak_no_descriptor_thread_process_or_file() -> None:
    with Supervisor(
        echo_specs("hub", "store"),
        restart_policy=RestartPolicy(restarts_max=1000, window_s=1e-9),
        ping_s=60.0,
        health_policy=HealthPolicy(),
    ) as supervisor:
        for _ in range(2):
            next_of(supervisor.inbox, ProcessReady)

        def held() -> tuple[int, set[threading.Thread], int, list[Path]]:
            children = len(psutil.Process().children(recursive=True))
            return len(os.listdir("/proc/self/fd")), set(threading.enumerate()), children, files()

        def files() -> list[Path]:
            return sorted(Path(supervisor.run_dir).iterdir())

        def once() -> None:
            os.kill(supervisor.pid_of("store"), signal.SIGKILL)
            next_of(supervisor.inbox, ProcessLost)
            next_of(supervisor.inbox, ProcessReady)
            for name in ("hub", "store"):  # so that every link stands when it is counted
                supervisor.bus.post(f"{name}/echo", Ping(serial=0))
                next_of(answers, Pong)

        answers = heard(supervisor, "answers")
        once()
        before = held()
        for _ in range(50):
            once()
        deadline_s = time.monotonic() + 5
        while held() != before and time.monotonic() < deadline_s:  # the last one's link may still be open
            os.sched_yield()
        assert held() == before


def test_notes_reach_the_front_from_a_restarted_child(two: Supervisor) -> None:
    answers = heard(two, "answers")
    os.kill(two.pid_of("hub"), signal.SIGTERM)
    assert next_of(answers, JobNoted) == JobNoted(job=0, text="hub stopped")
    lost = next_of(two.inbox, ProcessLost)
    assert lost == ProcessLost(process="hub", detail="exited with code 0", restart_s=0.0)
    next_of(two.inbox, ProcessReady)


RELOADED = """
import multiprocessing, os, signal
from actors.runtime import spawn
from tests.actors.runtime.children import say_loaded
spawn.warm(["xml.dom.minidom"])
context = multiprocessing.get_context("forkserver")
for _ in range(2):
    mine, theirs = context.Pipe()
    child = context.Process(target=say_loaded, args=(theirs, "xml.dom.minidom"))
    child.start()
    print(mine.recv())
    child.join()
    os.kill(spawn._server_pid(), signal.SIGKILL)
    os.waitid(os.P_PID, spawn._server_pid(), os.WEXITED | os.WNOWAIT)
    spawn.warm(["json"])
"""


def test_the_forkserver_after_a_dead_one_has_loaded_what_was_named_for_that() -> None:
    done = subprocess.run([sys.executable, "-c", RELOADED], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["True", "True"]
