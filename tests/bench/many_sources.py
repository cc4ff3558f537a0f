"""Claim: one job uses 300 mirrors of 100 KB/s well and within little memory.

    python -m tests.bench.many_sources [--runs N]

Ideal = size / (300 x 100 KB/s) = 20 s; efficiency = ideal / `seconds` of the program's report. Memory is the largest
sum of PSS over all our processes, sampled ten times a second in the same run.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.bench import measuring
from tests.http_mirrors.box import Character, Content, mirrors

RATE_BYTES_S = 100_000.0
LIMIT_IDEALS = 5


def measure(content: Content, sources: int, folder: Path, ideal_s: float) -> tuple[float, float]:
    """Efficiency (0: no right file) and peak PSS in MB of one run against fresh mirrors."""
    path = folder / "ours.bin"
    with mirrors([Character(rate_bytes_s=RATE_BYTES_S)] * sources, content) as box:
        command = measuring.get_command(box.urls, path)
        run = measuring.measured(command, limit_s=LIMIT_IDEALS * ideal_s, sample_pss=True)
        used = sum(count.bytes_sent > 0 for count in box.counts().values())
    shown = run.job_ended()
    right = content.matches(path)
    measuring.clear(path)
    pss_mb = run.pss_peak_bytes / 1e6
    if run.exit_code != 0 or shown is None or not right:
        print(f"no right file: {measuring.trouble(run)}; content {'right' if right else 'WRONG or missing'}")
        return 0.0, pss_mb
    print(
        f"seconds {shown['seconds']:.3f}, whole process {run.wall_s:.3f}, CPU {run.cpu_s:.2f} s, "
        f"{used} mirrors used, {run.processes_peak} processes, PSS {pss_mb:.0f} MB, content right"
    )
    return ideal_s / float(shown["seconds"]), pss_mb


def main() -> int:
    """Exit code 0 when both figures reach the claim."""
    options = measuring.parser("300 mirrors of 100 KB/s in one job", runs=1)
    options.add_argument("--sources", type=int, default=300)
    options.add_argument("--ideal", type=float, default=20.0, help="seconds the file is sized for (default 20)")
    asked = options.parse_args()
    content = Content(int(asked.sources * RATE_BYTES_S * asked.ideal), seed=300)
    print(f"{asked.sources} mirrors of 100 KB/s, {content.size / 1e6:.0f} MB, ideal {asked.ideal:.1f} s")
    with tempfile.TemporaryDirectory(prefix="bench-", dir=asked.folder) as folder:
        figures = [measure(content, asked.sources, Path(folder), asked.ideal) for _ in range(asked.runs)]
    efficiency = statistics.median(figure[0] for figure in figures)
    pss_mb = statistics.median(figure[1] for figure in figures)
    name = f"{asked.sources} sources"
    fast = measuring.verdict(f"{name}, ideal / seconds", efficiency, at_least=0.90)
    return 0 if measuring.verdict(f"{name}, PSS MB", pss_mb, at_most=400) and fast else 1


if __name__ == "__main__":
    sys.exit(main())
