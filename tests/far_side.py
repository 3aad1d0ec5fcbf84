"""A far side for upstreams: a small HTTP server that says, byte for byte, what a test wants."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
DONE = b"data: [DONE]\n\n"


def event(value: Any) -> bytes:
    """One event of a stream."""
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


def delta(reason: str | None = None, **values: Any) -> bytes:
    """An event with a part of an answer."""
    return event({"choices": [{"index": 0, "delta": values, "finish_reason": reason}]})


def usage(prompt: int, answer: int) -> bytes:
    """An event that counts."""
    return event({"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": answer}})


WHOLE = [delta(role="assistant", content=""), delta(content="Selam."), delta("stop"), DONE]


@dataclass
class FarSide:
    """What it answers to a POST, what it lists, and what it was asked; other threads may look.

    Parts are sent one by one. `None` among them stands for a wait until the other side hangs up.
    """

    url: str = ""
    parts: list[bytes | None] = field(default_factory=lambda: list(WHOLE))
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "text/event-stream"})
    models: Any = field(default_factory=lambda: {"data": [{"id": "tiny", "max_model_len": 64}]})
    asked: list[dict[str, Any]] = field(default_factory=list)
    seen: list[dict[str, str]] = field(default_factory=list)
    num_running: int = 0
    num_hung_up: int = 0

    def says(self, *parts: bytes | None) -> None:
        self.parts = list(parts)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(dict(request.headers))
        if request.method == "GET":
            return web.json_response(self.models)
        self.asked.append(await request.json())
        response = web.StreamResponse(status=self.status, headers=self.headers)
        self.num_running += 1
        try:
            await response.prepare(request)
            for part in list(self.parts):
                if part is None:
                    await self._until_hung_up(request)
                else:
                    await response.write(part)
        except (ConnectionError, asyncio.CancelledError):
            self.num_hung_up += 1
            raise
        finally:
            self.num_running -= 1
        return response

    async def _until_hung_up(self, request: web.Request) -> None:
        while request.transport is not None and not request.transport.is_closing():
            await asyncio.sleep(0.01)
        raise ConnectionResetError


@contextmanager
def far_side() -> Iterator[FarSide]:
    """A far side on a free port of loopback, until the end of the block."""
    side = FarSide()
    ready, loop = threading.Event(), asyncio.new_event_loop()

    async def start() -> web.AppRunner:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", side.answer)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        side.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        return runner

    def run() -> None:
        runner = loop.run_until_complete(start())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(30)
        yield side
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
