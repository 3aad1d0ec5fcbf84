"""The llama.cpp engine: a GGUF, run by xllamacpp's server object inside the child process.

The server's HTTP side listens on a random loopback port behind a random key; only this process
uses it, for what the object itself does not offer (tokenize, detokenize).
"""

from __future__ import annotations

import json
import math
import queue
import secrets
import sys
import threading
import unicodedata
import urllib.request
from collections.abc import Callable, Generator, Iterator
from typing import Any

import xllamacpp

from dilmac.core import DilmacError, InputError, num_cpus
from dilmac.engines.gguf_header import read_header, require_adapter
from dilmac.engines.interface import (
    MAX_DEFAULT_CONTEXT,
    READING,
    EngineSpec,
    FinishReason,
    Progress,
    Sampling,
    Token,
)
from dilmac.tokenizer import SPACE_MARK

HTTP_SECONDS = 600
# Between two batches of a prompt a cancelled request ends. On a CPU 128 tokens are read as fast as
# 512 (480 tokens of dilmac-mini took 0.35 s of one core in batches of 64 to 512).
PROMPT_BATCH = 128
# Prompts of earlier conversations that are kept [MiB]; the server's own is 8192. They grew by 22 KB
# with each request to a tiny model; the conversation that is under way is kept without them.
CACHE_MIB = 0
PIN = 1e6  # added to the logit of the token that must be sampled
WIDENING = (64, 1024)  # most probable tokens to look through for one


class LlamaCpp:
    """A GGUF file run by llama.cpp on the CPU (or the GPU, if xllamacpp was built for it)."""

    def __init__(self, spec: EngineSpec):
        self.header = read_header(spec.model)
        self.context = min(spec.context or MAX_DEFAULT_CONTEXT, self.header.context)
        self.key = secrets.token_hex(32)
        self.server = xllamacpp.Server(self._parameters(spec))

    def _parameters(self, spec: EngineSpec) -> Any:
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(spec.model)
        if spec.adapter:
            require_adapter(spec.adapter, self.header.architecture)
            parameters.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(str(spec.adapter), 1.0)]
        # Each slot has its own part of the window, so what one fills is missing to no other one.
        parameters.n_ctx = self.context * spec.slots
        parameters.n_parallel = spec.slots
        # Its threads spin while they wait for each other: with one on every core, any other work on
        # the machine slows them by orders of magnitude (300 to 1.2 tokens/s was seen).
        threads = spec.threads or max(1, num_cpus() // 2)
        parameters.cpuparams.n_threads = threads
        parameters.cpuparams_batch.n_threads = threads
        parameters.api_keys = [self.key]
        parameters.n_batch = PROMPT_BATCH
        parameters.cache_ram_mib = CACHE_MIB
        parameters.warmup = False
        parameters.verbosity = 0
        if spec.exact:
            parameters.cache_type_k = xllamacpp.ggml_type.GGML_TYPE_F32
            parameters.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
            parameters.flash_attn_type = (
                xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
            )
        return parameters

    def facts(self) -> dict[str, Any]:
        return {
            "context": self.context,
            "vocab_size": self.header.num_rows,
            "control": self.header.control,
        }

    def generate(
        self, prompt: list[int], sampling: Sampling, is_cancelled: Callable[[], bool]
    ) -> Iterator[Token | Progress]:
        room = self.context - len(prompt)
        if room < 1:
            raise InputError(
                f"{len(prompt)} tokens in a context of {self.context}",
                mend="shorten the conversation",
            )
        request = {
            "prompt": prompt,
            "n_predict": min(sampling.max_tokens, room),
            "temperature": sampling.temperature,
            "top_k": sampling.top_k,
            "top_p": sampling.top_p,
            "min_p": 0.0,
            "repeat_penalty": sampling.repetition_penalty,
            "repeat_last_n": self.context,  # all of it
            "seed": sampling.seed,
            "n_probs": 1,
            # The model's own are those of all rows, sorted: 0.7 ms a token of 32,000 rows, where
            # dilmac-mini takes 2.3 for it in q4_k_m; the draw's are those of the top k.
            "post_sampling_probs": not sampling.logprobs,
            "stream": True,
            "cache_prompt": True,
            "return_progress": True,  # a chunk for each batch of the prompt
            "logit_bias": [[row, False] for row in self.header.suppressed],  # false: never
        }
        chunks: queue.Queue[dict[str, Any] | None] = queue.Queue()
        is_over = threading.Event()

        def on_chunk(chunk: dict[str, Any]) -> bool:
            chunks.put(chunk)
            return is_over.is_set() or is_cancelled()  # true ends the generation

        def run() -> None:
            try:
                answer = self.server.handle_completions(request, on_chunk)
                if isinstance(answer, dict) and "error" in answer:
                    chunks.put(answer)
            finally:
                chunks.put(None)

        threading.Thread(target=run, daemon=True).start()
        reason = yield from self._tokens(chunks, sampling, is_over)
        yield "cancelled" if is_cancelled() else reason

    def _tokens(
        self,
        chunks: queue.Queue[dict[str, Any] | None],
        sampling: Sampling,
        is_over: threading.Event,
    ) -> Generator[Token | Progress, None, FinishReason]:
        """Tokens of the chunks; `is_over` is set when one of them ends the answer."""
        reason: FinishReason = "length"
        while (chunk := chunks.get()) is not None:
            if "error" in chunk:
                raise DilmacError(str(chunk["error"].get("message", chunk["error"])))
            if "prompt_progress" in chunk:
                yield READING
            choice = chunk["choices"][0]
            for item in (choice.get("logprobs") or {}).get("content", []):
                if reason == "stop":
                    continue
                if item["id"] in sampling.stop_ids:
                    reason = "stop"
                    is_over.set()
                    continue
                logprob = _logprob_of(item)
                for row in self._withheld(item):
                    yield Token(id=row, logprob=logprob)
                yield Token(id=item["id"], logprob=logprob)
            if choice["finish_reason"] == "stop":
                reason = "stop"
        return reason

    def _withheld(self, item: dict[str, Any]) -> list[int]:
        # llama.cpp streams whole characters: of one in several tokens it reports the last id with
        # all bytes, and bytes that no character came of with what follows them, which after a
        # character's first byte may be whole pieces. Which tokens those before the item's own were
        # is told by their bytes: the longest that make them, as text is cut. The model may have
        # joined a broken or byte-level character otherwise. (At the end of an answer an unfinished
        # character is not reported at all.)
        num_before = max(0, len(item["bytes"]) - len(self.header.streamed[item["id"]]))
        return self.header.rows_of(bytes(item["bytes"][:num_before]))

    def tokenize(self, texts: list[str]) -> list[list[int]]:
        return [self._content_ids(text) for text in texts]

    def _content_ids(self, text: str) -> list[int]:
        if self.header.is_byte_level:
            return self._encode(unicodedata.normalize("NFC", text))  # as Qwen's tokenizer.json
        # U+2581 gets its three bytes, as in `Tokenizer.encode`; llama.cpp takes it for a space.
        mark = self.header.rows_of(SPACE_MARK.encode())
        ids: list[int] = []
        for place, part in enumerate(text.split(SPACE_MARK)):
            ids += mark if place else []
            ids += self._encode(part)
        return ids

    def _encode(self, text: str) -> list[int]:
        if not text:
            return []
        body = {"content": text, "add_special": False, "parse_special": False}
        ids: list[int] = self._post("/tokenize", body)["tokens"]
        return ids

    def detokenize(self, ids: list[int]) -> str:
        if ids and not 0 <= min(ids) <= max(ids) < self.header.num_rows:
            raise InputError(f"an id outside the vocabulary of {self.header.num_rows}")
        return str(self._post("/detokenize", {"tokens": ids})["content"])

    def score(self, ids: list[int], top: int) -> list[list[tuple[int, float]]]:
        # The server gives probabilities of generated tokens only, so each position is asked for
        # with one token to generate.
        rows = []
        for end in range(1, len(ids)):
            best = self._pinned(ids[:end], self.header.plain_id, top)["top_logprobs"]
            rows.append([(item["id"], item["logprob"]) for item in best])
        return rows

    def logprobs(self, rows: list[tuple[list[int], int]]) -> list[list[tuple[float, bool]]]:
        return [
            [self._logprob(ids[:end], ids[end]) for end in range(start, len(ids))]
            for ids, start in rows
        ]

    def _logprob(self, before: list[int], row: int) -> tuple[float, bool]:
        # A whole piece is pinned itself, and the server says what its probability was before. Of a
        # byte, or a control token, it gives none; that is looked for among the most probable ones,
        # in widening circles, for the list is long to write: 15 s for 32,000 rows on a busy core.
        is_whole = _is_text(self.header.streamed[row])
        pinned = row if is_whole else self.header.plain_id
        for num_probs in (1,) if is_whole else (*WIDENING, self.header.num_rows):
            content = self._pinned(before, pinned, num_probs)
            best = content["top_logprobs"]
            found = [content] if is_whole else best
            match = next((item["logprob"] for item in found if item["id"] == row), None)
            if match is not None:
                return match, best[0]["id"] == row
        raise DilmacError(f"llama.cpp gives no probability for the token {row}")

    def _pinned(self, before: list[int], pinned: int, num_probs: int) -> dict[str, Any]:
        """The next token's entry, with the `num_probs` most probable ones, before any sampling."""
        request = {
            "prompt": before,
            "n_predict": 1,
            "n_probs": num_probs,
            "temperature": 0.0,
            "cache_prompt": True,  # one evaluation, that of the last token
            # What is sampled is pinned to a plain piece, because for a token that is part of a
            # character the server gives no probabilities.
            "logit_bias": [[pinned, PIN]],
        }
        answer = self.server.handle_completions(request)
        if "error" in answer:
            raise DilmacError(str(answer["error"].get("message", answer["error"])))
        content: dict[str, Any] = answer["choices"][0]["logprobs"]["content"][0]
        if any(item["logprob"] is None for item in content["top_logprobs"]):
            raise DilmacError(
                "the model's logits are not finite",
                mend="export as f32 if the original's are: a weight is too large for f16",
            )
        return content

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 (our own loopback address)
            self.server.listening_address + path,
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {self.key}"},
        )
        with urllib.request.urlopen(request, timeout=HTTP_SECONDS) as response:  # noqa: S310
            answer: dict[str, Any] = json.load(response)
        return answer


def _logprob_of(item: dict[str, Any]) -> float:
    """Of a token of an answer: the model's, or the draw's (see `Sampling.logprobs`)."""
    if "prob" in item:
        return math.log(max(item["prob"], sys.float_info.min))
    return float(item["logprob"])


def _is_text(data: bytes) -> bool:
    """Whether bytes are whole characters, and some."""
    try:
        return bool(data.decode())
    except UnicodeDecodeError:
        return False
