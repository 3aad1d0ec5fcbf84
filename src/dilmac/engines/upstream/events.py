"""Server-sent events of an upstream: bytes in, JSON objects out, each of a bounded size."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from dilmac.engines.upstream.errors import UpstreamError, error_in_stream

MAX_LINE_BYTES = 1 << 20  # an event holds a few tokens
MAX_STREAM_BYTES = 256 << 20  # 262,144 tokens in events of 300 bytes are 75 MiB
DONE = "[DONE]"


async def read_events(
    chunks: AsyncIterator[bytes], *, where: str
) -> AsyncGenerator[dict[str, Any], None]:
    """The objects of a stream that ends with `[DONE]`.

    Raises:
        UpstreamError: an event is no JSON object, is an error or too large; or the stream ends
            before `[DONE]`.
    """
    lines = _Lines(where)
    async for chunk in chunks:
        for data in lines.data_with(chunk):
            if data == DONE:
                return
            yield _event(data, where)
    raise UpstreamError(f"ended its answer without {DONE}", where=where)


def _event(data: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise UpstreamError(f"sent an event that is no JSON object: {data[:80]!a}", where=where)
    if error := value.get("error"):
        raise error_in_stream(error, where=where)
    return value


class _Lines:
    """What stands behind `data:`; comments, names and numbers of events are left out.

    Every server puts one event's data on one line, so an event of several is refused as no JSON.
    """

    def __init__(self, where: str):
        self._where = where
        self._num_bytes, self._held = 0, b""

    def data_with(self, chunk: bytes) -> list[str]:
        """Data of the lines that are whole with one more chunk."""
        self._num_bytes += len(chunk)
        *lines, self._held = (self._held + chunk).split(b"\n")
        if max(map(len, (*lines, self._held))) > MAX_LINE_BYTES:
            raise UpstreamError(f"sent a line over {MAX_LINE_BYTES} bytes", where=self._where)
        if self._num_bytes > MAX_STREAM_BYTES:
            raise UpstreamError(f"sent over {MAX_STREAM_BYTES} bytes", where=self._where)
        mark = b"data:"
        try:
            return [line[len(mark) :].strip().decode() for line in lines if line.startswith(mark)]
        except UnicodeDecodeError:
            raise UpstreamError("sent an event that is no UTF-8", where=self._where) from None
