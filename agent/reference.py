"""The reference of all settings, made from `agent.config` itself, so that the two cannot differ."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from agent.config import PREFIX, GatewaySettings, Secrets, Settings

_UNITS = {
    "_days": "days",
    "_per_s": "1/s",
    "_ms": "ms",
    "_s": "s",
    "_mb": "MB",
    "_frames": "frames of 32 ms",
}
_HEAD = "| setting | default | unit | allowed | what it is, and why this value |"
_BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. `default` and `allowed` are for reading; `reason` says what it is and where its value comes from."""

    section: str
    key: str
    default: str
    unit: str
    allowed: str
    reason: str


def settings_reference() -> Iterator[Setting]:
    """Every setting but the secrets, in the order of `agent config`."""
    for shown, model in sections():
        reasons = field_docs(model)
        for key, setting in model.model_fields.items():
            if inspect.isclass(setting.annotation) and issubclass(setting.annotation, BaseModel):
                continue
            unit = next((unit for tail, unit in _UNITS.items() if key.endswith(tail)), "")
            default = _written(setting.get_default(call_default_factory=True))
            yield Setting(shown, key, default, unit, _allowed(setting), reasons.get(key, ""))


def sections() -> Iterator[tuple[str, type[BaseModel]]]:
    """Every section but the secrets, those inside others after them; one section stands for all gateways."""
    for section, field in Settings.model_fields.items():
        model = GatewaySettings if section == "gateways" else field.annotation
        if model is Secrets or not (inspect.isclass(model) and issubclass(model, BaseModel)):
            continue
        shown = "gateways.NAME" if section == "gateways" else section
        yield shown, model
        for name, inner in model.model_fields.items():
            if inspect.isclass(inner.annotation) and issubclass(inner.annotation, BaseModel):
                yield f"{shown}.{name}", inner.annotation


def secrets_reference() -> Iterator[tuple[str, str]]:
    """Every secret: the environment variable, and what it is for."""
    reasons = field_docs(Secrets)
    for name in Secrets.model_fields:
        variable = PREFIX + {"keys": "KEY_<GATEWAY>", "rest": "REST_<GATEWAY>"}.get(name, name.upper())
        yield variable, reasons.get(name, "").removeprefix(f"{variable}: ")


def markdown() -> str:
    """The reference as Markdown: a table for each section, then the secrets."""
    lines: list[str] = []
    models = dict(sections())
    section = ""
    for row in settings_reference():
        if row.section != section:
            section = row.section
            about = inspect.getdoc(models[section]) or ""
            lines += ["", f"### {section}", "", about.splitlines()[0], ""]
            lines += [_HEAD, "|---|---|---|---|---|"]
        cells = (f"`{row.key}`", row.default, row.unit, row.allowed, row.reason)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    lines += ["", "### Secrets", "", "| variable | what it is for |", "|---|---|"]
    lines += [f"| `{variable}` | {use} |" for variable, use in secrets_reference()]
    return "\n".join(lines).strip() + "\n"


def field_docs(model: type[BaseModel]) -> dict[str, str]:
    """The text under each field of `model`, in one line."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    assert isinstance(tree, ast.ClassDef)
    found: dict[str, str] = {}
    for field, text in zip(tree.body, tree.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
            and isinstance(text.value.value, str)
        ):
            found[field.target.id] = " ".join(text.value.value.split())
    return found


def _written(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, dict)) and not value:
        return "empty"
    return f"`{value}`" if isinstance(value, (str, Path)) else str(value)


def _allowed(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(field.annotation))
    if field.annotation is bool:
        return "true, false"
    bounds = [
        f"{words} {getattr(limit, name):g}"
        for limit in field.metadata
        for name, words in _BOUNDS.items()
        if getattr(limit, name, None) is not None
    ]
    return ", ".join(bounds)
