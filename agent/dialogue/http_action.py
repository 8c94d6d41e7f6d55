"""An action that is one HTTP request with a JSON answer."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from agent.clock import Clock
from agent.dialogue.actioncontext import MOST_BYTES, ActionContext, ActionFailed
from agent.dialogue.actionspec import ActionSpec, HttpSpec, ResultSpec, ValueSpec
from agent.dialogue.schema import Schema, check, finite
from agent.dialogue.text import look_up
from agent.outbound import Answer, Outside

MOST_PROBLEMS = 3
"""Problems of one value that a message lists."""

_HOLE = re.compile(r"\{([a-z_][\w.]*)\}", re.IGNORECASE)
_FROM_ENVIRONMENT = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")


@dataclass(frozen=True, slots=True)
class Request:
    """How arguments become a request and its answer a result.

    url, query, varying and body are templates; headers are sent as they are, those in `varying` if they have a value.
    parameters: what the arguments must be. answers: the schema of the whole answer by status, with `document` for its
    references. result: what is taken from it; all of it where empty.
    """

    method: str
    url: str
    query: Mapping[str, Any]
    headers: Mapping[str, str]
    body: Any
    parameters: Mapping[str, ValueSpec]
    ok: Collection[int]
    not_found: Collection[int] = ()
    idempotency_header: str | None = None
    result: Mapping[str, ResultSpec] = field(default_factory=dict)
    varying: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[int, Schema] = field(default_factory=dict)
    document: Any = None

    @classmethod
    def of(cls, spec: ActionSpec, http: HttpSpec, headers: Mapping[str, str]) -> Request:
        """The request of an `http` action; `headers` are those of the spec with the environment's values."""
        return cls(
            http.method,
            http.url,
            http.query,
            headers,
            http.body,
            spec.parameters or {name: ValueSpec() for name in sorted(http.arguments())},
            http.ok,
            http.not_found,
            http.idempotency_header if spec.side_effects else None,
            http.result,
        )


class HttpAction:
    """Sends a `Request`. The host's address, the size and the time are watched over by `agent.outbound.Outside`."""

    def __init__(
        self,
        name: str,
        request: Request,
        clock: Clock,
        timeout_s: float,
        allow_private: bool,
    ) -> None:
        self._name = name
        self._request = request
        self._timeout_s = timeout_s
        self._outside = Outside(f"action '{name}'", clock, MOST_BYTES, allow_private)

    async def __call__(self, arguments: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """Run the action once.

        Raises:
            ActionFailed: the arguments do not fit (bad_arguments), or the answer does not (bad_result).
            OutboundError: there is no answer.
        """
        request = self._request
        fit_arguments(self._name, arguments, request.parameters, request.document)
        scope = {**_of_context(context), **arguments}
        url = urlsplit(_filled_path(request.url, scope, self._name))
        asked = urlencode(list(_query(request.query, scope)), quote_via=quote)
        headers = {"Accept": "application/json", **request.headers, **self._varying(scope)}
        body = None
        if request.body is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(_filled(request.body, scope), ensure_ascii=False, allow_nan=False).encode(
                "utf-8", "replace"
            )
        if request.idempotency_header is not None:
            headers[request.idempotency_header] = context.key
        answer = await self._outside.send(
            request.method,
            url._replace(query="&".join(part for part in (url.query, asked) if part)),
            headers,
            body,
            self._timeout_s,
            accepted=(*request.ok, *request.not_found),
        )
        if answer.status in request.not_found:
            return {"found": False}
        result = self._result(answer.status, read_answer(answer, self._name))
        return {"found": True, **result} if request.not_found else result

    def _varying(self, scope: Mapping[str, Any]) -> dict[str, str]:
        filled = {header: _filled(template, scope) for header, template in self._request.varying.items()}
        headers = {header: _plain(value) for header, value in filled.items() if value is not None}
        for header, text in headers.items():
            if not text.isascii() or not text.isprintable():
                raise ActionFailed("bad_arguments", f"action '{self._name}' was given no usable value for {header}")
        return headers

    def _result(self, status: int, answer: Any) -> Mapping[str, Any]:
        request = self._request
        if status in request.answers:
            problems = check(answer, request.answers[status], request.document)
            _refuse("bad_result", f"action '{self._name}' answered", problems)
        if not request.result:
            if not isinstance(answer, dict):
                raise ActionFailed(
                    "bad_result", f"action '{self._name}' answered {_kind(answer)}; name what is wanted in 'result'"
                )
            return answer
        return picked(answer, request.result, self._name)


def fit_arguments(name: str, arguments: Mapping[str, Any], wanted: Mapping[str, ValueSpec], document: Any) -> None:
    """Check the arguments of an action.

    Raises:
        ActionFailed: bad_arguments, with what is wrong and never with a value.
    """
    problems = [f"{one} is not known" for one in arguments if one not in wanted]
    for key, spec in wanted.items():
        value = arguments.get(key)
        # What has no schema may be null; what has one says so itself.
        if value is None and (key not in arguments or (spec.shape and not spec.shape.get("nullable"))):
            problems += [] if spec.optional else [f"{key} is missing"]
        else:
            problems += [*check(value, spec.shape, document, key), *(f"{key} {one}" for one in finite(value))]
    _refuse("bad_arguments", f"action '{name}' was given", iter(problems))


def read_answer(answer: Answer, name: str) -> Any:
    """The JSON value of an answer; an empty body is an empty object.

    Raises:
        ActionFailed: bad_result; it is something else, or has a number that is not finite.
    """
    if not answer.body.strip():
        return {}
    if answer.media_type and not (answer.media_type == "application/json" or answer.media_type.endswith("+json")):
        raise ActionFailed("bad_result", f"action '{name}' answered {answer.media_type[:60]}, not JSON")
    try:
        return json.loads(answer.body, parse_constant=_no_constant, parse_float=_finite_float)
    except (ValueError, RecursionError) as error:
        why = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise ActionFailed("bad_result", f"action '{name}' did not answer JSON: {why}") from None


def picked(answer: Any, wanted: Mapping[str, ResultSpec], name: str) -> dict[str, Any]:
    """What `wanted` takes from an answer.

    Raises:
        ActionFailed: bad_result; something is missing or is not what it must be.
    """
    result: dict[str, Any] = {}
    problems: list[str] = []
    for key, spec in wanted.items():
        found, value = _at(answer, spec.path)
        if not found or (value is None and spec.optional):
            problems += [] if spec.optional else [f"{spec.path} is missing"]
            result[key] = None
            continue
        problems += check(value, spec.shape, None, spec.path)
        result[key] = value
    _refuse("bad_result", f"action '{name}' answered", iter(problems))
    return result


def from_environment(headers: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Headers with `env:NAME` filled in, and the names that the environment lacks or has in a form no header takes."""
    lacking: list[str] = []

    def fill(match: re.Match[str]) -> str:
        value = os.environ.get(match[1], "").strip()
        if not value or not value.isascii() or not value.isprintable():
            lacking.append(match[1])
        return value

    return {name: _FROM_ENVIRONMENT.sub(fill, text) for name, text in headers.items()}, lacking


def _of_context(context: ActionContext) -> dict[str, Any]:
    return {
        "call_id": context.call_id,
        "caller": context.caller,
        "customer": context.customer,
        "language": context.language,
    }


def _filled_path(url: str, scope: Mapping[str, Any], name: str) -> str:
    def fill(match: re.Match[str]) -> str:
        value = look_up(scope, match[1])
        text = "" if value is None else _plain(value)
        if text in ("", ".", ".."):
            raise ActionFailed("bad_arguments", f"action '{name}' was given no usable {match[1]} for its URL")
        return quote(text.encode("utf-8", "replace"), safe="")

    return _HOLE.sub(fill, url)


def _query(query: Mapping[str, Any], scope: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, template in query.items():
        value = _filled(template, scope)
        for one in value if isinstance(value, list | tuple) else (value,):
            if one is not None:
                yield name, _plain(one).encode("utf-8", "replace").decode()


def _filled(template: Any, scope: Mapping[str, Any]) -> Any:
    """A JSON template with its holes filled; entries of objects that have no value are left out."""
    if isinstance(template, str):
        whole = _HOLE.fullmatch(template)
        if whole is not None:
            return look_up(scope, whole[1])
        return _HOLE.sub(lambda match: _plain(look_up(scope, match[1])), template)
    if isinstance(template, Mapping):
        filled = {str(key): (inner, _filled(inner, scope)) for key, inner in template.items()}
        return {key: value for key, (inner, value) in filled.items() if value is not None or inner is None}
    if isinstance(template, Sequence):
        return [_filled(inner, scope) for inner in template]
    return template


def _plain(value: Any) -> str:
    """A value as it stands in a text: JSON, without the quotes of a text."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _at(answer: Any, path: str) -> tuple[bool, Any]:
    value = answer
    for part in path.split("."):
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return False, None
    return True, value


def _refuse(code: str, what: str, problems: Iterator[str]) -> None:
    found = [problem for problem, _ in zip(problems, range(MOST_PROBLEMS), strict=False)]
    if found:
        raise ActionFailed(code, f"{what} something that does not fit: {'; '.join(found)}")


def _kind(value: Any) -> str:
    return {list: "a list", str: "a text", bool: "true or false", type(None): "null"}.get(type(value), "a number")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number is too large")
    return value
