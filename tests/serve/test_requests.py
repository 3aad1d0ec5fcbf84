"""Bad requests: each is refused with a reason, in OpenAI's form, and the server goes on."""

import gzip
import json
from typing import Any

import pytest
from serving import JSON, Served

USER = [{"role": "user", "content": "Merhaba!"}]

BAD_CHATS: dict[str, dict[str, Any]] = {
    "messages": {"messages": "Merhaba"},
    "messages ": {"messages": None},
    "messages  ": {"messages": []},
    "messages.0.role": {"messages": [{}]},
    "messages.0.role ": {"messages": [{"role": "hacker", "content": "x"}]},
    "messages.0.role  ": {"messages": [{"role": "tool", "content": "x"}]},
    "messages.0.content": {"messages": [{"role": "user", "content": 123}]},
    "messages.0.content ": {"messages": [{"role": "user", "content": None}]},
    "messages.0.content  ": {
        "messages": [
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///x"}}]}
        ]
    },
    "messages   ": {"messages": [*USER, {"role": "assistant", "content": "Evet."}]},
    "messages.0.tool_calls": {"messages": [{**USER[0], "tool_calls": [{"id": "1"}]}]},
    "n": {"n": 10**6},
    "best_of": {"best_of": 2},
    "max_tokens": {"max_tokens": 0},
    "max_tokens ": {"max_tokens": -1},
    "max_tokens  ": {"max_tokens": 2**31},
    "max_tokens   ": {"max_tokens": "12"},
    "max_completion_tokens": {"max_completion_tokens": 1.5},
    "temperature": {"temperature": -3},
    "temperature ": {"temperature": "NaN"},
    "temperature  ": {"temperature": 2.1},
    "top_p": {"top_p": 2},
    "top_p ": {"top_p": 0},
    "top_k": {"top_k": -1},
    "seed": {"seed": 2**80},
    "stop": {"stop": ["a"] * 5},
    "stop ": {"stop": [""]},
    "stop  ": {"stop": {"a": 1}},
    "stream": {"stream": "yes"},
    "stream_options.foo": {"stream_options": {"foo": 1}},
    "preset": {"preset": "wild"},
    "logit_bias": {"logit_bias": {"5": 1e9}},
    "frequency_penalty": {"frequency_penalty": 0.5},
    "logprobs": {"logprobs": True},
    "tools": {"tools": [{"type": "function"}]},
    "response_format": {"response_format": {"type": "json_schema", "json_schema": {}}},
    "chat_template": {"chat_template": "{{ cycler.__init__ }}"},
    "chat_template_kwargs": {"chat_template_kwargs": {"tokenize": True}},
    "n_discard": {"n_discard": -1},
    "id_slot": {"id_slot": 0},
    "lora": {"lora": []},
    "api_base": {"api_base": "http://169.254.169.254"},
}

BAD_BODIES: dict[str, tuple[int, bytes, dict[str, str]]] = {
    "no JSON": (400, b'{"messages": ', JSON),
    "a list": (400, b"[1]", JSON),
    "nothing": (400, b"", JSON),
    "no UTF-8": (400, b'{"model": "\xff"}', JSON),
    "NaN": (400, b'{"temperature": NaN}', JSON),
    "a number beyond floats": (400, b'{"model": "m", "temperature": 1e999}', JSON),
    "nested": (400, b"[" * 100_000, JSON),
    "a key twice": (400, b'{"model": "a", "model": "b"}', JSON),
    "text": (415, b"{}", {"Content-Type": "text/plain"}),
    "no type": (415, b"{}", {}),
    "packed": (415, gzip.compress(b"{}" * 10**6), {**JSON, "Content-Encoding": "gzip"}),
    "too large": (413, b" " * (3 << 20), JSON),
    "another host": (400, b"{}", {**JSON, "Host": "example.org"}),
}


def require_error(status: int, answer: Any, expected: int = 400) -> dict[str, Any]:
    assert status == expected, answer
    assert set(answer) == {"error"}
    error: dict[str, Any] = answer["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error" and error["message"]
    assert "Traceback" not in error["message"] and ".py" not in error["message"]
    return error


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_bad_field_is_named(server: Served, is_stream: bool) -> None:
    for name, fields in BAD_CHATS.items():
        body = {"model": server.name, "messages": USER, "stream": is_stream, **fields}
        error = require_error(*server.ask("/v1/chat/completions", body))
        assert error["param"] == name.strip(), error
    assert server.health()["status"] == "ok"


def test_a_bad_body_is_refused(server: Served) -> None:
    for expected, raw, headers in BAD_BODIES.values():
        status, answer = server.ask("/v1/chat/completions", raw=raw, headers=headers)
        require_error(status, answer, expected)
    blanks = (b" " * (1 << 20) for _ in range(3))  # in chunks, without a size
    status, answer = server.ask("/v1/chat/completions", raw=blanks)
    require_error(status, answer, 413)


@pytest.mark.parametrize(
    "prompt", [None, [], ["a", "b"], [[1], [2]], [-1], [10**6], [1, "a"], [True], {"a": 1}, 5]
)
def test_a_bad_prompt_is_refused(server: Served, prompt: Any) -> None:
    body = {"model": server.name, "prompt": prompt, "max_tokens": 2}
    assert require_error(*server.ask("/v1/completions", body))["param"] == "prompt"


@pytest.mark.parametrize(
    "body", [{}, {"prompt": "a", "messages": USER}, {"prompt": 5}, {"messages": []}]
)
def test_a_bad_text_to_tokenize_is_refused(server: Served, body: Any) -> None:
    require_error(*server.ask("/tokenize", body))


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb"])
def test_half_a_character_is_refused(server: Served, text: str) -> None:
    raw = json.dumps({"model": server.name, "messages": [{"role": "user", "content": text}]})
    error = require_error(*server.ask("/v1/chat/completions", raw=raw.encode()))
    assert "surrogate" in error["message"]


def test_a_null_character_is_content(server: Served) -> None:
    for text in ("\0", "a\0b"):
        status, told = server.ask("/tokenize", {"prompt": text})
        assert status == 200 and told["count"] >= len(text)


def test_unknown_places_and_ways_have_the_same_form(server: Served) -> None:
    require_error(*server.ask("/v1/nothing"), 404)
    require_error(*server.ask("/docs"), 404)
    require_error(*server.ask("/v1/completions"), 405)
    require_error(*server.ask("/v1/models/other"), 404)
    assert server.ask("/openapi.json")[0] == 200


def test_fields_that_ask_for_nothing_are_taken(server: Served) -> None:
    body = {
        "model": server.name,
        "messages": [{**USER[0], "name": "Ayşe"}],
        "max_completion_tokens": 2,
        "n": 1,
        "user": "u1",
        "metadata": {"a": "b"},
        "store": False,
        "frequency_penalty": 0,
        "presence_penalty": 0.0,
        "logit_bias": {},
        "logprobs": False,
        "tools": [],
        "tool_choice": "auto",
        "response_format": {"type": "text"},
        "stop": None,
        "stream": None,
        "temperature": None,
        "seed": None,
    }
    assert server.ask("/v1/chat/completions", body)[0] == 200
