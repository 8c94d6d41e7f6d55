"""What a model reads of a dialogue, and that it learns the agent's words and nothing else."""

import pytest

from models.training.examples import DataError
from models.training.reply.chat import IGNORED, OPENING, ChatFormat, Cut, TemplateError, encode_all
from models.training.reply.dialogues import Dialogue, Message, dialogue_from

pytestmark = [pytest.mark.train]

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPACED = (  # Llama 2's: a space before the agent's words
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% elif m['role'] == 'assistant' %}{{ ' ' + m['content'] + ' ' + eos_token }}"
    "{% else %}{{ raise_exception('unknown role') }}{% endif %}{% endfor %}"
)
STRICT = (  # Gemma's: no system message, no tool, user and agent in turn
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) or m['role'] not in "
    "['user', 'assistant'] %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
FORGETFUL = (  # Qwen 3's: thoughts are shown in the last agent turn only
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}{% if m['role'] == 'assistant' and loop.last %}"
    "{{ '(no thoughts)\n\n' }}{% endif %}{{ m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n(no thoughts)\n\n' }}{% endif %}"
)


@pytest.fixture(scope="module")
def dialogues(documents):
    return [dialogue_from(row, f"documents:{n}") for n, row in enumerate(documents)]


def agent_words(dialogue: Dialogue) -> list[str]:
    return [message.content for message in dialogue.messages if message.role == "assistant" and message.learn]


def learnt_runs(tokenizer, example) -> list[str]:
    """What the labels that count say: one text for each unbroken run of them."""
    runs, open_run = [], []
    for label in (*example.labels, IGNORED):
        if label != IGNORED:
            open_run.append(label)
        elif open_run:
            runs.append(open_run)
            open_run = []
    assert all(run[-1] in tokenizer.all_special_ids or run[-1] == tokenizer.eos_token_id for run in runs)
    return [tokenizer.decode(run, skip_special_tokens=True).strip() for run in runs]


@pytest.mark.parametrize("kind", ["bytes", "pieces"])
@pytest.mark.parametrize("template", [None, CHATML, SPACED, STRICT, FORGETFUL])
def test_the_labels_are_exactly_the_agents_words(make_tokenizer, dialogues, kind, template):
    tokenizer = make_tokenizer(kind, template)
    chat = ChatFormat(tokenizer, None, seq2seq=False)
    for dialogue in dialogues:
        examples, cut = chat.encode(dialogue, 1024)
        said = [run for example in examples for run in learnt_runs(tokenizer, example)]
        assert said == agent_words(dialogue)
        assert cut == Cut()
        whole = template != FORGETFUL or len(said) == 1
        assert len(examples) == (1 if whole else len(said))


def test_labels_stand_at_their_tokens_and_the_prompt_is_as_served(make_tokenizer, dialogues):
    tokenizer = make_tokenizer("bytes", FORGETFUL)
    chat = ChatFormat(tokenizer, None, seq2seq=False)
    dialogue = next(d for d in dialogues if d.targets == 3)
    [_, second, _], _ = chat.encode(dialogue, 1024)
    assert all(label in (IGNORED, token) for token, label in zip(second.tokens, second.labels, strict=True))
    prompt = chat.render(dialogue.messages[:4], ask=True)
    begin = second.labels.index(next(label for label in second.labels if label != IGNORED))
    assert tokenizer.decode(second.tokens[:begin]) == prompt
    assert prompt.endswith("(no thoughts)\n\n")


def test_turns_that_are_context_are_not_learnt(make_tokenizer):
    tokenizer = make_tokenizer("bytes", CHATML)
    turns = (
        Message("assistant", "Hello there.", False),
        Message("user", "boots"),
        Message("assistant", "Here.", False),
        Message("user", "thanks"),
        Message("assistant", "Your boots will be here."),
    )
    [example], _ = ChatFormat(tokenizer, None, False).encode(Dialogue(turns), 1024)
    assert learnt_runs(tokenizer, example) == ["Your boots will be here."]


def test_seq2seq_learns_each_turn_from_its_history(make_tokenizer, dialogues):
    tokenizer = make_tokenizer("pieces")
    chat = ChatFormat(tokenizer, None, seq2seq=True)
    for dialogue in dialogues:
        examples, _ = chat.encode(dialogue, 1024)
        assert [tokenizer.decode(e.labels, skip_special_tokens=True) for e in examples] == agent_words(dialogue)
        assert all(IGNORED not in e.labels and e.labels[-1] == tokenizer.eos_token_id for e in examples)
        assert all(e.tokens[-1] == tokenizer.eos_token_id for e in examples)
        last = tokenizer.decode(examples[-1].tokens, skip_special_tokens=True)
        assert dialogue.messages[-2].content in last
        assert last.endswith("assistant:")


def test_a_strict_template_is_met(make_tokenizer):
    tokenizer = make_tokenizer("bytes", STRICT)
    chat = ChatFormat(tokenizer, None, seq2seq=False)
    assert len(chat.adapted) == 4
    dialogue = Dialogue(
        (
            Message("system", "Be kind."),
            Message("assistant", "Good day."),
            Message("user", "where"),
            Message("user", "is it"),
            Message("tool", "found"),
            Message("assistant", "Here it is."),
        ),
        ("Parcels take a day.",),
    )
    adapted = chat.adapt(dialogue)
    assert [message.role for message in adapted] == ["user", "assistant", "user", "assistant"]
    assert adapted[0].content == f"Be kind.\n\nFacts you may use:\n- Parcels take a day.\n\n{OPENING}"
    assert adapted[2].content == "where\nis it\nResult of an action: found"
    [example], _ = chat.encode(dialogue, 1024)
    assert learnt_runs(tokenizer, example) == ["Good day.", "Here it is."]


@pytest.mark.parametrize("seq2seq", [False, True])
def test_a_greeting_is_asked_for_by_the_system_message_or_by_the_opening(make_tokenizer, seq2seq):
    tokenizer = make_tokenizer("pieces" if seq2seq else "bytes", None if seq2seq else CHATML)
    chat = ChatFormat(tokenizer, None, seq2seq)
    greeting = (Message("assistant", "Good day."), Message("user", "where"), Message("assistant", "Here it is."))
    assert [m.content for m in chat.adapt(Dialogue(greeting))][:2] == [OPENING, "Good day."]
    system = Message("system", "Be kind.")
    assert chat.adapt(Dialogue((system, *greeting))) == [system, *greeting]
    examples, _ = chat.encode(Dialogue(greeting), 1024)
    said = [run for example in examples for run in learnt_runs(tokenizer, example)]
    assert said == ["Good day.", "Here it is."]


def test_joined_agent_turns_are_learnt_only_where_both_are(make_tokenizer):
    tokenizer = make_tokenizer("bytes", STRICT)
    chat = ChatFormat(tokenizer, None, seq2seq=False)
    both = chat.adapt(Dialogue((Message("user", "a"), Message("assistant", "b"), Message("assistant", "c", False))))
    assert both == [Message("user", "a"), Message("assistant", "b\nc", False)]


@pytest.mark.parametrize("template", [CHATML, STRICT, FORGETFUL])
def test_what_is_too_long_loses_its_oldest_turns_whole(make_tokenizer, template):
    tokenizer = make_tokenizer("bytes", template)
    chat = ChatFormat(tokenizer, None, seq2seq=False)
    turns = [
        message
        for n in range(8)
        for message in (Message("user", f"where is number {n}"), Message("assistant", f"Order {n} is here."))
    ]
    dialogue = Dialogue((Message("system", "Be kind."), *turns))
    whole = max(len(example.tokens) for example in chat.encode(dialogue, 10_000)[0])
    examples, cut = chat.encode(dialogue, whole // 2)
    assert all(len(example.tokens) <= whole // 2 for example in examples)
    said = [run for example in examples for run in learnt_runs(tokenizer, example)]
    assert said == [f"Order {n} is here." for n in range(8 - len(said), 8)]
    assert said
    text = tokenizer.decode(examples[-1].tokens)
    assert "Be kind." in text
    if template == FORGETFUL:  # each turn is an example of its own, so none is lost
        assert len(said) == 8
        assert cut.turns > 0
        assert cut.agent_turns == 0
    else:
        assert cut == Cut(2 * (8 - len(said)), 8 - len(said))
        assert f"number {8 - len(said)}" in text
        assert f"number {7 - len(said)}" not in text


def test_what_never_fits_is_left_out_and_counted(make_tokenizer):
    chat = ChatFormat(make_tokenizer("bytes", CHATML), None, seq2seq=False)
    short = Dialogue((Message("user", "hi"), Message("assistant", "Hello.")))
    long = Dialogue((Message("user", "where " * 40), Message("assistant", "Here.")))
    examples, cut = encode_all(chat, [short, long], 40)
    assert len(examples) == 1
    assert cut == Cut(turns=2, agent_turns=1, examples=1)
    seq2seq = ChatFormat(make_tokenizer("pieces"), None, seq2seq=True)
    assert seq2seq.encode(long, 16) == ([], Cut(turns=2, agent_turns=1, examples=1))


def test_control_tokens_in_words_are_refused(make_tokenizer):
    chat = ChatFormat(make_tokenizer("bytes", CHATML), None, seq2seq=False)
    dialogue = Dialogue((Message("user", "hi <|im_end|> you"), Message("assistant", "Hello.")), (), "d.jsonl:4")
    with pytest.raises(DataError, match=r"d\.jsonl:4: message 1 holds the control token '<\|im_end\|>'"):
        chat.encode(dialogue, 100)


def test_a_template_that_does_not_do_is_refused(make_tokenizer):
    tokenizer = make_tokenizer("bytes")
    with pytest.raises(TemplateError, match="cannot render a question and its answer"):
        ChatFormat(tokenizer, "{{ messages[0]['nothing']['here'] }}", False)
    with pytest.raises(TemplateError, match="drops the words of the role user"):
        ChatFormat(tokenizer, "{% for m in messages[1:] %}{{ m['content'] + eos_token }}{% endfor %}", False)
    with pytest.raises(TemplateError, match="nothing in the chat template ends"):
        ChatFormat(tokenizer, "{% for m in messages %}{{ m['content'] + '\n' }}{% endfor %}", False)
    tokenizer.eos_token = None
    with pytest.raises(TemplateError, match="no end-of-text token"):
        ChatFormat(tokenizer, None, False)
