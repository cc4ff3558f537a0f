"""schemathesis against a running application, as anybody would run it; what it did is read from its report."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[3]
CONFIG: Final = """
# Whether an address can be one, and a folder is inside those that are configured, is more than a pattern can say.
[[operations]]
include-path-regex = "/api/v0/multisource/(download|metalink|swarm|fleet/jobs|jobs/.*/sources|file-sources|search)$"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "401", "403", "404", "409", "429"]

# Nor that a search's id is taken, that no part of a remote path is "..", and which names of users can be.
[[operations]]
include-path-regex = "^/api/v0/(searches|transfers|users)"
[operations.checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "401", "403", "404", "409", "429"]
"""
EXCLUDED: Final = (
    "/api/v0/events/stream",
    "/api/v0/multisource/jobs/{id}/live",
    "/api/v0/multisource/search/live",
)
"""Answers without an end."""


@dataclass(frozen=True, slots=True)
class Fuzzed:
    """`cases`: requests whose answers were checked; one without an answer, or not checked, does not count."""

    code: int
    cases: int
    operations: int
    output: str
    report: dict[str, Any]


def fuzz(
    url: str,
    key: str,
    folder: Path,
    *,
    examples: int,
    seed: int,
    mirror: str = "",
    wait_s: float = 600,
) -> Fuzzed:
    """All phases and all checks. `seed` decides what is sent; what the application has by then is its own affair."""
    (folder / "fuzz.toml").write_text(CONFIG)
    report = folder / "report.json"
    words = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(folder / "fuzz.toml"), "run"]
    words += [f"{url}/api/v0/openapi.json", "-H", f"X-API-Key: {key}", "--seed", str(seed)]
    words += ["--max-examples", str(examples), "--request-timeout", "20", "--report-json-path", str(report)]
    words += ["--suppress-health-check", "all", "--no-color"]
    for path in EXCLUDED:
        words += ["--exclude-path", path]
    env = os.environ | {"SCHEMATHESIS_HOOKS": "tests.protocol.http_api.fuzz_hooks", "PYTHONPATH": str(ROOT)}
    env |= {"SHOAL_FUZZ_MIRROR": mirror} if mirror else {}
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, timeout=wait_s, check=False)
    shown = json.loads(report.read_text()) if report.exists() else {"test_cases": {}, "operations": {}}
    cases = shown["test_cases"]
    checked = cases.get("generated", 0) - cases.get("without_checks", 0) - cases.get("errored", 0)
    return Fuzzed(done.returncode, checked, shown["operations"].get("tested", 0), done.stdout + done.stderr, shown)
