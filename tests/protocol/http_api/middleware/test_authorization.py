"""Who may do what over HTTP: keys, roles, networks, sessions, and how often a password may be tried."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import jwt
import pytest

from protocol.config.settings import ADMINISTRATOR, READ_ONLY, READ_WRITE, ApiKey, Settings
from protocol.http_api.login_state import (
    ADDRESSES_MAX,
    OF_ALL_HARD_MAX,
    OF_ALL_MAX,
    OF_ONE_MAX,
    TOKEN_S,
    TOKENS_MAX,
    WINDOW_S,
    LoginThrottle,
    OneTimeTokens,
)
from protocol.http_api.middleware import authorization
from protocol.messages import ProcessLost
from tests.protocol.http_api.serving import Api, open_settings, serving

READER = ApiKey(name="reader", key="reader-key-of-16-chars", role=READ_ONLY)
WRITER = ApiKey(name="writer", key="writer-key-of-16-chars", role=READ_WRITE)
CHIEF = ApiKey(name="chief", key="administrators-key-16+", role=ADMINISTRATOR)
FAR = ApiKey(name="far", key="key-from-far-away-16-chars", role=ADMINISTRATOR, networks=("192.0.2.0/24",))
PASSWORD = "correct horse battery"


def locked(**api: Any) -> Settings:
    keys = (READER, WRITER, CHIEF, FAR)
    return open_settings(authentication=True, keys=keys, username="me", password=PASSWORD, **api)


@pytest.fixture(scope="module")
def shared() -> Iterator[Api]:
    with serving(settings=locked()) as api:
        yield api


@pytest.fixture
def api(shared: Api) -> Api:
    shared.configure(locked())
    return shared


def test_without_a_key_nothing_is_reported_but_whether_we_live_and_how_to_log_in(api: Api) -> None:
    assert api.client.get("/health").status_code == 200
    api.say(ProcessLost(process="jobs", detail="not there", restart_s=-1.0))
    assert api.client.get("/health/ready").status_code == 503
    assert api.client.get("/api/v0/session/enabled").json() is True
    assert api.client.get("/favicon.ico").headers["content-type"].startswith("image/")
    for path in ("/api/v0/session", "/api/v0/openapi.json", "/api/v0/nothing", "/nothing"):
        refused = api.client.get(path)
        assert refused.status_code == 401, path
        assert refused.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("key", [READER, WRITER, CHIEF])
def test_a_key_opens_as_header_and_as_bearer(api: Api, key: ApiKey) -> None:
    assert api.client.get("/api/v0/session", headers={"X-API-Key": key.key}).status_code == 200
    assert api.client.get("/api/v0/session", headers={"Authorization": f"Bearer {key.key}"}).status_code == 200
    assert api.client.get("/api/v0/session", headers={"authorization": f"bearer  {key.key}"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": "wrong-key-of-sixteen"},
        {"X-API-Key": READER.key + "x"},
        {"X-API-Key": READER.key[:-1]},
        {"X-API-Key": READER.key.upper()},
        {"X-API-Key": "ü" * 20},
        {"X-API-Key": "a" * 20_000},
        {"Authorization": f"Basic {READER.key}"},
        {"Authorization": READER.key},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer a.b.c"},
    ],
)
def test_a_wrong_key_is_unauthorized(api: Api, headers: dict[str, str]) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert api.client.get("/api/v0/session", headers=raw).status_code == 401


def test_a_role_that_is_too_small_is_forbidden(api: Api) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert api.client.request(method, "/api/v0/x", headers={"X-API-Key": READER.key}).status_code == 403
        assert api.client.request(method, "/api/v0/x", headers={"X-API-Key": WRITER.key}).status_code == 404
    refused = api.client.post("/api/v0/multisource/x", headers={"X-API-Key": READER.key}).json()
    assert refused["error"]["kind"] == "forbidden"
    assert READ_WRITE in refused["error"]["detail"]


def test_a_key_from_elsewhere_than_it_may_be_used_is_forbidden(api: Api) -> None:
    headers = {"X-API-Key": FAR.key}
    assert api.client.get("/api/v0/session", headers=headers).status_code == 403
    forged = {**headers, "X-Forwarded-For": "192.0.2.7"}
    assert api.client.get("/api/v0/session", headers=forged).status_code == 403, "anybody can write that"


@pytest.mark.parametrize(
    ("forwarded", "status"),
    [
        ("192.0.2.7", 200),
        ("203.0.113.1, 192.0.2.7", 200),  # what stands before our proxy's word does not matter
        ("192.0.2.7, 203.0.113.1", 403),  # that is what our proxy saw
        ("192.0.2.7, 127.0.0.9", 200),  # two proxies of ours
        ("192.0.2.7, nonsense", 403),
        ("", 403),
    ],
)
def test_a_proxy_we_trust_says_who_asks(api: Api, forwarded: str, status: int) -> None:
    api.configure(locked(proxies=("127.0.0.0/8",)))
    headers = {"X-API-Key": FAR.key, "X-Forwarded-For": forwarded}
    assert api.client.get("/api/v0/session", headers=headers).status_code == status


def test_keys_that_were_configured_again_hold_at_once(api: Api) -> None:
    new = ApiKey(name="new", key="another-key-of-16-chars")
    settings = locked()
    api.configure(replace(settings, api=replace(settings.api, keys=(new,))))
    assert api.client.get("/api/v0/session", headers={"X-API-Key": new.key}).status_code == 200
    assert api.client.get("/api/v0/session", headers={"X-API-Key": CHIEF.key}).status_code == 401


def token(settings: Settings, now_s: int) -> str:
    return authorization.token_of(settings, authorization.new_session(settings, "me", now_s=now_s))


# sessions


def log_in(api: Api, password: str = PASSWORD, **headers: str) -> Any:
    return api.client.post("/api/v0/session", json={"username": "me", "password": password}, headers=headers)


def test_a_login_gives_a_session_that_may_everything(api: Api) -> None:
    begun = log_in(api)
    assert begun.status_code == 200
    shown = begun.json()
    assert set(shown) == {"expires", "issued", "name", "notBefore", "token", "tokenType"}
    assert (shown["name"], shown["tokenType"]) == ("me", "Bearer")
    assert shown["expires"] - shown["issued"] == 7 * 86400
    headers = {"Authorization": f"Bearer {shown['token']}"}
    assert api.client.get("/api/v0/session", headers=headers).status_code == 200
    assert api.client.post("/api/v0/nothing", headers=headers).status_code == 404


def test_member_names_of_a_body_may_be_spelled_in_any_case(api: Api) -> None:
    body = {"Username": "me", "PASSWORD": PASSWORD, "more": [1]}
    assert api.client.post("/api/v0/session/", json=body).status_code == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"username": "me"}, "password"),
        ({"password": "x"}, "username"),
        ({"username": "", "password": "x"}, "username"),
        ({"username": 7, "password": "x"}, "username"),
        ({"username": "me", "password": "x" * 5000}, "password"),
        ([], "body"),
        ("me", "body"),
        (None, "body"),
    ],
)
def test_a_login_that_lacks_something_says_what(api: Api, body: Any, field: str) -> None:
    refused = api.client.post("/api/v0/session", json=body)
    assert refused.status_code == 400
    assert refused.json().startswith(f"{field}: ")


def test_a_body_that_is_no_json_is_refused(api: Api) -> None:
    for body in (b"{", b"\xff", b"[" * 100_000, b"", b'{"username": NaN}'):
        refused = api.client.post("/api/v0/session", content=body, headers={"Content-Type": "application/json"})
        assert refused.status_code == 400, body[:10]


def test_a_token_that_was_tampered_with_is_over_or_signed_by_others_opens_nothing(api: Api) -> None:
    settings = api.gateway.settings
    good = token(settings, int(time.time()))
    claims = jwt.decode(good, options={"verify_signature": False})
    over = token(settings, int(time.time()) - 8 * 86400)
    early = token(settings, int(time.time()) + 3600)
    foreign = token(replace(settings, jwt_key=b"x" * 32), int(time.time()))
    other_password = replace(settings, api=replace(settings.api, password="another one"))
    before = token(other_password, int(time.time()))
    unsigned = jwt.encode(claims, "", algorithm="none")
    head, _, tail = good.rpartition(".")
    for bad in (over, early, foreign, before, unsigned, f"{head}.", f"{head}.{tail[::-1]}"):
        refused = api.client.get("/api/v0/session", headers={"Authorization": f"Bearer {bad}"})
        assert refused.status_code == 401, bad
    accepted = api.client.get("/api/v0/session", headers={"Authorization": f"Bearer {good}"})
    assert accepted.status_code == 200


def test_without_authentication_every_request_is_allowed() -> None:
    with serving(settings=open_settings()) as api:
        assert api.client.get("/api/v0/session/enabled").json() is False
        assert api.client.get("/api/v0/session").status_code == 200
        assert api.client.delete("/api/v0/x").status_code == 404


def test_without_a_password_in_the_configuration_no_one_can_log_in() -> None:
    with serving(settings=open_settings(authentication=True, keys=(READER,))) as api:
        assert log_in(api, "x").status_code == 401


def test_after_some_wrong_passwords_even_the_right_one_has_to_wait() -> None:
    with serving(settings=locked()) as api:
        assert [log_in(api, "wrong").status_code for _ in range(OF_ONE_MAX)] == [401] * OF_ONE_MAX
        refused = log_in(api)
        assert refused.status_code == 429
        assert 0 < int(refused.headers["retry-after"]) <= WINDOW_S
        assert api.client.get("/api/v0/session", headers={"X-API-Key": READER.key}).status_code == 200


def test_the_right_password_makes_up_for_wrong_ones() -> None:
    with serving(settings=locked()) as api:
        for _ in range(3):
            assert [log_in(api, "wrong").status_code for _ in range(OF_ONE_MAX - 1)] == [401] * (OF_ONE_MAX - 1)
            assert log_in(api).status_code == 200


def test_an_address_waits_until_its_oldest_failure_is_old_enough() -> None:
    attempts = LoginThrottle()
    for second in range(OF_ONE_MAX):
        assert attempts.wait_s("192.0.2.1", now_s=float(second)) == 0
        attempts.failed("192.0.2.1", now_s=float(second))
    assert attempts.wait_s("192.0.2.1", now_s=10.0) == WINDOW_S - 10.0
    assert attempts.wait_s("192.0.2.2", now_s=10.0) == 0
    assert attempts.wait_s("192.0.2.1", now_s=WINDOW_S + 0.5) == 0


def test_addresses_of_one_ipv6_network_are_one() -> None:
    attempts = LoginThrottle()
    for number in range(OF_ONE_MAX):
        attempts.failed(f"2001:db8::{number}", now_s=0.0)
    assert attempts.wait_s("2001:db8::ffff", now_s=1.0) > 0
    assert attempts.wait_s("2001:db8:0:1::1", now_s=1.0) == 0


def test_many_addresses_together_are_slowed_down_too_and_remembered_within_bounds() -> None:
    attempts = LoginThrottle()
    for number in range(ADDRESSES_MAX + 100):
        attempts.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", now_s=0.0)
    assert attempts.wait_s("192.0.2.1", now_s=1.0) > 0
    assert len(attempts._of_s) == ADDRESSES_MAX
    assert len(attempts._all_s) == OF_ALL_HARD_MAX


def test_failures_of_others_leave_an_address_a_try_and_one_that_knows_the_password_all_of_them() -> None:
    attempts = LoginThrottle()
    attempts.succeeded("198.51.100.1")
    for number in range(OF_ALL_MAX):
        attempts.failed(f"10.0.0.{number // OF_ONE_MAX}", now_s=0.0)
    assert attempts.wait_s("192.0.2.1", now_s=1.0) == 0
    attempts.failed("192.0.2.1", now_s=1.0)
    assert attempts.wait_s("192.0.2.1", now_s=2.0) == WINDOW_S - 1.0
    for number in range(OF_ALL_HARD_MAX):
        attempts.failed(f"10.1.{number >> 8}.{number & 255}", now_s=1.0)
    for _ in range(OF_ONE_MAX):
        assert attempts.wait_s("198.51.100.1", now_s=2.0) == 0
        attempts.failed("198.51.100.1", now_s=2.0)
    assert attempts.wait_s("198.51.100.1", now_s=2.0) > 0


def test_fifty_wrong_passwords_of_one_address_lock_out_no_other() -> None:
    with serving(settings=locked(proxies=("127.0.0.0/8",))) as api:

        def from_there(address: str, password: str) -> int:
            body = {"username": "me", "password": password}
            headers = {"X-Forwarded-For": address}
            return api.client.post("/api/v0/session", json=body, headers=headers).status_code

        assert [from_there("192.0.2.1", "wrong") for _ in range(50)] == [401] * OF_ONE_MAX + [429] * (50 - OF_ONE_MAX)
        assert from_there("192.0.2.2", "wrong") == 401
        assert from_there("192.0.2.2", PASSWORD) == 200
        assert from_there("192.0.2.1", PASSWORD) == 429


# the page's login

SESSION = "/api/v0/multisource/session"


def cookie_of(answer: httpx.Response) -> str:
    return str(answer.headers.get("Set-Cookie", ""))


def test_a_key_becomes_a_cookie_with_its_role_that_scripts_cannot_read(api: Api) -> None:
    answer = api.client.post(SESSION, json={"key": READER.key})
    assert answer.json()["role"] == READ_ONLY
    for word in ("HttpOnly", "SameSite=strict", "Path=/", "Max-Age="):
        assert word in cookie_of(answer)
    assert "Secure" not in cookie_of(answer)
    assert api.client.get(SESSION).json()["name"] == READER.name
    assert api.client.post("/api/v0/multisource/bulk", json={}).status_code == 403
    assert api.client.delete(SESSION).status_code == 204
    assert api.client.get(SESSION).status_code == 401


def test_a_session_ends_with_the_key_that_it_was_begun_with(api: Api) -> None:
    api.client.post(SESSION, json={"key": READER.key})
    assert api.client.get(SESSION).status_code == 200
    settings = api.gateway.settings
    api.configure(replace(settings, api=replace(settings.api, keys=())))
    assert api.client.get(SESSION).status_code == 401


@pytest.mark.parametrize("login", [{"key": "x" * 20}, {"token": "x"}, {"username": "me"}, {"password": "secret"}, {}])
def test_what_opens_nothing_is_counted(login: dict[str, str]) -> None:
    with serving(settings=locked()) as api:
        answers = [api.client.post(SESSION, json=login) for _ in range(OF_ONE_MAX + 1)]
    assert [answer.status_code for answer in answers] == [401] * OF_ONE_MAX + [429]
    assert not any(cookie_of(answer) for answer in answers)


def test_a_link_opens_one_session_and_only_administrators_make_them() -> None:
    with serving(settings=locked()) as api:
        opens_one_session(api)


def opens_one_session(api: Api) -> None:
    assert api.client.post(f"{SESSION}/link", headers={"X-API-Key": READER.key}).status_code == 403
    api.gateway.login_tokens.add("once", until_s=time.monotonic() + 9)
    assert api.client.post(SESSION, json={"token": "once"}).json()["role"] == ADMINISTRATOR
    link = api.client.post(f"{SESSION}/link").json()["path"]
    api.client.cookies.clear()
    assert api.client.post(SESSION, json={"token": "once"}).status_code == 401
    token = link.removeprefix("/#login=")
    assert api.client.post(SESSION, json={"token": token}).status_code == 200


def test_a_link_is_over_after_its_time_and_the_oldest_gives_way() -> None:
    tokens = OneTimeTokens()
    token = tokens.make(now_s=0)
    assert not tokens.take(token, now_s=TOKEN_S)
    tokens.add("first", until_s=1)
    for number in range(TOKENS_MAX):
        tokens.add(str(number), until_s=1)
    assert not tokens.take("first", now_s=0)
    assert tokens.take("0", now_s=0)
    assert not tokens.take("0", now_s=0)
