"""Redirects that expire, lead to mirrors that die, set cookies, or go in circles."""

import pytest

from protocol.model.faults import FaultKind
from tests.wild.conftest import DATA, Serve, fault_of, fetch
from tests.wild.server import File, Reply, Request

FILE = File(DATA)
CUT = 200_000


def redirect(reply: Reply, location: str, *fields: str, status: str = "302 Found") -> bool:
    reply.head(status, f"Location: {location}", "Content-Length: 0", *fields)
    return True


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "offset"])
@pytest.mark.parametrize("hops", [1, 2])
@pytest.mark.parametrize(
    "dead",
    [
        "400 Bad Request",
        "401 Unauthorized",
        "403 Forbidden",
        "404 Not Found",
        "410 Gone",
        "429 Too Many Requests",
        "500 Oops",
        "503 Service Unavailable",
    ],
)
def test_a_signed_link_that_expires_is_asked_for_again(serve: Serve, whole: bool, hops: int, dead: str) -> None:
    uses: dict[str, int] = {}

    def signed(request: Request, reply: Reply) -> bool:
        if request.target == "/big.bin":
            return redirect(reply, f"/hop?k={request.number}" if hops == 2 else f"/s?k={request.number}")
        key = request.target.partition("k=")[2]
        if request.target.startswith("/hop"):
            return redirect(reply, f"/s?k={key}")
        uses[key] = uses.get(key, 0) + 1
        if uses[key] > 2:
            reply.head(dead, "Content-Length: 0")
            return True
        return FILE(request, reply, cut=CUT)

    got = fetch(serve(signed).url(), whole=whole)
    assert got.data == DATA
    assert {fault.kind for fault in got.faults} <= {FaultKind.SHORT_BODY}


@pytest.mark.parametrize("how", ["closed", "503 Service Unavailable", "502 Bad Gateway", "404 Not Found"])
def test_a_redirector_whose_mirror_dies_is_asked_for_another(serve: Serve, how: str) -> None:
    alive = [True]

    def dying(request: Request, reply: Reply) -> bool:
        if how != "closed" and not alive[0]:
            reply.head(how, "Content-Length: 0")
            return True
        kept = FILE(request, reply, cut=CUT)
        alive[0] = False
        if how == "closed":
            first.stop_listening()
        return kept

    first, second = serve(dying), serve(FILE)
    front = serve(lambda _, reply: redirect(reply, (first if alive[0] else second).url("/m.bin")))
    assert fetch(front.url()).data == DATA
    assert len(front.requests) == 2, "the mirror is remembered until it fails"


@pytest.mark.parametrize(
    "status", ["300 Multiple Choices", "301 Moved", "303 See Other", "305 U", "306 S", "307 T", "308 P", "399 X"]
)
def test_every_kind_of_redirect_is_followed(serve: Serve, status: str) -> None:
    def moved(request: Request, reply: Reply) -> bool:
        return redirect(reply, "/there", status=status) if request.target == "/big.bin" else FILE(request, reply)

    assert fetch(serve(moved).url()).data == DATA


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("there", "/there"),
        ("./a/../there", "/there"),
        ("../../there", "/there"),
        ("//HOST/there", "/there"),
        ("HTTP://HOST/there", "/there"),
        ("?there=1", "/big.bin?there=1"),
        ("/there#part?x", "/there"),
        ("/there and back", "/there%20and%20back"),
        ("/there%2", "/there%2"),
        ("/thère", "/th%C3%A8re"),
        ("\t /there \t", "/there"),
    ],
)
def test_an_odd_location_leads_where_curl_goes(serve: Serve, location: str, target: str) -> None:
    def moved(request: Request, reply: Reply) -> bool:
        if request.target == "/big.bin":
            return redirect(reply, location.replace("HOST", request.fields["host"]))
        return FILE(request, reply)

    server = serve(moved)
    assert fetch(server.url()).data == DATA
    assert {request.target for request in server.requests[1:]} == {target}


def test_a_wall_that_wants_its_cookie_back_is_passed(serve: Serve) -> None:
    def wall(request: Request, reply: Reply) -> bool:
        if "ok=1" not in request.fields.get("cookie", ""):
            return redirect(reply, request.target, "Set-Cookie: ok=1; Path=/", "Set-Cookie: other=x; Path=/")
        return FILE(request, reply, cut=CUT)

    server = serve(wall)
    assert fetch(server.url()).data == DATA
    assert all("other=x" in request.fields["cookie"] for request in server.requests[1:])


@pytest.mark.parametrize(
    "attributes",
    [
        'Path="/"',
        "path=/ ; HttpOnly",
        "Path=relative",
        "Path",
        "Path=; Path=/",
        "Max-Age=99999999999999",
        "Expires=never",
        "Expires=Thu, 01-Jan-2037 00:00:00 GMT; SameSite=None; Partitioned; Priority=High",
        "Domain=127.0.0.1",
        "Domain=",
        "; ;;",
    ],
)
def test_odd_attributes_of_a_cookie_do_not_keep_it_back(serve: Serve, attributes: str) -> None:
    def wall(request: Request, reply: Reply) -> bool:
        if 'ok="a b, c"' not in request.fields.get("cookie", ""):
            return redirect(reply, request.target, f'Set-Cookie: ok="a b, c"; {attributes}')
        return FILE(request, reply)

    assert fetch(serve(wall).url()).data == DATA


def test_a_cookie_goes_only_where_it_belongs(serve: Serve) -> None:
    other = serve(FILE)

    def setting(request: Request, reply: Reply) -> bool:
        if request.target == "/big.bin":
            cookies = ["a=1; Path=/in", "b=2; Secure", "c=3; Domain=example.org", "d=4"]
            return redirect(reply, "/in/x", *(f"Set-Cookie: {each}" for each in cookies))
        return redirect(reply, other.url(host="localhost"))

    server = serve(setting)
    assert fetch(server.url()).data == DATA
    assert server.requests[1].fields["cookie"] == "a=1; d=4"
    assert all("cookie" not in request.fields for request in other.requests)


@pytest.mark.parametrize("end", ["Max-Age=0", "Max-Age=-1", "Expires=Thu, 01 Jan 1970 00:00:00 GMT"])
def test_a_cookie_that_the_same_answer_takes_back_is_not_sent(serve: Serve, end: str) -> None:
    def fickle(request: Request, reply: Reply) -> bool:
        if request.target == "/big.bin":
            cookies = [f"Set-Cookie: {each}; Path=/" for each in ("a=1", f"a=1; {end}", "b=2")]
            return redirect(reply, "/next", *cookies)
        return FILE(request, reply)

    server = serve(fickle)
    assert fetch(server.url()).data == DATA
    assert server.requests[1].fields["cookie"] == "b=2"


def test_two_sources_share_no_cookie(serve: Serve) -> None:
    server = serve(lambda request, reply: FILE(request, reply, "Set-Cookie: a=1"))
    fetch(server.url())
    fetch(server.url())
    assert all("cookie" not in request.fields for request in server.requests)


def test_a_page_that_lets_through_who_comes_again_is_no_circle(serve: Serve) -> None:
    def waiting(request: Request, reply: Reply) -> bool:
        if request.number <= 4:
            return redirect(reply, "/wait" if request.target == "/big.bin" else "/big.bin")
        return FILE(request, reply)

    assert fetch(serve(waiting).url()).data == DATA


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "offset"])
def test_a_link_that_breaks_off_at_once_is_looked_for_again(serve: Serve, whole: bool) -> None:
    """What expired answers with a good head, and closes."""
    uses: dict[str, int] = {}

    def signed(request: Request, reply: Reply) -> bool:
        if request.target == "/big.bin":
            return redirect(reply, f"/s?k={request.number}")
        uses[request.target] = uses.get(request.target, 0) + 1
        return FILE(request, reply, cut=CUT if uses[request.target] == 1 else 0)

    assert fetch(serve(signed).url(), whole=whole).data == DATA


def test_a_circle_is_reported_from_a_wall(serve: Serve) -> None:
    server = serve(lambda _, reply: redirect(reply, "/big.bin", "Set-Cookie: a=1"))
    assert fault_of(server.url()).kind is FaultKind.REDIRECT_LOOP
    assert len(server.requests) < 30


@pytest.mark.parametrize("location", ["http://[::1%25lo]/x", "http://a..b/", "ftp://127.0.0.1/x", "http://[", ""])
def test_a_redirect_to_what_cannot_be_used_is_a_fault_in_words(serve: Serve, location: str) -> None:
    fault = fault_of(serve(lambda _, reply: redirect(reply, location)).url())
    assert fault.kind is FaultKind.BAD_ANSWER
    assert "redirects" in fault.detail
