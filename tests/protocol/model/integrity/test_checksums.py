"""Checksum files as programs and projects write them."""

import base64
import hashlib

import pytest

from protocol.model.integrity.checksums import (
    STRENGTH,
    algorithm_of,
    checksum_for,
    read_checksum_file,
    strongest,
)
from protocol.model.limits import HEX_DIGITS

SHA256 = hashlib.sha256(b"a").hexdigest()
OTHER = hashlib.sha256(b"b").hexdigest()
SHA512 = hashlib.sha512(b"a").hexdigest()
MD5 = hashlib.md5(b"a").hexdigest()


def found(text: str, *names: str, hint: str = "") -> str:
    return checksum_for(read_checksum_file(text, hint=hint), names, shown="SHA256SUMS")


@pytest.mark.parametrize(
    "text",
    [
        f"{SHA256}  a.iso\n",
        f"{SHA256} *a.iso\r\n",
        f"{SHA256.upper()}  ./a.iso",
        f"\ufeff{SHA256}  a.iso\n",
        f"{OTHER}  b.iso\n{SHA256}  images/a.iso\n",
        f"{SHA256}  a.iso\0{OTHER}  b.iso\0",
        f"SHA256 (a.iso) = {SHA256}\n",
        f"SHA256(a.iso)= {SHA256}\n",
        f"SHA2-256(a.iso)= {SHA256}\n",
        f"SHA256 (a.iso) = {base64.b64encode(bytes.fromhex(SHA256)).decode()}\n",
        f"{SHA256}\n",
    ],
    ids=["gnu", "binary-crlf", "dot-slash", "bom", "folder", "nul", "bsd", "openssl", "openssl3", "base64", "bare"],
)
def test_every_usual_form_is_read(text: str) -> None:
    assert found(text, "a.iso") == f"sha256:{SHA256}"


def test_a_signed_list_with_comments_is_read_as_fedora_writes_it() -> None:
    text = (
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n# a.iso: 2147483648 bytes\n"
        f"SHA256 (a.iso) = {SHA256}\n# b.iso: 1 bytes\nSHA256 (b.iso) = {OTHER}\n"
        "-----BEGIN PGP SIGNATURE-----\n\niQIzBAEBCAAdFiEE\n=abcd\n-----END PGP SIGNATURE-----\n"
    )
    assert found(text, "a.iso") == f"sha256:{SHA256}"


def test_escaped_names_are_what_coreutils_means_by_them() -> None:
    assert found(f"\\{SHA256}  a\\nb\\\\c\n", "a\nb\\c") == f"sha256:{SHA256}"
    assert found(f"\\SHA256 (a\\nb) = {SHA256}\n", "a\nb") == f"sha256:{SHA256}"


def test_the_strongest_of_several_algorithms_is_taken() -> None:
    text = f"MD5 (a) = {MD5}\nSHA512 (a) = {SHA512}\nSHA256 (a) = {SHA256}\nSM3 (a) = {SHA256}\n"
    assert found(text, "a") == f"sha512:{SHA512}"


def test_the_files_own_name_tells_blake2_from_sha2() -> None:
    digest = hashlib.blake2b(b"a").hexdigest()
    assert found(f"{digest}  a\n", "a", hint="B2SUMS") == f"blake2b:{digest}"
    assert found(f"{digest}  a\n", "a").startswith("sha512:")


def test_a_whole_path_goes_before_a_last_part() -> None:
    text = f"{OTHER}  old/a\n{SHA256}  a\n"
    assert found(text, "a") == f"sha256:{SHA256}"


def test_the_likeliest_name_goes_first() -> None:
    text = f"{SHA256}  at-its-source\n{OTHER}  as-i-call-it\n"
    assert found(text, "at-its-source", "as-i-call-it") == f"sha256:{SHA256}"


@pytest.mark.parametrize(
    ("text", "names", "words"),
    [
        (f"{SHA256}  x/a\n{OTHER}  y/a\n", ("a",), "different sha256 digests for a"),
        (f"{SHA256}  b\n{OTHER}  c\n", ("a",), "digests of 2 files, none for a"),
        (f"{SHA256}  b\n", (), "give -o NAME"),
        ("<html>not found</html>\n", ("a",), "no digest of a known algorithm"),
        ("", ("a",), "no digest of a known algorithm"),
        (f"{SHA256}\n{OTHER}\n", ("a",), "different sha256 digests"),
        (f"SHA256 (a) = {SHA256[:-2]}\n", ("a",), "sha256 digest"),
        ("\n" * 200_001, ("a",), "at most 200000"),
    ],
)
def test_what_cannot_be_decided_is_said(text: str, names: tuple[str, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        found(text, *names)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("SHA-256", "sha256"),
        ("sha2-512", "sha512"),
        ("SHA1", "sha1"),
        ("sha", "sha1"),
        ("BLAKE2b", "blake2b"),
        ("sha224", "sha224"),
        ("SM3", ""),
        ("UNIXsum", ""),
        ("", ""),
    ],
)
def test_algorithms_have_one_name(name: str, known: str) -> None:
    assert algorithm_of(name) == known


def test_every_algorithm_has_its_strength() -> None:
    assert set(STRENGTH) == set(HEX_DIGITS)
    assert strongest([f"md5:{MD5}", f"sha256:{SHA256}", "sha1:" + 40 * "0"]) == f"sha256:{SHA256}"
    assert strongest([]) == ""
