"""Addresses: a password is never shown, a wrong address is refused in one line, hosts and names are found."""

from string import ascii_letters
from urllib.parse import urlsplit

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from protocol.model.source_url import (
    check_url,
    host_of,
    http_host,
    is_masked,
    name_from_url,
    public_url,
    same_url_key,
    wire_host,
)

words = st.text(ascii_letters + "0123456789-._~%!$&'()*+,;=", min_size=1, max_size=12)
secrets = st.text(st.characters(exclude_characters="/?#\\", exclude_categories=["Cs"]), min_size=6, max_size=20)
rests = st.sampled_from(["", "/", "/file.iso", "/a/@scope/b", "/x?q=1&mail=me@there", "/x#top", ":8080/x"])


def refusal(url: str) -> str:
    """Why the address is refused, empty when it is not."""
    try:
        check_url(url)
    except ValueError as error:
        return str(error)
    return ""


@given(words, secrets, st.sampled_from(["host", "example.org", "[::1]", "h-1.x"]), rests)
def test_a_password_never_appears(user: str, password: str, host: str, rest: str) -> None:
    shown = public_url(f"http://{user}:{password}@{host}{rest}")
    assert shown == f"http://{host}{rest}"


@given(secrets)
def test_a_password_with_a_slash_is_hidden_although_the_address_is_malformed(password: str) -> None:
    assume("@" not in password)  # http://user:x@host/@file is a sound address
    shown = public_url(f"http://user:x{password}/{password}@host/file")
    assert password not in shown


@given(words, secrets)
def test_without_a_scheme_a_password_is_hidden_too(user: str, password: str) -> None:
    assert public_url(f"{user}:{password}@host/file") == "host/file"


@given(words, secrets, st.sampled_from(["ftp://", "http://", "", "slsk://", "http:"]), st.text(max_size=10))
def test_no_refusal_quotes_a_password(user: str, password: str, scheme: str, tail: str) -> None:
    assume(password not in tail and "@" not in tail and password not in "spaces or control characters")
    assert password not in refusal(f"{scheme}{user}:{password}@host{tail}")


@pytest.mark.parametrize("url", ["http://host/a@b", "http://host:80/@scope/pkg", "https://[::1]:8443/x@y", "host/a"])
def test_an_at_sign_in_the_path_stays(url: str) -> None:
    assert public_url(url) == url


@pytest.mark.parametrize(
    "place",
    [
        "/f?token={}", "/f?a=1&sig={}&b=2", "/f?X-Amz-Signature={}&X-Amz-Date=2", "/f?X-Goog-Credential={}",
        "/f?a=1;key={}",
        "/f?%74oken={}", "/f;jsessionid={}?a=1", "/f?a#access_token={}", "/f?AWSAccessKeyId={}", "/f?hdnts={}",
        "/f?u=http://host/?token={}", "/f?u=http%3A%2F%2Fhost%2F%3Ftoken%3D{}", "/f?sig=a;{}",
        "/f?sig={}?x", "/f?API_Key={}", "/f?md5={}&expires=1", "/f?userPassword={}", "/f?Policy={}&Key-Pair-Id=1",
    ],
)  # fmt: skip
@given(st.text(ascii_letters, min_size=6, max_size=20))
def test_a_secret_in_a_query_never_appears(place: str, secret: str) -> None:
    assume(secret not in place)
    shown = public_url(f"https://host{place.format(secret)}")
    assert secret not in shown
    assert shown.startswith("https://host/f")
    assert is_masked(shown)
    assert public_url(shown) == shown


@given(
    st.sampled_from(
        ["0123456789abcdef01234567", "Zm9vYmFyYmF6cXV4MTIz", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ9.abcdefghi-_"]
    )
)
def test_a_value_that_means_nothing_to_people_is_masked_whatever_its_name(value: str) -> None:
    assert value not in public_url(f"https://host/f?v={value}")


@pytest.mark.parametrize(
    "query", ["q=1&mail=me@there", "file=ubuntu-24.04-desktop-amd64.iso", "design=1&author=me&n=signal", "id=12345678"]
)
def test_a_query_without_secrets_stays(query: str) -> None:
    assert public_url(f"https://host/f?{query}") == f"https://host/f?{query}"
    assert not is_masked(f"https://host/f?{query}")


def test_a_login_of_an_address_inside_another_is_hidden() -> None:
    assert public_url("https://host/f?u=http://me:word@host/") == "https://host/f?u=http://host/"


def test_masked_addresses_of_other_secrets_differ() -> None:
    assert len({public_url(f"https://host/f?token={word}") for word in ("one", "two", "three")}) == 3


@given(st.text(max_size=60))
def test_any_text_has_a_public_form_and_is_accepted_or_refused_in_one_line(text: str) -> None:
    public_url(text), host_of(text), name_from_url(text)
    assert "\n" not in refusal(text)


@pytest.mark.parametrize(
    "url",
    [
        "http://host",
        "HTTPS://Host.Example:8443/a/b?c=d#e",
        "http://user:pw@127.0.0.1:8080/file",
        "http://[::1]:80/x",
        "http://bücher.example/ä.iso",
        "http://host./x",
        "http://under_score.example/x",
    ],
)
def test_a_usable_address_is_accepted(url: str) -> None:
    check_url(url)


@pytest.mark.parametrize(
    ("host", "wire"),
    [
        ("ExAmple.ORG", "example.org"),
        ("a_b.example.", "a_b.example."),
        ("faß.example", "xn--fa-hia.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("日本。example", "xn--wgv71a.example"),
        ("☃.example", "xn--n3h.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("\uff11\uff12\uff17.1", "127.1"),
        ("a\u00adb.com", "ab.com"),
        ("2130706433", "2130706433"),
        ("0x7f.1", "0x7f.1"),
        ("::FFFF:1.2.3.4", "::ffff:1.2.3.4"),
    ],
)
def test_a_host_has_one_spelling_for_servers(host: str, wire: str) -> None:
    assert wire_host(host) == wire


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "empty"),
        ("-", "stdin"),
        ("file.iso", "no scheme in file.iso; did you mean http://file.iso?"),
        ("//host/x", "did you mean http://host/x?"),
        ("https:/host/x", "did you mean https://host/x?"),
        ("http:\\\\host/x", "did you mean http://host/x?"),
        ("ftp://host/x", "ftp:// is not supported (supported: http, https, slsk)"),
        ("slsk://user", "slsk://user/percent-encoded-remote-path"),
        ("http:///x", "no host"),
        ("http://:80/x", "no host"),
        ("http://user:pw@/x", "no host in http:///x"),
        ("http://host:0/x", "port"),
        ("http://host:65536/x", "port"),
        ("http://host:port/x", "port"),
        ("http://host:-1/x", "port"),
        ("http://ho st/x", "%20"),
        ("http://host/a b", "%20"),
        ("http://host/a\nb", "control"),
        ("http://host/a\x1b[31m", "control"),
        ("http://host/\udcff", "UTF-8"),
        ("http://[::1/x", "malformed"),
        ("http://a..b/x", "host name"),
        (f"http://{'a' * 64}.org/x", "host name"),
        ("http://host\\@other/x", "host name"),
        ("http://<host>/x", "host name"),
        ("http://[fe80::1%25eth0]/x", "has a zone in it"),
        ("http://[::1%25lo]:8080/x", "has a zone in it"),
        ("http://[::1]x/", "not a possible IP address"),
        ("http://[v1.x]/x", "IP address"),
        ("http://256.1.1.1/x", "IP address"),
        ("http://1.2.3.4.5/x", "IP address"),
        ("http://ex%2Fmple.org/x", "host name"),
        ("http://℀.com/x", "malformed"),
        ("http://ex\u200dample.com/x", "host name"),
        ("http://" + "ä" * 80 + "/x", "host name"),
        ("http://host/" + "a" * 9000, "longer"),
    ],
)
def test_a_wrong_address_is_refused_with_its_reason(url: str, why: str) -> None:
    assert why in refusal(url)
    assert "pw" not in refusal(url)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://Host/x", "host"),
        ("http://host:80/x", "host"),
        ("https://host:443", "host"),
        ("https://host:80/x", "host:80"),
        ("http://u:p@127.0.0.1:8081/x", "127.0.0.1:8081"),
        ("http://[::1]:81/", "[::1]:81"),
        ("http://h:nonsense/", ""),
        ("nonsense", ""),
    ],
)
def test_the_host_is_what_a_server_speaks_for(url: str, host: str) -> None:
    assert host_of(url) == host


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://h/a/debian-12.iso", "debian-12.iso"),
        ("http://h/a%20b.iso?x=/y/z", "a b.iso"),
        ("http://h/%E2%82%AC.flac", "€.flac"),
        ("http://h/dir/", ""),
        ("http://h", ""),
        ("http://h/..%2Fetc", "../etc"),
        ("http://h/%FF", "\ufffd"),
    ],
)
def test_the_name_is_the_decoded_last_segment(url: str, name: str) -> None:
    assert name_from_url(url) == name


def test_spellings_of_one_address_are_one_and_others_are_not() -> None:
    assert same_url_key("http://HOST:80") == same_url_key("HTTP://host/#top")
    keys = {same_url_key(url) for url in ("http://h/a", "http://h/A", "http://h/a?b", "https://h/a", "http://u@h/a")}
    assert len(keys) == 5


@pytest.mark.parametrize(
    ("url", "host"), [("http://ex%61mple.org/", "example.org"), ("http://b%C3%BCcher.x", "xn--bcher-kva.x")]
)
def test_a_host_may_have_percent_signs(url: str, host: str) -> None:
    check_url(url)
    assert http_host(urlsplit(url)) == host
