"""`/v1/models`, `/tokenize` and `/health`: what there is, and how it is."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from dilmac.serve.api.generate import Serving
from dilmac.serve.api.requests import TokenizeRequest
from dilmac.serve.guard import StrictRoute
from dilmac.serve.service import Service

router = APIRouter(route_class=StrictRoute)


@router.get("/v1/models")
async def models(service: Serving) -> dict[str, Any]:
    """The one model that is served."""
    return {"object": "list", "data": [_model(service)]}


@router.get("/v1/models/{name:path}")
async def model(name: str, service: Serving) -> dict[str, Any]:
    """The same by its name."""
    service.require_model(name)
    return _model(service)


def _model(service: Service) -> dict[str, Any]:
    return {
        "id": service.name,
        "object": "model",
        "created": service.created,
        "owned_by": "dilmac",
        "max_model_len": service.context,
    }


@router.post("/tokenize")
async def tokenize(asked: TokenizeRequest, service: Serving) -> dict[str, Any]:
    """Ids of a text as content, or of a conversation as it reaches the engine."""
    if asked.model is not None:
        service.require_model(asked.model)
    ids = await service.tokenize(asked)
    return {"tokens": ids, "count": len(ids), "max_model_len": service.context}


@router.get("/health")
async def health(service: Serving) -> JSONResponse:
    """200 while the engine runs; 503 while a dead one is started again, or an upstream is away."""
    health = await service.health()
    facts = {
        "status": "ok" if health.is_up else health.otherwise,
        "model": service.name,
        "engine": service.engine,
        "running": health.num_running,
        "waiting": health.num_waiting,
    }
    return JSONResponse(facts, 200 if health.is_up else 503)
