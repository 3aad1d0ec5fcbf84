"""What is looked at before a request is: for whom it came, and whether its body is sound JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dilmac.serve.api.errors import error_body

MAX_BODY_BYTES = 2 << 20  # as Text Generation Inference
TOO_LARGE = f"the body is over {MAX_BODY_BYTES} bytes"
HOSTS = ("127.0.0.1", "localhost")


class Door:
    """Refuses bodies that are too large, and requests to another name than this machine's own: a
    web page that lets its own name point here (DNS rebinding) would else be of the same origin as
    this server."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif refusal := _refusal(Headers(scope=scope)):
            await refusal(scope, receive, send)
        else:
            await self.app(scope, _counted(receive), send)


def _refusal(headers: Headers) -> JSONResponse | None:
    if headers.get("host", "").rsplit(":", 1)[0].lower() not in HOSTS:
        return JSONResponse(error_body(f"call this server {' or '.join(HOSTS)}", 400), 400)
    size = headers.get("content-length", "0")
    if not size.isdecimal() or int(size) > MAX_BODY_BYTES:
        return JSONResponse(error_body(TOO_LARGE, 413), 413)
    return None


def _counted(receive: Receive) -> Receive:
    """The same for a body that does not tell its size."""
    num_bytes = 0

    async def counted() -> Message:
        nonlocal num_bytes
        message = await receive()
        num_bytes += len(message.get("body", b""))
        if num_bytes > MAX_BODY_BYTES:
            raise HTTPException(413, TOO_LARGE)
        return message

    return counted


class StrictRequest(Request):
    """A request whose body is read as JSON says: no NaN, no key twice, and not packed."""

    async def json(self) -> Any:
        if self.headers.get("content-encoding", "identity") != "identity":
            raise HTTPException(415, "the body must not be packed (Content-Encoding)")
        try:
            return json.loads(
                await self.body(), object_pairs_hook=_object, parse_constant=_no_constant
            )
        except RecursionError:
            raise HTTPException(400, "the body is nested too deeply") from None
        except UnicodeDecodeError:
            raise HTTPException(400, "the body is no UTF-8") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise HTTPException(400, "the body has a key twice")
    return values


def _no_constant(name: str) -> Any:
    raise HTTPException(400, f"the body has {name}, which is no JSON")


class StrictRoute(APIRoute):
    """A route whose body must be JSON, read strictly.

    That it must be called JSON keeps web pages out, too: a browser asks first before it sends
    `application/json` to another origin, and gets no leave here.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
            if request.method == "POST" and kind != "application/json":
                raise HTTPException(415, "Content-Type must be application/json")
            return await handler(StrictRequest(request.scope, request.receive))

        return strict
