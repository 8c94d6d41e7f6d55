"""Every setting of the agent: its type, unit, default and reason.

Values come, later ones winning, from the defaults here, `configs/default.yaml`, the file given with `--config`, and the
environment (`CALLAGENT_<SECTION>__<KEY>`). Secrets come from the environment only and are never printed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from agent.call.floor import FloorSettings
from agent.chat.settings import ChatSettings
from agent.gateways.catalogue import gateways
from agent.sections import ConsoleSection, PrivacySection, QueueSection
from agent.yamlfile import FileError, YamlFile, explain, read_yaml
from models.llm.addresses import check_address

HOME = Path(__file__).resolve().parent.parent
CONFIGS = HOME / "configs"
PREFIX = "CALLAGENT_"

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class Section(BaseModel):
    """A group of settings; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ServerSettings(Section):
    """Where the server listens and how many calls it takes."""

    host: str = "127.0.0.1"
    """Address to bind; loopback until the operator opens it on purpose."""
    port: int = Field(8080, ge=0, le=65535)
    """TCP port; 0 takes a free one and prints it."""
    public_url: str | None = None
    """The https:// address carriers use; their signatures cover it, so it is never guessed from the Host header."""
    trusted_proxies: list[str] = []
    """Addresses whose X-Forwarded-* headers are believed; empty believes nobody."""
    tls_cert: Path | None = None
    """PEM certificate; without one the server speaks plain HTTP, for loopback or behind a TLS proxy."""
    tls_key: Path | None = None
    """PEM key of `tls_cert`."""
    max_calls: int = Field(16, ge=1)
    """New calls beyond this are refused with 503 before they can harm running ones."""
    max_messages_per_s: int = Field(400, ge=50)
    """Sustained rate of one socket; media alone is 50 a second."""
    max_bytes_per_s: int = Field(2_000_000, ge=100_000)
    """Sustained rate of one socket, with as much in a burst; 48 kHz PCM in base64 takes 128,000."""
    max_calls_per_key: int = Field(1000, ge=1)
    """Calls at a time that one key or account of a gateway may have here, before `max_calls`."""
    new_calls_per_minute: int = Field(600, ge=1)
    """New connections a minute by one key or account of a gateway; more are refused with 429."""
    return_s: float = Field(15.0, ge=0, le=120)
    """A call whose connection broke is kept this long; its gateway goes on with it by the same call id. 0 ends it."""
    echo: bool = False
    """Serve /echo, which sends every websocket message back: for conformance tests of the websocket itself."""
    handshake_s: float = Field(5.0, gt=0)
    """A socket that has not announced its call by then is closed."""
    silent_client_s: float = Field(300.0, gt=0)
    """The same for clients whose protocol begins with our message, such as OpenAI's: their users may wait to speak."""
    first_media_s: float = Field(10.0, gt=0)
    """A call without audio by then is closed."""
    media_gap_s: float = Field(10.0, gt=0)
    """A call whose audio stops for this long is closed; carriers send silence as audio."""
    max_call_s: float = Field(3600.0, gt=0)
    """Longest call."""
    drain_s: float = Field(30.0, ge=0)
    """After SIGTERM running calls may go on this long."""

    @field_validator("public_url")
    @classmethod
    def _reachable(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment or parts.username:
            raise ValueError("give the address carriers reach, as https://voice.example.com or with a path after it")
        return value

    @model_validator(mode="after")
    def _tls_pair(self) -> ServerSettings:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key go together; give both or neither")
        return self


class VadSettings(Section):
    """Voice activity detection."""

    threshold: Fraction = 0.5
    """Probability from which a 32 ms frame counts as voiced (Silero's own default)."""
    release: Fraction = 0.35
    """Once voiced, frames stay voiced down to this; hysteresis as in Silero's reference (threshold - 0.15)."""
    weights: str = "silero-v6"
    """A name from `agent models`, or the path of a Silero .onnx."""
    own_voice: bool = True
    """Tell the agent's own voice, come back as an echo, from a caller who speaks over it."""


class RecognizerSettings(Section):
    """Speech recognition."""

    model: str = "tiny.en"
    """A name from `agent models`, a folder with a CTranslate2 Whisper model, or a hub name."""
    device: Literal["cpu", "cuda", "auto"] = "cpu"
    """`auto` takes a CUDA GPU where there is one; `cuda` without one is refused at start."""
    compute_type: str = "int8"
    """CTranslate2's arithmetic; int8 is the fastest on CPUs, float16 or int8_float16 suit GPUs."""
    context_s: float = Field(15.0, ge=5, le=30)
    """Audio context the encoder sees; shorter is faster and hears worse (docs/benchmarks.md)."""
    beam_size: int = Field(1, ge=1, le=10)
    """Hypotheses kept while decoding; 1 is greedy, and each more costs time on every turn."""
    workers: int = Field(2, ge=1, le=64)
    """Recognitions at a time, one thread each: a second thread for one recognition brings nothing here."""
    language: str = "en"
    """Code of the language callers speak first; English-only models take no other."""
    languages: tuple[str, ...] | None = None
    """Codes of the languages callers may speak; none takes those of the domain. Each call finds its own."""
    preload: bool = False
    """Load what further languages need right after start, in the background; else their first caller waits for it."""
    multilingual: str = "base"
    """The model for callers who speak another language than `language`, loaded when the first of them does."""
    multilingual_beam_size: int = Field(5, ge=1, le=10)
    """Hypotheses kept by that model: Chinese on a telephone gains more from them than English (docs/benchmarks.md)."""
    allow_download: bool = False
    """Allow a hub download at start for a model that is not on this machine."""


class UnderstandingSettings(Section):
    """Intent, slots and emotion of words."""

    cache: Path = Path("var/cache/understanding")
    """Where heads trained from a domain's examples are kept, by content hash."""
    versions: Path = Path("var/models/understanding")
    """Folder of trained versions, a folder of its own for each domain; `agent models versions` lists them."""
    watch_s: float = Field(2.0, ge=0.1)
    """How often a server looks whether another version was chosen. A look costs one stat of a file."""


class EmotionSettings(Section):
    """Emotion from the voice."""

    enabled: bool = True
    """Off reads emotion from words only, and uses no weights that are limited to non-commercial use."""
    heads: Path | None = None
    """Heads of your own, from `agent train emotion --out FILE`; none takes the embedded ones."""


class VoiceSettings(Section):
    """Speech synthesis."""

    model: str = "en_US-joe-medium"
    """A name from `agent models` or the path of a Piper .onnx with its .json beside it."""
    chinese: str = "zm_yunxi"
    """Kokoro voice that speaks Chinese, loaded when it first does; needs the extra `zh`. `zf_xiaoxiao` is a woman's."""
    cache: Path = Path("var/cache/phrases")
    """Folder of phrases rendered once; the domain's fixed ones are rendered at start."""
    cache_mb: int = Field(256, ge=1)
    """Rendered phrases kept on disk; least recently used go first. A second of 8 kHz speech takes 16 kB."""


class PoolSettings(Section):
    """Who computes when."""

    workers: int = Field(2, ge=1, le=128)
    """Threads that run models; the models used release the GIL. One per core."""
    queue: int = Field(64, ge=4)
    """Jobs waiting beyond which low priorities are dropped."""


class LlmSettings(Section):
    """A language model that words answers; what it says is checked against the knowledge (docs/language-models.md)."""

    backend: Literal["none", "openai", "transformers"] = "none"
    """`openai` is any server of that protocol (vLLM, Ollama, llama.cpp), `transformers` a model on this machine."""
    uses: list[Literal["answer", "rephrase", "summary", "clarify", "act"]] = ["answer", "summary", "clarify", "act"]
    """What it is asked for. `rephrase` is left out because it delays every reply that needs no model."""
    base_url: str = "http://127.0.0.1:8000/v1"
    """Address of the server, up to before /chat/completions; this is vLLM's own default."""
    model: str | None = None
    """Name of the model at the server; for `transformers` its folder, or a hub name."""
    adapter: Path | None = None
    """Folder of a LoRA adapter that goes on top, for `transformers`; see `agent train reply`."""
    device: Literal["cpu", "cuda", "auto"] = "auto"
    """For `transformers`: `auto` takes a CUDA GPU where there is one; `cuda` without one is refused at start."""
    allow_download: bool = False
    """Allow a hub download at start for a `transformers` model that is not on this machine."""
    options: dict[str, Any] = {}
    """Sent to the server with each request, as {chat_template_kwargs: {enable_thinking: false}}."""
    temperature: float = Field(0.2, ge=0, le=2)
    """Low: the facts are given, and a likelier wording is rarely the one that invents."""
    max_tokens: int = Field(160, ge=16, le=2048)
    """Longest answer; two or three spoken sentences take about 60."""
    connect_s: float = Field(1.0, gt=0)
    """A server near by answers at once; what takes longer is down."""
    first_token_s: float = Field(0.7, gt=0)
    """The knowledge's own words are spoken if nothing came by then: a silence over a second is heard as trouble."""
    first_sentence_s: float = Field(1.5, gt=0)
    """The same, if no sentence passed the checks by then."""
    gap_s: float = Field(1.0, gt=0)
    """An answer that stops for so long is given up; its whole sentences stand."""
    total_s: float = Field(8.0, gt=0)
    """Longest time for one answer."""
    max_response_kb: int = Field(256, ge=16)
    """Largest response read; an answer takes about 250 bytes a token on the wire."""
    concurrent: int = Field(8, ge=1)
    """Answers at a time; more get the way out at once. `transformers` computes one at a time, whatever this says."""
    redact: Literal["auto", "always", "never"] = "auto"
    """Card numbers, e-mail, phone numbers and names become placeholders before they leave, and are put back in the
    answer. `auto` leaves out models on this machine or at private addresses."""

    @model_validator(mode="after")
    def _whole(self) -> LlmSettings:
        if self.backend != "none" and not self.model:
            raise ValueError("llm.backend needs llm.model; name the model, or set the backend to none")
        if self.backend == "openai":
            check_address(self.base_url)
        if self.adapter is not None and self.backend != "transformers":
            raise ValueError("llm.adapter goes with the backend transformers; a server loads adapters itself")
        return self


class DialogueSettings(Section):
    """What the agent talks about."""

    domain: str = "shop"
    """A folder under configs/domains, or a path."""
    database_url: str = "sqlite+aiosqlite:///var/{domain}.db"
    """The business's own database, which actions work on; `{domain}` stands for the domain's name."""


class HandoffSettings(Section):
    """Where callers go who need a person."""

    webhook_url: str | None = None
    """Told of each handoff by a signed POST (docs/handoff.md)."""
    webhook_timeout_s: float = Field(4.0, gt=0)
    """Time for one try."""
    webhook_budget_s: float = Field(10.0, gt=0)
    """Total time for all tries; the caller is waiting on the line."""
    allow_private: bool = False
    """Allow webhooks to private and loopback addresses."""
    hooks_file: Path | None = None
    """File of hooks that are told of every step: signed webhooks, Chatwoot, Twilio and others (docs/handoff.md)."""
    transfer_to: str | None = None
    """Number, as +12125550100, that the carrier transfers to where the webhook names none."""


class AlertSettings(Section):
    """When many calls on one topic go badly."""

    webhook_url: str | None = None
    """Told of each surge of negative calls by a signed POST (docs/emotion.md)."""
    allow_private: bool = False
    """Allow that webhook at private and loopback addresses."""
    window_s: float = Field(3600.0, ge=60, le=86_400)
    """Calls that are compared with those before."""
    half_life_s: float = Field(604_800.0, ge=3600)
    """How fast earlier calls are forgotten."""
    least: int = Field(5, ge=1)
    """Negative calls in the window below which nothing is a surge."""
    cool_down_s: float = Field(3600.0, ge=0)
    """Time after an alert in which the same topic raises none."""


class RecordSettings(Section):
    """What calls leave behind."""

    database_url: str = "sqlite+aiosqlite:///var/records.db"
    """SQLAlchemy URL with an async driver; its schema is brought up to date at start."""
    recordings: Path = Path("var/recordings")
    """Folder of stereo recordings and transcripts."""
    record_audio: bool = True
    """Off keeps transcripts and database rows only."""


class GatewaySettings(Section):
    """One gateway, under its name as in docs/gateways.md. Its key comes from the environment."""

    enabled: bool = True
    """Off closes its addresses. Without a key nobody can come in by them anyway."""
    account: str | None = None
    """Account, user or application at the vendor; with CALLAGENT_REST_<NAME> it transfers and ends calls by REST."""
    api_url: str | None = None
    """The vendor's REST API, where it is not the usual one: another region, or your own Asterisk."""
    number: str | None = None
    """A number of yours, as +12125550100, that those see to whom callers are transferred."""
    parameters: dict[str, str] = {}
    """Sent with each stream that we ask the vendor for; Twilio takes 500 characters each, name and value together."""
    dial: list[str] = []
    """Beginnings of addresses that POST /api/calls may dial, as ws://10.0.0.5:8088/media/; empty dials nothing."""


class AudioSocketSettings(Section):
    """The TCP listener of Asterisk's AudioSocket."""

    host: str = "127.0.0.1"
    """Address to bind; what comes in is not encrypted, so open it to your Asterisk only."""
    port: int = Field(0, ge=0, le=65535)
    """TCP port, 9092 in Asterisk's examples; 0 does not listen."""


class LogSettings(Section):
    """Logs: human on a terminal, JSON otherwise."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Lowest level written."""
    format: Literal["auto", "human", "json"] = "auto"
    """`auto` writes for people on a terminal and JSON lines elsewhere."""


LEAST_SECRET = 16
"""Bytes of a key of our own; shorter ones can be guessed."""


class Secrets(Section):
    """From the environment only."""

    twilio_auth_token: SecretStr | None = None
    """CALLAGENT_TWILIO_AUTH_TOKEN: checks X-Twilio-Signature and authorises REST call updates."""
    keys: dict[str, SecretStr] = {}
    """CALLAGENT_KEY_<GATEWAY>: what its connections prove themselves with (docs/gateways.md); - becomes _."""
    rest: dict[str, SecretStr] = {}
    """CALLAGENT_REST_<GATEWAY>: what we prove ourselves with at that vendor's REST API."""
    token_key: SecretStr | None = None
    """CALLAGENT_TOKEN_KEY: signs one-use path tokens and bearer tokens of the plain protocol and the API."""
    webhook_key: SecretStr | None = None
    """CALLAGENT_WEBHOOK_KEY: signs webhooks."""
    vision_key: SecretStr | None = None
    """CALLAGENT_VISION_KEY: the key of the server that describes pictures, sent as a bearer token."""
    audit_key: SecretStr | None = None
    """CALLAGENT_AUDIT_KEY: keys the chain of the audit trail; set it before the first row, it cannot be changed."""
    llm_key: SecretStr | None = None
    """CALLAGENT_LLM_KEY: the key of the language model's server, sent as a bearer token."""

    @property
    def any_gateway(self) -> bool:
        """Whether anybody can come in at all."""
        return self.token_key is not None or self.twilio_auth_token is not None or bool(self.keys)

    def key_of(self, gateway: str) -> str | None:
        """What connections of `gateway` are checked against."""
        found = self.keys.get(gateway)
        if found is None and gateway in ("twilio", "twilio-relay"):
            found = self.twilio_auth_token
        return None if found is None else found.get_secret_value()

    def rest_of(self, gateway: str) -> str | None:
        """What the REST API of `gateway` knows us by."""
        found = self.rest.get(gateway)
        if found is None and gateway == "twilio":
            found = self.twilio_auth_token
        return None if found is None else found.get_secret_value()

    @field_validator("token_key", "webhook_key")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value().encode()) < LEAST_SECRET:
            given = len(value.get_secret_value().encode())
            raise ValueError(f"has {given} bytes; use at least {LEAST_SECRET}, as from `openssl rand -hex 32`")
        return value


class Settings(Section):
    """All settings."""

    server: ServerSettings = ServerSettings()
    vad: VadSettings = VadSettings()
    floor: FloorSettings = FloorSettings()
    recognizer: RecognizerSettings = RecognizerSettings()
    understanding: UnderstandingSettings = UnderstandingSettings()
    emotion: EmotionSettings = EmotionSettings()
    voice: VoiceSettings = VoiceSettings()
    pool: PoolSettings = PoolSettings()
    llm: LlmSettings = LlmSettings()
    dialogue: DialogueSettings = DialogueSettings()
    handoff: HandoffSettings = HandoffSettings()
    alerts: AlertSettings = AlertSettings()
    records: RecordSettings = RecordSettings()
    gateways: dict[str, GatewaySettings] = {}
    audiosocket: AudioSocketSettings = AudioSocketSettings()
    console: ConsoleSection = ConsoleSection()
    queue: QueueSection = QueueSection()
    privacy: PrivacySection = PrivacySection()
    chat: ChatSettings = ChatSettings()
    logs: LogSettings = LogSettings()
    secrets: Secrets = Field(default=Secrets(), exclude=True)

    @field_validator("gateways")
    @classmethod
    def _known_gateways(cls, value: dict[str, GatewaySettings]) -> dict[str, GatewaySettings]:
        for name in value:
            if name not in gateways():
                raise ValueError(f"there is no gateway {name[:40]!r}; there are {', '.join(gateways())}")
        return value

    def gateway(self, name: str) -> GatewaySettings:
        """The settings of one gateway."""
        return self.gateways.get(name, GatewaySettings())

    def business_database(self, domain: str) -> str:
        """The URL of the database of the business named `domain`."""
        return self.dialogue.database_url.replace("{domain}", domain)

    def domain_path(self) -> Path:
        """The folder of the configured domain."""
        named = CONFIGS / "domains" / self.dialogue.domain
        return named if named.is_dir() else Path(self.dialogue.domain)


_READ_ELSEWHERE = frozenset({"console_password"})
"""Variables that a command reads by itself."""
_SECRET_MAPS = {"keys": "key_", "rest": "rest_"}
"""Fields of `Secrets` with a value for each gateway, and how the variables begin."""
_SECRET_NAMES = tuple(name for name in Secrets.model_fields if name not in _SECRET_MAPS)


def load_settings(path: Path | None = None, environment: Mapping[str, str] | None = None) -> Settings:
    """Read the settings in force.

    Raises:
        FileError: a file or a variable has an unknown key or a wrong value; says where and what to do.
    """
    environment = os.environ if environment is None else environment
    files = [CONFIGS / "default.yaml"] if (CONFIGS / "default.yaml").exists() else []
    if path is not None:
        files.append(path)
    merged: dict[str, Any] = {}
    problems: list[str] = []
    for name in files:
        file = read_yaml(name)
        problems += _problems(file)
        if isinstance(file.data, dict):
            _merge(merged, file.data)
    variables = _from_environment(environment, problems)
    if problems:
        raise FileError(problems)
    _merge(merged, variables)
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        raise FileError([f"environment: {line}" for line in _plain(error)]) from error


def _problems(file: YamlFile) -> list[str]:
    if file.data is None:
        return []
    if not isinstance(file.data, dict):
        return [file.problem((), "the file must hold sections such as 'server:'")]
    if "secrets" in file.data:
        names = ", ".join(f"{PREFIX}{name.upper()}" for name in _SECRET_NAMES)
        return [file.problem(("secrets",), f"secrets are read from the environment only; remove them and set {names}")]
    try:
        Settings.model_validate(file.data)
    except ValidationError as error:
        return explain(file, error)
    return []


def _from_environment(environment: Mapping[str, str], problems: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for variable, value in environment.items():
        if not variable.startswith(PREFIX):
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name in _READ_ELSEWHERE:
            continue
        if name in _SECRET_NAMES:
            if value:
                found.setdefault("secrets", {})[name] = value
            continue
        for field, beginning in _SECRET_MAPS.items():
            gateway = name.removeprefix(beginning).replace("_", "-")
            if name.startswith(beginning) and gateway in gateways():
                if value:
                    found.setdefault("secrets", {}).setdefault(field, {})[gateway] = value
                break
        else:
            gateway = ""
        if gateway:
            continue
        section, _, key = name.partition("__")
        if section == "gateways":
            key = key.replace("_", "-")
        if section not in Settings.model_fields or section == "secrets" or not key:
            problems.append(
                f"environment: {variable} is no setting; use {PREFIX}<SECTION>__<KEY>, see `agent config`, or unset it"
            )
            continue
        try:
            found.setdefault(section, {})[key] = _value(value)
        except ValueError as error:
            problems.append(f"environment: {variable}: {error}")
    return found


def _value(text: str) -> Any:
    """A variable's value: nothing, a list or mapping in YAML's flow style, or the text itself, which its type reads."""
    if not text:
        return None
    if not text.startswith(("[", "{")):
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or "not valid YAML"
        raise ValueError(f"{problem}; write a list as [a, b] and a mapping as {{a: b}}") from error


def _plain(error: ValidationError) -> list[str]:
    return [f"{_named(item['loc'], item.get('input'))}: {_said(item['type'], item['msg'])}" for item in error.errors()]


def _said(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "there is no such setting; see `agent config`, or unset it"
    return message.removeprefix("Value error, ")


def _named(where: tuple[int | str, ...], value: object) -> str:
    """The variable at fault with its value, unless it is a secret."""
    section, *rest = (str(part) for part in where)
    if section == "secrets":
        return PREFIX + rest[0].upper()
    variable = f"{PREFIX}{section}__{rest[0]}".upper() if rest else section
    shown = ascii(value)[1:-1] if isinstance(value, str) else repr(value)
    return f"{variable} is {shown[:60]}"


def _merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = dict(value) if isinstance(value, Mapping) else value
