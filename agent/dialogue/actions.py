"""Running a domain's actions: Python functions on the business's own database, webhooks, HTTP requests and APIs.

An action with side effects runs in a task of its own that a barge-in does not cancel, once per idempotency key (call,
customer, action, arguments); its outcome is kept and told later. A read-only action is cancelled with whoever asked.
Whatever goes wrong becomes a result with `error`; nothing is raised into the call. Values are never logged.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import os
import random
import secrets
import traceback
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from agent.clock import Clock
from agent.dialogue.actioncontext import MOST_BYTES, ActionContext, ActionFailed, Database, Runnable
from agent.dialogue.actionspec import ActionSpec
from agent.dialogue.contracts import Acted
from agent.dialogue.domain import Domain
from agent.dialogue.http_action import HttpAction, Request, from_environment
from agent.dialogue.identity import Attempts, CallAttempts
from agent.dialogue.loader import DomainError
from agent.dialogue.manner import IdentitySettings
from agent.dialogue.openapi import OpenApiError, read_operation
from agent.dialogue.python_action import PythonAction, arguments_model, entry_point
from agent.dialogue.reasons import WITHHELD
from agent.dialogue.schema import finite
from agent.dialogue.webhook import WebhookAction
from agent.outbound import OutboundError, persist

__all__ = ["ActionContext", "Actions", "CallActions", "Database", "Runnable", "open_actions", "shown"]

log = logging.getLogger(__name__)

MOST_RUNNING = 256
"""Actions running at once in the process; more are refused with the error `overloaded`."""
MOST_KEPT = 64
"""Outcomes kept per call for idempotency; the oldest goes first."""


Schema = Callable[[], Mapping[str, Any]]


class Actions:
    """The actions of a domain, ready to run. Owns the tasks; `close` waits for those with side effects."""

    def __init__(
        self,
        specs: Mapping[str, ActionSpec],
        runnables: Mapping[str, Runnable],
        clock: Clock,
        database: Database | None,
        identity: IdentitySettings | None = None,
        rng: random.Random | None = None,
        schemas: Mapping[str, Schema] | None = None,
    ) -> None:
        """Args:
        identity: limits on failed proofs; those of `agent.dialogue.identity` where None.
        rng: shortens the waits between tries.
        schemas: gives the JSON Schema of an action's arguments; an action without one is offered to no model.
        """
        self.specs = specs
        self.schemas = schemas or {}
        self.attempts = Attempts(clock, identity) if identity is not None else Attempts(clock)
        self._runnables = runnables
        self._clock = clock
        self._database = database
        self._rng = rng or random.Random()
        self._tasks: set[asyncio.Task[Acted]] = set()
        self._given_up: set[asyncio.Task[Mapping[str, Any]]] = set()
        self._salt = secrets.token_bytes(32)

    def for_call(self, call_id: str, caller: str | None = None, language: str = "en") -> CallActions:
        """The actions of one call, with its idempotency."""
        return CallActions(self, call_id, caller, language)

    def context(
        self,
        call_id: str,
        key: str,
        caller: str | None = None,
        customer: Mapping[str, Any] | None = None,
        language: str = "en",
        attempts: CallAttempts | None = None,
    ) -> ActionContext:
        """What an action is told; without `attempts` its failed proofs count as those of a new call."""
        counted = attempts or self.attempts.for_call(caller)
        return ActionContext(call_id, key, self._clock, caller, customer, language, counted)

    def start(
        self,
        name: str,
        arguments: Mapping[str, Any],
        context: ActionContext,
        hidden: Collection[str] = (),
        elsewhere: Runnable | None = None,
    ) -> asyncio.Task[Acted]:
        """Run an action in a task owned here. `hidden` names arguments not to be shown, beside the sensitive ones.

        elsewhere: does the work in place of what the domain names.
        """
        runnable = elsewhere or self._runnables[name]
        work = self._run(name, arguments, context, hidden, runnable)
        task = asyncio.create_task(work, name=f"action {name} {context.call_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def digest(self, text: str, *, secret: bool) -> str:
        """32 hex digits of SHA-256 over `text`; keyed by this process where a short secret could be guessed from it."""
        if secret:
            return hmac.new(self._salt, text.encode(), hashlib.sha256).hexdigest()[:32]
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    async def close(self, grace_s: float = 5.0) -> None:
        """Wait up to `grace_s` for running actions, cancel the rest, close the database."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace_s)
            for task in late:
                log.warning("action %s was still running at close", task.get_name())
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if self._given_up:
            _, deaf = await asyncio.wait(self._given_up, timeout=grace_s)
            if deaf:
                log.error(
                    "%d actions that were given up still run; await inside them, and let cancellation out", len(deaf)
                )
        if self._database is not None:
            await self._database.close()

    async def _run(
        self,
        name: str,
        arguments: Mapping[str, Any],
        context: ActionContext,
        hidden: Collection[str],
        runnable: Runnable,
    ) -> Acted:
        began = self._clock.now_ms()
        spec, call_id = self.specs[name], context.call_id
        ok, result = False, dict[str, Any]()
        if spec.identity == "verified" and context.customer is None:
            result = {"error": "not_verified"}
            log.warning("action %s was refused: the caller is not verified (call %s)", name, call_id)
        elif len(self._tasks) + len(self._given_up) > MOST_RUNNING:
            result = {"error": "overloaded"}
            log.error("action %s was refused: %d are running (call %s)", name, MOST_RUNNING, call_id)
        else:
            try:
                found = await self._within(name, spec, arguments, context, began + spec.timeout_s * 1000.0, runnable)
                ok, result = found is not None, found if found is not None else {"error": "timeout"}
                if not ok:
                    log.error("action %s gave no answer in %.1f s (call %s)", name, spec.timeout_s, call_id)
            except (ActionFailed, OutboundError) as error:
                result = {"error": error.code, "detail": str(error)}
                log.error("action %s failed (call %s): %s: %s", name, call_id, error.code, error)
                if error.__cause__ is not None:
                    log.debug("%s", _places(error))
            except Exception as error:
                result = {"error": type(error).__name__}
                log.error("action %s failed (call %s): %s\n%s", name, call_id, type(error).__name__, _places(error))
        told = shown(arguments, (*spec.sensitive, *hidden))
        return Acted(name, told, ok, result, context.key, False, self._clock.now_ms() - began)

    async def _within(
        self,
        name: str,
        spec: ActionSpec,
        arguments: Mapping[str, Any],
        context: ActionContext,
        deadline_ms: float,
        runnable: Runnable,
    ) -> dict[str, Any] | None:
        """The result of the first try that does not fail in a way that may pass; None when time is up."""
        label = f"action {name} (call {context.call_id})"

        async def attempt(number: int) -> Mapping[str, Any]:
            return await runnable(arguments, context)

        async def persistently() -> Mapping[str, Any]:
            return await persist(attempt, self._clock, self._rng, deadline_ms, label, spec.tries)

        work = asyncio.create_task(persistently(), name=label)
        limit = asyncio.ensure_future(self._clock.sleep_until(deadline_ms))
        try:
            await asyncio.wait({work, limit}, return_when=asyncio.FIRST_COMPLETED)
            return fit_result(name, await work) if work.done() else None
        finally:
            limit.cancel()
            if not work.done():
                # An action that does not hear its cancellation must not keep the call waiting.
                work.cancel()
                self._given_up.add(work)
                work.add_done_callback(self._forget)
            await asyncio.gather(limit, return_exceptions=True)

    def _forget(self, work: asyncio.Task[Mapping[str, Any]]) -> None:
        self._given_up.discard(work)
        if not work.cancelled():
            work.exception()


class CallActions:
    """One call's actions: the same action with the same arguments and side effects runs once for the same customer.

    `customer` is who the caller was proven to be, None before that; the dialogue sets it, and `language`. elsewhere:
    actions, by name, whose work the call's client does.
    """

    def __init__(self, actions: Actions, call_id: str, caller: str | None = None, language: str = "en") -> None:
        self.customer: Mapping[str, Any] | None = None
        self.language = language
        self.caller = caller
        self._actions = actions
        self._call_id = call_id
        self._attempts = actions.attempts.for_call(caller)
        self._tasks: dict[str, asyncio.Task[Acted]] = {}
        self.elsewhere: dict[str, Runnable] = {}

    def fork(self) -> CallActions:
        """The same for a preview: it joins what runs here, but its customer and language are its own."""
        copy = CallActions(self._actions, self._call_id, self.caller, self.language)
        copy.customer, copy._attempts, copy._tasks = self.customer, self._attempts, self._tasks
        copy.elsewhere = self.elsewhere
        return copy

    def key(self, name: str, arguments: Mapping[str, Any], hidden: Collection[str] = ()) -> str:
        """The idempotency key: 32 hex digits over call, customer, action and arguments.

        Where an argument is sensitive the key is of this process alone, so that nobody finds the value by trying all.
        """
        secret = bool({*self.spec(name).sensitive, *hidden} & set(arguments))
        whole = [self._call_id, _identity(self.customer), name, dict(arguments)]
        return self._actions.digest(json.dumps(whole, sort_keys=True, default=str), secret=secret)

    @property
    def names(self) -> frozenset[str]:
        """Every action of the domain."""
        return frozenset(self._actions.specs)

    def spec(self, name: str) -> ActionSpec:
        """The specification of `name`."""
        return self._actions.specs[name]

    def schema(self, name: str) -> Mapping[str, Any] | None:
        """The JSON Schema of the arguments of `name`; None where it is not known."""
        found = self._actions.schemas.get(name)
        return None if found is None else found()

    def start(
        self, name: str, arguments: Mapping[str, Any], hidden: Collection[str] = ()
    ) -> tuple[asyncio.Task[Acted], bool]:
        """Start an action, or join the one that ran or runs with the same key; (task, joined).

        A failed action is run again, with the same key. One that needs a verified caller fails with `not_verified`
        where there is none. `hidden` names arguments that are neither recorded nor shown, beside the sensitive ones.
        """
        key = self.key(name, arguments, hidden)
        task = self._tasks.get(key)
        if task is not None and not (task.done() and (task.cancelled() or not task.result().ok)):
            return task, True
        context = self._actions.context(self._call_id, key, self.caller, self.customer, self.language, self._attempts)
        task = self._actions.start(name, arguments, context, hidden, self.elsewhere.get(name))
        if self.spec(name).side_effects:
            self._tasks[key] = task
            while len(self._tasks) > MOST_KEPT:
                del self._tasks[next(iter(self._tasks))]
        return task, False


def shown(arguments: Mapping[str, Any], sensitive: Collection[str]) -> dict[str, Any]:
    """Arguments as they are recorded and shown."""
    return {name: WITHHELD if name in sensitive and value is not None else value for name, value in arguments.items()}


def fit_result(name: str, result: Any) -> dict[str, Any]:
    """A result as the dialogue takes it: a JSON object of at most `MOST_BYTES`.

    Raises:
        ActionFailed: bad_result or too_large.
    """
    if not isinstance(result, Mapping):
        raise ActionFailed("bad_result", f"action '{name}' gave a {type(result).__name__}; give an object")
    problem = next(finite(result), None)
    if problem is not None:
        raise ActionFailed("bad_result", f"action '{name}' gave a result that {problem}")
    size = len(json.dumps(result).encode())
    if size > MOST_BYTES:
        raise ActionFailed("too_large", f"action '{name}' gave {size} bytes; give at most {MOST_BYTES}")
    return dict(result)


async def open_actions(domain: Domain, clock: Clock, database_url: str | None = None) -> Actions:
    """Resolve the domain's entry points, open its database and check every use of an action against its schema.

    Raises:
        DomainError: an entry point, a file or a secret is missing, or a flow gives an action wrong arguments.
    """
    problems: list[str] = []
    manner = domain.manner
    database: Database | None = None
    if manner.database is not None:
        if database_url is None:
            raise DomainError([f"domain '{domain.name}' has a database; give its URL (dialogue.database_url)"])
        try:
            opener = entry_point(manner.database)
        except ValueError as error:
            problems.append(f"domain '{domain.name}': {error}")
        else:
            database = await opener(database_url, clock)
    runnables: dict[str, Runnable] = {}
    parameters: dict[str, tuple[set[str], set[str]]] = {}
    schemas: dict[str, Schema] = {}
    for name, spec in manner.actions.items():
        where = domain.lines[f"action.{name}"]
        try:
            file = Path(where.rpartition(":")[0])
            runnables[name], parameters[name], schemas[name] = _runnable(name, spec, clock, database, file)
        except OpenApiError as error:
            problems += [f"{where}: action '{name}': {problem}" for problem in error.problems]
        except ValueError as error:
            problems.append(f"{where}: action '{name}': {error}")
        else:
            unknown = sorted(set(spec.sensitive) - parameters[name][1])
            problems += [f"{where}: action '{name}' takes no argument '{one}'; correct 'sensitive'" for one in unknown]
    for where, name, arguments in domain.action_uses():
        needed, allowed = parameters.get(name, (set(), set(arguments)))
        missing, extra = sorted(needed - set(arguments)), sorted(set(arguments) - allowed)
        problems += [f"{where}: action '{name}' needs the argument '{one}'; add it" for one in missing]
        problems += [f"{where}: action '{name}' takes no argument '{one}'; remove it" for one in extra]
    if problems:
        if database is not None:
            await database.close()
        raise DomainError(problems)
    return Actions(manner.actions, runnables, clock, database, manner.identity, schemas=schemas)


def _runnable(
    name: str, spec: ActionSpec, clock: Clock, database: Database | None, file: Path
) -> tuple[Runnable, tuple[set[str], set[str]], Schema]:
    """What runs an action, with the arguments it needs, all it takes and their schema; `file` is where it is written.

    Raises:
        ValueError: it cannot be used.
    """
    if spec.python is not None:
        function = entry_point(spec.python)
        model = arguments_model(function)
        if model is None:
            raise ValueError(f"{spec.python} is not `async def f(database, arguments: BaseModel, context)`")
        fields = model.model_fields
        needed = {field for field, info in fields.items() if info.is_required()}
        schema = partial(model.model_json_schema, by_alias=False)
        return PythonAction(name, function, model, database), (needed, set(fields)), schema
    if spec.webhook is not None:
        secret = os.environ.get(spec.secret_env or "", "")
        if not secret:
            raise ValueError(f"environment variable {spec.secret_env} is empty; set the signing secret")
        action: Runnable = WebhookAction(
            spec.webhook, secret, spec.timeout_s, spec.allow_private, name, clock, spec.parameters, spec.returns
        )
        values = spec.parameters
    else:
        over = spec.http or spec.openapi
        headers, lacking = from_environment(over.headers if over is not None else {})
        if lacking:
            raise ValueError(f"environment variable {', '.join(lacking)} is empty or no header value; set it")
        if spec.http is not None:
            request = Request.of(spec, spec.http, headers)
        else:
            assert spec.openapi is not None
            request = read_operation(spec, spec.openapi, file.parent, headers)
        action, values = HttpAction(name, request, clock, spec.timeout_s, spec.allow_private), request.parameters
    needed = {one for one, value in values.items() if not value.optional}
    whole = {
        "type": "object",
        "properties": {one: dict(value.shape) for one, value in values.items()},
        "required": sorted(needed),
    }
    return action, (needed, set(values)), lambda: whole


def _identity(customer: Mapping[str, Any] | None) -> Any:
    """What of a customer stays the same: their id where there is one."""
    if customer is None:
        return None
    return next((customer[name] for name in ("id", "customer_id", "number") if customer.get(name)), dict(customer))


def _places(error: BaseException) -> str:
    """Where an exception came from, without its message, which may hold values."""
    found = error.__cause__ or error
    return "".join(traceback.format_tb(found.__traceback__)) + type(found).__name__
