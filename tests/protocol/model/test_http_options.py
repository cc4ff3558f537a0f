"""HTTP options of a user: cookies of a file for the hosts that are asked, logins, further connections."""

import pytest

from protocol.model.http_options import check_cookies, cookies_for, login_line
from protocol.model.source_url import for_connections, same_url_key

FILE = "\n".join(
    [
        "# Netscape HTTP Cookie File",
        "host.example\tFALSE\t/\tTRUE\t0\ta\t1",
        "#HttpOnly_.example\tTRUE\t/\tFALSE\t0\tb\t2",
        "other.test\tFALSE\t/\tFALSE\t0\tc\t3",
        "notexample\tFALSE\t/\tFALSE\t0\td\t4",
        "host.example\ttoo few",
        "",
    ]
)


def test_only_the_cookies_of_the_hosts_that_are_asked_leave_the_file() -> None:
    assert [line[-1] for line in cookies_for(FILE, ["host.example"])] == ["1", "2"]
    assert cookies_for(FILE, []) == ()


@pytest.mark.parametrize("line", ["", "a", "a\tb", "#x\t\t\t\t\t\t", "h\tF\t/\tF\t0\tn\tv\r\nX: y"])
def test_what_is_no_cookie_line_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="cookie"):
        check_cookies((line,))


def test_a_login_with_what_would_frame_it_is_refused() -> None:
    assert login_line("HOST", "a b", "c:d") == "host\ta b\tc:d"
    for wrong in (("", "a", "b"), ("h", "a\tb", "c"), ("h", "a", "b\n")):
        with pytest.raises(ValueError, match="printable"):
            login_line(*wrong)


def test_further_connections_are_sources_of_their_own_and_other_fragments_are_not() -> None:
    url = "http://h/f"
    urls = for_connections((f"{url}#top", "slsk://ann/f"), 3)
    assert urls == (f"{url}#top", f"{url}#connection-2", f"{url}#connection-3", "slsk://ann/f")
    assert len({same_url_key(each) for each in urls}) == 4
    assert same_url_key(url) == same_url_key(urls[0])
