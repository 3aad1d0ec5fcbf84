"""A server of somebody else's as an engine: what is sent, what comes back, what goes wrong."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dilmac.core import ConfigError, InputError
from dilmac.engines import (
    Piece,
    Sampling,
    Upstream,
    UpstreamAnswer,
    UpstreamError,
    UpstreamSpec,
    find_model,
    upstream_spec,
)
from dilmac.engines.upstream.content import control_string
from dilmac.engines.upstream.events import MAX_LINE_BYTES
from dilmac.engines.upstream.thoughts import ThoughtSplitter
from dilmac.tokenizer import Message
from far_side import DONE, WHOLE, FarSide, delta, event, far_side, usage

HELLO = [Message("system", "Kısa yaz."), Message("user", "Merhaba!")]


@pytest.fixture
def far() -> Iterator[FarSide]:
    with far_side() as side:
        yield side


def spec_of(far: FarSide, **values: object) -> UpstreamSpec:
    return UpstreamSpec(url=far.url, **values)


def ask(
    far: FarSide, sampling: Sampling | None = None, num_pieces: int | None = None, **values: object
) -> tuple[list[Piece], UpstreamAnswer]:
    """One turn; with `num_pieces` it is left after as many."""

    async def run() -> tuple[list[Piece], UpstreamAnswer]:
        async with Upstream(spec_of(far, **values), "tiny") as upstream:
            answer = upstream.chat(HELLO, sampling or Sampling(), stop=("\n",))
            said = []
            async with contextlib.aclosing(answer.pieces()) as pieces:
                async for piece in pieces:
                    said.append(piece)
                    if len(said) == num_pieces:
                        break
            return said, answer

    return asyncio.run(run())


def test_an_answer_comes_in_pieces_with_its_thought_and_its_counts(far: FarSide) -> None:
    far.says(
        b": a comment\r\n\r\nevent: message\n",
        delta(role="assistant", content=""),
        delta(reasoning_content="Düşün"),
        delta(reasoning="dü."),
        delta(content="Se") + delta(content="lam 🙂")[:-30],
        delta(content="lam 🙂")[-30:],
        delta("length"),
        usage(9, 4),
        DONE,
    )
    pieces, answer = ask(far)
    thought = [Piece("Düşün", is_reasoning=True), Piece("dü.", is_reasoning=True)]
    assert pieces == [*thought, Piece("Se"), Piece("lam 🙂")]
    assert (answer.num_prompt, answer.num_tokens, answer.finish_reason) == (9, 4, "length")


def test_what_is_set_is_sent_and_the_rest_left_to_the_far_side(
    far: FarSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(far)
    turns = [{"role": "system", "content": "Kısa yaz."}, {"role": "user", "content": "Merhaba!"}]
    bare = {
        "model": "tiny",
        "messages": turns,
        "stop": ["\n"],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert far.asked[-1] == bare and "Authorization" not in far.seen[-1]
    given = {"max_tokens": 5, "temperature": 0.0, "top_p": 0.5, "seed": 7}
    ask(far, Sampling(**given, top_k=40))  # our default of what OpenAI does not have
    assert far.asked[-1] == {**bare, **given}
    monkeypatch.setenv("OTHER_KEY", "sk-1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-2")
    spec = upstream_spec(far.url + "/", None, "OTHER_KEY")
    assert spec.url == far.url and "sk-1" not in repr(spec)
    ask(far, Sampling(top_k=3), key=spec.key)
    assert far.asked[-1] == {**bare, "top_k": 3}
    assert far.seen[-1]["Authorization"] == "Bearer sk-1"
    assert upstream_spec(far.url, None, None).key is None  # no variable is read unasked


def test_without_counts_the_events_are_counted(far: FarSide) -> None:
    assert [ask(far)[1].num_tokens, ask(far)[1].num_prompt] == [1, None]
    far.says(delta(content="a"), event({"choices": [], "usage": {"prompt_tokens": "9"}}), DONE)
    _, answer = ask(far)
    assert (answer.num_prompt, answer.num_tokens, answer.finish_reason) == (None, 1, "stop")


def test_who_leaves_hangs_up(far: FarSide) -> None:
    far.says(delta(content="Bir "), None)
    pieces, answer = ask(far, num_pieces=1)
    assert pieces == [Piece("Bir ")] and answer.finish_reason is None
    while far.num_running:
        time.sleep(0.01)
    assert far.num_hung_up == 1


HTML = b"<!DOCTYPE html>\n<html>\x1b[31m<h1>Welcome</h1>"
BROKEN = {
    "no end": (b"".join(WHOLE[:-1]), r"without \[DONE\]"),
    "nothing": (b"", r"without \[DONE\]"),
    "half an event": (WHOLE[1][:20] + b"\n\n", "no JSON object"),
    "a list": (event([1]), "no JSON object"),
    "a deep nesting": (b"data: " + b"[" * 100_000 + b"\n\n", "no JSON object"),
    "no UTF-8": (b'data: {"a": "\xff"}\n\n', "no UTF-8"),
    "choices": (event({"choices": "x"}), "choices are none"),
    "a choice": (event({"choices": [7]}), "choices are none"),
    "a delta": (event({"choices": [{"delta": [1]}]}), "delta is no object"),
    "content": (delta(content=[{"type": "thinking"}]), "no text"),
    "an error": (event({"error": {"message": "cuda\x1b[2J died"}}), r"cuda \[2J died"),
    "an abort": (delta("abort") + DONE, "broke the answer off"),
    "a long line": (b"data: " + b"x" * MAX_LINE_BYTES + b"\n\n", "line over"),
    "a line without end": (b"x" * (MAX_LINE_BYTES + 2), "line over"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_stream_is_an_error_that_says_what_was_found(far: FarSide, fault: str) -> None:
    data, found = BROKEN[fault]
    far.says(data)
    with pytest.raises(UpstreamError, match=found) as caught:
        ask(far)
    assert caught.value.where == far.url and "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "body", "found"),
    [
        (404, b'{"error": "model not found"}', "404: model not found"),
        (401, b'{"detail": "no key"}', "401: no key"),
        (400, b'{"error": {"message": "context length is 64", "code": 400}}', "400: context"),
        (500, HTML, r"500: <!DOCTYPE html> <html> \[31m"),
        (500, b"\xff" * 100_000, "500"),
        (302, b"", r"redirect \(302\) to http://elsewhere/, which is not followed"),
    ],
)
def test_a_refusal_says_why(far: FarSide, status: int, body: bytes, found: str) -> None:
    far.status, far.parts, far.headers["Location"] = status, [body], "http://elsewhere/"
    with pytest.raises(UpstreamError, match=found) as caught:
        ask(far)
    assert caught.value.status == status and len(str(caught.value)) < 800
    assert caught.value.is_too_long == (status == 400)
    assert len(far.asked) == 1


def test_what_is_no_stream_is_said(far: FarSide) -> None:
    far.headers = {"Content-Type": "text/html"}
    far.says(HTML)
    with pytest.raises(UpstreamError, match="'text/html' where a stream of events belongs"):
        ask(far)
    far.headers = {"Content-Type": "text/event-stream", "Content-Encoding": "gzip"}
    with pytest.raises(UpstreamError):
        ask(far)


def test_silence_and_nobody_are_said(far: FarSide) -> None:
    far.says(delta(content="Bir "), None)
    with pytest.raises(UpstreamError, match=r"silent for 0\.2 s"):
        ask(far, silence_seconds=0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    nobody = UpstreamSpec(url=f"http://127.0.0.1:{free}/v1")
    with pytest.raises(UpstreamError, match="cannot be reached") as caught:
        asyncio.run(find_model(nobody))
    assert "start the server" in str(caught.value)


def test_what_speaks_no_http_or_breaks_off_is_said(far: FarSide) -> None:
    def said_by(data: bytes) -> str:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(data)
            await writer.drain()
            writer.close()

        async def run() -> None:
            server = await asyncio.start_server(talk, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            async with server, Upstream(UpstreamSpec(url=f"http://127.0.0.1:{port}"), "x") as up:
                async for _ in up.chat(HELLO, Sampling()).pieces():
                    pass

        with pytest.raises(UpstreamError) as caught:
            asyncio.run(run())
        return caught.value.found

    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    assert "broke the connection off" in said_by(b"")
    assert "broke the connection off" in said_by(head + b"Content-Length: 999\r\n\r\n" + WHOLE[1])
    assert "does not speak HTTP" in said_by(b"SSH-2.0-OpenSSH_9.2\r\n")
    assert "does not speak HTTP" in said_by(head + b"X: " + b"x" * 99_999 + b"\r\n\r\n")


def test_the_model_is_the_named_or_the_only_one(far: FarSide) -> None:
    def found(model: str | None = None) -> tuple[str, int | None]:
        found = asyncio.run(find_model(spec_of(far, model=model)))
        return found.name, found.context

    assert found() == found("tiny") == ("tiny", 64)
    assert found("qwen3") == ("qwen3", None)
    far.models = {"data": [{"id": "a", "max_model_len": True}, {"id": "b"}, {"id": 3}, 4]}
    with pytest.raises(UpstreamError, match=r"lists 2 models: a, b\n.*--upstream-model"):
        found()
    assert found("a") == ("a", None)
    far.models = {"object": "list", "data": None}  # Ollama without a model
    with pytest.raises(UpstreamError, match="lists 0 models: none"):
        found()
    for broken in ([], {}, {"data": "x"}, None):
        far.models = broken
        with pytest.raises(UpstreamError, match="no list of models"):
            found()


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/v1",
        "file:///etc/passwd",
        "127.0.0.1:8000",
        "http://",
        "http://a b/v1",
        "http://h/v1\r\nX: y",
        "http://h:99999/v1",
        "http://h:0/v1",
        "http://[::1/v1",
        "http://h/v1?key=geheim",
        "http://h/v1#geheim",
        "http://me:geheim@h/v1",
        "http://geheim@h/v1",
        "",
    ],
)
def test_what_is_no_plain_address_is_refused_and_no_secret_shown(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        upstream_spec(url, None, None)
    assert caught.value.where == "--upstream" and "geheim" not in str(caught.value)


@pytest.mark.parametrize("key", [None, "", "  ", "iki kelime", "a\nb", "şifre"])
def test_a_variable_without_a_key_is_refused(
    key: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if key is not None:
        monkeypatch.setenv("SOME_KEY", key)
    with pytest.raises(ConfigError, match="SOME_KEY") as caught:
        upstream_spec("http://127.0.0.1:1/v1", None, "SOME_KEY")
    assert not (key or "").strip() or str(key) not in str(caught.value)


def test_a_key_that_everybody_can_read_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_KEY", "sk-1")
    for url in ("http://127.0.0.1:1", "http://[::1]:1", "http://localhost", "https://a.example"):
        upstream_spec(url, None, "SOME_KEY")
    upstream_spec("http://a.example", None, None)
    assert capsys.readouterr().err == ""
    for url in ("http://192.0.2.1/v1", "http://a.example"):
        upstream_spec(url, None, "SOME_KEY")
        told = capsys.readouterr().err
        assert f"the key goes to {url} unencrypted" in told and "sk-1" not in told


def test_a_control_string_goes_nowhere(far: FarSide) -> None:
    async def run(content: str) -> None:
        async with Upstream(spec_of(far), "tiny") as upstream:
            with pytest.raises(InputError, match=r"message 2 \(user\) holds <\|im_end\|>"):
                upstream.chat([HELLO[0], Message("user", content)], Sampling())
            with pytest.raises(InputError, match="prompt holds"):
                upstream.complete(content, Sampling())
            with pytest.raises(InputError, match="lone surrogate"):
                upstream.complete("\ud800", Sampling())

    asyncio.run(run("Merhaba <|im_end|>"))
    asyncio.run(run("Merhaba ＜｜im_\u200bend｜＞"))
    assert not far.asked


def test_which_strings_are_refused() -> None:
    for text in (
        "<|eot_id|>",
        "<｜User｜>",
        "<｜begin▁of▁sentence｜>",
        "</think>",
        "</s>",
        "[INST]",
    ):
        assert control_string(f"a{text}b") is not None, text
    for text in ("a <| f x |> b", "x < y | z > w", "<b>kalın</b>", "|im_end|", "a[0]", "<|", "🙂"):
        assert control_string(text) is None, text


THOUGHT = st.text(st.sampled_from("a b\nç<>/thinko"), max_size=30).filter(
    lambda text: "think>" not in text
)


@settings(deadline=None)
@given(thought=THOUGHT, text=THOUGHT, is_open=st.booleans(), data=st.data())
def test_a_thought_in_the_text_is_taken_out_wherever_it_is_cut(
    thought: str, text: str, is_open: bool, data: st.DataObject
) -> None:
    whole = f"<think>\n{thought}\n</think>\n\n{text}" if is_open else text
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=6).map(sorted))
    splitter = ThoughtSplitter()
    bounds = zip([0, *cuts], [*cuts, len(whole)], strict=True)
    pieces = [piece for a, b in bounds for piece in splitter.pieces_with(whole[a:b])]
    pieces += splitter.rest()
    said = {kind: "".join(p.text for p in pieces if p.is_reasoning == kind) for kind in (0, 1)}
    assert said[0] == (text.lstrip("\n") if is_open else text)
    assert said[1] == (thought.strip("\n") if is_open else "")


def test_marks_that_open_no_thought_are_left_out() -> None:
    for whole, content in (
        ("düşün\n</think>\n\nselam", "düşün\nselam"),  # a template that opened it itself
        ("Qwen <think> yazar", "Qwen  yazar"),
        ("<think>a<think>b</think>c</think>d", "cd"),
    ):
        splitter = ThoughtSplitter()
        pieces = [*splitter.pieces_with(whole), *splitter.rest()]
        assert "".join(p.text for p in pieces if not p.is_reasoning) == content
