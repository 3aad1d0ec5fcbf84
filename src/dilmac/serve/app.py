"""`dilmac serve`: a model over HTTP as OpenAI does, to this machine only."""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from types import FrameType

import uvicorn
from fastapi import FastAPI

import dilmac
from dilmac.core import ConfigError, Figures, say
from dilmac.serve.api import errors, facts, generate
from dilmac.serve.config import ServeConfig
from dilmac.serve.guard import Door
from dilmac.serve.line import EngineLine
from dilmac.serve.service import Service

HOST = "127.0.0.1"  # there are no keys yet, so nobody else is let in
GRACE_SECONDS = 10  # for answers that are not finished when the server is ended


def create_app(service: Service) -> FastAPI:
    """The application around a model that runs."""
    app = FastAPI(
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
        ConfigError: the port is taken.
        InputError: no model is there.
        EngineError: the engine cannot be started.
    """
    with _listener(config.port) as listener:
        line = EngineLine(config.engine_spec(), config.max_waiting)
        service = Service(config.served_name, int(time.time()), line)
        url = f"http://{HOST}:{listener.getsockname()[1]}/v1"
        say(
            f"{service.name} · {line.spec.kind} · context {line.context} · {url} "
            "(this machine only; Ctrl-C ends)"
        )
        with contextlib.closing(line):
            _Server(create_app(service)).run(sockets=[listener])
    return {"url": url, "answered": line.num_answered}


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
                lifespan="off",
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
