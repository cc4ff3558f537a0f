"""All messages between actors, by name. Each is declared in the module of its family."""

from protocol.messages.base import *
from protocol.messages.fleet import *
from protocol.messages.job_commands import *
from protocol.messages.jobs import *
from protocol.messages.leases import *
from protocol.messages.progress import *
from protocol.messages.soulseek import *
from protocol.messages.storage import *
from protocol.messages.supervision import *
