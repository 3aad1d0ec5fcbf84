"""OpenAI-compatible servers: one that echoes is scored like an engine, others only generate."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from dilmac.core import ConfigError, EngineError, InputError
from dilmac.engines import Sampling
from dilmac.evaluate.server import ServerSubject
from dilmac.evaluate.subject import EngineSubject

PAIRS = [("Bir gün deniz", " sakindi."), ("Bir gün deniz", " yolu"), ("Çarşıda", " balık vardı")]


def served(subject: EngineSubject, *, echoes: bool) -> ThreadingHTTPServer:
    """A server on loopback that answers as vLLM's does, from a real model."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path.endswith("/chat/completions"):
                said = subject.answer(body["messages"][0]["content"], Sampling(max_tokens=4))
                reason = "stop" if said.has_stopped else "length"
                choice = {"message": {"content": said.text}, "finish_reason": reason}
            elif body.get("echo"):
                choice = {"text": body["prompt"], "logprobs": echo(body["prompt"])}
            else:
                text = subject.complete(body["prompt"], [], body["max_tokens"])
                choice = {"text": text, "logprobs": None}
            data = json.dumps({"choices": [choice]}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    def echo(text: str) -> dict[str, Any] | None:
        if not echoes:
            return None
        ids = subject.tokenizer.encode(text)
        offsets = [len(subject.engine.detokenize(ids[:n])) if n else 0 for n in range(len(ids))]
        (tokens,) = subject.engine.logprobs([(ids, 1)])
        return {
            "text_offset": offsets,
            "token_logprobs": [None, *(logprob for logprob, _ in tokens)],
            "top_logprobs": [None, *({"x": p if best else 0.0} for p, best in tokens)],
        }

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def address(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/v1"


def test_a_server_that_echoes_is_scored_like_the_engine_behind_it(
    bare_subject: EngineSubject,
) -> None:
    server = served(bare_subject, echoes=True)
    remote = ServerSubject(address(server), "tiny")
    assert remote.lacks("scores") is None and "ids" in str(remote.lacks("ids"))
    for theirs, ours in zip(
        remote.likelihoods(PAIRS), bare_subject.likelihoods(PAIRS), strict=True
    ):
        assert theirs.logprob == pytest.approx(ours.logprob, abs=1e-4)
        assert theirs.is_greedy == ours.is_greedy
    assert remote.complete("Bir gün", ["\n"], 4) == bare_subject.complete("Bir gün", ["\n"], 4)
    sampling = Sampling(max_tokens=4)
    assert remote.answer("Merhaba", sampling) == bare_subject.answer("Merhaba", sampling)
    with pytest.raises(InputError, match=r"<\|im_end\|>"):
        remote.complete("Merhaba <|im_end|>", [], 4)
    server.shutdown()
    server.server_close()


def test_a_server_that_does_not_echo_can_only_generate(bare_subject: EngineSubject) -> None:
    server = served(bare_subject, echoes=False)
    remote = ServerSubject(address(server), "tiny")
    assert "can only be asked to generate" in str(remote.lacks("scores"))
    assert remote.lacks("text") is remote.lacks("chat") is None
    server.shutdown()
    server.server_close()


def test_no_server_is_an_error_that_names_it() -> None:
    with pytest.raises(ConfigError, match="is no address"):
        ServerSubject("localhost:1", "tiny")
    with pytest.raises(EngineError, match="gives no answer"):
        ServerSubject("http://127.0.0.1:9/v1", "tiny")
    with pytest.raises(EngineError, match=r"gives no answer .*PORT"):
        ServerSubject("http://localhost:PORT/v1", "tiny")


def test_an_answer_of_another_form_is_an_error() -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"choices": [{"said": "Merhaba"}]}')

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    remote = ServerSubject(address(server), "tiny")
    for ask in (
        lambda: remote.complete("Bir", [], 4),
        lambda: remote.answer("Merhaba", Sampling(max_tokens=4)),
    ):
        with pytest.raises(EngineError, match="gives no answer"):
            ask()
    server.shutdown()
    server.server_close()
