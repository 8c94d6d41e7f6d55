"""An action that is a Python function on the business's own database."""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Mapping
from typing import Any, get_type_hints

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError
from sqlalchemy.exc import OperationalError

from agent.dialogue.actioncontext import ActionContext, ActionFailed, Database
from agent.outbound import NotNow

MAY_PASS = (ConnectionError, TimeoutError, OperationalError)
"""Exceptions that another try may not meet again: a lost connection, a database that is locked."""


class PythonAction:
    """Runs `async def function(database, arguments: BaseModel, context) -> BaseModel`."""

    def __init__(self, name: str, function: Any, schema: type[BaseModel], database: Database | None) -> None:
        self._name = name
        self._function = function
        self._schema = schema
        self._database = database

    async def __call__(self, arguments: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """Run the action once.

        Raises:
            ActionFailed: the arguments do not fit its model, or what it returns is no model or not JSON.
            NotNow: a failure of `MAY_PASS`.
            Exception: whatever else the function raises.
        """
        try:
            checked = self._schema.model_validate(arguments)
        except ValidationError as error:
            raise ActionFailed(
                "bad_arguments", f"action '{self._name}' was given something that does not fit: {explained(error)}"
            ) from None
        try:
            result = await self._function(self._database, checked, context)
        except MAY_PASS as error:
            raise NotNow(type(error).__name__, f"action '{self._name}' met a {type(error).__name__}") from error
        if not isinstance(result, BaseModel):
            raise ActionFailed(
                "bad_result", f"action '{self._name}' returned a {type(result).__name__}; return a pydantic model"
            )
        try:
            # As JSON, pydantic would write null for a number that is not finite.
            sound = _finite(result.model_dump())
            dumped = result.model_dump(mode="json")
        except (PydanticSerializationError, RecursionError) as error:
            raise ActionFailed("bad_result", f"action '{self._name}' returned what is not JSON") from error
        if not sound:
            raise ActionFailed("bad_result", f"action '{self._name}' returned a number that is not finite")
        return dumped


def _finite(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(_finite(inner) for inner in value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return all(_finite(inner) for inner in value)
    return not isinstance(value, float) or math.isfinite(value)


def explained(error: ValidationError) -> str:
    """What does not fit, by field, without the values."""
    found = error.errors(include_input=False, include_url=False, include_context=False)
    return "; ".join(f"{'.'.join(str(part) for part in item['loc']) or 'it'}: {item['msg']}" for item in found[:3])


def entry_point(entry: str) -> Any:
    """What `module:function` names.

    Raises:
        ValueError: it cannot be imported or has no such name.
    """
    module, _, name = entry.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"entry point '{entry}' cannot be used: {error}; write it as module:function") from error


def arguments_model(function: Any) -> type[BaseModel] | None:
    """The model of the second parameter of an action's function; None where it is no such function."""
    if not inspect.iscoroutinefunction(function):
        return None
    names = list(inspect.signature(function).parameters)
    found = get_type_hints(function).get(names[1]) if len(names) == 3 else None
    return found if inspect.isclass(found) and issubclass(found, BaseModel) else None
