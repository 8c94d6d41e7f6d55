"""Accounts of people who may sign in: added, listed, changed and disabled. There is none before somebody adds one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from sqlalchemy import func, insert, select, update

from agent.clock import Clock
from agent.console.passwords import Passwords, checked_password
from agent.console.tables import Account, SignIn
from agent.records.database import Database

Role = Literal["agent", "supervisor", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)
"""The later may all that the earlier may."""
MOST_ACCOUNTS = 2000
MOST_SKILLS, LONGEST_SKILL = 50, 64
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,63}")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,2}")


class AccountError(ValueError):
    """An account cannot be made or changed as asked; the message says why and what to do."""


class UnknownAccount(AccountError, LookupError):
    """There is no account of that name."""


@dataclass(frozen=True, slots=True)
class Person:
    """An account without its password."""

    name: str
    role: Role
    language: str
    skills: tuple[str, ...]
    languages: tuple[str, ...]
    disabled: bool
    created_at: datetime
    signed_in_at: datetime | None = None


class Accounts:
    """The accounts in a records database."""

    def __init__(self, database: Database, passwords: Passwords, clock: Clock) -> None:
        self._database = database
        self._passwords = passwords
        self._clock = clock

    async def add(
        self, name: str, role: str, password: str, skills: Sequence[str] = (), languages: Sequence[str] = ()
    ) -> Person:
        """Make an account.

        Raises:
            AccountError: the name is taken or no name, or a value cannot be taken.
            agent.console.passwords.PasswordError: the password is too weak.
        """
        name, now = checked_name(name), self._clock.wall()
        values = _checked({"role": role, "skills": skills, "languages": languages})
        kept = await self._passwords.hash(checked_password(password, name))
        fixed = {"name": name, "password": kept, "language": "en", "disabled": False}
        async with self._database.engine.begin() as connection:
            names = set((await connection.execute(select(Account.name))).scalars())
            if name in names:
                raise AccountError(f"there is an account {name!r} already; choose another name, or change that one")
            if len(names) >= MOST_ACCOUNTS:
                raise AccountError(f"there are {MOST_ACCOUNTS} accounts, the most there may be; remove old ones")
            await connection.execute(insert(Account), [fixed | values | {"created_at": now, "changed_at": now}])
        return await self.find(name)

    async def find(self, name: str) -> Person:
        """The account `name`.

        Raises:
            UnknownAccount: there is none.
        """
        for person in await self._list(name):
            return person
        raise UnknownAccount(f"there is no account {name[:64]!r}; list the accounts to find its name")

    async def everybody(self) -> list[Person]:
        """All accounts by name."""
        return await self._list(None)

    async def check(self, name: str, password: str) -> Person | None:
        """Whose name and password these are; None where they are nobody's or the account is disabled.

        It takes as long for a name that does not exist. A hash with earlier parameters is made anew.

        Raises:
            agent.console.passwords.Crowded: too many are being checked.
        """
        async with self._database.engine.connect() as connection:
            query = select(Account.password, Account.disabled).where(Account.name == name[:64])
            row = (await connection.execute(query)).one_or_none()
        kept = None if row is None or row.disabled else str(row.password)
        if not await self._passwords.matches(password, kept) or kept is None:
            return None
        if self._passwords.outdated(kept):
            renewed = await self._passwords.hash(password)
            async with self._database.engine.begin() as connection:
                same = (Account.name == name) & (Account.password == kept)
                await connection.execute(update(Account).where(same).values(password=renewed))
        return await self.find(name)

    async def set_password(self, name: str, password: str) -> None:
        """Give an account another password; whoever is signed in with the old one no longer is.

        Raises:
            UnknownAccount: there is none.
            agent.console.passwords.PasswordError: the password is too weak.
        """
        await self.find(name)
        kept = await self._passwords.hash(checked_password(password, name))
        await self._change(name, {"password": kept}, sign_out=True)

    async def change(self, name: str, values: Mapping[str, Any]) -> Person:
        """Set `role`, `disabled`, `language`, `skills` or `languages`. A new role, or being disabled, signs it out.

        Raises:
            UnknownAccount: there is none.
            AccountError: a value cannot be taken, or no admin would be left.
        """
        await self.find(name)
        checked = _checked(values)
        await self._change(name, checked, sign_out="role" in checked or checked.get("disabled") is True)
        return await self.find(name)

    async def _change(self, name: str, values: Mapping[str, Any], sign_out: bool) -> None:
        now = self._clock.wall()
        async with self._database.engine.begin() as connection:
            # The write comes first: the database then lets nobody else change accounts until this is checked.
            await connection.execute(update(Account).where(Account.name == name).values({**values, "changed_at": now}))
            if values.get("disabled") is True or values.get("role", "admin") != "admin":
                admins = select(func.count()).where(Account.role == "admin", Account.disabled.is_(False))
                every = select(func.count()).select_from(Account)
                left = (await connection.execute(admins)).scalar_one()
                if left == 0 and (await connection.execute(every)).scalar_one() > 0:
                    raise AccountError(f"{name!r} is the last admin; make somebody else an admin first")
            if sign_out:
                mine = (SignIn.account == name) & SignIn.ended_at.is_(None)
                await connection.execute(update(SignIn).where(mine).values(ended_at=now))

    async def _list(self, name: str | None) -> list[Person]:
        last = select(SignIn.account, func.max(SignIn.opened_at).label("at")).group_by(SignIn.account).subquery()
        columns = Account.__table__.columns
        async with self._database.engine.connect() as connection:
            rows = await connection.execute(
                select(*(columns[key] for key in _SHOWN), last.c.at.label("signed_in_at"))
                .outerjoin(last, last.c.account == Account.name)
                .where(Account.name == name if name is not None else Account.name.is_not(None))
                .order_by(Account.name)
            )
            return [_person(dict(row)) for row in rows.mappings()]


_SHOWN = ("name", "role", "language", "skills", "languages", "disabled", "created_at")


def _person(row: Mapping[str, Any]) -> Person:
    values = {key: row[key] for key in (*_SHOWN, "signed_in_at")}
    return Person(**(values | {"skills": tuple(row["skills"]), "languages": tuple(row["languages"])}))


def checked_name(name: str) -> str:
    """`name`, if an account may have it.

    Raises:
        AccountError: it may not.
    """
    if not _NAME.fullmatch(name):
        raise AccountError(f"name is {name[:64]!r}; use 2 to 64 lower-case letters, digits, '.', '_' and '-'")
    return name


def checked_words(values: Any, field: str) -> list[str]:
    """A list of skills or languages that people gave.

    Raises:
        AccountError: it is none.
    """
    if not isinstance(values, list | tuple) or len(values) > MOST_SKILLS:
        raise AccountError(f"{field} is no list of at most {MOST_SKILLS} words")
    for value in values:
        if not isinstance(value, str) or not 1 <= len(value) <= LONGEST_SKILL or not value.isprintable():
            raise AccountError(f"{field} has {str(value)[:64]!r}; give words of 1 to {LONGEST_SKILL} characters")
        if field == "languages" and not _LANGUAGE.fullmatch(value):
            raise AccountError(f"languages has {value!r}; give codes such as en or zh")
    return list(dict.fromkeys(values))


def _checked(values: Mapping[str, Any]) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    for key, value in values.items():
        if key == "role" and value not in ROLES:
            raise AccountError(f"role is {str(value)[:40]!r}; give one of {', '.join(ROLES)}")
        if key == "disabled" and not isinstance(value, bool):
            raise AccountError(f"disabled is {str(value)[:40]!r}; give true or false")
        if key == "language" and not (isinstance(value, str) and _LANGUAGE.fullmatch(value)):
            raise AccountError(f"language is {str(value)[:40]!r}; give a code such as en or zh")
        checked[key] = checked_words(value, key) if key in ("skills", "languages") else value
    return checked
