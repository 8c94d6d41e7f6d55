"""What a domain says of an action: where it runs, what it takes and gives, how long, and what may be done about it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Literal, TypeVar

from pydantic import Field, field_validator, model_validator

from agent.dialogue.schema import SHORT, unusable
from agent.dialogue.text import holes
from agent.dialogue.written import Part, Word
from agent.outbound import checked_url

CONTEXT = frozenset({"call_id", "caller", "customer", "language"})
"""What holes of an http action may name beside its arguments; `customer` with a field, as in {customer.id}."""
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOST_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "content-type"})


class ValueSpec(Part):
    """What a value must be: a word of `agent.dialogue.schema.SHORT`, or a JSON Schema with `optional` beside it."""

    shape: Mapping[str, Any] = {}
    optional: bool = False

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        if isinstance(value, str):
            if value not in SHORT:
                raise ValueError(f"'{value}' is no kind of value; use one of {', '.join(SHORT)} or a JSON Schema")
            return {"shape": SHORT[value]}
        if isinstance(value, Mapping) and "shape" not in value:
            return cls._of_mapping(value)
        return value

    @classmethod
    def _of_mapping(cls, value: Mapping[str, Any]) -> dict[str, Any]:
        own = {key: value[key] for key in cls.model_fields if key in value}
        rest = {key: inner for key, inner in value.items() if key not in cls.model_fields}
        kind = str(rest.get("type"))
        # A short word is a type too, so that it can stand beside `enum` or `optional`.
        shape = {**SHORT[kind], **{k: v for k, v in rest.items() if k != "type"}} if kind in SHORT else rest
        problems = list(unusable(shape))
        if problems:
            raise ValueError("; ".join(problems))
        return {**own, "shape": shape}


class ResultSpec(ValueSpec):
    """Where in an answer a result is found, a dotted path as in `order.items.0.name`, and what it must be."""

    path: Word

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"path": value}
        return cls._of_mapping(value) if isinstance(value, Mapping) and "shape" not in value else value


SomeValue = TypeVar("SomeValue", bound=ValueSpec)


class Answered(Part):
    """What is common to actions over HTTP.

    headers: sent as they are, `env:NAME` inside one is the environment's NAME. ok: statuses that are answers.
    not_found: statuses that mean there is no such thing; the result is then `{found: false}`, and otherwise has
    `found: true`. idempotency_header: the header for the key of an action with side effects, null for none.
    """

    headers: Mapping[str, Word] = {}
    ok: tuple[int, ...] = Field(default=(200, 201), min_length=1)
    not_found: tuple[int, ...] = ()
    idempotency_header: Word | None = "Idempotency-Key"

    @field_validator("headers")
    @classmethod
    def _plain_headers(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        for name, text in value.items():
            if not _HEADER_NAME.fullmatch(name) or name.lower() in _HOST_HEADERS:
                raise ValueError(f"header '{name}' cannot be set; remove it or correct its spelling")
            if not text.isascii() or not text.isprintable():
                raise ValueError(f"header '{name}' has a value that no header can hold; write printable ASCII")
        return value

    @field_validator("ok", "not_found")
    @classmethod
    def _statuses(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        for status in value:
            if not 200 <= status <= 599:
                raise ValueError(f"{status} is no status of an answer; give 200 to 599")
        return value


class HttpSpec(Answered):
    """One HTTP request with JSON in its body, if it has one, and a JSON answer.

    `{argument}` in url, query and body is filled in; one that stands alone in query or body keeps its type, and is left
    out where it has no value. The host cannot be filled in. result: what is taken from the answer, by name; without it
    the whole answer, which must then be an object.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    url: Word
    query: Mapping[str, Any] = {}
    body: Any = None
    result: Mapping[str, ResultSpec] = {}

    @model_validator(mode="after")
    def _holes_where_they_may_be(self) -> HttpSpec:
        if holes(re.split(r"[/?]", self.url.partition("://")[2], maxsplit=1)[0]) or holes(self.url.partition("://")[0]):
            raise ValueError("the host of 'url' is filled in; write it out, only path and query may vary")
        for text in _texts((self.url, self.query, self.body)):
            for path, form in holes(text):
                if form is not None:
                    raise ValueError(f"'{{{path}|{form}}}' has a format, which is for speech; write '{{{path}}}'")
        if "#" in self.url:
            raise ValueError("'url' has a fragment, which is not sent; remove it")
        if self.method == "GET" and self.body is not None:
            raise ValueError("a GET has no body; use 'query', or the method POST")
        return self

    def holes(self) -> set[str]:
        """The paths of all holes."""
        return {path for text in _texts((self.url, self.query, self.body)) for path, _ in holes(text)}

    def arguments(self, declared: Collection[str] = ()) -> set[str]:
        """The arguments that its holes name; a name of `CONTEXT` is one only where it is declared."""
        return {path.partition(".")[0] for path in self.holes()} - (CONTEXT - set(declared))


class OpenApiSpec(Answered):
    """One operation of an OpenAPI 3 file beside the domain's own files.

    server: where it is called, by default the first server of the file. result: as in `HttpSpec`. Parameters, body and
    answer are those of the file; what it says of security is not read, so give keys in `headers`.
    """

    file: Word
    operation: Word
    server: Word | None = None
    ok: tuple[int, ...] = ()
    result: Mapping[str, ResultSpec] = {}


class ActionSpec(Part):
    """An action: a Python entry point (`module:function`), a webhook, an HTTP request or an operation of an API.

    timeout_s: when to give up, all tries together. side_effects: it survives a barge-in and runs once per call and
    arguments. speculate: it only reads, is cheap, and may run before the caller's turn is known to be over, so that the
    answer is ready then. identity: `verified` if it runs only for a caller who has proven who they are. retries: how
    often a failure that may pass is tried again; None is 1, and 0 for actions with side effects. sensitive: arguments
    that are neither recorded nor shown. filler: what is said when it takes longer than `filler_after_ms`. late: what is
    said when its result comes a turn late. secret_env: the environment variable with the webhook's signing secret.
    description: what it does, for a language model that may ask for it. confirm: the question to the caller before
    what a model proposed is done; its holes are the action's arguments and what the flow knows.
    parameters: what a webhook or http action takes, by default anything its holes name. returns: what a webhook gives.
    """

    python: Word | None = None
    webhook: Word | None = None
    http: HttpSpec | None = None
    openapi: OpenApiSpec | None = None
    secret_env: Word | None = None
    allow_private: bool = False
    parameters: Mapping[str, ValueSpec] = {}
    returns: Mapping[str, ValueSpec] = {}
    timeout_s: float = Field(default=5.0, gt=0, le=60)
    retries: int | None = Field(default=None, ge=0, le=5)
    side_effects: bool = False
    speculate: bool = False
    identity: Literal["none", "verified"] = "none"
    sensitive: tuple[Word, ...] = ()
    filler: Word | None = None
    filler_after_ms: float = Field(default=800.0, ge=0)
    late: Word | None = None
    description: Word | None = None
    confirm: Word | None = None

    @field_validator("parameters", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return {str(name): {"shape": {}} for name in value} if isinstance(value, list | tuple) else value

    @model_validator(mode="after")
    def _one_kind(self) -> ActionSpec:
        kinds = [name for name in ("python", "webhook", "http", "openapi") if getattr(self, name) is not None]
        if len(kinds) != 1:
            raise ValueError("give exactly one of 'python', 'webhook', 'http' and 'openapi'")
        if self.webhook is not None and self.secret_env is None:
            raise ValueError("a webhook needs 'secret_env', the name of the variable that holds its signing secret")
        if self.speculate and self.side_effects:
            raise ValueError("an action with 'side_effects' cannot have 'speculate': it would run for turns never made")
        if self.parameters and kinds[0] in ("python", "openapi"):
            raise ValueError(f"'parameters' of a {kinds[0]} action are those of its schema; remove them here")
        if self.returns and kinds[0] != "webhook":
            raise ValueError("'returns' is for webhooks; other actions say it in 'result' or in their schema")
        return self

    @model_validator(mode="after")
    def _over_http(self) -> ActionSpec:
        url = self.webhook or (self.http.url if self.http else None) or (self.openapi.server if self.openapi else None)
        if url is not None:
            checked_url("the", re.sub(r"\{[^}]*\}", "x", url), self.allow_private)
        answered = self.http or self.openapi
        if answered is not None and answered.idempotency_header is None and self.side_effects and self.retries:
            raise ValueError("'retries' with side effects need an 'idempotency_header' that the service honours")
        if self.http is not None:
            if self.http.method in ("PUT", "PATCH", "DELETE") and not self.side_effects:
                raise ValueError(f"a {self.http.method} changes something; add 'side_effects: true'")
            if self.identity != "verified" and "customer" in {
                path.partition(".")[0] for path in self.http.holes()
            } - set(self.parameters):
                raise ValueError("a hole names the customer; add 'identity: verified', or nobody may be known")
            names = self.http.arguments(self.parameters)
            if self.parameters:
                unknown, unused = sorted(names - set(self.parameters)), sorted(set(self.parameters) - names)
                if unknown or unused:
                    raise ValueError(
                        f"holes and 'parameters' differ: {', '.join(unknown + unused)}; name the same in both"
                    )
        return self

    @property
    def tries(self) -> int:
        """How often it is run at most."""
        return 1 + (self.retries if self.retries is not None else 0 if self.side_effects else 1)


def _texts(value: Any) -> Iterator[str]:
    """Every text inside a template."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
