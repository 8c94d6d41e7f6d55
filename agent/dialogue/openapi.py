"""An operation of an OpenAPI 3 file as a request: its parameters, its body and its answers, with their schemas.

Every parameter and every property of the body becomes an argument of the action, its name with `_` for what no name can
have ("order-id" is `order_id`). What an operation may have beyond that is refused, with what to do about it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from agent.dialogue.actionspec import ActionSpec, OpenApiSpec, ValueSpec
from agent.dialogue.http_action import Request
from agent.dialogue.schema import follow, unusable
from agent.outbound import checked_url
from agent.yamlfile import FileError, parse_yaml

MOST_BYTES = 8 * 1024 * 1024
"""Largest file read; the largest public ones have a few MB."""
METHODS = ("get", "post", "put", "patch", "delete")
JSON = "application/json"


class OpenApiError(ValueError):
    """The file or the operation cannot be used; `problems` has one sentence each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


def read_operation(spec: ActionSpec, api: OpenApiSpec, folder: Path, headers: Mapping[str, str]) -> Request:
    """The request of an `openapi` action; `folder` is where its file is looked for.

    Raises:
        OpenApiError: the file cannot be read, the operation is not in it, or needs something that is not supported.
    """
    path = (folder / api.file).resolve()
    document = read_document(path)
    try:
        return _request(spec, api, document, headers, path.name)
    except OpenApiError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise OpenApiError(
            [f"{path.name}, operation '{api.operation}' is not written as OpenAPI 3 has it: {error}; correct it"]
        ) from error


def _request(
    spec: ActionSpec, api: OpenApiSpec, document: Mapping[str, Any], headers: Mapping[str, str], file: str
) -> Request:
    where, method, item, operation = find(document, api.operation, file)
    problems: list[str] = []
    server = _server(api, spec, document, item, operation, problems)
    arguments: dict[str, ValueSpec] = {}
    query: dict[str, Any] = {}
    varying: dict[str, str] = {}
    for parameter in _parameters(document, item, operation, problems):
        name = argument_name(parameter["name"])
        if name in arguments:
            problems.append(f"two parameters are called '{name}'; rename one in the file")
        if parameter["in"] == "query":
            query[parameter["name"]] = f"{{{name}}}"
        elif parameter["in"] == "header":
            varying[parameter["name"]] = f"{{{name}}}"
        else:
            where = where.replace(f"{{{parameter['name']}}}", f"{{{name}}}")
        schema = parameter.get("schema", {})
        arguments[name] = ValueSpec(shape=schema, optional=not parameter.get("required", False))
        problems += [f"parameter '{parameter['name']}': {problem}" for problem in unusable(schema, document)]
    body = None
    if "requestBody" in operation:
        body = _body(_resolved(document, operation["requestBody"]), document, arguments, problems)
    answers = _answers(document, operation, api, problems)
    if method in ("put", "patch", "delete") and not spec.side_effects:
        problems.append(f"a {method.upper()} changes something; add 'side_effects: true'")
    left = set(re.findall(r"\{([^}]*)\}", where)) - set(arguments)
    problems += [f"the path has '{{{name}}}', which is no parameter; add it to the file" for name in sorted(left)]
    if problems:
        raise OpenApiError([f"{file}, operation '{api.operation}': {problem}" for problem in problems])
    return Request(
        method.upper(),
        server.rstrip("/") + where,
        query,
        headers,
        body,
        arguments,
        api.ok or tuple(answers),
        api.not_found,
        api.idempotency_header if spec.side_effects else None,
        api.result,
        varying,
        {status: schema for status, schema in answers.items() if schema},
        document,
    )


def read_document(path: Path) -> Mapping[str, Any]:
    """An OpenAPI 3 file, JSON or YAML.

    Raises:
        OpenApiError: it is missing, too large, not JSON or YAML, or of another version.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise OpenApiError([f"{path.name} has more than {MOST_BYTES} bytes; keep only the operations needed"])
        text = path.read_text(encoding="utf-8")
        data = json.loads(text) if path.suffix == ".json" else parse_yaml(text, path).data
    except (OSError, UnicodeDecodeError) as error:
        raise OpenApiError([f"{path.name} cannot be read: {error}"]) from error
    except (ValueError, RecursionError, FileError) as error:
        if isinstance(error, OpenApiError):
            raise
        raise OpenApiError([f"{path.name} is not JSON or YAML: {error}"]) from error
    version = str(data.get("openapi", "")) if isinstance(data, Mapping) else ""
    if not version.startswith("3."):
        raise OpenApiError([f"{path.name} is no OpenAPI 3 file ('openapi: {version}'); convert it to version 3"])
    return dict(data)


def find(
    document: Mapping[str, Any], operation_id: str, name: str
) -> tuple[str, str, Mapping[str, Any], Mapping[str, Any]]:
    """The path, method, path item and operation of `operation_id` in the file `name`.

    Raises:
        OpenApiError: there is none.
    """
    known: list[str] = []
    paths = document.get("paths")
    for path, item in (paths if isinstance(paths, Mapping) else {}).items():
        for method in METHODS:
            operation = item.get(method) if isinstance(item, Mapping) else None
            if isinstance(operation, Mapping):
                known.append(str(operation.get("operationId")))
                if known[-1] == operation_id:
                    return str(path), method, item, operation
    raise OpenApiError([f"{name} has no operation '{operation_id}'; it has {', '.join(sorted(known)[:20]) or 'none'}"])


def argument_name(name: str) -> str:
    """How a parameter is called as an argument: "order-id" is `order_id`."""
    return re.sub(r"\W|^(?=\d)", "_", name)


def _server(
    api: OpenApiSpec,
    spec: ActionSpec,
    document: Mapping[str, Any],
    item: Mapping[str, Any],
    operation: Mapping[str, Any],
    problems: list[str],
) -> str:
    given: Mapping[str, Any] = next(
        (part["servers"][0] for part in (operation, item, document) if part.get("servers")), {}
    )
    url = api.server or str(given.get("url", ""))
    try:
        checked_url("the server's", url, spec.allow_private)
        if "{" in url or "?" in url:
            raise ValueError(f"the server's URL '{url}' has a part to be filled in")
    except ValueError as error:
        problems.append(f"{error}; give 'server'")
    return url


def _parameters(
    document: Mapping[str, Any], item: Mapping[str, Any], operation: Mapping[str, Any], problems: list[str]
) -> Iterator[Mapping[str, Any]]:
    """The parameters that are sent; those of the operation win over those of its path."""
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for written in (*item.get("parameters", ()), *operation.get("parameters", ())):
        try:
            parameter = _resolved(document, written)
            found[str(parameter["name"]), str(parameter["in"])] = parameter
        except (ValueError, KeyError, TypeError) as error:
            problems.append(f"a parameter cannot be read: {error}")
    for (name, place), parameter in found.items():
        if place not in ("path", "query", "header"):
            if parameter.get("required"):
                problems.append(f"parameter '{name}' goes into a {place}, which is not supported; call it by 'http'")
        elif "schema" not in parameter or parameter.get("style", "form" if place == "query" else "simple") not in (
            "form",
            "simple",
        ):
            problems.append(f"parameter '{name}' is written in a way that is not supported; call it by 'http'")
        elif place != "header" or name.lower() not in ("accept", "content-type", "authorization"):
            yield parameter


def _body(
    body: Mapping[str, Any], document: Mapping[str, Any], arguments: dict[str, ValueSpec], problems: list[str]
) -> Any:
    """The template of the body; its properties are added to `arguments`."""
    content = body.get("content", {})
    if JSON not in content:
        problems.append(f"the body is {', '.join(content) or 'nothing known'}, not {JSON}; call it by 'http'")
        return None
    schema = content[JSON].get("schema", {})
    found = list(unusable(schema, document))
    if found:
        problems += [f"the body: {problem}" for problem in found]
        return None
    flat = _resolved(document, schema)
    properties = flat.get("properties")
    required = bool(body.get("required", False))
    if not isinstance(properties, Mapping) or any(word in flat for word in ("allOf", "anyOf", "oneOf")):
        arguments["body"] = ValueSpec(shape=schema, optional=not required)
        return "{body}"
    template: dict[str, str] = {}
    for name, inner in properties.items():
        argument = argument_name(name)
        if argument in arguments:
            problems.append(f"'{name}' is both in the body and a parameter; rename one in the file")
        if not _resolved(document, inner if isinstance(inner, Mapping) else {}).get("readOnly"):
            needed = required and name in flat.get("required", ())
            arguments[argument] = ValueSpec(shape=inner, optional=not needed)
            template[name] = f"{{{argument}}}"
    return template


def _answers(
    document: Mapping[str, Any], operation: Mapping[str, Any], api: OpenApiSpec, problems: list[str]
) -> dict[int, Mapping[str, Any]]:
    """The schema of each status that is an answer; empty where the file says nothing of it."""
    found: dict[int, Mapping[str, Any]] = {}
    for status, written in operation.get("responses", {}).items():
        if not re.fullmatch(r"2\d\d", str(status)) or (api.ok and int(status) not in api.ok):
            continue
        try:
            content = _resolved(document, written).get("content", {})
        except ValueError as error:
            problems.append(f"answer {status}: {error}")
            continue
        schema = content.get(JSON, {}).get("schema", {}) if isinstance(content, Mapping) else {}
        if content and JSON not in content:
            problems.append(f"answer {status} is {', '.join(content)}, not {JSON}; call it by 'http'")
        problems += [f"answer {status}: {problem}" for problem in unusable(schema, document)]
        found[int(status)] = schema
    if not found and not api.ok:
        problems.append("no answer has a status of 2xx; give 'ok'")
    return found


def _resolved(document: Mapping[str, Any], part: Any) -> Mapping[str, Any]:
    """`part`, or what it refers to.

    Raises:
        ValueError: a reference leads nowhere, outside, or round in a circle.
    """
    for _ in range(16):
        if not isinstance(part, Mapping):
            raise ValueError(f"a {type(part).__name__} stands where an object belongs")
        if "$ref" not in part:
            return part
        part = follow(document, str(part["$ref"]))
    raise ValueError("a reference goes round in a circle; correct it")
