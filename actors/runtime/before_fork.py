"""Garbage collection and exit of the forkserver, which imports this module first; it has no other user.

Modules loaded there live as long as the server: collecting garbage costs time and would write into pages shared with
the children (they `gc.freeze` and collect again). Nothing has to be tidied up, so the server ends at once: taking a
hundred modules apart costs a sixth of loading them.
"""

import atexit
import gc
import os

gc.disable()
atexit.register(os._exit, 0)
