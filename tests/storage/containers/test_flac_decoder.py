"""The decoder program, over files of our writer and of the reference encoder."""

import random
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from storage.container_checks import FLAC_DECODER
from storage.containers import flac
from tests.storage.containers import writers
from tests.storage.containers.writers import reader

SONG = writers.flac(writers.audio(2, 7))


def decoded(path: Path, data: bytes) -> int:
    info = flac.stream_info(reader(data), len(data))
    assert info is not None
    path.write_bytes(data)
    words = map(str, (info.rate, info.channels, info.bits, info.samples, info.md5))
    with path.open("rb") as file:
        return subprocess.run(
            [sys.executable, "-I", FLAC_DECODER, *words], stdin=file, stderr=subprocess.DEVNULL
        ).returncode


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        pytest.param(SONG, 0, id="right"),
        pytest.param(SONG + b"TAG" + bytes(125), 0, id="a tag behind the stream"),
        pytest.param(b"ID3\4\0\0\0\0\0\x10" + bytes(16) + SONG, 0, id="a tag before it"),
        pytest.param(writers.flac(writers.audio(2, 7), variable=True, total=False), 0, id="of unknown length"),
        pytest.param(writers.flac(writers.audio(2, 7), md5=False), 0, id="without MD5"),
        pytest.param(SONG[:26] + bytes(16 * [1]) + SONG[42:], 1, id="another MD5"),
        pytest.param(flipped(SONG, len(SONG) // 2), 1, id="a bit of the audio"),
        pytest.param(SONG[: len(SONG) // 2], 1, id="cut"),
        pytest.param(writers.flac(writers.audio(2, 7), md5=False)[: len(SONG) // 2], 2, id="cut and without MD5"),
    ],
)
def test_the_digest_of_the_audio_is_compared(tmp_path: Path, data: bytes, code: int) -> None:
    assert decoded(tmp_path / "song", data) == code


@pytest.mark.skipif(shutil.which("flac") is None, reason="flac is not installed")
@pytest.mark.parametrize(("bits", "channels"), [(8, 1), (16, 2), (16, 8), (24, 6), (20, 2), (32, 1)])
def test_samples_of_all_widths_are_packed_as_the_digest_wants_them(tmp_path: Path, bits: int, channels: int) -> None:
    width, rng = -(-bits // 8), random.Random(bits)
    values = (rng.randrange(-(1 << bits - 1), 1 << bits - 1) << 8 * width - bits for _ in range(4000 * channels))
    body = b"".join((each + 128 if bits == 8 else each).to_bytes(width, "little", signed=bits > 8) for each in values)
    kind = b"\1\0\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"
    form = struct.pack(
        "<HHIIHHHHI", 0xFFFE, channels, 44100, 44100 * width * channels, width * channels, width * 8, 22, bits, 0
    )
    form += kind
    head = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(body))
    wav = tmp_path / "in.wav"
    wav.write_bytes(b"RIFF" + struct.pack("<I", len(head) + len(body)) + head + body)
    ignoring = ["--channel-map=none"]
    subprocess.run(["flac", "-s", *ignoring, "-o", tmp_path / "a.flac", wav], check=True)
    data = (tmp_path / "a.flac").read_bytes()
    info = flac.stream_info(reader(data), len(data))
    assert info is not None
    assert (info.bits, info.channels) == (bits, channels)
    assert decoded(tmp_path / "song", data) == (2 if bits > 24 else 0)
    if bits <= 24:
        assert decoded(tmp_path / "song", flipped(data, len(data) - 100)) == 1
