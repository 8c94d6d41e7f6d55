"""The language of each turn goes into the call and out of it: heard, understood, answered, and shown as heard."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest
from callfakes import FakeCall
from virtual_time import run_virtual

from agent.call.claims import claims_floor, count_of, without_last, words_of
from agent.call.hearing import PROMPTS, PROMPTS_OF, Heard, Hearing, joined
from agent.call.listening import Listening
from agent.call.playout import Playout
from agent.call.replying import KNEE, louder
from agent.gateways.base import Capabilities
from audio.codec import Encoding
from models.contracts import Recognition, UnderstandingContext, Understood
from models.pool import Priority

PCM = Encoding("pcm16", 16_000)


class Recognizer:
    """Hears what it is told to, in the language it is told."""

    def __init__(self, text: str, language: str) -> None:
        self.text, self.language, self.hints = text, language, []

    def recognize(self, samples, hints):
        self.hints.append(hints)
        return Recognition(self.text, language=self.language)


class Understanding:
    def __init__(self) -> None:
        self.languages = []

    def understand(self, text, context):
        self.languages.append(context.language)
        return Understood("heard", 0.9)


class Pool:
    async def run(self, priority, work, *, within_ms=None):
        await asyncio.sleep(0.001)
        return work()


def heard(text, spoken, now="en", profile="open", languages=("en", "zh")):
    """A turn of `text`, spoken in one language while the call is in another: (Heard, hints, understood in)."""

    async def main():
        recognizer, understanding = Recognizer(text, spoken), Understanding()
        services = replace(
            FakeCall().services,
            recognizer=recognizer,
            understanding=understanding,
            pool=Pool(),
            emotion=None,
            languages=languages,
        )
        listening = Listening(PCM, 0.5, 0.35)
        hearing = Hearing(services, listening, lambda: (UnderstandingContext(language=now), profile))
        for _ in range(30):
            for _ in listening.feed(PCM.encode(np.full(512, 9000, dtype=np.int16)))[0]:
                listening.judge(0.9)
        hearing.open(25)
        return await hearing.read(Priority.FINAL_RECOGNITION), recognizer.hints[0], understanding.languages[0]

    return run_virtual(main())


@pytest.mark.parametrize(
    ("text", "spoken", "now", "after"),
    [
        ("我的订单在哪里", "zh", "en", "zh"),
        ("where is my order", "en", "zh", "en"),
        ("嗯", "zh", "en", "en"),
        ("okay", "en", "zh", "zh"),
        ("can we speak Chinese", "en", "en", "zh"),
        ("请说英语", "zh", "zh", "en"),
        ("bonjour tout le monde", "fr", "zh", "zh"),
    ],
)
def test_what_is_spoken_or_asked_for_is_what_the_call_goes_on_in(text, spoken, now, after):
    turn, hints, understood_in = heard(text, spoken, now)
    assert turn.language == after
    assert hints.languages == ("en", "zh")
    assert hints.language == now
    assert understood_in == spoken


def test_where_callers_have_no_choice_nothing_changes():
    turn, hints, understood_in = heard("我的订单在哪里", "zh", languages=())
    assert (turn.language, hints.languages, hints.language, understood_in) == ("", (), "en", "en")


def test_the_prompt_is_in_the_language_of_the_call():
    assert heard("四二七一九", "zh", "zh", "digits")[1].prompt == PROMPTS_OF["zh"]["digits"]
    assert heard("4 2 7", "en", "en", "digits")[1].prompt == PROMPTS["digits"]


def test_pieces_of_a_chinese_turn_have_no_space_between_them():
    assert joined(["我的订单", "在哪里"]) == "我的订单在哪里"
    assert joined(["where is", "", "my order"]) == "where is my order"
    assert joined(["VIP", "客户"]) == "VIP客户"
    assert Heard("", Understood("x", 0.0)).language == ""


@pytest.mark.parametrize("text", ["嗯嗯", "好的", "哦，知道了", "对对对", "明白了，谢谢"])
def test_company_in_chinese_does_not_claim_the_floor_unless_it_answers(text):
    assert not claims_floor(text, "我帮您查一下您的订单。", asked_yes_no=False)


@pytest.mark.parametrize("text", ["等一下", "我要退货", "不对，是另一个", "四二七一九"])
def test_chinese_words_meant_for_an_answer_claim_it(text):
    assert claims_floor(text, "我帮您查一下您的订单。", asked_yes_no=False)


def test_answers_and_the_agents_own_words_in_chinese():
    assert claims_floor("好的", "要取消吗？", asked_yes_no=True)
    assert not claims_floor("查一下您的订单", "我帮您查一下您的订单。", asked_yes_no=False)
    assert words_of("VIP客户, ok") == ["vip", "客", "户", "ok"]
    assert (count_of("我的订单"), count_of("my big order")) == (4, 3)
    assert (without_last("我的订单。"), without_last("my order num")) == ("我的订", "my order")


def test_what_was_heard_of_a_chinese_sentence_is_cut_at_a_character():
    playout = Playout(Capabilities(PCM))
    playout.begin(1)
    text = "您的订单明天到。"
    playout.utterance(1, text)
    playout.add(1, 0, (0, len(text)), np.ones(16_000, dtype=np.int16))
    playout.complete(1)
    for now in range(0, 560, 20):
        playout.due(float(now))
    assert [one.heard for one in playout.heard(510.0)] == ["您的订单"]


def test_louder_is_louder_and_never_cut():
    tone = (0.3 * np.sin(np.arange(1600) / 5)).astype(np.float32)
    assert louder(tone, 0.0) is tone
    assert np.allclose(louder(tone, 6.0), tone * 10**0.3, atol=1e-6)
    raised = louder(tone, 12.0)
    assert KNEE < np.abs(raised).max() < 1.0
    assert np.array_equal(louder(tone, 40.0), raised), "there is a most"
    assert np.sqrt(np.mean(raised**2)) > 2 * np.sqrt(np.mean(tone**2))
