"""The files of a domain folder as data, and taking from another domain what a domain does not say itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent.yamlfile import FileError, YamlFile, read_yaml

SHIPPED = Path(__file__).parents[2] / "configs" / "domains"
"""Where `extends` looks for a domain that is not beside the one that names it."""
_MERGED = ("phrases", "listening", "understanding", "knowledge", "emotion")
"""Keys of domain.yaml whose own keys win one by one."""


@dataclass(frozen=True, slots=True)
class DomainFiles:
    """What the YAML files of a domain hold; `folder` is where its other files are."""

    folder: Path
    manner: YamlFile
    intents: YamlFile
    flows: YamlFile


def read_files(path: Path, problems: list[str]) -> DomainFiles | None:
    """The files in folder `path`, with what they take from the domain they extend; None where one cannot be read."""
    found: list[YamlFile] = []
    for name in ("domain.yaml", "intents.yaml", "flows.yaml"):
        try:
            file = read_yaml(path / name)
        except FileError as error:
            problems += error.problems
            continue
        if not isinstance(file.data, dict):
            problems.append(f"{file.path}: holds no keys; write what docs/domains.md shows")
            continue
        found.append(file)
    if len(found) < 3:
        return None
    manner, intents, flows = found
    base_name = manner.data.get("extends")
    if base_name is None:
        return DomainFiles(path, manner, intents, flows)
    base = base_folder(path, str(base_name))
    if base is None:
        problems.append(
            manner.problem(("extends",), f"there is no domain '{base_name}' beside this one; name one, or 'common'")
        )
        return None
    try:
        base_manner, base_intents = read_yaml(base / "domain.yaml"), read_yaml(base / "intents.yaml")
    except FileError as error:
        problems += error.problems
        return None
    return DomainFiles(
        path,
        replace(manner, data=merged_manner(base_manner.data, manner.data)),
        replace(intents, data=merged_intents(base_intents.data, intents.data)),
        flows,
    )


def base_folder(path: Path, name: str) -> Path | None:
    """The folder of the domain `name` that the one in `path` extends."""
    return next((folder for folder in (path.parent / name, SHIPPED / name) if (folder / "domain.yaml").is_file()), None)


def merged_manner(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """domain.yaml with the base's where it has none: phrases, listening and thresholds by key, escalation by name."""
    result = {**base, **own}
    for key in _MERGED:
        ours, theirs = own.get(key), base.get(key)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            result[key] = {**theirs, **ours}
            inner = [one.get("say") for one in (theirs, ours)]
            if key == "emotion" and all(isinstance(say, dict) for say in inner):
                result[key]["say"] = {**(inner[0] or {}), **(inner[1] or {})}
    result["escalation"] = _by_name(base.get("escalation"), own.get("escalation"))
    return result


def merged_intents(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """intents.yaml with the base's intents, groups out of scope and slots that it has none of the name of."""
    result = dict(own)
    for key in ("intents", "out_of_scope", "slots"):
        ours, theirs = own.get(key, {}), base.get(key, {})
        if isinstance(ours, dict) and isinstance(theirs, dict):
            result[key] = {**{name: value for name, value in theirs.items() if name not in ours}, **ours}
    return result


def _by_name(base: Any, own: Any) -> Any:
    if not isinstance(own, list | None) or not isinstance(base, list | None):
        return own
    names = {rule.get("name") for rule in own or [] if isinstance(rule, dict)}
    return [*(own or []), *(rule for rule in base or [] if rule.get("name") not in names)]
