"""Command of ``--on-complete``, run with the path of a finished file."""

import os
import subprocess
import sys

from protocol.model.printable import printable


def run_command(words: tuple[str, ...], path: str, digest_hex: str) -> None:
    """Run a command for a sealed file, whose path takes the place of ``{}`` or comes last. No shell is between.

    What it writes goes to stderr, since stdout is for results. Its failure is noted: the file is there all the same.
    """
    command = [word.replace("{}", path) for word in words]
    command += [] if command != list(words) else [path]
    environ = {**os.environ, "SHOAL_PATH": path, "SHOAL_XXH3_128": digest_hex}
    try:
        code = subprocess.run(command, stdout=sys.stderr, env=environ, check=False).returncode
        why = f"ended with {code}" if code else ""
    except OSError as error:
        why = f"cannot be run: {error.strerror}"
    if why:
        sys.stderr.write(f"note: the command of --on-complete, {printable(command[0])}, {why}\n")
