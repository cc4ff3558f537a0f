"""Runs one command and reports what its whole tree of processes used, exactly and without watching it.

Linux: as "child subreaper" this process inherits every orphan of the tree, so in the end each process has been waited
for, by its parent or here, and the kernel's sum over all of them is complete. Nothing polls while the command runs.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    """`launcher REPORT_PATH COMMAND...`: run COMMAND, then write a JSON object to REPORT_PATH."""
    report_path, *command = sys.argv[1:]
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        sys.exit("this kernel has no child subreaper: the CPU of helpers cannot be counted")
    begun_s = time.perf_counter()
    process = subprocess.Popen(command)
    exit_code = process.wait()
    ended_s = time.perf_counter()
    orphans = _reap_orphans()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    shown = {
        "exit_code": exit_code,
        "wall_s": ended_s - begun_s,
        "cpu_s": used.ru_utime + used.ru_stime,
        "orphans": orphans,
        "orphans_s": time.perf_counter() - ended_s,
    }
    Path(report_path).write_text(json.dumps(shown))


def _reap_orphans() -> int:
    """Wait for every process that outlived the command; how many."""
    count = 0
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return count
        count += 1


if __name__ == "__main__":
    main()
