"""Passwords: what is taken as one, and Argon2id hashes of them. Hashing takes tens of ms: never on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

T = TypeVar("T")

LEAST, MOST = 12, 256
"""Characters of a password; the upper bound keeps what is hashed small."""
LEAST_DIFFERENT = 5
"""Different characters of a password."""
MOST_WAITING = 16
"""Sign-ins that wait for a hash; more are refused, so that they cannot eat the machine that calls run on."""


class PasswordError(ValueError):
    """That is no usable password; the message says why and what to do."""


class Crowded(Exception):
    """Too many passwords are being checked."""


class Passwords:
    """Hashes passwords and checks them, one at a time, in a thread."""

    def __init__(self, memory_kib: int = 65_536, rounds: int = 2) -> None:
        """Argon2id with `memory_kib` of memory and `rounds` passes over it, one lane: about 60 ms."""
        self._hasher = PasswordHasher(time_cost=rounds, memory_cost=memory_kib, parallelism=1)
        self._turn = asyncio.Semaphore(1)
        self._waiting = 0
        self._nobody: str | None = None

    async def hash(self, password: str) -> str:
        """The hash to keep, with its parameters and salt.

        Raises:
            Crowded: `MOST_WAITING` others wait.
        """
        return await self._run(lambda: self._hasher.hash(password))

    async def matches(self, password: str, kept: str | None) -> bool:
        """Whether `password` is the one of the hash `kept`. None, for nobody's, takes as long and is False.

        Raises:
            Crowded: `MOST_WAITING` others wait.
        """

        def check() -> bool:
            if self._nobody is None:
                self._nobody = self._hasher.hash("nobody's")
            try:
                return self._hasher.verify(kept or self._nobody, password) and kept is not None
            except (VerificationError, InvalidHashError):
                return False

        return len(password) <= MOST and await self._run(check)

    def outdated(self, kept: str) -> bool:
        """Whether a hash was made with other parameters than ours."""
        try:
            return self._hasher.check_needs_rehash(kept)
        except InvalidHashError:
            return True

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= MOST_WAITING:
            raise Crowded
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(work)
        finally:
            self._waiting -= 1


def checked_password(password: str, name: str) -> str:
    """`password`, if it may be that of the account `name`.

    Raises:
        PasswordError: it is too short, too long, too plain, or contains the name.
    """
    if not LEAST <= len(password) <= MOST:
        raise PasswordError(f"the password has {len(password)} characters; use {LEAST} to {MOST}")
    if len(set(password)) < LEAST_DIFFERENT:
        raise PasswordError(f"the password has fewer than {LEAST_DIFFERENT} different characters; mix more of them")
    if name.lower() in password.lower():
        raise PasswordError("the password contains the name; use one that does not")
    if not password.isprintable():
        raise PasswordError("the password has characters that cannot be typed; leave them out")
    return password
