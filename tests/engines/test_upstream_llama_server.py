"""llama.cpp's own server as an upstream, in a process of its own."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from dilmac.engines import (
    Sampling,
    Upstream,
    UpstreamAnswer,
    UpstreamError,
    UpstreamSpec,
    find_model,
)
from dilmac.tokenizer import Message

# llama.cpp's own server, as its users start it.
LLAMA_SERVER = """
import sys, xllamacpp
parameters = xllamacpp.CommonParams()
parameters.model.path, parameters.n_parallel, parameters.api_keys = sys.argv[1], 1, ["geheim"]
parameters.warmup, parameters.verbosity, parameters.cache_ram_mib = False, 0, 0
parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(parameters)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def llama_server(tiny_gguf: Path) -> Iterator[UpstreamSpec]:
    command = [sys.executable, "-c", LLAMA_SERVER, str(tiny_gguf / "model-f16.gguf")]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:
        assert process.stdout is not None
        address = next(line for line in process.stdout if line.startswith("http"))
        yield UpstreamSpec(url=f"{address.strip()}/v1", key=SecretStr("geheim"))
        process.kill()


def test_llama_server_answers_refuses_and_says_what_does_not_fit(
    llama_server: UpstreamSpec,
) -> None:
    with pytest.raises(UpstreamError, match="401") as caught:
        asyncio.run(find_model(llama_server.model_copy(update={"key": None})))
    assert caught.value.status == 401
    model = asyncio.run(find_model(llama_server))
    assert model.name.endswith("model-f16.gguf")
    greedy = Sampling(max_tokens=6, temperature=0, top_k=3, seed=1)

    async def said(upstream: Upstream, content: str) -> tuple[str, UpstreamAnswer]:
        answer = upstream.chat([Message("user", content)], greedy)
        return "".join([piece.text async for piece in answer.pieces()]), answer

    async def run() -> None:
        async with Upstream(llama_server, model.name) as upstream:
            text, answer = await said(upstream, "Merhaba!")
            assert (await said(upstream, "Merhaba!"))[0] == text
            assert answer.num_tokens <= 6 and answer.finish_reason in ("stop", "length")
            assert answer.num_prompt is not None and answer.num_prompt > 5
            going_on = upstream.complete("Bir gün", greedy)
            assert all([piece.text async for piece in going_on.pieces()])
            assert 0 < going_on.num_tokens <= 6
            with pytest.raises(UpstreamError) as caught:
                await said(upstream, "çok uzun bir ileti " * 2000)
            assert caught.value.is_too_long

    asyncio.run(run())
