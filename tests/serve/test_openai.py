"""Conversations by OpenAI's own client, on both engines."""

import openai
import pytest
from serving import Served

TURNS = [
    {"role": "system", "content": "Kısa yaz."},
    {"role": "user", "content": "Merhaba!"},
]


def test_a_conversation_is_the_same_whole_and_streamed(server: Served) -> None:
    asked = {"model": server.name, "messages": [*TURNS], "temperature": 0, "max_tokens": 12}
    for text in ("Merhaba!", "Nasılsın?"):
        whole = server.client.chat.completions.create(**asked)
        chunks = list(
            server.client.chat.completions.create(
                **asked, stream=True, stream_options={"include_usage": True}
            )
        )
        content = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
        assert content == whole.choices[0].message.content
        assert chunks[0].choices[0].delta.role == "assistant"
        assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason
        assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage
        assert all(chunk.usage is None for chunk in chunks[:-1])
        assert whole.usage is not None and 0 <= whole.usage.completion_tokens <= 12
        # What a client got can be sent back as it is.
        answer = whole.choices[0].message.model_dump()
        asked["messages"] = [*asked["messages"], answer, {"role": "user", "content": text}]


def test_sampling_obeys_seed_and_preset(server: Served) -> None:
    def say(**settings: object) -> str:
        answer = server.client.chat.completions.create(
            model=server.name, messages=[*TURNS], max_tokens=16, **settings
        )
        return answer.choices[0].message.content or ""

    warm = {"temperature": 2.0, "top_p": 1.0}
    assert say(seed=-5, **warm) == say(seed=-5, **warm)
    assert len({say(**warm) for _ in range(4)}) > 1
    assert say(extra_body={"preset": "deterministic"}) == say(temperature=0)
    assert say(extra_body={"preset": "creative"}, temperature=0) == say(temperature=0)


def test_a_beam_search_is_a_preset_where_the_engine_has_one(server: Served) -> None:
    asked = {"model": server.name, "messages": TURNS, "max_tokens": 8}
    if server.health()["engine"] == "transformers":
        answers = [
            server.client.chat.completions.create(**asked, extra_body={"preset": "beam"})
            for _ in range(2)
        ]
        assert answers[0].usage and 0 < answers[0].usage.completion_tokens <= 8
        assert answers[0].choices[0].message == answers[1].choices[0].message
    else:
        with pytest.raises(openai.BadRequestError, match="llamacpp has no beam search"):
            server.client.chat.completions.create(**asked, extra_body={"preset": "beam"})
    with pytest.raises(openai.BadRequestError, match="draws one"):
        server.client.chat.completions.create(
            **asked, temperature=0.5, extra_body={"preset": "beam"}
        )


def test_a_stop_ends_the_answer_and_is_not_given_out(server: Served) -> None:
    asked = {"model": server.name, "prompt": "Bir gün", "max_tokens": 40, "temperature": 0}
    text = server.client.completions.create(**asked).choices[0].text
    assert len(text) > 4
    stop = text[2:4]
    for is_stream in (False, True):
        answer = server.client.completions.create(**asked, stop=[stop, "\0"], stream=is_stream)
        choices = [chunk.choices[0] for chunk in answer] if is_stream else [answer.choices[0]]
        assert "".join(choice.text for choice in choices) == text[: text.index(stop)]
        assert choices[-1].finish_reason == "stop"


def test_a_text_and_its_ids_go_on_alike(server: Served) -> None:
    _, told = server.ask("/tokenize", {"prompt": "Bir gün"})
    settings = {"model": server.name, "max_tokens": 8, "temperature": 0}
    whole = server.client.completions.create(prompt="Bir gün", **settings)
    assert whole.usage is not None and whole.usage.prompt_tokens == told["count"] + 1
    by_ids = server.client.completions.create(prompt=[1, *told["tokens"]], **settings)
    assert by_ids.choices[0].text == whole.choices[0].text
    assert server.client.completions.create(prompt="", **settings).usage is not None


def test_the_model_is_listed_and_no_other_is_there(server: Served) -> None:
    assert [model.id for model in server.client.models.list()] == [server.name]
    assert server.client.models.retrieve(server.name).id == server.name
    for name in ("gpt-4", "../../etc/passwd", "http://127.0.0.1/x", "a\0b", ""):
        with pytest.raises(openai.NotFoundError, match="no such model"):
            server.client.chat.completions.create(model=name, messages=[*TURNS])
    assert server.health()["status"] == "ok"


def test_the_context_is_the_limit(server: Served) -> None:
    long = [{"role": "user", "content": "çok uzun bir ileti " * 100}]
    for settings in ({"messages": long}, {"messages": TURNS, "max_tokens": 129}):
        with pytest.raises(openai.BadRequestError) as caught:
            server.client.chat.completions.create(model=server.name, **settings)
        assert caught.value.code == "context_length_exceeded"
    answer = server.client.chat.completions.create(
        model=server.name, messages=TURNS, max_tokens=128, temperature=2
    )
    assert answer.usage is not None and answer.usage.total_tokens <= 128
