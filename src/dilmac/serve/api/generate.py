"""`/v1/chat/completions` and `/v1/completions`: the ways of a question to the engine and back."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from dilmac.engines import Piece
from dilmac.serve.api.answers import ChatForm, CompletionForm
from dilmac.serve.api.requests import ChatRequest, CompletionRequest, Generation
from dilmac.serve.guard import StrictRoute
from dilmac.serve.line import End
from dilmac.serve.service import Items, Service
from dilmac.serve.streaming import EventStream, events, unless_gone

router = APIRouter(route_class=StrictRoute)


def service_of(request: Request) -> Service:
    """The model that this application serves."""
    service: Service = request.app.state.service
    return service


Serving = Annotated[Service, Depends(service_of)]


@router.post("/v1/chat/completions", response_class=JSONResponse)
async def chat(request: Request, asked: ChatRequest, service: Serving) -> Response:
    """The assistant's next turn of a conversation."""
    service.require_model(asked.model)
    items = await service.chat(asked)
    return await _respond(request, asked, items, ChatForm(service.name, asked.wants_usage))


@router.post("/v1/completions", response_class=JSONResponse)
async def completions(request: Request, asked: CompletionRequest, service: Serving) -> Response:
    """How a text goes on."""
    service.require_model(asked.model)
    items = await service.complete(asked)
    return await _respond(request, asked, items, CompletionForm(service.name, asked.wants_usage))


async def _respond(
    request: Request, asked: Generation, items: Items, form: ChatForm | CompletionForm
) -> Response:
    if not asked.stream:
        return JSONResponse(await unless_gone(request, _whole(items, form)))
    # The first item is waited for, so that what fails before it is an answer with its status.
    first = await unless_gone(request, _first(items))
    return EventStream(events(first, items, form, with_usage=asked.wants_usage))


async def _first(items: Items) -> Piece | End:
    return await anext(items)


async def _whole(items: Items, form: ChatForm | CompletionForm) -> dict[str, Any]:
    pieces: list[Piece] = []
    async with contextlib.aclosing(items):
        async for item in items:
            if isinstance(item, End):
                return form.whole(pieces, item)
            pieces.append(item)
    raise AssertionError("an answer without an end")
