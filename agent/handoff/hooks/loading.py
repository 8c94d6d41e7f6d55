"""The hooks file: who is told of handoffs. Secrets come from the environment; the file only names the variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.clock import Clock
from agent.handoff.hooks.asterisk import AsteriskHook
from agent.handoff.hooks.chatwoot import ChatwootHook
from agent.handoff.hooks.deliveries import Hooks
from agent.handoff.hooks.events import STEPS, Hook, Step
from agent.handoff.hooks.letters import MOST_LETTERS, DeadLetters
from agent.handoff.hooks.sending import ClientCredentials, Fixed, Proof, Sender, basic
from agent.handoff.hooks.signed import SignedHook
from agent.handoff.hooks.template import TemplateHook
from agent.handoff.hooks.twilio import TwilioHook, TwilioWay
from agent.yamlfile import FileError, YamlFile, explain, read_yaml


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Entry(_Section):
    name: str = Field(pattern=r"[a-z][a-z0-9-]{0,39}")
    secret_env: str | None = Field(None, pattern=r"[A-Z][A-Z0-9_]*")
    """The variable with the key, password or token; HOOK_<NAME> unless named."""
    timeout_s: float = Field(10.0, gt=0, le=60)
    budget_s: float = Field(60.0, gt=0, le=3600)
    allow_private: bool = False

    @property
    def variable(self) -> str:
        return self.secret_env or "HOOK_" + self.name.upper().replace("-", "_")


class _Signed(_Entry):
    kind: Literal["webhook"]
    url: str
    steps: tuple[Step, ...] = STEPS


class _Chatwoot(_Entry):
    kind: Literal["chatwoot"]
    url: str
    account: int = Field(ge=1)
    inbox: int = Field(ge=1)
    labels: tuple[str, ...] = ()
    team: int | None = None
    steps: tuple[Step, ...] = STEPS


class _Twilio(_Entry):
    kind: Literal["twilio"]
    url: str = "https://api.twilio.com"
    account: str = Field(pattern=r"AC[0-9a-fA-F]{32}")
    way: Literal["workflow", "queue", "conference"]
    target: str
    number: str | None = None
    ring_s: int = Field(25, ge=5, le=55)
    sorry: str = Field("Nobody can take your call right now. We will call you back.", min_length=1, max_length=500)


class _Asterisk(_Entry):
    kind: Literal["asterisk"]
    url: str
    user: str = Field(min_length=1)


class _Proof(_Section):
    kind: Literal["bearer", "basic", "header", "client_credentials"]
    user: str | None = None
    """basic: the user."""
    header: str | None = Field(None, pattern=r"[A-Za-z0-9-]+")
    """header: its name."""
    token_path: str | None = None
    """client_credentials: where a token is asked for."""
    client_id: str | None = None


class _Template(_Entry):
    kind: Literal["template"]
    url: str
    proof: _Proof
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    path: str
    headers: dict[str, str] = {}
    body: Any = Field(alias="json")
    urgency: dict[Literal["urgent", "high", "normal"], str] = {}
    steps: tuple[Step, ...]


_AnyHook = Annotated[_Signed | _Chatwoot | _Twilio | _Asterisk | _Template, Field(discriminator="kind")]


class _File(_Section):
    dead_letters: Path = Path("var/dead-letters")
    most_dead_letters: int = Field(MOST_LETTERS, ge=1, le=100_000)
    hooks: tuple[_AnyHook, ...] = ()


@dataclass(frozen=True, slots=True)
class LoadedHooks:
    """What the file says. `letters` is the folder of its dead letters."""

    hooks: Mapping[str, Hook]
    letters: DeadLetters

    def deliveries(self, clock: Clock) -> Hooks:
        """Not started yet."""
        return Hooks(list(self.hooks.values()), self.letters, clock)


def load_hooks(path: Path, clock: Clock, environment: Mapping[str, str]) -> LoadedHooks:
    """Read the file.

    Raises:
        FileError: `file:line: problem; remedy` for every problem; a missing secret is one.
    """
    file = read_yaml(path)
    try:
        parsed = _File.model_validate({} if file.data is None else file.data)
    except ValidationError as error:
        raise FileError(explain(_flat(file, error), error)) from error
    problems: list[str] = []
    hooks: dict[str, Hook] = {}
    for number, entry in enumerate(parsed.hooks):
        where = ("hooks", number, "name")
        secret = environment.get(entry.variable, "")
        if not secret:
            problems.append(file.problem(where, f"hook {entry.name!r} has no secret; set {entry.variable}"))
            continue
        if entry.name in hooks:
            problems.append(file.problem(where, f"hook name {entry.name!r} appears twice; each needs its own"))
            continue
        try:
            hooks[entry.name] = _make(entry, secret, clock)
        except ValueError as error:
            problems.append(file.problem(where, f"hook {entry.name!r}: {error}"))
    if problems:
        raise FileError(problems)
    return LoadedHooks(hooks, DeadLetters(parsed.dead_letters, parsed.most_dead_letters))


def _flat(file: YamlFile, error: ValidationError) -> YamlFile:
    """`file` with lines also for places as pydantic names them: with the kind after a hook's number."""
    lines = dict(file.lines)
    for item in error.errors():
        where = tuple(item["loc"])
        if len(where) > 2 and where[0] == "hooks":
            lines[where] = file.line((*where[:2], *where[3:]))
    return YamlFile(file.path, file.data, lines)


def _make(entry: _AnyHook, secret: str, clock: Clock) -> Hook:
    if isinstance(entry, _Signed):
        return SignedHook(
            entry.name, entry.url, secret, clock, entry.steps, entry.timeout_s, entry.budget_s, entry.allow_private
        )

    def sender(proof: Proof) -> Sender:
        who = f"hook {entry.name}"
        return Sender(who, entry.url, proof, clock, entry.timeout_s, entry.budget_s, entry.allow_private)

    if isinstance(entry, _Chatwoot):
        talk = sender(Fixed({"api_access_token": _header(secret)}))
        return ChatwootHook(entry.name, talk, entry.account, entry.inbox, entry.steps, entry.labels, entry.team)
    if isinstance(entry, _Twilio):
        way = TwilioWay(entry.way, entry.target, entry.number, entry.ring_s, entry.sorry)
        return TwilioHook(entry.name, sender(basic(entry.account, secret)), entry.account, way)
    if isinstance(entry, _Asterisk):
        return AsteriskHook(entry.name, sender(basic(entry.user, secret)))
    talk = sender(_proof(entry.proof, secret))
    return TemplateHook(
        entry.name,
        talk,
        entry.method,
        entry.path,
        entry.body,
        entry.steps,
        entry.headers,
        {str(name): word for name, word in entry.urgency.items()},
    )


def _proof(proof: _Proof, secret: str) -> Proof:
    if proof.kind == "bearer":
        return Fixed({"Authorization": f"Bearer {_header(secret)}"})
    if proof.kind == "basic":
        return basic(_given(proof, "user"), secret)
    if proof.kind == "header":
        return Fixed({_given(proof, "header"): _header(secret)})
    return ClientCredentials(_given(proof, "token_path"), _given(proof, "client_id"), secret)


def _given(proof: _Proof, field: str) -> str:
    found = getattr(proof, field)
    if not isinstance(found, str) or not found:
        raise ValueError(f"proof.{field} is missing; {proof.kind} needs it")
    return found


def _header(secret: str) -> str:
    if not secret.isascii() or not secret.isprintable():
        raise ValueError("the secret holds characters that no header may have; set the token alone")
    return secret
