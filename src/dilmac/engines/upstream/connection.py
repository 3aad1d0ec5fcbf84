"""HTTP to an upstream by aiohttp: no redirects, cookies or proxies; bounded in size and silence.

aiohttp and not httpx: six times the throughput at 32 connections (measured on loopback).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from types import TracebackType
from typing import Any, Self

import aiohttp

from dilmac.engines.upstream.errors import UpstreamError, refusal
from dilmac.engines.upstream.events import read_events
from dilmac.engines.upstream.spec import UpstreamSpec

MAX_ERROR_BYTES = 64 << 10
MAX_JSON_BYTES = 4 << 20  # a list of models: some hundred bytes each


class Connection:
    """A way to one upstream. Use it as a context manager."""

    def __init__(self, spec: UpstreamSpec):
        self.spec = spec

    async def __aenter__(self) -> Self:
        spec = self.spec
        # Packed answers are not asked for and not unpacked: a small one can hold gigabytes.
        headers = {"Accept-Encoding": "identity"}
        if spec.key is not None:
            headers["Authorization"] = f"Bearer {spec.key.get_secret_value()}"
        self._session = aiohttp.ClientSession(
            headers=headers,
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=spec.connect_seconds, sock_read=spec.silence_seconds
            ),
            # Who uses it counts the requests. A connection is used once: llama-server closes those
            # that it has answered, and a POST that meets the closing one fails without a fault.
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def get(self, path: str, *, seconds: float) -> Any:
        """JSON of a GET; the whole of it may take `seconds`.

        Raises:
            UpstreamError: it cannot be had.
        """
        async with self._asked("GET", path, timeout=aiohttp.ClientTimeout(seconds)) as answer:
            body = await _bounded(answer, MAX_JSON_BYTES)
            try:
                return json.loads(body)
            except (ValueError, RecursionError):
                raise self._not("JSON", answer) from None

    async def events(self, path: str, body: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """The events of the answer to a POST. Closing it hangs up.

        Raises:
            UpstreamError: it cannot be had, or not to its end.
        """
        async with self._asked("POST", path, json=body) as answer:
            if answer.content_type != "text/event-stream":
                raise self._not("a stream of events", answer)
            async with contextlib.aclosing(
                read_events(answer.content.iter_any(), where=self.spec.url)
            ) as events:
                async for event in events:
                    yield event

    @contextlib.asynccontextmanager
    async def _asked(
        self, method: str, path: str, **values: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """An answer of status 200, hung up on where it is not read to its end."""
        url = self.spec.url
        try:
            async with self._session.request(
                method, url + path, allow_redirects=False, **values
            ) as answer:
                try:
                    if answer.status != 200:
                        said = await _bounded(answer, MAX_ERROR_BYTES)
                        location = answer.headers.get("Location")
                        raise refusal(answer.status, said, where=url, location=location)
                    yield answer
                except BaseException:  # who goes away, too
                    answer.close()
                    raise
        except TimeoutError as error:
            raise UpstreamError(
                f"did not answer in time ({self._limits(error)})",
                where=url,
                mend="see that the server runs and is not stuck",
            ) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self._broken(error) from error

    def _limits(self, error: TimeoutError) -> str:
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return f"no connection in {self.spec.connect_seconds:g} s"
        if isinstance(error, aiohttp.SocketTimeoutError):
            return f"silent for {self.spec.silence_seconds:g} s"
        return "not whole"

    def _broken(self, error: Exception) -> UpstreamError:
        if isinstance(error, aiohttp.ClientConnectorError):
            return UpstreamError(
                f"cannot be reached ({error.strerror or error.os_error})",
                where=self.spec.url,
                mend="start the server, or see that the address and port are right",
            )
        kind = type(error).__name__
        if isinstance(error, aiohttp.ClientResponseError | ValueError):
            return UpstreamError(f"does not speak HTTP as it should ({kind})", where=self.spec.url)
        return UpstreamError(f"broke the connection off ({kind})", where=self.spec.url)

    def _not(self, expected: str, answer: aiohttp.ClientResponse) -> UpstreamError:
        kind = answer.headers.get("Content-Type", "no type")[:80]
        packed = answer.headers.get("Content-Encoding", "")[:20]
        found = f"{kind!a}, packed with {packed!a}" if packed else f"{kind!a}"
        return UpstreamError(
            f"answered with {found} where {expected} belongs",
            where=self.spec.url,
            mend="see that this is the address of an OpenAI-compatible server, most often with "
            "/v1 at its end",
        )


async def _bounded(answer: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """The body, cut off where it is larger; what comes behind is not read."""
    body = bytearray()
    async for chunk in answer.content.iter_any():
        body += chunk
        if len(body) >= max_bytes:
            break
    return bytes(body[:max_bytes])
