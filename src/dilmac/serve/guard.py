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
from starlette.types import ASGIApp, Receive, Scope, Send

from dilmac.serve.api.errors import error_body

MAX_BODY_BYTES = 2 << 20  # as Text Generation Inference
HOSTS = ("127.0.0.1", "localhost")


class HostGuard:
    """Refuses requests to another name than this machine's own: a web page that lets its own name
    point here (DNS rebinding) would else be of the same origin as this server."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            host = Headers(scope=scope).get("host", "")
            if host.rsplit(":", 1)[0].lower() not in HOSTS:
                names = " or ".join(HOSTS)
                refused = JSONResponse(error_body(f"call this server {names}", 400), 400)
                await refused(scope, receive, send)
                return
        await self.app(scope, receive, send)


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
