"""A model behind an OpenAI-compatible server: text in, text out, and likelihoods where it echoes.

`POST /completions` with `echo` and `logprobs` gives the log-probability of every token of a prompt
(vLLM does; llama.cpp's server, and OpenAI's own for its newer models, do not).
"""

from __future__ import annotations

import http.client
import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from dilmac.core import ConfigError, EngineError, InputError
from dilmac.engines import Sampling
from dilmac.evaluate.bits import Bits
from dilmac.evaluate.subject import Answer, Likelihood, Need, Pair, cut_at

HTTP_SECONDS = 600
KEY_VARIABLE = "OPENAI_API_KEY"
PROBE = "Bugün hava çok güzel."
# No answer, or one of another form.
_NONE = (
    OSError,
    http.client.HTTPException,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
)
# What such a server, which reads text, would take for the end of a turn.
_CONTROL = re.compile(r"<\|[a-z_]+\|>|</?s>|<(?:bos|eos)>")


class ServerSubject:
    """A model of a server, by the server's base address (`http://localhost:8000/v1`)."""

    kind = "server"

    def __init__(self, url: str, model: str):
        """Ask the server what it can do.

        Raises:
            ConfigError: the address is none.
            EngineError: it does not answer, or refuses.
        """
        if not url.startswith(("http://", "https://")):
            raise ConfigError(
                f"{url!r} is no address", where="--server", mend="http://HOST:PORT/v1"
            )
        self.url, self.name, self.num_truncated = url.rstrip("/"), model, 0
        self.can_score = self._echoes()

    def _echoes(self) -> bool:
        try:
            tokens = self._scored(PROBE)
        except EngineError:  # it knows no `echo`; whether it is there at all shows here
            self._post("/completions", {"prompt": PROBE, "max_tokens": 1}, _text)
            return False
        return bool(tokens) and tokens[-1][0] > 0

    def lacks(self, need: Need) -> str | None:
        if need == "scores" and not self.can_score:
            return (
                "the server gives no log-probabilities of given text (`echo`), so that it can only "
                "be asked to generate: qa-tr, arithmetic-tr, chat"
            )
        if need == "ids":
            return "a server takes text, and bits per byte need the model's own ids"
        return None

    def likelihoods(self, pairs: Sequence[Pair]) -> Iterator[Likelihood]:
        scored = [self._scored(context + rest) for context, rest in pairs]
        # As `split_pairs`: where the first token that reaches into a continuation begins.
        first: dict[str, int] = {}
        for (context, _), tokens in zip(pairs, scored, strict=True):
            cut = max((offset for offset, *_ in tokens if offset <= len(context)), default=0)
            first[context] = min(cut, first.get(context, cut))
        for (context, _), tokens in zip(pairs, scored, strict=True):
            counted = [token for token in tokens if token[0] >= first[context]]
            yield Likelihood(sum(p for _, p, _ in counted), all(best for *_, best in counted))

    def _scored(self, text: str) -> list[tuple[int, float, bool]]:
        """Tokens of a text: place of the first character, log-probability, whether it is the most
        probable one. The first token of all has no probability and is left out."""
        body = {"prompt": text, "max_tokens": 1, "echo": True, "logprobs": 1}
        found = self._post("/completions", body, lambda choice: choice.get("logprobs") or {})
        try:
            offsets, values, best = (
                found[key] for key in ("text_offset", "token_logprobs", "top_logprobs")
            )
            return [
                (offset, value, value >= max(others.values()))
                for offset, value, others in zip(offsets, values, best, strict=True)
                if value is not None and offset < len(text)
            ]
        except (KeyError, TypeError, AttributeError, ValueError):
            return []  # probabilities of another form, or of the generated token only

    def complete(self, prompt: str, until: Sequence[str], max_tokens: int) -> str:
        body = {"prompt": prompt, "max_tokens": max_tokens, "stop": list(until), "temperature": 0}
        return cut_at(self._post("/completions", body, _text), until)

    def answer(self, message: str, sampling: Sampling) -> Answer:
        body = {
            "messages": [{"role": "user", "content": message}],
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": sampling.seed,
        }
        answer: Answer = self._post("/chat/completions", body, _answer)
        return answer

    def bits(self, text: str) -> Bits:
        raise AssertionError(
            f"`lacks` says that a server measures no bits ({len(text)} characters)"
        )

    def close(self) -> None:
        """Nothing is held."""

    def _post(self, path: str, body: dict[str, Any], read: Callable[[dict[str, Any]], Any]) -> Any:
        """What `read` takes out of the answer's first choice."""
        said = body["prompt"] if "prompt" in body else body["messages"][0]["content"]
        if control := _CONTROL.search(said):
            raise InputError(
                f"a prompt holds {control.group()!r}, which a server reads as a control token",
                where=self.url,
                mend="take the record out of the data, or evaluate the model in an engine here",
            )
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get(KEY_VARIABLE):
            headers["Authorization"] = f"Bearer {key}"
        data = json.dumps({"model": self.name, **body}).encode()
        request = urllib.request.Request(self.url + path, data=data, headers=headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=HTTP_SECONDS) as response:  # noqa: S310
                return read(json.load(response)["choices"][0])
        except urllib.error.HTTPError as error:
            said = error.read(300).decode("utf-8", "replace")
            found = f"refuses ({error.code}): {said}"
            raise EngineError(found, where=self.url + path, mend="check --model") from error
        except _NONE as error:
            raise EngineError(
                f"gives no answer ({error or type(error).__name__})",
                where=self.url + path,
                mend="check --server",
            ) from error


def _text(choice: dict[str, Any]) -> str:
    return str(choice["text"])


def _answer(choice: dict[str, Any]) -> Answer:
    return Answer(choice["message"]["content"] or "", choice["finish_reason"] == "stop")
