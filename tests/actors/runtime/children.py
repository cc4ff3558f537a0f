"""Child processes for the tests of the plumbing, and one program that supervises some of them."""

import os
import sys
import threading
from pathlib import Path
from typing import Any

from actors.core.supervision.process_policy import HealthPolicy, RestartPolicy
from actors.runtime.actor import Actor, stop_actors
from actors.runtime.process import ProcessActors, ProcessContext, ProcessSpec
from actors.runtime.supervisor import Supervisor
from protocol.messages import JobClosed, JobNoted, Ping, Pong, ProcessLost, ProcessReady, StartWorker

HERE = __name__ if __name__ != "__main__" else "tests.actors.runtime.children"


class Echo(Actor):
    """Answers every `Ping` to ``front/answers``; fails at a `JobClosed`."""

    def handle(self, message: Any) -> None:
        match message:
            case Ping(serial=serial):
                self.bus.post("front/answers", Pong(process=self.bus.process, serial=serial))
            case JobClosed(job=job):
                raise RuntimeError(f"job {job} is unforgettable")


class Stillborn(Actor):
    def starting(self) -> None:
        raise RuntimeError("never lived")

    def handle(self, message: Any) -> None:
        raise AssertionError(message)


def build_echo(context: ProcessContext) -> ProcessActors:
    echo = Echo.start("echo", context.bus)

    def stop() -> None:
        stop_actors([echo], timeout_s=5)
        context.bus.post("front/answers", JobNoted(job=0, text=f"{context.process} stopped"))

    return ProcessActors(stop=stop)


def build_with_a_stillborn(context: ProcessContext) -> ProcessActors:
    Stillborn.start("stillborn", context.bus)
    return ProcessActors()


def build_with_a_failing_maker(context: ProcessContext) -> ProcessActors:
    def make(wanted: StartWorker) -> None:
        raise RuntimeError(f"cannot read {wanted.url}")

    return ProcessActors(makers={StartWorker: make})


class Listener(Actor):
    """Reports to ``front/heard`` what it received about other processes."""

    def handle(self, message: Any) -> None:
        if isinstance(message, ProcessLost | ProcessReady) and message.process != self.bus.process:
            self.bus.post("front/heard", message)


def build_slow_listener(context: ProcessContext) -> ProcessActors:
    """Its second process is not made before something is written into the FIFO that the settings name."""
    if context.generation:
        Path(context.settings).read_bytes()
    listener = Listener.start("listener", context.bus)

    def stop() -> None:
        stop_actors([listener], timeout_s=5)

    return ProcessActors(stop=stop)


def build_slow_echo(context: ProcessContext) -> ProcessActors:
    """Made only when something is written into the FIFO that the settings name."""
    Path(context.settings).read_bytes()
    return build_echo(context)


def build_eager(context: ProcessContext) -> ProcessActors:
    """Posts a `Ping` to ``hub/echo`` while it is made, then says that it did."""
    context.bus.post("hub/echo", Ping(serial=7))
    context.bus.post("front/answers", JobNoted(job=0, text="sent"))
    return ProcessActors()


def build_and_fail(context: ProcessContext) -> ProcessActors:
    raise RuntimeError("no such thing")


def build_stubborn(context: ProcessContext) -> ProcessActors:
    """Its stop sequence never ends."""

    def stop() -> None:
        threading.Event().wait()

    return ProcessActors(stop=stop)


def build_deadlocked(context: ProcessContext) -> ProcessActors:
    """A word to ``lock`` and nothing that comes from outside is heard any more."""

    def stand_for_ever(_frame: bytes) -> None:
        threading.Event().wait()

    context.bus.register("lock", stand_for_ever)
    return ProcessActors()


class Stuck(Actor):
    message_s_max = 0.05

    def handle(self, message: Any) -> None:
        threading.Event().wait()


def build_stuck(context: ProcessContext) -> ProcessActors:
    Stuck.start("stuck", context.bus)
    return ProcessActors()


def build_greedy(context: ProcessContext) -> ProcessActors:
    kept = bytearray(os.urandom(1 << 20) * (context.settings >> 20))
    return ProcessActors(stop=kept.clear)


def build_reader_of_the_arena(context: ProcessContext) -> ProcessActors:
    text = os.pread(context.arena_fd, 100, 0).decode()
    context.bus.post("front/front", JobNoted(job=context.slot_count, text=text + context.settings["more"]))
    return ProcessActors()


def echo_specs(*names: str) -> list[ProcessSpec]:
    return [ProcessSpec(process=name, builder=f"{HERE}:build_echo") for name in names]


def deadlock() -> None:
    """Supervise a child that stands still for ever after one word; says why it was killed, and that it is back."""
    spec = ProcessSpec(process="hub", builder=f"{HERE}:build_deadlocked")
    health_policy = HealthPolicy(pings_unanswered_max=3)
    with Supervisor([spec], ping_s=0.1, health_policy=health_policy, restart_policy=RestartPolicy()) as supervisor:
        supervisor.bus.post("hub/lock", Ping(serial=0))
        readies = 0
        while readies < 2:
            message = supervisor.inbox.get(timeout=10)
            readies += isinstance(message, ProcessReady)
            if isinstance(message, ProcessLost):
                sys.stdout.write(f"{message.detail}\n")
        sys.stdout.write("hub is back\n")


def main() -> None:
    """Supervise two children until Ctrl-C; says the run folder when they are ready."""
    try:
        with Supervisor(echo_specs("hub", "store"), health_policy=HealthPolicy()) as supervisor:
            sys.stdout.write(supervisor.run_dir + "\n")
            sys.stdout.flush()
            threading.Event().wait()
    except KeyboardInterrupt:
        sys.exit(130)


def say_loaded(pipe: Any, module: str) -> None:
    """Whether this module was there before anything of ours ran."""
    pipe.send(module in sys.modules)


if __name__ == "__main__":
    deadlock() if sys.argv[1:] == ["deadlock"] else main()
