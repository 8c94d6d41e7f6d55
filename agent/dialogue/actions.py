"""Running a domain's actions: Python functions on the business's own database, and signed webhooks.

An action with side effects runs in a task of its own that a barge-in does not cancel, once per idempotency key
(call, action, arguments); its outcome is kept and told later. A read-only action is cancelled with whoever asked.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import inspect
import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, get_type_hints

from pydantic import BaseModel, ValidationError

from agent.clock import Clock
from agent.dialogue.actionspec import ActionSpec
from agent.dialogue.contracts import Acted
from agent.dialogue.domain import Domain
from agent.dialogue.loader import DomainError
from agent.dialogue.webhook import WebhookAction

log = logging.getLogger(__name__)

MOST_RUNNING = 256
"""Actions running at once in the process; more are refused with the error `overloaded`."""
MOST_KEPT = 64
"""Outcomes kept per call for idempotency; the oldest goes first."""


@dataclass(frozen=True, slots=True)
class ActionContext:
    """What an action knows of its call. `key` is the idempotency key."""

    call_id: str
    key: str
    clock: Clock


Runnable = Callable[[Mapping[str, Any], ActionContext], Awaitable[Mapping[str, Any]]]


class Database(Protocol):
    """What a domain's `database` entry point opens."""

    async def close(self) -> None:
        """Give back connections."""
        ...


class Actions:
    """The actions of a domain, ready to run. Owns the tasks; `close` waits for those with side effects."""

    def __init__(
        self,
        specs: Mapping[str, ActionSpec],
        runnables: Mapping[str, Runnable],
        clock: Clock,
        database: Database | None,
    ) -> None:
        self.specs = specs
        self._runnables = runnables
        self._clock = clock
        self._database = database
        self._tasks: set[asyncio.Task[Acted]] = set()

    def for_call(self, call_id: str) -> CallActions:
        """The actions of one call, with its idempotency."""
        return CallActions(self, call_id)

    def start(self, name: str, arguments: Mapping[str, Any], call_id: str, key: str) -> asyncio.Task[Acted]:
        """Run an action in a task owned here."""
        task = asyncio.create_task(self._run(name, arguments, call_id, key), name=f"action {name} {call_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self, grace_s: float = 5.0) -> None:
        """Wait up to `grace_s` for running actions, cancel the rest, close the database."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace_s)
            for task in late:
                log.warning("action %s was still running at close", task.get_name())
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        if self._database is not None:
            await self._database.close()

    async def _run(self, name: str, arguments: Mapping[str, Any], call_id: str, key: str) -> Acted:
        began = self._clock.now_ms()
        spec = self.specs[name]
        result: Mapping[str, Any]
        ok = False
        work: asyncio.Task[Mapping[str, Any]] | None = None
        if len(self._tasks) > MOST_RUNNING:
            result = {"error": "overloaded"}
        else:
            context = ActionContext(call_id, key, self._clock)
            work = asyncio.ensure_future(self._runnables[name](arguments, context))
            limit = asyncio.ensure_future(self._clock.sleep_until(began + spec.timeout_s * 1000.0))
            try:
                await asyncio.wait({work, limit}, return_when=asyncio.FIRST_COMPLETED)
                if work.done():
                    result, ok = await work, True
                else:
                    result = {"error": "timeout"}
                    log.error("action %s gave no answer in %.1f s (call %s)", name, spec.timeout_s, call_id)
            except Exception as error:
                result = {"error": type(error).__name__}
                log.exception("action %s failed (call %s)", name, call_id)
            finally:
                for task in (work, limit):
                    task.cancel()
                await asyncio.gather(work, limit, return_exceptions=True)
        return Acted(name, dict(arguments), ok, dict(result), key, False, self._clock.now_ms() - began)


class CallActions:
    """One call's actions: the same action with the same arguments and side effects runs once."""

    def __init__(self, actions: Actions, call_id: str) -> None:
        self._actions = actions
        self._call_id = call_id
        self._tasks: dict[str, asyncio.Task[Acted]] = {}

    def key(self, name: str, arguments: Mapping[str, Any]) -> str:
        """The idempotency key: 32 hex digits of SHA-256 over call, action and arguments."""
        text = json.dumps([self._call_id, name, arguments], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def spec(self, name: str) -> ActionSpec:
        """The specification of `name`."""
        return self._actions.specs[name]

    def start(self, name: str, arguments: Mapping[str, Any]) -> tuple[asyncio.Task[Acted], bool]:
        """Start an action, or join the one that ran or runs with the same key; (task, joined).

        A failed action is run again, with the same key.
        """
        key = self.key(name, arguments)
        task = self._tasks.get(key)
        if task is not None and not (task.done() and (task.cancelled() or not task.result().ok)):
            return task, True
        task = self._actions.start(name, arguments, self._call_id, key)
        if self.spec(name).side_effects:
            self._tasks[key] = task
            while len(self._tasks) > MOST_KEPT:
                del self._tasks[next(iter(self._tasks))]
        return task, False


async def open_actions(domain: Domain, clock: Clock, database_url: str | None = None) -> Actions:
    """Resolve the domain's entry points, open its database and check every use of an action against its schema.

    Raises:
        DomainError: an entry point cannot be imported, or a flow gives an action wrong arguments.
    """
    problems: list[str] = []
    manner = domain.manner
    database: Database | None = None
    if manner.database is not None:
        if database_url is None:
            raise DomainError([f"domain '{domain.name}' has a database; give its URL (dialogue.database_url)"])
        opener = _entry(manner.database, f"domain '{domain.name}'", problems)
        if opener is not None:
            database = await opener(database_url, clock)
    runnables: dict[str, Runnable] = {}
    parameters: dict[str, tuple[set[str], set[str]]] = {}
    for name, spec in manner.actions.items():
        where = domain.lines[f"action.{name}"]
        if spec.webhook is not None:
            secret = os.environ.get(spec.secret_env or "", "")
            if not secret:
                problems.append(f"{where}: environment variable {spec.secret_env} is empty; set the signing secret")
            runnables[name] = WebhookAction(spec.webhook, secret, spec.timeout_s, spec.allow_private, name)
            parameters[name] = (set(spec.parameters), set(spec.parameters))
            continue
        function = _entry(str(spec.python), f"{where}: action '{name}'", problems)
        schema = None if function is None else _schema(function)
        if function is not None and schema is None:
            problems.append(f"{where}: {spec.python} is not `async def f(database, arguments: BaseModel, context)`")
        elif function is not None and schema is not None:
            runnables[name] = _python(function, schema, database)
            fields = schema.model_fields
            parameters[name] = ({n for n, field in fields.items() if field.is_required()}, set(fields))
    for where, name, arguments in domain.action_uses():
        needed, allowed = parameters.get(name, (set(), set(arguments)))
        missing, extra = sorted(needed - set(arguments)), sorted(set(arguments) - allowed)
        problems += [f"{where}: action '{name}' needs the argument '{one}'; add it" for one in missing]
        problems += [f"{where}: action '{name}' takes no argument '{one}'; remove it" for one in extra]
    if problems:
        if database is not None:
            await database.close()
        raise DomainError(problems)
    return Actions(manner.actions, runnables, clock, database)


def _entry(entry: str, who: str, problems: list[str]) -> Any:
    module, _, name = entry.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        problems.append(f"{who}: entry point '{entry}' cannot be used: {error}; write it as module:function")
        return None


def _schema(function: Any) -> type[BaseModel] | None:
    if not inspect.iscoroutinefunction(function):
        return None
    hints = get_type_hints(function)
    names = list(inspect.signature(function).parameters)
    found = hints.get(names[1]) if len(names) == 3 else None
    return found if inspect.isclass(found) and issubclass(found, BaseModel) else None


def _python(function: Any, schema: type[BaseModel], database: Database | None) -> Runnable:
    async def run(arguments: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        try:
            checked = schema.model_validate(arguments)
        except ValidationError as error:
            raise ValueError(f"arguments do not fit: {error}") from error
        result: BaseModel = await function(database, checked, context)
        return result.model_dump(mode="json")

    return run
