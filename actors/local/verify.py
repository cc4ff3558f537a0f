"""Checks of files on the disk, in this process: a part file against its records, the digest of a finished file."""

import sys

from protocol.cli.parsing import VerifyOptions
from protocol.cli.views.outcome import ExitCode
from protocol.cli.views.verify import (
    Finished,
    Verified,
    finished_exit_code,
    finished_json,
    finished_text,
    verify_exit_code,
    verify_json,
    verify_text,
)
from protocol.model.faults import PartFileFault
from storage.digests import Checksum, file_digest
from storage.verify import verify as verify_part_file
from storage.verify import verify_finished


def digest(path: str, algorithm: str) -> str:
    """Return the hex digest of the file at `path`. Raises OSError."""
    return file_digest(path, algorithm)


def verify(options: VerifyOptions) -> int:
    """Run ``verify``: which chunks of a part file hold, or whether a finished file does. Return the exit code."""
    try:
        checksum = Checksum.parse(options.checksum) if options.checksum else None
        whole = verify_finished(str(options.path), checksum)
        if whole is not None:
            finished = Finished(
                path=whole.path, size_bytes=whole.size_bytes, expected=whole.expected, found=whole.found
            )
            text = finished_json(finished) if options.json else finished_text(finished)
            (sys.stdout if finished.expected or options.json else sys.stderr).write(text + "\n")
            return finished_exit_code(finished)
        report = verify_part_file(str(options.path))
    except PartFileFault as fault:
        sys.stderr.write(f"error: {fault.detail}\n")
        return ExitCode.DISK
    verified = Verified(
        path=report.part_path,
        size_bytes=report.size_bytes,
        chunk_size=report.chunk_size,
        held_chunks=report.matching.count,
        damaged=list(report.damaged),
        missing=list(report.missing),
        being_written=report.being_written,
    )
    sys.stdout.write((verify_json(verified) if options.json else verify_text(verified)) + "\n")
    return verify_exit_code(verified)
