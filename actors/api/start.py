"""What the api process is given. Loads nothing of what it is made of: the front makes this."""

from dataclasses import dataclass, field

from actors.runtime.process import InheritedFd
from protocol.config.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiStart:
    """`listener`: a listening socket, the front's, so that nobody is refused while this process is replaced. `absent`:
    processes that this daemon does not have, and why."""

    settings: Settings
    listener: InheritedFd
    absent: dict[str, str] = field(default_factory=dict)
