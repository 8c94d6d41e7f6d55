"""A language model behind an OpenAI-compatible server: vLLM, Ollama, llama.cpp, or one on the internet."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx

from models.llm.addresses import check_address, is_private
from models.llm.closing import closing
from models.llm.contracts import Delta, Finished, Message, Tool
from models.llm.errors import LanguageModelError
from models.llm.events import EventReader
from models.llm.protocol import AnswerReader, request_body, said

MOST_ERROR_BYTES = 8_192
"""Of the body of an error that are read, for its message."""
READ_OUT_S = 0.05
MOST_AFTER = 8
"""Time and pieces that a server has to end its response after `[DONE]`; else the next answer connects anew."""


class HttpLanguageModel:
    """Implements `models.llm.contracts.LanguageModel` by streamed POSTs to `base_url`/chat/completions.

    Connections are kept and used again. Redirects are not followed, since they would carry the key and the caller's
    words elsewhere; proxies of the environment are not used. Deadlines other than connecting are
    `models.llm.guard.Guard`'s.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        key: str | None = None,
        *,
        connect_s: float = 1.0,
        max_bytes: int = 262_144,
        connections: int = 8,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Args:
            key: sent as a bearer token.
            connect_s: for connecting, TLS included.
            max_bytes: largest response read.
            connections: requests at a time; more fail with `busy`.
            options: further keys of each request's body.

        Raises:
            ValueError: the address cannot be used.
        """
        parts = check_address(base_url)
        self.name = model
        self.local = is_private(parts.hostname or "")
        self._url = base_url.rstrip("/") + "/chat/completions"
        self._max_bytes = max_bytes
        self._options = dict(options or {})
        self._headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity", "User-Agent": "callagent"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(None, connect=connect_s, pool=connect_s),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            verify=httpx.create_ssl_context(trust_env=False) if parts.scheme == "https" else False,
            trust_env=False,
            follow_redirects=False,
        )

    async def stream(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Tool] = (),
        max_tokens: int = 160,
        temperature: float = 0.0,
        stop: Sequence[str] = (),
    ) -> AsyncIterator[Delta]:
        """Answer; see `LanguageModel.stream`. Closing the iterator closes the connection, which stops the server."""
        body = request_body(self.name, messages, tools, max_tokens, temperature, stop, self._options)
        async with self._post(body) as response:
            await self._check(response)
            events, answer = EventReader(self._max_bytes), AnswerReader()
            streamed = not response.headers.get("Content-Type", "").startswith("application/json")
            whole = bytearray()
            async with closing(_pieces(response)) as pieces:
                async for piece in pieces:
                    found = events.feed(piece)
                    if not streamed:
                        whole += piece
                        continue
                    for delta in (delta for data in found for delta in answer.read(data)):
                        if isinstance(delta, Finished):
                            await _read_out(pieces)
                        yield delta
                    if answer.over:
                        return
            for data in events.end() if streamed else [whole.decode("utf-8", "replace")]:
                for delta in answer.read(data):
                    yield delta
            for delta in answer.end():
                yield delta

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    @asynccontextmanager
    async def _post(self, body: Mapping[str, Any]) -> AsyncIterator[httpx.Response]:
        """Send the request; once more where a kept connection turned out to be closed by the server."""
        request = self._client.build_request("POST", self._url, json=body, headers=self._headers)
        response: httpx.Response | None = None
        try:
            try:
                response = await self._client.send(request, stream=True)
            except httpx.RemoteProtocolError:
                response = await self._client.send(request, stream=True)
        except httpx.ConnectTimeout as error:
            raise LanguageModelError("connect", f"{self._url} did not take the connection in time") from error
        except httpx.PoolTimeout as error:
            raise LanguageModelError("busy", "all connections to the model's server are in use") from error
        except httpx.TransportError as error:
            raise LanguageModelError("unreachable", f"{self._url}: {type(error).__name__}: {error}") from error
        try:
            yield response
        finally:
            await response.aclose()

    async def _check(self, response: httpx.Response) -> None:
        status = response.status_code
        if 200 <= status < 300:
            if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise LanguageModelError("bad_response", "the answer is compressed, which was not asked for")
            return
        if 300 <= status < 400:
            raise LanguageModelError("refused", f"{self._url} answered {status}, a redirect; give the address it means")
        why = await _reason(response)
        if status == 429:
            after = response.headers.get("Retry-After", "")
            after_ms = int(after) * 1000.0 if re.fullmatch(r"\d{1,6}", after) else 0.0
            raise LanguageModelError("busy", f"the model's server is busy: {why}", after_ms)
        if status in (401, 403):
            raise LanguageModelError(
                "refused", f"the model's server answered {status} ({why}); check CALLAGENT_LLM_KEY"
            )
        raise LanguageModelError("status", f"the model's server answered {status}: {why}")


async def _read_out(pieces: AsyncIterator[bytes]) -> None:
    """Take the few bytes after the answer, so that its connection can be kept; whatever they are, it is over."""
    with contextlib.suppress(TimeoutError, LanguageModelError):
        async with asyncio.timeout(READ_OUT_S):
            for _ in range(MOST_AFTER):
                if await anext(pieces, None) is None:
                    return


async def _pieces(response: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async with closing(response.aiter_raw()) as raw:
            async for piece in raw:
                yield piece
    except httpx.TransportError as error:
        raise LanguageModelError("cut_off", f"the connection broke: {type(error).__name__}: {error}") from error


async def _reason(response: httpx.Response) -> str:
    body = b""
    try:
        async with closing(_pieces(response)) as pieces:
            async for piece in pieces:
                body += piece
                if len(body) > MOST_ERROR_BYTES:
                    break
        return said(json.loads(body))
    except (LanguageModelError, ValueError, RecursionError):
        return "no reason given"
