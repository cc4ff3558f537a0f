"""Process statistics from the operating system: memory, CPU, threads, descriptors."""

import contextlib
import mmap
from collections.abc import Iterable
from pathlib import Path

from protocol.model.value import Struct


class ProcessStats(Struct, frozen=True, kw_only=True):
    """Figures of one process."""

    process: str
    pid: int
    pss_bytes: int
    """Memory with shared pages divided among their users; RSS where the system does not report it."""
    cpu_s: float
    threads: int
    fds: int


def stats_of(pids: Iterable[tuple[str, int]]) -> list[ProcessStats]:
    """Return the figures of these ``(name, pid)``; one that dies meanwhile is left out."""
    # Imported here: 20 ms that the start need not wait for.
    import psutil  # type: ignore[import-untyped,unused-ignore]

    figures: list[ProcessStats] = []
    for name, pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            one = psutil.Process(pid)
            with one.oneshot():
                times = one.cpu_times()
                memory = one.memory_full_info()
                figures.append(
                    ProcessStats(
                        process=name,
                        pid=pid,
                        pss_bytes=getattr(memory, "pss", memory.rss),
                        cpu_s=times.user + times.system,
                        threads=one.num_threads(),
                        fds=one.num_fds(),
                    )
                )
    return figures


def private_memory_bytes(pid: int) -> int:
    """Return the memory of this process alone, without the shared arena; -1 when it cannot be read."""
    try:  # asked of each child in the first second of every download, which need not load psutil for it
        pages = Path(f"/proc/{pid}/statm").read_bytes().split()
        return (int(pages[1]) - int(pages[2])) * mmap.PAGESIZE
    except OSError:
        pass  # it is gone, or no Linux
    import psutil

    with contextlib.suppress(psutil.Error):
        return int(psutil.Process(pid).memory_info().rss)
    return -1


def is_stopped(pid: int) -> bool:
    """Return whether it was stopped (SIGSTOP): it can neither answer nor dump its stacks."""
    import psutil

    with contextlib.suppress(psutil.Error):
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    return False


def is_running(pid: int) -> bool:
    """Whether there is such a process that is not a zombie."""
    import psutil

    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True
