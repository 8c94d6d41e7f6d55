"""Twenty people who watch, in a process of their own: how late their pages are told. Run by `test_load`."""

from __future__ import annotations

import asyncio
import json
import sys
import time

from websockets.asyncio.client import connect


async def main(url: str, cookies: list[str], seconds: float) -> None:
    late: list[float] = []
    resets = 0
    until = time.monotonic() + seconds

    async def watch(cookie: str) -> None:
        nonlocal resets
        headers = {"Cookie": cookie}
        path = url.replace("http", "ws", 1) + "/console/feed"
        async with connect(path, origin=url, additional_headers=headers, proxy=None, compression=None) as page:
            while (left := until - time.monotonic()) > 0:
                try:
                    text = await asyncio.wait_for(page.recv(), left)
                except TimeoutError:
                    return
                message = json.loads(text)
                resets += message["type"] == "reset"
                if "sent" in message:
                    late.append((time.monotonic() - message["sent"]) * 1000.0)

    await asyncio.gather(*(watch(cookie) for cookie in cookies))
    late.sort()
    print(
        json.dumps({"messages": len(late), "resets": resets, "p95_ms": late[int(len(late) * 0.95)], "most": late[-1]})
    )


asyncio.run(main(sys.argv[1], json.loads(sys.argv[2]), float(sys.argv[3])))
