"""Shoal's front door: builds every room, places it in a process, wires, stops.

Processes: *front* (this one: supervisor and display), *hub* (PoolManager, SpeedWatchdog, a ChunkDispatcher for each
job), *store* (Assembler), *fetch-1..n* (a PeerWorker for each source), *soulseek* (the login, where one is needed).
What each is made of stands in `actors.builders`. Nothing heavy is imported at the top.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

_HERE = os.path.dirname(os.path.abspath(__file__))
if os.path.isdir(os.path.join(_HERE, "actors")) and _HERE not in sys.path:
    sys.path.insert(0, _HERE)

if TYPE_CHECKING:
    from actors.local.search import Searched
    from protocol.cli.commands.daemon import DaemonOptions
    from protocol.cli.parsing import DemoOptions, GetOptions, SearchOptions, VerifyOptions
    from protocol.messages import JobEnded

JOB = 1
PRELOADED = (
    "actors.assembler",
    "actors.builders",
    "actors.chunk_dispatcher",
    "actors.peer_worker",
    "actors.pool_manager",
    "actors.runtime.process_root",
    "actors.sources.http.reader",
    "actors.speed_watchdog",
)
"""Loaded once before the children are forked off, while this process reads its command line."""
PRELOADED_SESSION = ("actors.soulseek.network", "actors.soulseek.actor")
"""For commands that log in; loading aioslsk takes half a second."""
PEERS_MAX = 64
"""So many sources of one search have a slot each."""
ROWS_S = 0.25
"""How often a display is drawn anew."""


def peer_memory() -> str:
    """Where what is known of peers is kept: the path of a database that may not be there yet."""
    from protocol.config.paths import state_folder

    return os.path.join(state_folder(os.environ), "peers.sqlite")


def get(options: GetOptions) -> int:
    """``run.py get``: one job, from the first request to its last word."""
    from protocol.cli.exit_codes import exit_code_of
    from protocol.cli.views.base import make_view

    view = make_view(options, sys.stdout, sys.stderr)
    try:
        return exit_code_of(fetch(options, view).state)
    finally:
        view.close()


def fetch(options: GetOptions, view: Any, *, memory: str = "") -> JobEnded:
    """Run one job in processes of its own and leave none behind. `memory`: where peers are remembered."""
    import time
    from contextlib import ExitStack

    from actors.builders import processes
    from actors.core.supervision.process_policy import HealthPolicy, RestartPolicy
    from actors.local.download import Interrupts, failed, run_job
    from actors.runtime.supervisor import StartFailed, Supervisor
    from protocol.messages import StartJob, with_stop_budget
    from protocol.messages.addresses import FRONT, POOL
    from storage.shared_memory import Arena

    session = None
    if options.account is not None:
        from actors.soulseek.starting import session_process, session_settings

        memory = memory or peer_memory()
        finished = os.path.join(os.path.dirname(memory), "finished")
        settings = session_settings(options.account, finished_folder=finished)
        session = session_process(settings, verbose=options.verbose)
    specs, slot_count = processes(len(options.urls) if not options.term else PEERS_MAX, session, memory)
    asked = StartJob(
        job=JOB,
        source_count=len(options.urls),
        folder=options.folder,
        name=options.name,
        chunk_size=options.chunk_size,
        checksum=options.checksum,
        mode=options.mode,
        limit_bytes_s=options.limit_bytes_s,
        preallocate=options.preallocate,
        sync=options.sync,
        slow_rate_bytes_s=options.slow_rate_bytes_s,
        slow_after_s=options.slow_after_s,
        verbose=options.verbose,
        watcher=FRONT,
        term=options.term,
        wanted_size_bytes=options.wanted_size_bytes,
        rows_s=ROWS_S,
    )
    if options.account is not None:
        asked = with_stop_budget(asked, **options.account.manners)
    with Interrupts().caught() as interrupts, ExitStack() as leaving:
        try:
            arena = Arena.create(slot_count)
            leaving.callback(arena.close)
            health_policy = HealthPolicy(memory_bytes_max=options.memory_limit_bytes)
            supervisor = Supervisor(
                specs,
                arena_fd=arena.fd,
                slot_count=slot_count,
                lost_to=(POOL,),
                health_policy=health_policy,
                restart_policy=RestartPolicy(),
            )
            leaving.callback(supervisor.stop)
            supervisor.start()
        except (StartFailed, OSError, EOFError) as failure:
            why = "the forkserver died" if isinstance(failure, EOFError) else failure
            ended = failed(JOB, f"cannot start: {why}")
            view.show(ended, now_s=time.monotonic())
            return ended
        return run_job(supervisor, view, asked, options.urls, interrupts)


def search(options: SearchOptions) -> int:
    """``run.py search``: log in, search, say which targets there are."""
    from actors.local.search import found
    from protocol.cli.views.search import SearchView, search_exit_code

    view = SearchView(sys.stdout, sys.stderr, json=options.json)
    result = found(options.term, _searched(options, view), targets_max=options.targets_max)
    view.finish(result)
    return search_exit_code(result)


def _searched(options: SearchOptions, view: Any) -> Searched:
    """Search in a process of its own and leave none behind."""
    from contextlib import ExitStack

    from actors.core.supervision.process_policy import HealthPolicy
    from actors.local.download import Interrupts
    from actors.local.search import Searched, run_search
    from actors.runtime.supervisor import StartFailed, Supervisor
    from actors.soulseek.starting import session_process, session_settings
    from protocol.messages import StartSearch
    from protocol.messages.addresses import FRONT

    settings = session_settings(options.account, heard_by=(FRONT,))
    asked = StartSearch(search=1, term=options.term, wait_s=options.wait_s, reply_to=FRONT)
    with Interrupts().caught() as interrupts, ExitStack() as leaving:
        try:
            supervisor = Supervisor([session_process(settings, verbose=False)], health_policy=HealthPolicy())
            leaving.callback(supervisor.stop)
            supervisor.start()
        except (StartFailed, OSError, EOFError) as failure:
            why = "the forkserver died" if isinstance(failure, EOFError) else failure
            return Searched(state="failed", refused=f"cannot start: {why}")
        return run_search(supervisor, view.show, asked, interrupts)


def daemon(options: DaemonOptions) -> int:
    """``run.py daemon``: every process, until it is told to end."""
    from actors.daemon.main import run

    return run(options)


def digest(path: str, algorithm: str) -> str:
    """Of a finished file, for ``auto``."""
    from storage.digests import file_digest

    return file_digest(path, algorithm)


def verify(options: VerifyOptions) -> int:
    """``run.py verify``: what holds of a part file. Reads only."""
    from protocol.cli.exit_codes import ExitCode
    from protocol.cli.views.verify import Verified, verify_exit_code, verify_json, verify_text
    from protocol.model.faults import PartFileFault
    from storage.verify import verify as verify_part

    try:
        report = verify_part(str(options.path))
    except PartFileFault as fault:
        sys.stderr.write(f"error: {fault.detail}\n")
        return ExitCode.DISK
    found = Verified(
        path=report.part_path,
        size_bytes=report.size_bytes,
        chunk_size=report.chunk_size,
        held_chunks=report.holding.count,
        damaged=list(report.damaged),
        missing=list(report.missing),
        being_written=report.being_written,
    )
    sys.stdout.write((verify_json(found) if options.json else verify_text(found)) + "\n")
    return verify_exit_code(found)


def demo(options: DemoOptions) -> int:
    """``run.py demo``: users or mirrors played on this machine, a real download from them, and a look at what came."""
    import tempfile
    from contextlib import ExitStack

    from actors.demo.main import demo_mirrors, demo_users, say
    from protocol.cli.exit_codes import ExitCode, exit_code_of
    from protocol.cli.views.base import make_view

    with ExitStack() as leaving:
        folder = leaving.enter_context(tempfile.TemporaryDirectory(prefix="shoal-demo-"))
        wanted, sha256 = (demo_mirrors if options.kind == "http" else demo_users)(options, folder, leaving)
        view = make_view(options, sys.stdout, sys.stderr)
        try:
            ended = fetch(wanted, view, memory=os.path.join(folder, "peers.sqlite"))
        finally:
            view.close()
        if ended.state != "sealed":
            return exit_code_of(ended.state)
        same = _sha256(ended.path) == sha256
        say(options, "content: the same as the original" if same else "content: NOT the same as the original")
        return ExitCode.SEALED if same else ExitCode.DISAGREED


def _sha256(path: str) -> str:
    import hashlib

    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _preloaded(words: list[str]) -> tuple[str, ...]:
    """What the children of this command line will need, guessed before it is understood; empty for none."""
    if {"-h", "--help"} & set(words) or any(word == "--daemon" or word.startswith("--url") for word in words):
        return ()
    if words[:1] == ["swarm"] and words[1:2] and words[1].isdigit():
        return ()  # most likely of the pool; should it be words to search for, they are loaded a little later
    if words[:1] == ["search"]:
        return PRELOADED_SESSION
    if words[:1] == ["swarm"] or (words[:1] == ["get"] and any(word[:5].lower() == "slsk:" for word in words)):
        return (*PRELOADED, *PRELOADED_SESSION)
    if words[:1] == ["demo"]:
        return PRELOADED if "http" in words or "--kind=http" in words else (*PRELOADED, *PRELOADED_SESSION)
    return PRELOADED if words[:1] == ["get"] else ()


def main() -> int:
    """Read the command line and act. Anything that downloads starts its forkserver before anything else is loaded."""
    try:
        import signal

        signal.signal(signal.SIGTERM, signal.default_int_handler)  # until somebody is there who stops in order
        modules = _preloaded(sys.argv[1:])
        gc.disable()  # nothing of what is loaded now is garbage, and looking for some takes a tenth of loading it
        if modules:
            # What the front and its children both need is loaded once, before they part.
            import actors.runtime.supervisor  # noqa: F401
            import storage.shared_memory  # noqa: F401
            from actors.runtime.spawn import warm

            warm(modules)
        from protocol.cli.app import Actions, build_app

        app = build_app(Actions(get=get, search=search, verify=verify, demo=demo, daemon=daemon, digest=digest))
        gc.freeze()
        gc.enable()
        app()
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n")
        return 130
    return 0


def _leave(code: int) -> NoReturn:
    """End now: what has to be tidied up is, and taking every loaded module apart first takes as long as a fifth of
    loading it."""
    import atexit
    import signal

    # One more Ctrl-C must not change how this ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        sys.exit(code)  # nobody reads what was said: Python knows how to end then
    os._exit(code)


def shoal() -> NoReturn:
    """The program; also the command ``shoal`` of an installed one, whose name a shell can complete."""
    try:
        exit_code = main()
    except SystemExit as end:
        if not isinstance(end.code, int):
            raise
        exit_code = end.code
    _leave(exit_code)


if __name__ == "__main__":
    shoal()
