"""FLAC decoder program: decodes standard input and compares the MD5 of the audio with the one that the file names.

A program of its own, started by `storage.container_checks` where ``flac`` is not installed: the decoder is C code, and
what it reads comes from strangers. Standard input is a seekable file.

Arguments: rate, channels and bits of a sample, samples, MD5 in hex or "". Exit codes: 0: the audio is as the file says.
1: it has another MD5. 2: it could not be decoded.
"""

import array
import hashlib
import os
import resource
import sys
from typing import Final

import miniaudio

MEMORY_BYTES_MAX: Final = 1 << 30
SAMPLES_A_TIME: Final = 1 << 16
BITS_MAX: Final = 24
"""Of a sample; the decoder knows no more."""
EQUAL, ANOTHER, UNDECIDED = range(3)


class StandardInput(miniaudio.StreamableSource):  # type: ignore[misc]
    """Bytes of the file that is standard input."""

    def read(self, num_bytes: int) -> bytes:
        return os.read(0, num_bytes)

    def seek(self, offset: int, origin: miniaudio.SeekOrigin) -> bool:
        os.lseek(0, offset, os.SEEK_SET if origin is miniaudio.SeekOrigin.START else os.SEEK_CUR)
        return True


def checked(rate: int, channels: int, bits: int, samples: int, wanted_hex: str) -> int:
    """Decode all of it and return the exit code. Raises `miniaudio.MiniaudioError`, OSError.

    The arguments are stream parameters as the file names them, see `storage.containers.flac.StreamInfo`.
    """
    if bits > BITS_MAX or rate == 0:
        return UNDECIDED
    width, decoded, digest = -(-bits // 8), 0, hashlib.md5(usedforsecurity=False)
    with StandardInput() as source:
        form = miniaudio.SampleFormat.SIGNED32  # each sample in the upper bits
        for block in miniaudio.stream_any(source, miniaudio.FileFormat.FLAC, form, channels, rate, SAMPLES_A_TIME):
            decoded += len(block) // channels
            if bits % 8:
                block = array.array("i", (each >> 8 * width - bits for each in block))
            data, packed = block.tobytes(), bytearray(len(block) * width)
            for at in range(width):
                packed[at::width] = data[4 - width + at :: 4]
            digest.update(packed)
    if not wanted_hex:
        return EQUAL if decoded and decoded == (samples or decoded) else UNDECIDED
    return EQUAL if digest.hexdigest() == wanted_hex else ANOTHER


def main(parameters: list[str]) -> int:
    """Check standard input within bounds of memory and return the exit code, after a word where it is not right."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    try:
        rate, channels, bits, samples = map(int, parameters[:4])
        code = checked(rate, channels, bits, samples, parameters[4])
    except (miniaudio.MiniaudioError, OSError, MemoryError) as fault:
        sys.stderr.write(f"{type(fault).__name__}: {fault}\n")
        return UNDECIDED
    if code == ANOTHER:
        sys.stderr.write("the audio has another MD5\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
