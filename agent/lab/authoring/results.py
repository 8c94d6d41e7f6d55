"""What actions give back, as far as their Python models say it."""

from __future__ import annotations

import enum
import importlib
import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from agent.dialogue.domain import Domain


class Results:
    """The result models of a domain's Python actions; actions of other kinds are not known."""

    def __init__(self, domain: Domain) -> None:
        """Entry points that cannot be imported are left out: opening the actions tells of them."""
        self._models: dict[str, type[BaseModel]] = {}
        for name, spec in domain.manner.actions.items():
            model = None if spec.python is None else _result_model(spec.python)
            if model is not None:
                self._models[name] = model

    def values(self, action: str, path: str) -> set[str] | None:
        """The values that a field of the result can have, as lower-case text; None where the model does not say."""
        found = self._annotation(action, path)
        return None if found is None else _values(found)

    def lacking(self, action: str, path: str) -> set[str] | None:
        """The fields there are, where the result has none at `path`; None where it has one, or nobody knows."""
        model: Any = self._models.get(action)
        for part in path.split("."):
            model = _model(model)
            if model is None or model.model_config.get("extra") == "allow":
                return None
            names = {*model.model_fields, *model.model_computed_fields}
            if part not in names:
                return names
            model = _field(model, part)
        return None

    def _annotation(self, action: str, path: str) -> Any:
        found: Any = self._models.get(action)
        for part in path.split("."):
            found = _model(found)
            if found is None or part not in {*found.model_fields, *found.model_computed_fields}:
                return None
            found = _field(found, part)
        return found


def _result_model(entry: str) -> type[BaseModel] | None:
    module, _, name = entry.partition(":")
    try:
        hint = get_type_hints(getattr(importlib.import_module(module), name)).get("return")
    except Exception:  # whatever importing a module of the business raises is told where actions are opened
        return None
    return _model(hint)


def _field(model: type[BaseModel], name: str) -> Any:
    field = model.model_fields.get(name)
    return field.annotation if field is not None else model.model_computed_fields[name].return_type


def _model(annotation: Any) -> type[BaseModel] | None:
    """The model in an annotation such as `Order` or `Order | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, types.UnionType):
        found = [_model(arm) for arm in get_args(annotation) if arm is not type(None)]
        return found[0] if len(found) == 1 else None
    return None


def _values(annotation: Any) -> set[str] | None:
    origin = get_origin(annotation)
    if origin is Literal:
        return {_text(value) for value in get_args(annotation)}
    if origin in (Union, types.UnionType):
        arms = [_values(arm) for arm in get_args(annotation)]
        return None if any(arm is None for arm in arms) else {value for arm in arms if arm for value in arm}
    if annotation is bool:
        return {"true", "false"}
    if annotation is type(None):
        return {"none"}
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return {_text(member.value) for member in annotation}
    return None


def _text(value: Any) -> str:
    return "none" if value is None else str(value.value if isinstance(value, enum.Enum) else value).lower()
