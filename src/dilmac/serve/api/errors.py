"""Errors in OpenAI's shape. What went wrong inside is said on this machine's screen only."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from dilmac.core import DilmacError, EngineError, InputError, say
from dilmac.engines import UpstreamError
from dilmac.serve.turns import BusyError

RETRY_SECONDS = 1
ENGINE_DIED = "the engine died while it answered; it is being started again: repeat the request"


class ApiError(Exception):
    """A request that is refused, with the field that is wrong."""

    def __init__(
        self, message: str, *, status: int = 400, param: str | None = None, code: str | None = None
    ):
        super().__init__(message)
        self.message, self.status, self.param, self.code = message, status, param, code


def error_body(
    message: str, status: int, *, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """The body of an error, as OpenAI's clients read it."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def error_answer(error: Exception) -> JSONResponse:
    """Status and body for whatever happened; never a path, a prompt or a traceback."""
    headers: dict[str, str] = {}
    match error:
        case ApiError():
            body = error_body(error.message, error.status, param=error.param, code=error.code)
            status = error.status
        case RequestValidationError():
            status, body = 400, _validation_body(error.errors())
        case HTTPException():
            status, body = error.status_code, error_body(str(error.detail), error.status_code)
            headers = dict(error.headers or {})
        case BusyError():
            status, body = 503, error_body(error.found, 503, code="busy")
            headers = {"Retry-After": str(RETRY_SECONDS)}
        case InputError():
            mend = f"; {error.mend}" if error.mend else ""
            status, body = 400, error_body(f"{error.found}{mend}", 400)
        case UpstreamError(is_too_long=True):
            found = "the conversation does not fit the upstream's context"
            status, body = 400, error_body(found, 400, code="context_length_exceeded")
        case _:
            status, body = _own_fault(error)
            headers = {"Retry-After": str(RETRY_SECONDS)} if status == 503 else {}
    return JSONResponse(body, status_code=status, headers=headers)


def _own_fault(error: Exception) -> tuple[int, dict[str, Any]]:
    """An upstream's fault, an engine that died, or a bug: said on the screen under a number that
    the answer names."""
    number = secrets.token_hex(4)
    say(f"[{number}] {type(error).__name__}: {error}")
    if isinstance(error, UpstreamError):
        return _upstream_fault(error, number)
    if isinstance(error, EngineError):
        return 503, error_body(f"{ENGINE_DIED} [{number}]", 503, code="engine_died")
    return 500, error_body(f"an error of the server's own [{number}]", 500)


def _upstream_fault(error: UpstreamError, number: str) -> tuple[int, dict[str, Any]]:
    match error.status:
        case 400 | 413 | 422:
            found = f"the upstream refused the request with {error.status} [{number}]"
            return 400, error_body(found, 400, code="upstream_refused")
        case 429 | 503:
            return 503, error_body(f"the upstream is busy [{number}]", 503, code="busy")
        case _:
            found = f"the upstream did not answer as it should [{number}]"
            return 502, error_body(found, 502, code="upstream_failed")


def _validation_body(faults: Sequence[Any]) -> dict[str, Any]:
    """The first fault of a request: its field, and what is wrong with it."""
    fault = faults[0]
    place = [part for part in fault["loc"] if part != "body"]
    param = ".".join(map(str, place)) or None
    match fault["type"]:
        case "json_invalid":
            return error_body(f"the body is no JSON: {fault['ctx']['error']}", 400)
        case "extra_forbidden":
            message = "is not offered by this server"
        case "missing":
            message = "is missing"
        case _:
            message = fault["msg"].removeprefix("Value error, ")
    if param is None or not isinstance(place[0], str):
        return error_body(f"the body: {message}", 400)
    return error_body(f"{param}: {message}", 400, param=param)


def install(app: FastAPI) -> None:
    """Let every error of `app` be answered in this shape."""

    async def answer(_: Request, error: Exception) -> JSONResponse:
        return error_answer(error)

    for kind in (RequestValidationError, HTTPException, ApiError, DilmacError, Exception):
        app.add_exception_handler(kind, answer)
