"""A domain in another language: the same flows and rules with other words.

A folder named after the language (`zh/`) inside the domain's holds `texts.yaml`, every spoken text and its translation,
`intents.yaml`, what callers say in that language, `domain.yaml`, the patterns and thresholds that differ, and
`knowledge/`. Steps keep their places, so a call can change its language anywhere without losing its state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.dialogue.extending import DomainFiles, base_folder, merged_intents, merged_manner
from agent.dialogue.text import holes
from agent.yamlfile import FileError, Where, YamlFile, read_yaml

_STEP_TEXTS = ("say", "confirm", "text", "reprompts", "wrong", "read_back", "filler")
_ACTION_TEXTS = ("filler", "late", "confirm")
_OWN_WORDS = frozenset({"listening", "understanding", "knowledge", "emotion", "escalation", "business", "persona"})
"""What a translation's domain.yaml may hold."""

Take = Callable[[str, Where], str]


def translated(files: DomainFiles, language: str, problems: list[str]) -> DomainFiles | None:
    """`files` in `language`; every text without a translation is a problem, as is a translation of nothing."""
    folder = files.folder / language
    if not folder.is_dir():
        problems.append(
            files.manner.problem(
                ("languages",), f"there is no folder {folder}; write texts.yaml and intents.yaml there"
            )
        )
        return None
    own = _table(folder / "texts.yaml", problems)
    base_name = files.manner.data.get("extends")
    base = base_folder(files.folder, str(base_name)) if base_name else None
    shared = _table(base / language / "texts.yaml", problems) if base and (base / language).is_dir() else None
    table = {**(shared.data if shared else {}), **(own.data if own else {})}
    used: set[str] = set()

    def take(text: str, where: Where) -> str:
        used.add(text)
        found = table.get(text)
        if not isinstance(found, str) or not found.strip():
            problems.append(f"{folder / 'texts.yaml'}: there is no translation of {text!r}; add it")
            return text
        if {path for path, _ in holes(found)} - {path for path, _ in holes(text)}:
            problems.append(f"{folder / 'texts.yaml'}: {found!r} names a value that {text!r} does not; use the same")
        return found

    manner = _manner_in(files.manner.data, take)
    flows = _flows_in(files.flows.data, take)
    if own is not None:
        problems += [
            own.problem((text,), f"nothing says {text!r} any more; remove it or correct it")
            for text in own.data
            if text not in used
        ]
    manner = _with_words(manner, _own_words(folder, base / language if base else None, problems), folder, problems)
    manner["language"] = language
    intents = _intents_in(files.intents, folder, base / language if base else None, problems)
    if intents is None:
        return None
    return DomainFiles(folder, replace(files.manner, data=manner), intents, replace(files.flows, data=flows))


def _table(path: Path, problems: list[str]) -> YamlFile | None:
    try:
        file = read_yaml(path)
    except FileError as error:
        problems += error.problems
        return None
    if not isinstance(file.data, dict):
        problems.append(f"{path}: holds no texts; write 'text: translation' lines")
        return None
    return file


def _manner_in(data: Mapping[str, Any], take: Take) -> dict[str, Any]:
    result = dict(data)
    if "greeting" in data:
        result["greeting"] = _phrase(data["greeting"], take, ("greeting",))
    result["disclosures"] = [take(text, ("disclosures",)) for text in data.get("disclosures", ())]
    if "offer" in data:
        result["offer"] = take(str(data["offer"]), ("offer",))
    result["phrases"] = {
        name: _phrase(value, take, ("phrases", name)) for name, value in dict(data.get("phrases", {})).items()
    }
    result["escalation"] = [
        {**rule, "say": _phrase(rule["say"], take, ("escalation",))} if "say" in rule else rule
        for rule in data.get("escalation", ())
    ]
    result["actions"] = {
        name: {key: take(value, ("actions", name)) if key in _ACTION_TEXTS else value for key, value in spec.items()}
        for name, spec in dict(data.get("actions", {})).items()
    }
    result["offers"] = [{**one, "say": take(one["say"], ("offers",))} for one in data.get("offers", ())]
    emotion = dict(data.get("emotion", {}))
    if "say" in emotion:
        emotion["say"] = {
            label: [take(text, ("emotion", "say", label)) for text in texts] for label, texts in emotion["say"].items()
        }
        result["emotion"] = emotion
    return result


def _phrase(value: Any, take: Take, where: Where) -> Any:
    if isinstance(value, str):
        return take(value, where)
    if isinstance(value, list):
        return [take(str(text), where) for text in value]
    if isinstance(value, dict) and "text" in value:
        return {**value, "text": _phrase(value["text"], take, where)}
    return value


def _flows_in(data: Mapping[str, Any], take: Take) -> dict[str, Any]:
    flows = {}
    for name, flow in dict(data.get("flows", {})).items():
        where: Where = ("flows", name)
        flows[name] = {
            **flow,
            "title": take(flow["title"], where),
            "offer": take(flow["offer"], where),
            "steps": [_step(step, take, (*where, "steps", n)) for n, step in enumerate(flow["steps"])],
        }
    return {**data, "flows": flows}


def _step(step: Mapping[str, Any], take: Take, where: Where) -> dict[str, Any]:
    result = dict(step)
    for key in _STEP_TEXTS:
        value = step.get(key)
        if isinstance(value, str):
            result[key] = take(value, (*where, key))
        elif isinstance(value, list):
            result[key] = [take(str(text), (*where, key)) for text in value]
    if isinstance(step.get("valid"), dict) and "wrong" in step["valid"]:
        result["valid"] = {**step["valid"], "wrong": take(step["valid"]["wrong"], (*where, "valid"))}
    return result


def _with_words(manner: dict[str, Any], own: Mapping[str, Any], folder: Path, problems: list[str]) -> dict[str, Any]:
    """`manner` with the language's own words; a rule of escalation keeps all that its namesake here does not give."""
    rules = {rule.get("name"): rule for rule in own.get("escalation") or [] if isinstance(rule, dict)}
    kept = [{**rule, **rules.pop(rule.get("name"), {})} for rule in manner.get("escalation") or []]
    problems += [
        f"{folder / 'domain.yaml'}: the domain has no escalation rule '{name}'; correct the name" for name in rules
    ]
    return {**merged_manner(manner, own), "escalation": kept}


def _own_words(folder: Path, base: Path | None, problems: list[str]) -> dict[str, Any]:
    """The patterns of the language: the base's, then the domain's own; escalation gives words by the rule's name."""
    result: dict[str, Any] = {}
    for one in (base, folder):
        path = one / "domain.yaml" if one else None
        if path is None or not path.is_file():
            continue
        file = _table(path, problems)
        if file is None:
            continue
        problems += [
            file.problem((key,), f"a translation has no '{key}'; keep it in the domain's own file")
            for key in file.data
            if key not in _OWN_WORDS
        ]
        result = merged_manner(result, file.data)
    return result


def _intents_in(original: YamlFile, folder: Path, base: Path | None, problems: list[str]) -> YamlFile | None:
    file = _table(folder / "intents.yaml", problems)
    if file is None:
        return None
    data = file.data
    if base is not None and (base / "intents.yaml").is_file():
        shared = _table(base / "intents.yaml", problems)
        data = merged_intents(shared.data, data) if shared else data
    intents = {}
    for name, intent in original.data["intents"].items():
        if name not in data.get("intents", {}):
            problems.append(f"{file.path}: intent '{name}' has no examples in this language; add it under 'intents'")
            continue
        intents[name] = {**intent, "examples": data["intents"][name]["examples"]}
    problems += [
        file.problem(("intents", name), f"the domain has no intent '{name}'; remove it")
        for name in data.get("intents", {})
        if name not in original.data["intents"]
    ]
    slots = {
        name: {**options, **data.get("slots", {}).get(name, {})}
        for name, options in original.data.get("slots", {}).items()
    }
    return replace(file, data={"intents": intents, "out_of_scope": data.get("out_of_scope", {}), "slots": slots})
