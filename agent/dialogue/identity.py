"""How often a caller may fail to prove who they are, and how secrets are compared.

The limits follow NIST SP 800-63B section 5.2.2: failed proofs are counted for the account claimed, here also for the
call and the number it comes from, and a good proof clears the count of the account. Counts are kept in the process.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict, deque

from agent.clock import Clock
from agent.dialogue.manner import IdentitySettings

MOST_KEYS = 10_000
"""Numbers and customers that are remembered, each; those that failed longest ago go first."""
DEFAULTS = IdentitySettings(flow="verify")
"""The limits where a domain gives none; its `flow` means nothing here."""


class Attempts:
    """Failed proofs of the last `window_s` seconds, for all calls of the process."""

    def __init__(self, clock: Clock, limits: IdentitySettings = DEFAULTS) -> None:
        self._clock = clock
        self._limits = limits
        self._customers: OrderedDict[str, deque[float]] = OrderedDict()
        self._callers: OrderedDict[str, deque[float]] = OrderedDict()

    def for_call(self, caller: str | None) -> CallAttempts:
        """The count of one call from the number `caller`; withheld numbers are not counted together."""
        return CallAttempts(self, caller)

    def full(self, caller: str | None, customer: str | None, in_call: int) -> bool:
        """Whether no more proofs are taken: of this call, this number or this customer."""
        limits = self._limits
        return (
            in_call >= limits.most_per_call
            or (caller is not None and self._count(self._callers, caller) >= limits.most_per_caller)
            or (customer is not None and self._count(self._customers, customer) >= limits.most_per_customer)
        )

    def add(self, caller: str | None, customer: str | None) -> None:
        """A proof failed."""
        if caller is not None:
            self._note(self._callers, caller, self._limits.most_per_caller)
        if customer is not None:
            self._note(self._customers, customer, self._limits.most_per_customer)

    def clear(self, caller: str | None, customer: str) -> None:
        """A proof for `customer` was good."""
        self._customers.pop(_key(customer), None)
        if caller is not None:
            self._callers.pop(_key(caller), None)

    def _note(self, counts: OrderedDict[str, deque[float]], name: str, most: int) -> None:
        times = counts.setdefault(_key(name), deque(maxlen=most))
        times.append(self._clock.now_ms())
        counts.move_to_end(_key(name))
        while len(counts) > MOST_KEYS:
            counts.popitem(last=False)

    def _count(self, counts: OrderedDict[str, deque[float]], name: str) -> int:
        times = counts.get(_key(name))
        if times is None:
            return 0
        since = self._clock.now_ms() - self._limits.window_s * 1000.0
        while times and times[0] <= since:
            times.popleft()
        if not times:
            del counts[_key(name)]
        return len(times)


class CallAttempts:
    """Failed proofs as one call sees them; an action finds it as `context.attempts`."""

    def __init__(self, attempts: Attempts, caller: str | None) -> None:
        self._attempts = attempts
        self._caller = caller
        self._failed = 0

    def locked(self, customer: str | None = None) -> bool:
        """Whether no proof is taken any more, neither right nor wrong; the call then goes to a person.

        `customer` is the id of the customer that the caller claims to be, None where there is no such customer.
        """
        return self._attempts.full(self._caller, customer, self._failed)

    def failed(self, customer: str | None = None) -> None:
        """A proof failed; `customer` as in `locked`."""
        self._failed += 1
        self._attempts.add(self._caller, customer)

    def proved(self, customer: str) -> None:
        """A proof was good: what failed before counts no more."""
        self._failed = 0
        self._attempts.clear(self._caller, customer)


def same_secret(given: str, stored: str) -> bool:
    """Whether two secrets are the same, in a time that depends on neither; blanks around and inside do not count.

    Both are hashed first, so that not even their lengths show.
    """
    return hmac.compare_digest(_digest("".join(given.split())), _digest("".join(stored.split())))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _key(name: str) -> str:
    """A short key for any name, so that a long one costs no memory."""
    return hashlib.sha256(name.strip().lower().encode("utf-8", "surrogatepass")).hexdigest()[:32]
