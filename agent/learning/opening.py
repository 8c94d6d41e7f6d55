"""Opening the versions of a domain's understanding: what ships, heads fitted now, or a trained folder."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from agent.dialogue.domain import Domain
from models.contracts import OUT_OF_SCOPE, Encoder
from models.encoder import SentenceEncoder
from models.errors import ModelError
from models.explain import ExamplesIndex
from models.heads import IntentHead, load_head
from models.registry import EMBEDDED, HEAD, Registry
from models.store import OURS, VERSIONS
from models.text_model import EXAMPLES_FILE, Member, ModelInfo, TextModel, read_info
from models.text_model_open import AveragedModel, open_text_model
from models.training.heads import cached_intent_head, generic_out_of_scope

SHIPPED = OURS / VERSIONS
"""Folder of the versions that ship, one a domain."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Choice:
    """A version that was opened. version: what it is; problem: why that is not the one asked for, None where it is.

    head: the intent head, where the version is one head over the frozen encoder. examples: what it was trained on,
    where that is kept.
    """

    model: TextModel
    version: str
    head: IntentHead | None = None
    problem: str | None = None
    examples: ExamplesIndex | None = None


class Opener:
    """Opens versions of one domain. Blocking; safe to call from several threads."""

    def __init__(
        self,
        registry: Registry,
        domain: Domain,
        encoder: Encoder,
        cache: Path,
        shipped: Path = SHIPPED,
        encoder_id: str = SentenceEncoder.identity,
    ) -> None:
        """`cache` keeps fitted heads by their content; `encoder` is the frozen one they read."""
        self.registry = registry
        self.domain = domain
        self.encoder = encoder
        self.encoder_id = encoder_id
        self._cache = cache
        self._shipped = shipped

    @property
    def name(self) -> str:
        """The name of the domain's versions."""
        return self.domain.name

    def fitted(self, problem: str | None = None) -> Choice:
        """Heads over the frozen encoder, fitted on the domain's examples as they are now.

        Raises:
            ValueError: an intent has too few examples.
        """
        examples, outside = examples_of(self.domain)
        head = cached_intent_head(self._cache, examples, outside, self.encoder, self.encoder_id)
        model = head_model(head, self.encoder, self.head_info(head, HEAD))
        rows = [(text, name) for name, texts in {**examples, OUT_OF_SCOPE: outside}.items() for text in texts]
        vectors = self.encoder.encode([text for text, _ in rows])
        index = ExamplesIndex([text for text, _ in rows], [name for _, name in rows], vectors)
        return Choice(model, HEAD, head, problem, index)

    def head_info(self, head: IntentHead, version: str, content: str | None = None) -> ModelInfo:
        """The description of a version that is `head` alone."""
        return ModelInfo(
            self.name,
            version,
            "head",
            self.encoder_id,
            language=self.domain.manner.language,
            members=(Member(HEAD_FILE),),
            intents=head.labels,
            content=content_key(self.domain) if content is None else content,
            threshold=head.threshold,
        )

    def open(self, version: str) -> Choice:
        """Open exactly `version`; `EMBEDDED` is fitted heads where nothing ships that fits the domain as it is.

        Raises:
            ModelError: it is not there, damaged, or knows other intents than the domain.
        """
        if version == HEAD:
            return self.fitted()
        if version == EMBEDDED:
            shipped = self._shipped / self.name
            if shipped.is_dir() and up_to_date(read_info(shipped), self.domain):
                return self._opened(shipped, EMBEDDED)
            return self.fitted()
        choice = self._opened(self.registry.path(self.name, version), version)
        wrong = differing_intents(choice.model.info, self.domain)
        if wrong:
            raise ModelError(f"{version} {wrong}; train a version on the domain as it is, or restart with that domain")
        return choice

    def _opened(self, folder: Path, version: str) -> Choice:
        model = open_text_model(folder, self.encoder)
        members = model.info.members
        head = None
        if len(members) == 1 and members[0].file.endswith(".npz"):
            saved, _ = load_head(folder / members[0].file)
            saved = replace(saved, temperature=saved.temperature * model.info.temperature)
            head = IntentHead(saved, model.info.threshold)
        examples = ExamplesIndex.load(folder) if (folder / EXAMPLES_FILE).is_file() else None
        return Choice(model, version, head, examples=examples)

    def open_current(self) -> tuple[Choice, str]:
        """What a server starts with, and the version chosen in the registry.

        A version trained on other examples than the domain has now gives way to heads fitted on these, so that an
        edited intents.yaml is live at once; so does one that cannot be opened. `Choice.problem` says so.
        """
        chosen = EMBEDDED
        try:
            chosen = self.registry.state(self.name).current
            choice = self.open(chosen)
        except ModelError as error:
            return self.fitted(f"version {chosen} cannot be used: {error}"), chosen
        if choice.version in (HEAD, EMBEDDED) or up_to_date(choice.model.info, self.domain):
            return choice, chosen
        remedy = "train it again with `agent learn`, or choose `agent models use head`"
        why = f"version {chosen} was trained on other examples than {self.name} has now; {remedy}"
        return self.fitted(why), chosen


HEAD_FILE = "intent.npz"
"""The file of a version's only member, where that is a head."""


def head_model(head: IntentHead, encoder: Encoder, info: ModelInfo) -> TextModel:
    """A version in memory that is `head` alone."""
    return AveragedModel(info, (), ((head.head, 1.0),), encoder)


def examples_of(domain: Domain) -> tuple[Mapping[str, Sequence[str]], list[str]]:
    """The examples of each intent, and those that belong to none, as heads are fitted on them."""
    intents = {name: intent.examples for name, intent in domain.intents.items()}
    return intents, [*generic_out_of_scope(), *domain.out_of_scope]


def content_key(domain: Domain) -> str:
    """What a domain teaches about intents, as 32 hex digits; `ModelInfo.content` of versions trained on it."""
    intents = {name: list(intent.examples) for name, intent in domain.intents.items()}
    marks = {
        name: {text: [[span.start, span.end, span.name] for span in spans] for text, spans in intent.marks.items()}
        for name, intent in domain.intents.items()
        if intent.marks
    }
    taught = [intents, list(domain.out_of_scope), *([marks] if marks else [])]
    content = json.dumps(taught, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def up_to_date(info: ModelInfo, domain: Domain) -> bool:
    """Whether a version was trained on what the domain teaches now."""
    return not differing_intents(info, domain) and info.content in ("", content_key(domain))


def differing_intents(info: ModelInfo, domain: Domain) -> str:
    """How the intents of a version differ from those of the domain, in words; empty where they are the same."""
    known, taught = set(info.intents) - {OUT_OF_SCOPE}, set(domain.intents)
    parts = []
    if taught - known:
        parts.append(f"lacks the domain's {', '.join(sorted(taught - known))}")
    if known - taught:
        parts.append(f"knows {', '.join(sorted(known - taught))}, which the domain lacks")
    return " and ".join(parts)
