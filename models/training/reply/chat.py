"""Dialogues as a language model reads them: chat template, tokens, and which of them are the agent's words.

Only the agent's words, and the token that ends them, are learnt: every other label is `IGNORED`. Texts are rendered
with the template that serving will use, so a prompt is the same in both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from models.errors import ModelError
from models.training.examples import DataError
from models.training.reply.dialogues import AGENT, Dialogue, Message

IGNORED = -100
"""The label that cross entropy leaves out (torch's `ignore_index`)."""

CAUSAL_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' + message['content'] + eos_token + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)
"""For causal models without a template: Zephyr's format, which needs no new tokens."""

SEQ2SEQ_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
)
"""For encoder-decoders without a template; the end-of-text token belongs at the end of the source only."""

OPENING = "(The call is connected.)"
"""The user turn before an agent's greeting where no system message is there to ask for it, or the template wants it."""
FACTS = "Facts you may use:"
TOOL = "Result of an action: "

Row = dict[str, str]


class TemplateError(ModelError):
    """The chat template cannot render dialogues; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """What is trained on: tokens[n] and labels[n] (causal), or source tokens and target labels (seq2seq)."""

    tokens: tuple[int, ...]
    labels: tuple[int, ...]

    @property
    def learnt(self) -> int:
        """How many labels count."""
        return sum(label != IGNORED for label in self.labels)


@dataclass(frozen=True, slots=True)
class Cut:
    """What did not fit: turns cut from the left (agent_turns of them to be learnt), and examples left out whole."""

    turns: int = 0
    agent_turns: int = 0
    examples: int = 0

    def __add__(self, other: Cut) -> Cut:
        """Both together."""
        return Cut(self.turns + other.turns, self.agent_turns + other.agent_turns, self.examples + other.examples)


class ChatFormat:
    """Renders and tokenizes dialogues for one tokenizer.

    `template` is a Jinja text, or None for the tokenizer's own, or where it has none, for ours.
    """

    def __init__(self, tokenizer: Any, template: str | None, seq2seq: bool) -> None:
        """Find out what the template takes.

        Raises:
            TemplateError: it renders no plain exchange, or nothing in it ends the agent's turn.
        """
        self.tokenizer = tokenizer
        self.seq2seq = seq2seq
        fallback = SEQ2SEQ_TEMPLATE if seq2seq else CAUSAL_TEMPLATE
        self.own = template is None and bool(getattr(tokenizer, "chat_template", None))
        self.template: str = template or (tokenizer.chat_template if self.own else fallback)
        if not tokenizer.eos_token:
            raise TemplateError("the tokenizer has no end-of-text token; set eos_token in its tokenizer_config.json")
        user, agent = Message("user", "First words."), Message(AGENT, "Second words.")
        if (why := self._refusal([user, agent])) is not None:
            raise TemplateError(f"the chat template cannot render a question and its answer ({why}); try plain")
        system, tool = Message("system", "Third words."), Message("tool", "Fourth words.")
        self.takes_system = self._refusal([system, user, agent]) is None
        head = [system] if self.takes_system else []
        self.takes_greeting = self._refusal([*head, agent, user, agent]) is None
        self.takes_tool = self._refusal([*head, user, tool, agent]) is None
        self.takes_runs = self._refusal([*head, user, user, agent, agent]) is None
        added = (str(token) for token in tokenizer.added_tokens_decoder.values() if token.special)
        self._special = frozenset({*added, *tokenizer.all_special_tokens})
        self.end = self._end()

    @property
    def adapted(self) -> list[str]:
        """How dialogues are changed so that the template takes them, one line each."""
        changes = (
            (self.takes_system, "system messages are put into the first user turn"),
            (self.takes_greeting, f"a user turn {OPENING!r} is put before an agent's greeting"),
            (self.takes_tool, "tool results are told in a user turn"),
            (self.takes_runs, "turns of one side in a row are joined"),
        )
        return [what for taken, what in changes if not taken]

    def encode(self, dialogue: Dialogue, max_tokens: int) -> tuple[list[Encoded], Cut]:
        """The examples of a dialogue, none longer than `max_tokens`, and what was cut for that.

        One for the whole dialogue where the template only ever appends (almost all do), else, and for seq2seq models,
        one for each agent turn with the prompt it would be asked with.

        Raises:
            DataError: a message holds one of the tokenizer's special tokens as words.
        """
        for n, message in enumerate(dialogue.messages, 1):
            if (token := next((token for token in self._special if token in message.content), None)) is not None:
                raise DataError([f"{dialogue.origin}: message {n} holds the control token {token!r}; remove it"])
        head, turns = self._parted(dialogue)
        if not self.seq2seq and (pieces := self._pieces(self._headed(head, turns))) is not None:
            return self._encode_whole(head, turns, pieces, max_tokens)
        examples: list[Encoded] = []
        cut = Cut()
        for n, message in enumerate(turns):
            if message.role == AGENT and message.learn:
                example, lost = self._encode_turn(head, turns[: n + 1], max_tokens)
                examples += [example] if example is not None else []
                cut += lost
        return examples, cut

    def adapt(self, dialogue: Dialogue) -> list[Message]:
        """The messages as the template takes them; facts join the system message. See `adapted`."""
        return self._headed(*self._parted(dialogue))

    def _parted(self, dialogue: Dialogue) -> tuple[str, list[Message]]:
        """What is said before the dialogue, and its turns."""
        heads = [message.content for message in dialogue.messages if message.role == "system"]
        turns = [message for message in dialogue.messages if message.role != "system"]
        if dialogue.knowledge:
            heads.append("\n".join([FACTS, *(f"- {fact}" for fact in dialogue.knowledge)]))
        if not self.takes_tool:
            turns = [Message("user", TOOL + m.content) if m.role == "tool" else m for m in turns]
        return "\n\n".join(heads), turns if self.takes_runs else _joined(turns)

    def _headed(self, head: str, turns: Sequence[Message]) -> list[Message]:
        """`turns` with `head` before them, and the opening before a greeting that nothing else would ask for."""
        if turns[0].role == AGENT and not (head and self.takes_system and self.takes_greeting):
            turns = [Message("user", OPENING), *turns]
        if not head:
            return list(turns)
        if self.takes_system:
            return [Message("system", head), *turns]
        return [replace(turns[0], content=f"{head}\n\n{turns[0].content}"), *turns[1:]]

    def render(self, messages: Sequence[Message], ask: bool = False) -> str:
        """The text of `messages`; `ask` adds what makes the model answer."""
        rows: list[Row] = [{"role": message.role, "content": message.content} for message in messages]
        text: str = self.tokenizer.apply_chat_template(
            rows, chat_template=self.template, tokenize=False, add_generation_prompt=ask, enable_thinking=False
        )
        return text

    def _refusal(self, messages: Sequence[Message]) -> str | None:
        """Why the template does not take `messages`, or drops the words of one."""
        try:
            text = self.render(messages)
        except Exception as error:  # Jinja raises what the template's author chose
            return str(error) or type(error).__name__
        lost = next((message for message in messages if message.content not in text), None)
        return None if lost is None else f"it drops the words of the role {lost.role}"

    def _end(self) -> str:
        """What ends the agent's turn in the template: up to its first special token."""
        if self.seq2seq:
            return ""
        words = Message(AGENT, "Second words.")
        after: str = self.render([Message("user", "First words."), words]).rpartition(words.content)[2]
        ends = [(after.find(token), -len(token), token) for token in self._special if token in after]
        if not ends:
            raise TemplateError("nothing in the chat template ends an agent's turn, so no reply would stop; try plain")
        at, _, token = min(ends)
        return after[:at] + str(token)

    def _pieces(self, messages: Sequence[Message]) -> list[tuple[str, bool]] | None:
        """The rendered text as (text, learnt?), or None where the template changes earlier turns later on."""
        text = self.render(messages)
        pieces: list[tuple[str, bool]] = []
        done = 0
        for n, message in enumerate(messages):
            if message.role != AGENT or not message.learn:
                continue
            prompt = self.render(messages[:n], ask=True)
            if not text.startswith(prompt) or len(prompt) < done:
                return None
            begin = text.find(message.content, len(prompt))
            gap = text[len(prompt) : begin] if begin >= 0 else "?"
            end = begin + len(message.content) + len(self.end)
            if gap.strip() or text[begin:end] != message.content + self.end:
                return None
            pieces += [(text[done : len(prompt)], False), (text[len(prompt) : end], True)]
            done = end
        return [piece for piece in [*pieces, (text[done:], False)] if piece[0]]

    def _encode_whole(
        self, head: str, turns: Sequence[Message], pieces: Sequence[tuple[str, bool]], max_tokens: int
    ) -> tuple[list[Encoded], Cut]:
        cut = Cut()
        while True:
            example = _drop_tail(self._encode_pieces(pieces))
            if len(example.tokens) <= max_tokens and example.learnt:
                return [example], cut
            shorter = _without_oldest(turns)
            found = self._pieces(self._headed(head, shorter)) if shorter else None
            if found is None:
                return [], cut + Cut(len(turns), _targets(turns), 1)
            cut += Cut(len(turns) - len(shorter), _targets(turns) - _targets(shorter))
            turns, pieces = shorter, found

    def _encode_turn(self, head: str, turns: Sequence[Message], max_tokens: int) -> tuple[Encoded | None, Cut]:
        """The last of `turns`, asked for with those before it."""
        target = self._ids(turns[-1].content + self.end)
        cut = Cut()
        while True:
            prompt = self._ids(self.render(self._headed(head, turns)[:-1], ask=True))
            if self.seq2seq and max(len(prompt), len(target)) <= max_tokens:
                return Encoded(prompt, target), cut
            if not self.seq2seq and len(prompt) + len(target) <= max_tokens:
                return Encoded(prompt + target, (IGNORED,) * len(prompt) + target), cut
            shorter = _without_oldest(turns)
            if not shorter:
                return None, cut + Cut(len(turns), 1, 1)
            cut += Cut(len(turns) - len(shorter))
            turns = shorter

    def _encode_pieces(self, pieces: Sequence[tuple[str, bool]]) -> Encoded:
        """The whole text in one go where no token straddles two pieces, else piece by piece."""
        ends: list[tuple[int, bool]] = []
        for text, learnt in pieces:
            ends.append((len(text) + (ends[-1][0] if ends else 0), learnt))
        found = self.tokenizer(
            "".join(text for text, _ in pieces), add_special_tokens=False, return_offsets_mapping=True
        )
        tokens, labels, at = [], [], 0
        for token, (begin, end) in zip(found["input_ids"], found["offset_mapping"], strict=True):
            while at < len(ends) - 1 and begin >= ends[at][0]:
                at += 1
            if end > ends[at][0]:
                return self._encode_apart(pieces)
            tokens.append(token)
            labels.append(token if ends[at][1] else IGNORED)
        return Encoded(tuple(tokens), tuple(labels))

    def _encode_apart(self, pieces: Sequence[tuple[str, bool]]) -> Encoded:
        parts = [(self._ids(text), learnt) for text, learnt in pieces]
        tokens = tuple(token for part, _ in parts for token in part)
        labels = tuple(token if learnt else IGNORED for part, learnt in parts for token in part)
        return Encoded(tokens, labels)

    def _ids(self, text: str) -> tuple[int, ...]:
        """Tokens of `text`; for seq2seq models with the special tokens that a whole text has, an end at least."""
        tokens: list[int] = self.tokenizer(text, add_special_tokens=self.seq2seq)["input_ids"]
        end = [self.tokenizer.eos_token_id] if self.seq2seq and tokens[-1:] != [self.tokenizer.eos_token_id] else []
        return (*tokens, *end)


def encode_all(
    chat: ChatFormat, dialogues: Sequence[Dialogue], max_tokens: int, watch: Callable[[int], None] = lambda _: None
) -> tuple[list[Encoded], Cut]:
    """The examples of all `dialogues`, and what was cut in all; `watch` hears how many are done."""
    examples: list[Encoded] = []
    cut = Cut()
    for n, dialogue in enumerate(dialogues, 1):
        found, lost = chat.encode(dialogue, max_tokens)
        examples += found
        cut += lost
        watch(n)
    return examples, cut


def _drop_tail(example: Encoded) -> Encoded:
    """Without what follows the last label: nothing is learnt from it."""
    last = max((n for n, label in enumerate(example.labels) if label != IGNORED), default=-1) + 1
    return Encoded(example.tokens[:last], example.labels[:last])


def _without_oldest(turns: Sequence[Message]) -> Sequence[Message]:
    """`turns` from the next user turn on, so that no reply stands without what it replies to; () where none is left."""
    begin = next((n for n, turn in enumerate(turns) if n and turn.role == "user"), len(turns))
    return turns[begin:] if _targets(turns[begin:]) else ()


def _targets(messages: Sequence[Message]) -> int:
    return sum(message.role == AGENT and message.learn for message in messages)


def _joined(messages: Sequence[Message]) -> list[Message]:
    joined: list[Message] = []
    for message in messages:
        if joined and joined[-1].role == message.role:
            last = joined[-1]
            joined[-1] = Message(last.role, f"{last.content}\n{message.content}", last.learn and message.learn)
        else:
            joined.append(message)
    return joined
