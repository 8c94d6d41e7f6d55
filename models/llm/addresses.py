"""Where a server of language models is: on this machine, in a private network, or outside."""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit

_PRIVATE_ENDINGS = (".localhost", ".local", ".lan", ".internal", ".home.arpa")
"""Names that public DNS does not have (RFC 6761, RFC 6762, RFC 8375, ICANN's .internal) or that routers give out."""


def check_address(url: str) -> SplitResult:
    """The parts of a server's base URL.

    Addresses come from the operator's configuration, never from a caller, and may be private: vLLM and Ollama usually
    run beside the agent. Plain http is for such addresses only, since requests hold the key and callers' words.

    Raises:
        ValueError: it is no http(s) address, holds a password, query or fragment, or is http to a public host.
    """
    try:
        parts = urlsplit(url)
        readable = parts.port != 0
    except ValueError as error:
        raise ValueError(
            f"the address {url!r} cannot be read: {error}; write it as http://127.0.0.1:8000/v1"
        ) from error
    if parts.scheme not in ("http", "https") or not parts.hostname or not readable:
        raise ValueError(f"the address is {url!r}; write it as http://127.0.0.1:8000/v1 or https://host/v1")
    if parts.username is not None or parts.password is not None:
        raise ValueError("the address holds a user or password; give the key as CALLAGENT_LLM_KEY")
    if parts.query or parts.fragment:
        raise ValueError(f"the address is {url!r}; leave out what follows the path, before /chat/completions")
    if parts.scheme == "http" and not is_private(parts.hostname):
        raise ValueError(f"{parts.hostname} is outside; use https, so that the key and callers' words are not readable")
    return parts


def is_private(host: str) -> bool:
    """Whether `host` is this machine or in a private network, by its name or address alone; nothing is resolved.

    A name without a dot, as containers and machines of one network have, counts as private.
    """
    host = host.rstrip(".").lower()
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return "." not in host or host.endswith(_PRIVATE_ENDINGS)
    return not address.is_global and not address.is_multicast
