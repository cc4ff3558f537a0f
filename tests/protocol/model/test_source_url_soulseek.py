"""``slsk://user/path`` there and back, and what is no such address."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.model.source_url import (
    check_url,
    host_of,
    name_from_url,
    public_url,
    same_url_key,
    slsk_address,
    slsk_url,
)

TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=40)


@given(TEXT, TEXT)
def test_every_peer_and_path_comes_back(peer: str, path: str) -> None:
    url = slsk_url(peer, path)
    check_url(url)
    assert slsk_address(url) == (peer, path)
    assert host_of(url) == peer
    assert same_url_key(url) == same_url_key(url.replace("slsk", "SLSK", 1))
    assert public_url(url) == url


@pytest.mark.parametrize(
    ("url", "address", "name"),
    [
        ("slsk://Some%20One/@@abc%5CMusic%5Ca%2Fb.flac", ("Some One", "@@abc\\Music\\a/b.flac"), "b.flac"),
        (r"slsk://u/music\x.mp3", ("u", r"music\x.mp3"), "x.mp3"),
        ("SLSK://u%3Ap%40ss/a/b%25.mp3", ("u:p@ss", "a/b%.mp3"), "b%.mp3"),
        ("slsk://u/%C3%A4.mp3", ("u", "ä.mp3"), "ä.mp3"),
        ("slsk://u/a%23b.mp3#bytes=10-19/40", ("u", "a#b.mp3"), "a#b.mp3"),
    ],
)
def test_what_people_type(url: str, address: tuple[str, str], name: str) -> None:
    check_url(url)
    assert slsk_address(url) == address
    assert name_from_url(url) == name


@pytest.mark.parametrize(
    "url",
    [
        "slsk://", "slsk://user", "slsk://user/", "slsk:///path", "slsk://u/%zz", "slsk://u/a%2", "slsk://u/%ff.mp3",
        "slsk://u/a%00b", "slsk://u/a?b", "slsk://u/a#b", "slsk://u%0a/a", "slsk://u:p@h/a", "slsk://[u]/a",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"slsk://"):
        check_url(url)
