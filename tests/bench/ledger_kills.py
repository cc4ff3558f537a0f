"""The ledger of stops against the logs of real Nicotine+ users, with ``kill -9`` at random moments.

    python -m tests.bench.ledger_kills [--kills N] [--seed N] [--whole SHARE]

Four users on loopback, a daemon, one job after another; at a random moment of each something is killed: the daemon with
all of its processes, or one of them. Afterwards the job goes on to its end, and the ledger must say of every user what
the user's own log says. 0 differences.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import psutil  # type: ignore[import-untyped,unused-ignore]

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench.measuring import parser, verdict
from tests.bench.nicotine_peers import named_peers
from tests.e2e.daemon.daemons import Daemon, eventually, started
from tests.e2e.daemon.test_daemon_login import login
from tests.e2e.daemon.test_real_peers import CONTENT, NAME, RATES_KIB_S, SETTLED_S, Crowd, account, ended, ledger, order
from tests.e2e.program import Shoal

VICTIMS = ("soulseek", "fetch-1", "store", "hub")
JOB_S = 7.0
"""About as long as a job lasts: the kill comes somewhere in it."""
JOB_S_MAX = 120.0
RUN_S_MAX = 3600.0


def killed(daemon: Daemon, victim: str) -> None:
    if victim == "whole":
        family = [daemon.process.pid, *(child.pid for child in daemon.process.children())]
        for pid in family:  # as quick as can be: what is killed a moment later would still act
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        daemon.process.process.wait()
    else:
        psutil.Process(daemon.process.child(victim).pid).kill()


def online(daemon: Daemon) -> bool:
    return bool(login(daemon) == "online")


def awaited(daemon: Daemon, id: str) -> None:
    """Wait until the job is sealed."""
    give_up_s = time.monotonic() + JOB_S_MAX
    while not ended(daemon, id):
        if time.monotonic() > give_up_s:
            answers = [daemon.get(f"/api/v0/multisource/jobs/{id}{what}") for what in ("/why", "?chunkMap=false")]
            raise AssertionError(f"not sealed: {answers}")
        time.sleep(0.1)


def differences(daemon: Daemon, crowd: Crowd, known: dict[str, int]) -> dict[str, int]:
    """Of each user, what the ledger counts too many, beyond what is known already; waits until there are none."""

    def found() -> dict[str, int]:
        counted, aborted = ledger(daemon, crowd), crowd.aborted()
        beyond = {name: counted[name] - aborted[name] - known.get(name, 0) for name in counted}
        return {name: count for name, count in beyond.items() if count}

    give_up_s = time.monotonic() + SETTLED_S
    while (more := found()) and time.monotonic() < give_up_s:
        time.sleep(0.2)
    return more


def run(folder: Path, kills: int, chance: random.Random, whole: float, within_s: float) -> int:
    """Return how many failed uploads the ledger has too many or too few."""
    (folder / "work").mkdir()
    shoal = Shoal(folder / "work")
    shoal.orderly = False
    known: dict[str, int] = {}
    wrong = 0
    with ExitStack() as leaving:
        leaving.callback(shoal.clean_up)
        box, peers = leaving.enter_context(named_peers(folder, {NAME: CONTENT}, RATES_KIB_S, passwords={"me": "box"}))
        crowd = Crowd(box, peers)
        env = account(box) | {"SHOAL_SOULSEEK_STOPS_PER_DAY": "1000", "SHOAL_SOULSEEK_STOPS_PER_JOB": "1000"}
        left = kills
        id = ""
        while left:
            with started(shoal, **env) as daemon:
                daemon.process.run_s_max = RUN_S_MAX
                daemon.ready()
                eventually(partial(online, daemon))
                while left:
                    if id:
                        awaited(daemon, id)
                        more = differences(daemon, crowd, known)
                        for name, count in more.items():
                            known[name] = known.get(name, 0) + count
                            wrong += abs(count)
                        print(f"{more or 'equal'}; {crowd.aborted()}", flush=True)
                        left -= 1
                        id = ""
                        continue
                    id = order(daemon, crowd, "swarm", name=f"{left}.flac")
                    victim = "whole" if chance.random() < whole else chance.choice(VICTIMS)
                    after_s = chance.uniform(0.0, within_s)
                    time.sleep(after_s)
                    print(f"  {victim} at {after_s:.2f} s: ", end="", flush=True)
                    killed(daemon, victim)
                    if victim == "whole":
                        break
                else:
                    daemon.stop()
        print(f"{kills} kills, failed uploads in the logs {sum(crowd.aborted().values())}, wrong {wrong}")
    return wrong


def main() -> int:
    options = parser(__doc__ or "", runs=1)
    options.add_argument("--kills", type=int, default=24)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--whole", type=float, default=0.5, help="share of kills of the whole daemon")
    options.add_argument("--within", type=float, default=JOB_S, help="seconds after the order")
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="ledger-") as folder:
        wrong = run(Path(folder), asked.kills, random.Random(asked.seed), asked.whole, asked.within)
    return 0 if verdict("failed uploads that the ledger has too many or too few", wrong, at_most=0) else 1


if __name__ == "__main__":
    sys.exit(main())
