"""`dilmac serve`: a model over HTTP as OpenAI does, to this machine only."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import Iterator
from types import FrameType

import uvicorn
from fastapi import FastAPI

import dilmac
from dilmac.core import ConfigError, Figures, say
from dilmac.engines import Upstream, find_model
from dilmac.serve.api import errors, facts, generate
from dilmac.serve.config import ServeConfig
from dilmac.serve.guard import Door
from dilmac.serve.line import EngineLine
from dilmac.serve.service import EngineService, Service
from dilmac.serve.turns import Turns
from dilmac.serve.upstream import UpstreamService, without_place

HOST = "127.0.0.1"  # there are no keys yet, so nobody else is let in
GRACE_SECONDS = 10  # for answers that are not finished when the server is ended


def create_app(service: Service) -> FastAPI:
    """The application around a model that runs."""
    app = FastAPI(
        lifespan=lambda _: service.running(),
        title="dilmaç",
        version=dilmac.__version__,
        docs_url=None,  # these pages load scripts from elsewhere; /openapi.json is there
        redoc_url=None,
    )
    app.state.service = service
    app.include_router(generate.router)
    app.include_router(facts.router)
    errors.install(app)
    app.add_middleware(Door)
    return app


def serve(config: ServeConfig) -> Figures:
    """Answer until Ctrl-C or SIGTERM; what is being answered then has some seconds to finish.

    Raises:
        ConfigError: the port is taken, or the upstream's address or key is none.
        InputError: no model is there.
        EngineError: the engine cannot be started, or the upstream not be reached.
    """
    with _listener(config.port) as listener, _opened(config) as service:
        url = f"http://{HOST}:{listener.getsockname()[1]}/v1"
        context = "" if service.context is None else f" · context {service.context}"
        say(f"{service.name} · {service.engine}{context} · {url} (this machine only; Ctrl-C ends)")
        _Server(create_app(service)).run(sockets=[listener])
        return {"url": url, "answered": service.num_answered}


@contextlib.contextmanager
def _opened(config: ServeConfig) -> Iterator[Service]:
    """The service that is asked for; what it started ends with the block."""
    now = int(time.time())
    if (spec := config.upstream_spec()) is not None:
        model = asyncio.run(find_model(spec))
        turns = Turns(config.upstream_requests, config.max_waiting)
        upstream = Upstream(spec, model.name)
        name = config.name or without_place(model.name)
        yield UpstreamService(name, now, upstream, model.context, turns)
        return
    line = EngineLine(config.engine_spec(), config.max_waiting)
    with contextlib.closing(line):
        yield EngineService(config.served_name, now, line)


def _listener(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        raise ConfigError(
            f"cannot listen on port {port} ({error.strerror})",
            where="--port",
            mend="take another one; 0 takes one that is free",
        ) from error


class _Server(uvicorn.Server):
    """uvicorn, for which Ctrl-C and SIGTERM are the ordinary end of a service."""

    def __init__(self, app: FastAPI):
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="on",
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        # uvicorn's own raises the signal again at the end, which would be an interruption.
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True
