"""The console's HTTP interface to accounts: signing in and out, who one is, accounts, the audit trail."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from agent.console.accounts import AccountError, Person
from agent.console.answers import REFUSALS, refused
from agent.console.guard import COOKIE, Guard, Refused, address_of
from agent.console.passwords import MOST
from agent.console.sessions import Signed

PATH = "/console"
"""Where the cookie goes: nowhere else."""

CHECKED = 2_000
"""Rows of the audit trail that are checked each time it is looked at; a longer one when that is asked for."""

Password = Annotated[str, Field(min_length=1, max_length=MOST)]
Name = Annotated[str, Field(min_length=1, max_length=64)]


class Body(BaseModel):
    """What is sent with a request; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class SignInBody(Body):
    """Name and password."""

    name: Name
    password: Password


class PasswordBody(Body):
    """Changing one's own password."""

    old: Password
    new: Password


class MeBody(Body):
    """Changing one's own page."""

    language: Annotated[str, Field(max_length=16)]


class AccountBody(Body):
    """Adding or changing an account; what is left out stays."""

    action: Literal["add", "disable", "enable", "password", "change"] = "add"
    name: Name
    role: str | None = None
    password: Password | None = None
    skills: list[str] | None = None
    languages: list[str] | None = None


def add_accounts(router: APIRouter, guard: Guard) -> None:
    """Serve them under `router`, whose prefix is /console/api."""
    anybody = Depends(guard.role("agent"))
    admin = Depends(guard.role("admin"))

    @router.post("/sign-in")
    async def sign_in(request: Request, response: Response, body: SignInBody) -> dict[str, Any]:
        person = await _sign_in(guard, request, body)
        await guard.audit(person.name, "signed_in", person.name, {"address": address_of(request)})
        token = await guard.sessions.open(person, address_of(request))
        response.set_cookie(
            COOKIE,
            token,
            max_age=int(guard.limits.day_s),
            path=PATH,
            secure=guard.secure(request),
            httponly=True,
            samesite="strict",
        )
        return {"name": person.name, "role": person.role}

    @router.post("/sign-out")
    async def sign_out(response: Response, signed: Signed = anybody) -> dict[str, Any]:
        await _sign_out(guard, signed)
        response.delete_cookie(COOKIE, path=PATH)
        return {"signed_out": True}

    @router.get("/me")
    async def me(signed: Signed = anybody) -> dict[str, Any]:
        return shown(signed)

    @router.post("/me")
    async def change_me(body: MeBody, signed: Signed = anybody) -> dict[str, Any]:
        try:
            person = await guard.accounts.change(signed.name, {"language": body.language})
        except REFUSALS as error:
            raise refused(error) from error
        guard.sessions.forget(person.name)
        return shown(signed) | {"language": person.language}

    @router.post("/password")
    async def password(request: Request, body: PasswordBody, signed: Signed = anybody) -> dict[str, Any]:
        await _own_password(guard, request, signed, body)
        return {"changed": True}

    @router.get("/accounts")
    async def accounts(_: Signed = admin) -> dict[str, Any]:
        return {"accounts": [account(person) for person in await guard.accounts.everybody()]}

    @router.post("/accounts")
    async def change_account(body: AccountBody, signed: Signed = admin) -> dict[str, Any]:
        try:
            return account(await _change(guard, signed, body))
        except REFUSALS as error:
            raise refused(error) from error

    @router.get("/audit")
    async def audit(
        signed: Signed = admin,
        limit: Annotated[int, Query(ge=1, le=1000)] = 200,
        before: int | None = None,
        who: str | None = None,
        what: str | None = None,
        about: str | None = None,
        verify: bool | None = None,
    ) -> dict[str, Any]:
        await guard.audit(signed.name, "audit_read", "")
        rows = await guard.trail.entries(limit, before, who, what, about)
        checks = verify if verify is not None else await guard.trail.count() <= CHECKED
        broken = await guard.trail.verify() if checks else None
        return {
            "rows": [row.plain() for row in rows],
            "broken": None if broken is None else broken.sequence,
            "why": None if broken is None else broken.why,
            "verified": checks,
        }


def shown(signed: Signed) -> dict[str, Any]:
    """Who somebody is, for his page."""
    return {
        "name": signed.name,
        "role": signed.role,
        "language": signed.language,
        "csrf": signed.csrf,
        "skills": list(signed.skills),
        "languages": list(signed.languages),
    }


def account(person: Person) -> dict[str, Any]:
    """An account, JSON-ready."""
    signed_in = person.signed_in_at
    return {
        "name": person.name,
        "role": person.role,
        "language": person.language,
        "skills": list(person.skills),
        "languages": list(person.languages),
        "disabled": person.disabled,
        "created_at": person.created_at.isoformat(),
        "signed_in_at": None if signed_in is None else signed_in.isoformat(),
    }


async def _sign_in(guard: Guard, request: Request, body: SignInBody) -> Person:
    """Whose name and password they are.

    Raises:
        Refused: nobody's, or too many were tried.
    """
    guard.check_origin(request)
    guard.check_transport(request)
    person = await _checked(guard, request, body.name, body.password)
    if person is None:
        # Counted, so it fills the trail no faster than passwords may be tried.
        tried = body.name if body.name.isprintable() else ""
        await guard.audit("nobody", "sign_in_refused", tried, {"address": address_of(request)})
        raise Refused(401, "wrong", "name or password is wrong")
    return person


async def _checked(guard: Guard, request: Request, name: str, password: str) -> Person | None:
    address = address_of(request)
    busy_s = guard.tries.wait_s("all")
    if busy_s:
        raise Refused(429, "too_often", "too many people are signing in; wait", busy_s)
    wait_s = guard.lockout.wait_s(name, address)
    if wait_s:
        raise Refused(429, "locked", f"too many wrong passwords; wait {round(wait_s / 60 + 0.5)} minutes", wait_s)
    guard.tries.count("all")
    guard.lockout.wrong(name, address)
    try:
        person = await guard.accounts.check(name, password)
    except REFUSALS as error:
        raise refused(error) from error
    if person is not None:
        guard.lockout.right(name, address)
    return person


async def _own_password(guard: Guard, request: Request, signed: Signed, body: PasswordBody) -> None:
    if await _checked(guard, request, signed.name, body.old) is None:
        raise Refused(403, "wrong", "the old password is wrong")
    await guard.audit(signed.name, "password_changed", signed.name)
    try:
        await guard.accounts.set_password(signed.name, body.new)
    except REFUSALS as error:
        raise refused(error) from error
    guard.sessions.forget(signed.name)


async def _sign_out(guard: Guard, signed: Signed) -> None:
    await guard.audit(signed.name, "signed_out", signed.name)
    await guard.sessions.end(signed.session)


async def _change(guard: Guard, signed: Signed, body: AccountBody) -> Person:
    accounts = guard.accounts
    given = {key: value for key in ("role", "skills", "languages") if (value := getattr(body, key)) is not None}
    await guard.audit(signed.name, f"account_{body.action}", body.name if body.name.isprintable() else "", given)
    if body.action in ("add", "password") and body.password is None:
        raise AccountError("password is missing; give one")
    if body.action == "add":
        if body.role is None:
            raise AccountError("role is missing; give agent, supervisor or admin")
        return await accounts.add(body.name, body.role, body.password or "", body.skills or (), body.languages or ())
    if body.action == "password":
        await accounts.set_password(body.name, body.password or "")
    elif body.action == "change":
        await accounts.change(body.name, given)
    else:
        await accounts.change(body.name, {"disabled": body.action == "disable"})
    guard.sessions.forget(body.name)
    return await accounts.find(body.name)
