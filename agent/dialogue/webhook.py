"""An action that runs elsewhere: one signed HTTP POST, one JSON object back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agent.clock import Clock
from agent.dialogue.actioncontext import MOST_BYTES, ActionContext, ActionFailed
from agent.dialogue.actionspec import ResultSpec, ValueSpec
from agent.dialogue.http_action import fit_arguments, picked, read_answer
from agent.outbound import IDEMPOTENCY, SIGNATURE, TIMESTAMP, Outside, checked_url, sign


class WebhookAction:
    """Calls `url` with `{action, arguments, call_id, idempotency_key}`; caller, customer and language where known.

    Headers: X-Callagent-Timestamp (Unix seconds), X-Callagent-Signature `v1=` HMAC-SHA256 in hex over
    `timestamp.body`, and Idempotency-Key. What may be called is said by `agent.outbound.Outside`.
    """

    def __init__(
        self,
        url: str,
        secret: str,
        timeout_s: float,
        allow_private: bool,
        name: str,
        clock: Clock,
        parameters: Mapping[str, ValueSpec] | None = None,
        returns: Mapping[str, ValueSpec] | None = None,
    ) -> None:
        """Raises:
        ValueError: the URL cannot be used.
        """
        self._url = checked_url(f"webhook '{name}'", url, allow_private)
        self._secret = secret.encode()
        self._timeout_s = timeout_s
        self._name = name
        self._parameters = parameters
        self._returns = {
            key: ResultSpec(path=key, shape=spec.shape, optional=spec.optional) for key, spec in (returns or {}).items()
        }
        self._outside = Outside(f"webhook '{name}'", clock, MOST_BYTES, allow_private)

    async def __call__(self, arguments: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """Run the action once.

        Raises:
            ActionFailed: the arguments do not fit, or the answer is no JSON object or not what `returns` says.
            agent.outbound.OutboundError: there is no answer.
        """
        if self._parameters is not None:
            fit_arguments(self._name, arguments, self._parameters, None)
        body = json.dumps(
            {
                "action": self._name,
                "arguments": dict(arguments),
                "call_id": context.call_id,
                "idempotency_key": context.key,
                "language": context.language,
                **({"caller": context.caller} if context.caller else {}),
                **({"customer": dict(context.customer)} if context.customer else {}),
            }
        ).encode()
        timestamp = str(int(context.clock.wall().timestamp()))
        headers = {
            "Content-Type": "application/json",
            IDEMPOTENCY: context.key,
            TIMESTAMP: timestamp,
            SIGNATURE: sign(self._secret, timestamp, body),
        }
        answer = await self._outside.send("POST", self._url, headers, body, self._timeout_s)
        result = read_answer(answer, self._name)
        if not isinstance(result, dict):
            raise ActionFailed(
                "bad_result", f"webhook '{self._name}' answered {type(result).__name__}; answer a JSON object"
            )
        return {**result, **picked(result, self._returns, self._name)} if self._returns else result
