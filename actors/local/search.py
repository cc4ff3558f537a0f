"""One-shot search: logs in, collects the hits of one search, shows the targets found.

Runs in the main thread of the process that the user started, beside the supervisor; it is no actor.
"""

import dataclasses
import sys
import time
from collections.abc import Callable
from typing import Final

from actors.core.supervision.process_policy import HealthPolicy
from actors.local.download import Interrupts, next_message, supervised
from actors.runtime.network_interface import InterfaceGone, check_interface_there
from actors.runtime.supervisor import StartFailed, Supervisor
from actors.soulseek.settings import session_process, session_settings
from protocol.cli.parsing import SearchOptions
from protocol.cli.views.search import SearchView, found_in, search_exit_code
from protocol.messages import ActorDied, FrontInbox, ProcessLost, SearchEnded, SearchHit, SessionChanged, StartSearch
from protocol.messages.addresses import FRONT, SESSION
from protocol.model.file_matches import FileMatches
from protocol.model.printable import printable
from protocol.model.value import Struct, field, replace

SPARE_S: Final = 30.0
"""Time for login and end of the search beside the time that it waits for answers."""


class Searched(Struct, kw_only=True):
    """Result of a search.

    `state`: ``ended``, ``refused`` (by the network or the session, see `refused`), ``interrupted`` or ``failed`` (our
    fault). `targets` and `peers` are what came until then.
    """

    state: str = "ended"
    targets: FileMatches = field(default_factory=FileMatches)
    peers: int = 0
    refused: str = ""


def search(options: SearchOptions) -> int:
    """Run ``search`` and return the exit code."""
    try:
        options = _bound(options)
    except InterfaceGone as gone:
        sys.stderr.write(f"error: --interface: {printable(gone.words)}\n")
        return 2
    view = SearchView(sys.stdout, sys.stderr, json=options.json)
    searched = _searched(options, view)
    result = found_in(
        options.term,
        searched.targets,
        state=searched.state,
        users=searched.peers,
        refused=searched.refused,
        most=options.targets_max,
    )
    view.finish(result)
    return search_exit_code(result)


def _bound(options: SearchOptions) -> SearchOptions:
    """Return the options with the session bound as they say. Raises `InterfaceGone`."""
    assert options.account is not None
    interface = options.interface or options.account.interface
    check_interface_there(interface)
    return replace(options, account=dataclasses.replace(options.account, interface=interface))


def _searched(options: SearchOptions, view: SearchView) -> Searched:
    """Search in a process of its own and leave none behind."""
    assert options.account is not None
    settings = session_settings(options.account, heard_by=(FRONT,))
    request = StartSearch(search=1, term=options.term, wait_s=options.wait_s, reply_to=FRONT)
    session = session_process(settings, verbose=False)
    try:
        with Interrupts().caught() as interrupts, supervised([session], HealthPolicy()) as supervisor:
            return run_search(supervisor, view.show, request, interrupts)
    except StartFailed as failure:
        return Searched(state="failed", refused=str(failure))


def run_search(
    supervisor: Supervisor, show: Callable[[FrontInbox], None], request: StartSearch, interrupts: Interrupts
) -> Searched:
    """Search until the answers are in, or until it is clear that there will be none.

    A login that fails once ends it: the user is there to try again. `show` gets every message but the hits.
    """
    supervisor.bus.post(SESSION, request)
    searched = Searched()
    peers: set[str] = set()
    late_s = time.monotonic() + request.wait_s + SPARE_S
    while searched.state == "ended":
        message = next_message(supervisor)
        if interrupts.count:
            searched.state = "interrupted"
        elif time.monotonic() > late_s:
            searched.state, searched.refused = "refused", "the session did not answer"
        elif isinstance(message, SearchHit):
            if searched.targets.add(message):
                peers.add(message.peer)
        elif message is not None:
            show(message)
            if isinstance(message, SearchEnded) and not message.refused:
                break
            searched.state, searched.refused = _state_after(message)
    searched.peers = len(peers)
    return searched


def _state_after(message: FrontInbox) -> tuple[str, str]:
    """Return ``(state, why)`` of a search after this message."""
    match message:
        case SearchEnded(refused=why):
            return "refused", why
        case SessionChanged(state=state, detail=detail) if state not in ("online", "connecting"):
            return "refused", _without_retry(detail) or state
        case ProcessLost(process=name, detail=detail) | ActorDied(actor=name, detail=detail):
            return "failed", f"{name} died: {detail}"
        case _:
            return "ended", ""


def _without_retry(detail: str) -> str:
    """Return what the session reports of a login, but not that it tries again: this program ends."""
    return detail.partition("; trying again")[0]
