"""Everything a server needs, loaded once and closed in order."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from agent.alerts import new_alerts
from agent.call.assistant import KnowledgeAssistant
from agent.call.replying import patience_ms, priority
from agent.call.services import CallServices, Carrier, TurnEndModel
from agent.clock import Clock, RealClock
from agent.config import CONFIGS, Settings
from agent.console.feed import Feed
from agent.dialogue.actions import open_actions
from agent.dialogue.consenting import ConsentedDialogue
from agent.dialogue.contracts import Dialogue
from agent.dialogue.domain import Domain
from agent.dialogue.engine import DialogueEngine
from agent.dialogue.knowledge.opening import CACHE, open_knowledge
from agent.dialogue.knowledge.watch import KnowledgeWatch
from agent.dialogue.loader import load_domain
from agent.dialogue.writing.contracts import Writer
from agent.dialogue.writing.opening import open_writer
from agent.gateways.catalogue import gateways
from agent.gateways.gateway import Account
from agent.gateways.rest import RestCarrier
from agent.handoff import callbacks
from agent.handoff.console_desk import ConsoleDesk
from agent.handoff.hooks.loading import load_hooks
from agent.handoff.hooks.telling import Teller
from agent.handoff.queue import Desk
from agent.handoff.webhook import Webhook
from agent.learning.live import LiveUnderstanding, Opened, VersionWatch, giving_way
from agent.learning.opening import Choice, Opener
from agent.learning.shadow import Shadow
from agent.metrics import Metrics
from agent.quality.rubric import Rubrics
from agent.quality.service import Quality, facts_from
from agent.quality.survey import SurveyedDialogue, goodbyes, load_survey
from agent.records.audit import AuditTrail
from agent.records.consent import ConsentRule
from agent.records.database import Database
from agent.records.history import calls_of, verdicts
from agent.records.keeping import SqlKeeper
from agent.records.redaction import redact
from agent.records.retention import RetentionJob
from agent.records.writer import SqlRecords
from agent.tongues import ears_of, languages_of, load_together, understanding_of, voice_of
from agent.yamlfile import FileError
from models.contracts import Recognition, Samples, UnderstandingContext, Understood, VoiceEmotionModel
from models.emotion import VoiceEmotionReader
from models.encoder import SentenceEncoder
from models.languages import ENGLISH, written_in
from models.phrase_cache import CachedVoice, PhraseCache
from models.pool import Pool, Priority
from models.registry import Registry
from models.slots import SlotSpec
from models.text_emotion import TextEmotionModel
from models.turn import TurnEnd, TurnModel
from models.understanding import TurnUnderstanding
from models.vad import SileroVad, VadState

T = TypeVar("T")

PHRASE_RATE = 16_000
"""Sample rate in Hz at which phrases are kept, the widest any gateway takes; brought down to 8 kHz as they play."""

QUALITY = CONFIGS / "quality"
"""Folder of the rubrics that calls are scored by, and of the survey's words."""

NewDialogue = Callable[[str, str | None], Dialogue]

HOOKS_S = 5.0
"""How long a server that stops waits for hooks to be told."""

GATHER_MS = 10.0
"""Voice activity of all calls that comes within this is done together; a single call's, every 32 ms, never waits."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded:
    """A server's parts. `warm` renders fixed phrases that are not cached; `database` is the records database.

    versions: brings another version of understanding into service while its `run` is run; knowledge: the same for
    knowledge files that change. audit: who did what. keeping: removes what is kept no longer, while its `run` is run.
    quality: scores calls that are over.
    """

    services: CallServices
    pool: Pool
    domain: Domain
    database: Database
    phrases: list[tuple[str, Any]]
    warm: Callable[[], Awaitable[int]]
    versions: VersionWatch | None = None
    knowledge: Mapping[str, KnowledgeWatch] = field(default_factory=dict)
    audit: AuditTrail | None = None
    keeping: RetentionJob | None = None
    quality: Quality | None = None


@asynccontextmanager
async def load(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Loaded]:
    """Load models, domain and databases as configured.

    Raises:
        FileError: the domain cannot be used.
        models.errors.ModelError: a model is missing, damaged, or wants a device that is not here.
        agent.records.database.DatabaseError: the records database cannot be used.
    """
    # Audio comes every 20 ms; in virtual time it comes as fast as it is taken.
    gather_ms = GATHER_MS if clock is None else 0.0
    clock = clock or RealClock()
    async with AsyncExitStack() as stack:
        pool = Pool(settings.pool.workers, settings.pool.queue, gather_ms)
        stack.callback(pool.close)
        domain = load_domain(settings.domain_path())
        languages = languages_of(settings, domain)
        emotion: VoiceEmotionModel | None
        recognizer, voice, vad, encoder, emotion = await asyncio.gather(
            giving_way(lambda: ears_of(settings, languages)),
            asyncio.to_thread(voice_of, settings, languages, _synthesis(pool)),
            asyncio.to_thread(SileroVad, settings.vad.weights),
            asyncio.to_thread(_encoder),
            asyncio.to_thread(_emotion, settings),
        )
        metrics = Metrics()
        opener = Opener(Registry(settings.understanding.versions), domain, encoder, settings.understanding.cache)
        reader = _reader(domain, encoder, clock)
        choice, chosen = await asyncio.to_thread(opener.open_current)
        if choice.problem is not None:
            log.warning("%s", choice.problem, extra={"code": "model_not_used"})
        understanding = LiveUnderstanding(await asyncio.to_thread(reader, choice))
        understands = understanding_of(understanding, settings, domain, languages, encoder, clock)
        load_together(settings, recognizer, voice, understands)
        shadow = Shadow(pool, metrics, clock)
        stack.push_async_callback(shadow.aclose)
        versions = VersionWatch(
            opener.registry,
            opener.name,
            lambda version: reader(opener.open(version)),
            understanding,
            shadow,
            metrics,
            clock,
            settings.understanding.watch_s,
            chosen,
            choice.problem,
        )
        actions = await open_actions(domain, clock, settings.business_database(domain.name))
        stack.push_async_callback(actions.close)
        run = _background(pool)
        records = await stack.enter_async_context(
            SqlRecords.open(
                settings.records.database_url, settings.records.recordings, clock, settings.records.record_audio
            )
        )
        manner = domain.manner
        writer = await asyncio.to_thread(
            lambda: open_writer(
                settings,
                clock,
                pool,
                encoder=encoder,
                business=manner.business,
                persona=manner.persona,
                count=lambda use, outcome, reason: metrics.written.labels(use, outcome, reason).inc(),
            )
        )
        if writer is not None:
            stack.push_async_callback(writer.aclose)
        engine = await asyncio.to_thread(
            lambda: DialogueEngine(
                domain,
                encoder,
                actions,
                clock,
                run,
                writer,
                SqlKeeper(records.database, clock),
                languages,
                CACHE,
                history=lambda caller, most: calls_of(records.database, caller, domain.name, clock.wall(), most),
            )
        )
        signing = settings.secrets.webhook_key
        key = None if signing is None else signing.get_secret_value()
        alerts = new_alerts(domain.name, clock, metrics, settings.alerts, key)
        alerts.restore(await verdicts(records.database, domain.name, alerts.since()))
        http = await stack.enter_async_context(httpx.AsyncClient())
        feed = Feed(clock)
        desk = _desk(settings, records.database, clock, feed, writer)
        if settings.handoff.hooks_file is not None:
            hooks = load_hooks(settings.handoff.hooks_file, clock, os.environ).deliveries(clock)
            hooks.start()
            stack.push_async_callback(hooks.aclose, HOOKS_S)
            desk.teller = Teller(hooks, clock)
        stack.push_async_callback(desk.aclose)
        audit_key = settings.secrets.audit_key
        trail = AuditTrail(records.database, clock, b"" if audit_key is None else audit_key.get_secret_value().encode())
        cache = PhraseCache(settings.voice.cache, max_bytes=settings.voice.cache_mb * 1_000_000)
        cached = CachedVoice(voice, cache, rate=PHRASE_RATE, run=_synthesis(pool))
        services = CallServices(
            settings=settings,
            clock=clock,
            pool=pool,
            vad=vad,
            new_vad_state=VadState,
            recognizer=recognizer,
            understanding=understands,
            turn_end=await asyncio.to_thread(_turn_end, domain, emotion),
            emotion=emotion,
            voice=cached,
            new_dialogue=_consented(settings, domain, _surveyed(domain, engine.new_call)),
            records=records,
            desk=desk,
            metrics=metrics,
            carriers=_carriers(settings, http, clock),
            asking=frozenset(name for name, one in gateways().items() if one.hook is not None and one.asks_after),
            redact=redact,
            model_names={
                "recognizer": f"{settings.recognizer.model}/{settings.recognizer.compute_type}",
                "voice": settings.voice.model,
                "encoder": encoder.identity,
                "emotion": str(settings.emotion.heads or "voice-emotion") if emotion is not None else "off",
            },
            shadow=shadow,
            languages=languages if len(languages) > 1 else (),
            alerts=alerts,
            feed=feed,
            assistant=KnowledgeAssistant(domain, engine.knowledge),
        )
        # those of other languages are rendered when they are first spoken: English does not wait for them
        phrases = [phrase for phrase in engine.fixed_phrases() if written_in(phrase[0]) in (ENGLISH, languages[0])]
        cached.keep(engine.fixed_phrases())

        async def warm() -> int:
            return await cached.warm(phrases)

        watches = {
            language: _knowledge_watch(domain.localized.get(language, domain), engine, encoder, clock)
            for language in engine.knowledge
        }
        await callbacks.recover(records.database, clock.wall())
        rubrics = Rubrics(QUALITY)
        facts = facts_from([settings.domain_path(), CONFIGS / "domains"])
        quality = Quality(records.database, rubrics, clock, facts)
        keeping = RetentionJob(records.database, settings.records.recordings, settings.privacy.rules(), clock, trail)
        yield Loaded(
            services, pool, domain, records.database, phrases, warm, versions, watches, trail, keeping, quality
        )


def _consented(settings: Settings, domain: Domain, new_call: NewDialogue) -> NewDialogue:
    """Dialogues that tell or ask callers before they are recorded, where that is wanted."""
    if settings.privacy.consent == "none":
        return new_call
    rule, language = ConsentRule(settings.privacy.consent), domain.manner.language
    return lambda call_id, caller: ConsentedDialogue(new_call(call_id, caller), rule, language)


def _surveyed(domain: Domain, new_call: NewDialogue) -> NewDialogue:
    """Dialogues that ask for a rating before they say goodbye, where the domain has a survey."""
    if domain.folder is None:
        return new_call
    survey = load_survey(domain.folder, QUALITY / "survey.yaml")
    if survey is None:
        return new_call
    last_words, language = goodbyes(domain), domain.manner.language
    return lambda call_id, caller: SurveyedDialogue(new_call(call_id, caller), survey, last_words, language)


def _knowledge_watch(domain: Domain, engine: DialogueEngine, encoder: SentenceEncoder, clock: Clock) -> KnowledgeWatch:
    folder = domain.folder
    if folder is None:
        raise ValueError(f"domain {domain.name} was not read from a folder")
    live = engine.knowledge[domain.manner.language]
    return KnowledgeWatch(folder, lambda: open_knowledge(folder, encoder, domain.manner.knowledge, CACHE), live, clock)


def _synthesis(pool: Pool) -> Any:
    """Runs synthesis at the urgency of the task that asked."""

    async def run(work: Callable[[], T]) -> T:
        return await pool.run(priority.get(), work, within_ms=patience_ms.get())

    return run


def _background(pool: Pool) -> Any:
    async def run(work: Callable[[], T]) -> T:
        return await pool.run(Priority.UNDERSTANDING, work)

    return run


def _encoder() -> SentenceEncoder:
    encoder = SentenceEncoder()
    encoder.load()
    return encoder


def _emotion(settings: Settings) -> VoiceEmotionReader | None:
    if not settings.emotion.enabled:
        return None
    return VoiceEmotionReader(heads=settings.emotion.heads) if settings.emotion.heads else VoiceEmotionReader()


def _reader(domain: Domain, encoder: SentenceEncoder, clock: Clock) -> Callable[[Choice], Opened]:
    """Makes an understanding of the domain's turns of an opened version."""
    specs = [SlotSpec(name, slot.type, slot.options) for name, slot in domain.slots.items()]
    language = domain.manner.language
    emotion = TextEmotionModel(encoder, language=language)

    def read(choice: Choice) -> Opened:
        understanding = TurnUnderstanding(
            choice.model, specs, emotion, lambda: clock.wall().date(), examples=choice.examples, language=language
        )
        return Opened(understanding, choice.version)

    return read


def _turn_end(domain: Domain, emotion: VoiceEmotionModel | None) -> TurnEndModel:
    leading = frozenset(name for name, intent in domain.intents.items() if intent.leads_on)
    model = TurnModel(encoder=emotion.encoder if isinstance(emotion, VoiceEmotionReader) else None)

    def turn_end(
        understood: Understood,
        context: UnderstandingContext,
        recognition: Recognition | None = None,
        samples: Samples | None = None,
    ) -> TurnEnd:
        return model.probability(understood, context, recognition=recognition, samples=samples, leading=leading)

    return turn_end


def _desk(settings: Settings, database: Database, clock: Clock, feed: Feed, writer: Writer | None) -> Desk:
    chosen, key = settings.handoff, settings.secrets.webhook_key
    webhook = None
    if chosen.webhook_url is not None and key is not None:
        try:
            webhook = Webhook(
                chosen.webhook_url,
                key.get_secret_value(),
                clock,
                timeout_s=chosen.webhook_timeout_s,
                budget_s=chosen.webhook_budget_s,
                allow_private=chosen.allow_private,
            )
        except ValueError as error:
            raise FileError([f"handoff.webhook_url: {error}"]) from error
    elif chosen.webhook_url is not None:
        log.warning("handoff.webhook_url is set but CALLAGENT_WEBHOOK_KEY is not: no webhook is sent")
    if not settings.queue.enabled:
        return Desk(database, webhook, chosen.transfer_to, clock)
    return ConsoleDesk(database, webhook, chosen.transfer_to, clock, settings.queue.chosen(), feed, writer)


def _carriers(settings: Settings, http: httpx.AsyncClient, clock: Clock) -> dict[str, Carrier]:
    """Call control of every vendor whose account and key are configured."""
    found: dict[str, Carrier] = {}
    for name, gateway in gateways().items():
        chosen, secret = settings.gateway(name), settings.secrets.rest_of(name)
        if gateway.control is None or not chosen.enabled or chosen.account is None or secret is None:
            continue
        account = Account(chosen.account, secret, chosen.api_url, chosen.number, lambda: clock.wall().timestamp())
        try:
            found[name] = RestCarrier(gateway.title, gateway.control(account), http, clock)
        except ValueError as error:
            raise FileError([f"gateways.{name}: {error}"]) from error
    return found
