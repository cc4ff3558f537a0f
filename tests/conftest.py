"""For every test: Hypothesis judges what happens, never how long it takes on a busy machine."""

import signal

from hypothesis import settings

settings.register_profile("shoal", deadline=None)
settings.load_profile("shoal")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts its background jobs so, and every program started by the tests would inherit it: an interrupt
    # during its start would then be lost.
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # under nohup
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
