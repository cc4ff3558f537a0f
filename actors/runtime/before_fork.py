"""How the forkserver treats its memory and its end. It loads this first of all, and nobody else ever imports it.

What it loads lives as long as it does: looking for garbage among it costs time, and would write into pages that the
children share (they `gc.freeze` and collect again). It holds nothing that must be tidied up, so when the supervisor has
ended it ends at once; taking a hundred modules apart costs as much as a sixth of loading them.
"""

import atexit
import gc
import os

gc.disable()
atexit.register(os._exit, 0)
