import asyncio
import re

import httpx
import pytest
from consolefakes import PASSWORD, Browser
from fastapi.routing import APIRoute
from starlette.routing import Mount

from agent.console.guard import COOKIE
from agent.quality.api import add_quality
from agent.records.api import add_recordings


def routes(app):
    """Every address of the console's interface, with its methods."""

    def walk(routes_, prefix):
        for route in routes_:
            inner = getattr(route, "app", None)
            while inner is not None and not hasattr(inner, "routes"):
                inner = getattr(inner, "_app", None)
            if isinstance(route, Mount) and inner is not None:
                yield from walk(inner.routes, prefix + route.path)
            elif hasattr(route, "methods") and "/api/" in prefix + route.path:
                for method in route.methods:
                    yield method, re.sub(r"{\w+}", "c-1", prefix + route.path)
            elif not isinstance(route, APIRoute) and hasattr(route, "effective_candidates"):
                yield from walk(route.effective_candidates(), prefix)

    return sorted(set(walk(app.routes, "")))


async def test_nothing_is_told_to_who_is_not_signed_in(world):
    world.extras = (add_recordings, add_quality)
    await world.call("c-1")
    browser = Browser(world)
    found = routes(world.app)
    assert len(found) >= 32
    for method, path in found:
        answer = await browser.http.request(method, path, json={} if method == "POST" else None)
        expected = 422 if path.endswith("sign-in") else 401
        assert answer.status_code == expected, (method, path, answer.text)
        assert "cancel it" not in answer.text


async def test_every_change_needs_our_page_and_its_token(world):
    world.extras = (add_recordings, add_quality)
    ann = await world.signed_in("ann", "admin")
    await world.call("c-1")
    token = ann.http.headers["X-CSRF-Token"]
    audited = len(await world.audited())
    posts = [path for method, path in routes(world.app) if method == "POST" and not path.endswith("sign-in")]
    assert len(posts) >= 15
    for path in posts:
        for headers in (
            {"X-CSRF-Token": ""},
            {"X-CSRF-Token": "0" * 64},
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": ""},
            {"Origin": "http://127.0.0.1.evil.example"},
            {"Origin": "http://127.0.0.1:8080"},
            {"Sec-Fetch-Site": "cross-site"},
        ):
            answer = await ann.http.post(path, json={}, headers={"X-CSRF-Token": token, **headers})
            assert answer.status_code == 403, (path, headers, answer.text)
            assert answer.json()["code"] in ("csrf", "origin")
    assert len(await world.audited()) == audited, "nothing was done"


async def test_what_each_role_may(world):
    await world.call("c-1")
    ann, bo, cy = [
        await world.signed_in(name, role) for name, role in (("ann", "admin"), ("bo", "supervisor"), ("cy", "agent"))
    ]
    for path, least in (("accounts", 3), ("audit", 3), ("calls?recorded=5", 2), ("calls/c-1", 2), ("queue", 1)):
        for rank, browser in ((1, cy), (2, bo), (3, ann)):
            answer = await browser.get(path)
            assert (answer.status_code == 200) == (rank >= least), (path, rank, answer.text)
    assert (await bo.post("accounts", name="dee", role="agent", password=PASSWORD)).status_code == 403
    assert (await ann.post("accounts", name="dee", role="agent", password=PASSWORD)).status_code == 200


async def test_signing_in_and_out(world):
    await world.add("ann", "admin")
    browser = Browser(world)
    answer = await browser.sign_in("ann")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    assert all(word in cookie for word in ("HttpOnly", "Path=/console", "SameSite=strict"))
    assert "Secure" not in cookie, "this came over http, from this machine"
    assert PASSWORD not in answer.text
    me = (await browser.get("me")).json()
    assert (me["name"], me["role"]) == ("ann", "admin")
    stolen = dict(browser.http.cookies)
    assert (await browser.post("sign-out")).status_code == 200
    again = Browser(world)
    again.http.cookies.update(stolen)
    assert (await again.get("me")).status_code == 401


async def test_wrong_passwords_are_told_alike_and_lock_out(world):
    await world.add("ann", "admin")
    browser = Browser(world)
    wrong = await browser.sign_in("ann", "wrong horse battery")
    nobody = await browser.sign_in("nobody")
    assert wrong.status_code == nobody.status_code == 401
    assert wrong.json() == nobody.json()
    results = await asyncio.gather(*(browser.sign_in("ann", "wrong horse battery") for _ in range(8)))
    assert sorted(answer.status_code for answer in results) == [401] * 4 + [429] * 4, "also many at once"
    locked = await browser.sign_in("ann")
    assert locked.status_code == 429
    assert int(locked.headers["Retry-After"]) > 800
    world.clock.ahead_s += 901
    assert (await browser.sign_in("ann")).status_code == 200
    said = [what for _, what, _ in await world.audited()]
    assert said == ["sign_in_refused"] * 6 + ["signed_in"]


async def test_somebody_disabled_is_out(world):
    ann, bo = await world.signed_in("ann", "admin"), await world.signed_in("bo")
    assert (await ann.post("accounts", action="disable", name="bo")).status_code == 200
    assert (await bo.get("me")).status_code == 401
    assert (await bo.sign_in("bo")).status_code == 401
    assert (await ann.post("accounts", action="enable", name="bo")).status_code == 200
    assert (await bo.sign_in("bo")).status_code == 200
    last = await ann.post("accounts", action="disable", name="ann")
    assert last.status_code == 422
    assert last.json()["detail"] == "'ann' is the last admin; make somebody else an admin first"


async def test_ones_own_password(world):
    bo = await world.signed_in("bo")
    assert (await bo.post("password", old="wrong horse battery", new="x")).status_code == 403
    assert (await bo.post("password", old=PASSWORD, new="short")).json()["detail"].startswith("the password has 5")
    assert (await bo.post("password", old=PASSWORD, new="another horse battery")).status_code == 200
    assert (await bo.get("me")).status_code == 401
    assert (await bo.sign_in("bo", "another horse battery")).status_code == 200


async def test_passwords_do_not_travel_in_the_clear(world):
    await world.add("ann", "admin")
    transport = httpx.ASGITransport(app=world.app, client=("198.51.100.7", 4000))
    body = {"name": "ann", "password": PASSWORD}
    async with httpx.AsyncClient(base_url="http://calls.example", transport=transport) as http:
        refused = await http.post("/console/api/sign-in", json=body, headers={"Origin": "http://calls.example"})
        assert (refused.status_code, refused.json()["code"]) == (403, "no_tls")
        behind = await http.post("/console/api/sign-in", json=body, headers={"Origin": "https://calls.example"})
        assert behind.status_code == 200, "a proxy in front ended TLS"
        assert "Secure" in behind.headers["set-cookie"]


async def test_the_public_address_is_ours(world):
    public = world.settings.server.model_copy(update={"public_url": "https://calls.example.com/x"})
    world.settings = world.settings.model_copy(update={"server": public})
    await world.add("ann", "admin")
    body = {"name": "ann", "password": PASSWORD}
    browser = Browser(world)
    for origin, status in (("https://calls.example.com", 200), ("http://calls.example.com", 403)):
        answer = await browser.http.post("/console/api/sign-in", json=body, headers={"Origin": origin})
        assert answer.status_code == status


async def test_requests_are_limited(world):
    ann = await world.signed_in("ann", "admin")
    world.console.guard._rate._most = 20
    statuses = [(await ann.get("me")).status_code for _ in range(25)]
    assert statuses.count(200) == 19
    assert statuses[-1] == 429
    world.clock.ahead_s += 61
    assert (await ann.get("me")).status_code == 200


async def test_guessing_cookies_and_passwords_is_limited_for_all_together(world):
    await world.add("ann", "admin")
    browser, ann = Browser(world), Browser(world)
    await ann.sign_in("ann")
    world.console.guard._strangers._most = world.console.guard.tries._most = 3
    browser.http.cookies.set(COOKIE, "guess")
    statuses = [(await browser.get("me")).status_code for _ in range(5)]
    assert statuses == [401, 401, 401, 429, 429]
    assert (await ann.get("me")).status_code == 200, "who is signed in there already goes on"
    browser.http.cookies.clear()
    assert (await browser.get("me")).status_code == 401
    world.clock.ahead_s += 61
    tried = [(await browser.sign_in(f"name{number}")).status_code for number in range(5)]
    assert tried == [401, 401, 401, 429, 429]
    world.clock.ahead_s += 61
    assert (await browser.sign_in("ann")).status_code == 200


@pytest.mark.parametrize("path", ["/console", "/console/", "/console/api/me", "/console/nowhere", "/console/static/x"])
async def test_every_answer_has_the_headers(world, path):
    answer = await Browser(world).http.get(path)
    csp = answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in csp
    assert "default-src 'none'" in csp
    assert "unsafe" not in csp
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["permissions-policy"].startswith("microphone=(self)")
    assert answer.headers["cache-control"] in ("no-store", "no-cache")


async def test_bad_requests_are_told_plainly(world):
    ann = await world.signed_in("ann", "admin")
    await world.call("c-1")
    big = await ann.http.post("/console/api/calls/c-1/note", json={"text": "x" * 70_000})
    assert (big.status_code, big.json()["code"]) == (413, "too_large")
    for body, shown in (
        (b"{", "JSON"),
        (b"[]", "the request"),
        (b'{"text": 1}', "text: "),
        (b'{"text": "a", "more": 1}', "more: "),
    ):
        answer = await ann.http.post(
            "/console/api/calls/c-1/note", content=body, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 422, body
        assert answer.json()["code"] == "invalid"
        assert shown in answer.json()["detail"]
    typed = await Browser(world).http.post("/console/api/sign-in", json={"name": "ann", "password": ["hidden secret"]})
    assert "hidden" not in typed.text


async def test_static_files_are_only_those_of_the_page(world):
    browser = Browser(world)
    for path in ("../console.py", "..%2fconsole.py", "%2e%2e/console.py", ".hidden", "/etc/passwd", "%00"):
        answer = await browser.http.get(f"/console/static/{path}")
        assert answer.status_code in (400, 404), path


async def test_nothing_is_done_that_cannot_be_written_down(world, monkeypatch):
    ann = await world.signed_in("ann", "admin")
    call = await world.call("c-1")

    async def full(*_given, **_named):
        raise OSError("disk full")

    monkeypatch.setattr(world.console.guard.trail, "append", full)
    answer = await ann.post("calls/c-1/take-over")
    assert (answer.status_code, answer.json()["code"]) == (503, "no_audit")
    assert call.human is None


async def test_before_the_server_is_ready(world):
    world.database = None
    answer = await Browser(world).get("me")
    assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
