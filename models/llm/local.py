"""A language model of transformers on this machine: causal or encoder-decoder, with a LoRA adapter if there is one.

Needs the extra `train`; nothing of it is imported before a model is opened.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from models.errors import DeviceUnavailable, ModelError
from models.llm import written_tools
from models.llm.contracts import Delta, Finished, Message, TextPiece, Tool
from models.llm.errors import LanguageModelError

UNDECIDED = 3
"""Bytes at the end of a text that may be the beginning of a character (RFC 3629: it has at most four)."""
_NEEDED = ("torch", "transformers")


class TransformersLanguageModel:
    """Implements `models.llm.contracts.LanguageModel`; computes one answer at a time, others wait for it.

    Texts are rendered with the tokenizer's chat template (or ours where it has none), as `agent train reply` did.
    Control tokens of the tokenizer inside a message are taken out, so that a caller cannot write a turn of another.
    """

    local = True

    def __init__(
        self,
        model: str,
        *,
        adapter: Path | None = None,
        device: Literal["cpu", "cuda", "auto"] = "auto",
        allow_download: bool = False,
    ) -> None:
        """Load the weights; takes seconds to minutes and blocks.

        Args:
            model: a folder, or with `allow_download` a hub name.
            adapter: folder of a LoRA adapter (peft) for that model; its own tokenizer and template win.

        Raises:
            DeviceUnavailable: there is no CUDA GPU.
            ModelError: packages or weights are missing or do not fit together.
        """
        missing = [name for name in (*_NEEDED, *(["peft"] if adapter else [])) if not importlib.util.find_spec(name)]
        if missing:
            raise ModelError(
                f"llm.backend is transformers, which needs {', '.join(missing)}; pip install 'callagent[train]'"
            )
        import torch

        from models.training.reply.base import OWN, chat_format, open_base
        from models.training.reply.recipe import ReplyRecipe

        if device == "cuda" and not torch.cuda.is_available():
            raise DeviceUnavailable("llm.device is cuda, but there is no CUDA GPU; use auto or cpu")
        self.name = model
        self._device = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
        base = open_base(ReplyRecipe(base=model), allow_download)
        if adapter is not None and (adapter / "tokenizer_config.json").exists():
            base = replace(base, tokenizer=_tokenizer(adapter))
        self._chat = chat_format(base, OWN)
        self._tokenizer = base.tokenizer
        self._seq2seq = base.kind == "seq2seq"
        self._longest = base.longest
        loaded = base.load("auto" if self._device == "cuda" else torch.float32)
        if adapter is not None:
            loaded = _adapted(loaded, adapter)
        self._model = loaded.to(self._device).eval()
        added = (str(token) for token in self._tokenizer.added_tokens_decoder.values() if token.special)
        self._control = sorted({*added, *self._tokenizer.all_special_tokens}, key=len, reverse=True)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="language-model")
        self._stops: set[threading.Event] = set()

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Tool] = (),
        max_tokens: int = 160,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
    ) -> AsyncIterator[Delta]:
        """Answer; see `LanguageModel.stream`. With `tools` the text comes whole, since a call may be in it."""
        tokens = self._tokens(written_tools.tell(messages, tools))
        if self._longest is not None and len(tokens) + (0 if self._seq2seq else max_tokens) > self._longest:
            raise LanguageModelError(
                "too_large",
                f"{len(tokens)} tokens and {max_tokens} more do not fit {self.name}, which reads {self._longest}",
            )
        loop = asyncio.get_running_loop()
        made: asyncio.Queue[Delta | LanguageModelError] = asyncio.Queue(max_tokens + 4)  # a piece a token, and the end
        ended = threading.Event()

        def give(item: Delta | LanguageModelError) -> None:
            if not ended.is_set():
                with contextlib.suppress(RuntimeError):  # that loop is closed: nobody waits any more
                    loop.call_soon_threadsafe(made.put_nowait, item)

        self._stops.add(ended)
        self._worker.submit(self._compute, tokens, max_tokens, temperature, tuple(stop), give, ended)
        text = ""
        try:
            while True:
                item = await made.get()
                if isinstance(item, LanguageModelError):
                    raise item
                if tools and isinstance(item, TextPiece):
                    text += item.text
                    continue
                if tools and isinstance(item, Finished):
                    spoken, calls = written_tools.find(text)
                    if spoken:
                        yield TextPiece(spoken)
                    for call in calls:
                        yield call
                    item = Finished("tools") if calls else item
                yield item
                if isinstance(item, Finished):
                    return
        finally:
            ended.set()
            self._stops.discard(ended)

    async def aclose(self) -> None:
        """Stop what is being computed, and end the thread."""
        for ended in self._stops:
            ended.set()
        await asyncio.to_thread(self._worker.shutdown, wait=True, cancel_futures=True)

    def _tokens(self, messages: Sequence[Message]) -> list[int]:
        from models.training.reply.dialogues import Dialogue
        from models.training.reply.dialogues import Message as Turn

        turns = [Turn(message.role, self._plain(message.content) or "-") for message in messages]
        text = self._chat.render(self._chat.adapt(Dialogue(tuple(turns))), ask=True)
        tokens: list[int] = self._tokenizer(text, add_special_tokens=self._seq2seq)["input_ids"]
        if self._seq2seq and tokens[-1:] != [self._tokenizer.eos_token_id]:
            tokens.append(self._tokenizer.eos_token_id)
        return tokens

    def _plain(self, text: str) -> str:
        before = ""
        while text != before:
            before = text
            for token in self._control:
                text = text.replace(token, " ")
        return text.strip()

    def _compute(
        self,
        tokens: Sequence[int],
        max_tokens: int,
        temperature: float,
        stop: Sequence[str],
        give: Callable[[Delta | LanguageModelError], None],
        ended: threading.Event,
    ) -> None:
        """Generate, in the worker's thread, until the end, a stop text, or `ended`."""
        if ended.is_set():
            return
        try:
            import torch
            from transformers import StoppingCriteriaList

            speaker = _Speaker(self._tokenizer, stop, give)

            def over(input_ids: Any, scores: Any, **_: Any) -> Any:
                done = ended.is_set() or speaker.stopped
                return torch.full((input_ids.shape[0],), done, dtype=torch.bool, device=input_ids.device)

            sampling = {"do_sample": True, "temperature": temperature} if temperature > 0 else {"do_sample": False}
            prompt = torch.tensor([list(tokens)], device=self._device)
            with torch.inference_mode():
                self._model.generate(
                    input_ids=prompt,
                    attention_mask=torch.ones_like(prompt),
                    max_new_tokens=max_tokens,
                    num_beams=1,
                    pad_token_id=self._tokenizer.pad_token_id or self._tokenizer.eos_token_id,
                    streamer=speaker,
                    stopping_criteria=StoppingCriteriaList([over]),
                    **sampling,
                )
            give(Finished("length" if speaker.count >= max_tokens and not speaker.complete else "stop"))
        except Exception as error:  # whatever torch raises, the caller of the agent must not wait for ever
            give(LanguageModelError("failed", f"{self.name} broke: {type(error).__name__}: {error}"))


class _Speaker:
    """A transformers streamer: tokens become text as soon as no later token can change it."""

    def __init__(self, tokenizer: Any, stop: Sequence[str], give: Callable[[Delta], None]) -> None:
        self._tokenizer = tokenizer
        self._stop = stop
        self._give = give
        self._prompt = True
        self._tokens: list[int] = []
        self._given = 0
        self.stopped = False
        """A stop text came."""

    @property
    def count(self) -> int:
        """How many tokens were made."""
        return len(self._tokens)

    @property
    def complete(self) -> bool:
        """Whether the model itself ended the answer."""
        return self.stopped or self._tokens[-1:] == [self._tokenizer.eos_token_id]

    def put(self, value: Any) -> None:
        """Take the prompt, which is given first, or the next token."""
        if self._prompt:
            self._prompt = False
            return
        self._tokens += value.flatten().tolist()
        self._tell(last=False)

    def end(self) -> None:
        """Give what was held back."""
        self._tell(last=True)

    def _tell(self, last: bool) -> None:
        if self.stopped:
            return
        text: str = self._tokenizer.decode(self._tokens, skip_special_tokens=True)
        cut = min((at for stop in self._stop if (at := text.find(stop)) >= 0), default=None)
        self.stopped = cut is not None
        sure = len(text) if cut is None else cut
        if cut is None and not last:
            held = max((_begun(text, stop) for stop in self._stop), default=0)
            undecided = min(len(text) - len(text.rstrip("\ufffd")), UNDECIDED)
            sure = len(text) - max(held, undecided)
        if sure > self._given:
            self._give(TextPiece(text[self._given : sure]))
            self._given = sure


def _begun(text: str, stop: str) -> int:
    """How many characters at the end of `text` may be the beginning of `stop`."""
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def _adapted(model: Any, adapter: Path) -> Any:
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(model, adapter, local_files_only=True).merge_and_unload()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"llm.adapter {adapter} does not go on {model.name_or_path}: {error}") from error
