"""Files that are wrong, each in its own way: an error with file, line and mend, or a reject."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dilmac.core import InputError
from dilmac.training.data.examples import Conversation, Example, Labeled, Preference
from dilmac.training.data.read import read_data
from written_data import GOOD, write

USER = {"role": "user", "content": "Soru"}
ANSWER = {"role": "assistant", "content": "Cevap"}
SYSTEM = {"role": "system", "content": "Kısa konuş."}
CHAT = {"messages": [USER, ANSWER]}
SHARE = {"conversations": [{"from": "human", "value": "S"}, {"from": "gpt", "value": "C"}]}
PAIR = {"prompt": "Soru", "chosen": "iyi", "rejected": "kötü"}
LABELED = {"text": "Güzel film.", "label": "olumlu"}
DEEP = "[" * 100_000


def chat(*turns: Any) -> dict[str, Any]:
    return {"messages": list(turns)}


# The second line of a file whose first is right, what is found there, and a word of the mend.
WRONG: list[tuple[object, object, str, str]] = [
    (GOOD, {"instruction": "a"}, "'response' is missing", "fields there: instruction"),
    (GOOD, {"instruction": "a", "respone": "b"}, "'response' is missing", "rename 'respone'"),
    (GOOD, {"Instruction": "a", "response": "b"}, "'instruction' is missing", "'Instruction'"),
    (GOOD, {"instruction": "a", "response": None}, "'response' is null", "fields there"),
    (GOOD, {"instruction": "a", "response": ""}, "'response' is empty", "fill it"),
    (GOOD, {"instruction": "a", "response": " \n\t"}, "'response' is empty", "fill it"),
    (GOOD, {"instruction": "a", "response": "\u200b\u2060"}, "'response' is empty", "fill it"),
    (GOOD, {"instruction": "", "response": "b"}, "'instruction' is empty", "fill it"),
    (GOOD, {"instruction": "a", "response": 3}, "'response' is a number", "in quotes"),
    (GOOD, {"instruction": "a", "response": True}, "is true or false, not text", "in quotes"),
    (GOOD, {"instruction": ["a"], "response": "b"}, "'instruction' is a list", "in quotes"),
    (GOOD, {"instruction": "a", "response": {"text": "b"}}, "is an object, not", "in quotes"),
    (GOOD, {**GOOD, "input": 5}, "'input' is a number", "in quotes"),
    (GOOD, {**GOOD, "id": 1.5}, "'id' is neither text nor a whole number", "remove the field"),
    (GOOD, {**GOOD, "id": [1]}, "'id' is neither text nor a whole number", "remove the field"),
    (GOOD, {**GOOD, "history": [["a", "b"]]}, "'history' is not read", "messages"),
    (GOOD, {**GOOD, "system": 1}, "'system' is a number", "in quotes"),
    (
        GOOD,
        '{"instruction": "a\\ud800", "response": "b"}',
        "a lone surrogate at character 1",
        "half",
    ),
    (GOOD, '{"instruction": "a", "response": "b', "no JSON (unterminated string", "cut off"),
    (GOOD, '{"instruction": "a", "response"', "no JSON (expecting ':' delimiter", "cut off"),
    (GOOD, '{"instruction": "a" "response": "b"}', "no JSON (expecting ',' delimiter", "mend"),
    (GOOD, "{'instruction': 'a', 'response': 'b'}", "no JSON (expecting property", "mend"),
    (GOOD, '{"instruction": "a", "response": "b", "response": "c"}', "stands twice", "mend"),
    (GOOD, "merhaba", "no JSON (expecting value", "mend or remove"),
    (GOOD, '["a", "b"]', "no JSON object", "jq -c '.[]'"),
    (GOOD, "3", "no JSON object", "mend or remove"),
    (GOOD, DEEP, "no JSON", "mend or remove"),
    (GOOD, '{"id": ' + "9" * 5000 + "}", "no JSON", "mend or remove"),
    (GOOD, "{}", "'instruction' is missing", "fields there: none"),
    (GOOD, {"başlık": "a"}, "'instruction' is missing", "fields there: başlık"),
    (GOOD, CHAT, 'has {"messages"}, but data.jsonl:1 has {"instruction", "response"}', "own"),
    (GOOD, PAIR, "formats are mixed", "a file of its own"),
    (CHAT, GOOD, "formats are mixed", "a file of its own"),
    (CHAT, {**CHAT, **GOOD}, 'has the fields of {"instruction", "response"} and', "not meant"),
    (CHAT, {"message": [USER, ANSWER]}, "'messages' is missing", "rename 'message'"),
    (CHAT, {"messages": "Soru"}, "'messages' is text, not a list of turns", "role"),
    (CHAT, {"messages": []}, "'messages' is empty", "fill it"),
    (CHAT, chat("Soru", ANSWER), "'messages[0]' is text, not an object", "content"),
    (CHAT, chat(USER, {"role": "assistant"}), "'messages[1].content' is missing", "fields there"),
    (CHAT, chat(USER, {**ANSWER, "content": ""}), "'messages[1].content' is empty", "fill it"),
    (CHAT, chat(USER, {**ANSWER, "content": [1]}), "'messages[1].content' is a list", "quotes"),
    (CHAT, chat(USER, {**ANSWER, "role": "asistant"}), "unknown role 'asistant'", "'assistant'?"),
    (CHAT, chat(USER, ANSWER, {**USER, "role": "tool"}), "unknown role 'tool'", "tools"),
    (CHAT, chat(USER, {**ANSWER, "tool_calls": [{}]}), "tools cannot be learned", "remove"),
    (CHAT, chat({**USER, "reasoning_content": "a"}, ANSWER), "in a turn of the user", "only the"),
    (CHAT, chat(USER), "ends with a turn of the user", "add it"),
    (CHAT, chat(SYSTEM), "ends with a turn of the system", "add it"),
    (CHAT, chat(ANSWER, USER, ANSWER), "'messages[0]' is the first turn of the assistant", "user"),
    (CHAT, chat(USER, USER, ANSWER), "'messages[1]' is a second turn in a row of the user", "join"),
    (CHAT, chat(USER, ANSWER, SYSTEM), "'messages[2]' is a system turn", "move it"),
    (CHAT, {**chat(SYSTEM, USER, ANSWER), "system": "a"}, "'system' beside a system turn", "keep"),
    (SHARE, {"conversations": [{"from": "human"}]}, "'conversations[0].value' is missing", "there"),
    (SHARE, {"conversations": [{"from": "insan", "value": "a"}]}, "unknown role 'insan'", "one of"),
    (PAIR, {**PAIR, "rejected": "iyi"}, "'chosen' and 'rejected' are the same", "remove"),
    (PAIR, {**PAIR, "prompt": None}, "'prompt' is null", "fields there"),
    (PAIR, {**PAIR, "prompt": [USER, ANSWER]}, "'prompt' ends with a turn of", "user's turn"),
    (PAIR, {**PAIR, "chosen": [USER, {**ANSWER, "role": "user"}]}, "not the prompt's", "as text"),
    (LABELED, {"text": "a", "label": 0.5}, "'label' is a number, neither text nor", "name the"),
    (LABELED, {"text": "a", "lable": "b"}, "'label' is missing", "rename 'lable'"),
]
KIND_OF: dict[str, type[Example]] = {"prompt": Preference, "text": Labeled}


def kind_of(first: object) -> type[Example]:
    assert isinstance(first, dict)
    return next((KIND_OF[name] for name in first if name in KIND_OF), Conversation)


@pytest.mark.parametrize("number", range(len(WRONG)), ids=lambda n: str(WRONG[n][2])[:40])
def test_a_wrong_record_is_an_error_with_line_and_mend_or_a_reject(
    tmp_path: Path, number: int
) -> None:
    first, wrong, found, mend = WRONG[number]
    path = write(tmp_path / "data.jsonl", first, wrong, first)
    kind = kind_of(first)
    with pytest.raises(InputError) as caught:
        read_data([path], kind)
    assert caught.value.where == f"{path}:2"
    assert found in caught.value.found and mend in (caught.value.mend or "")
    assert str(caught.value).count("\n") == 1  # one line, and its mend below
    data = read_data([path], kind, reject_invalid=True)
    assert [reject.where for reject in data.rejects] == [f"{path}:2"]
    assert data.rejects[0].found == caught.value.found and len(data.examples) == 2


def as_bytes(text: str) -> bytes:
    return (text + "\n").encode()


ONE = json.dumps({"instruction": "Işık nedir?", "response": "Bir dalga."}, ensure_ascii=False)
FILES: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "cp1254.jsonl": (lambda: as_bytes(ONE) + (ONE + "\n").encode("cp1254"), ":2", "no UTF-8"),
    "no-mark.jsonl": (lambda: ONE.encode("utf-16-le"), ":1", "UTF-16 without its mark"),
    "array.json": (lambda: as_bytes(f"[{ONE}]"), ":1", "no JSON object"),
    "spread.json": (lambda: as_bytes(json.dumps(GOOD, indent=1)), ":1", "no JSON"),
    "empty.jsonl": (bytes, "", "holds no example"),
    "blank.jsonl": (lambda: b"\n\n  \n", "", "holds no example"),
    "cut.jsonl.gz": (lambda: gzip.compress(as_bytes(ONE) * 99)[:60], "", "damaged or truncated"),
    "no.jsonl.zst": (lambda: as_bytes(ONE), "", "damaged or truncated"),
    "no.parquet": (lambda: as_bytes(ONE), "", "no readable parquet"),
    "other.jsonl": (lambda: as_bytes('{"metin": "a"}'), ":1", "no known format"),
    "pairs.jsonl": (lambda: as_bytes(json.dumps(PAIR)), ":1", "are preference pairs, not conv"),
    "two.jsonl": (lambda: as_bytes(json.dumps({**GOOD, **CHAT})), ":1", "has the fields of"),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("reject", [False, True])
def test_a_file_with_nothing_right_is_an_error_whatever_is_allowed(
    tmp_path: Path, name: str, reject: bool
) -> None:
    content, line, found = FILES[name]
    path = tmp_path / name
    path.write_bytes(content())
    if reject and name == "cp1254.jsonl":  # its first line is right
        assert len(read_data([path], Conversation, reject_invalid=True).rejects) == 1
        return
    with pytest.raises(InputError) as caught:
        read_data([path], Conversation, reject_invalid=reject)
    assert caught.value.where == f"{path}{line}" and found in caught.value.found


def test_byte_order_marks_are_taken_away(tmp_path: Path) -> None:
    for encoding in ("utf-8-sig", "utf-16"):
        path = tmp_path / f"{encoding}.jsonl"
        path.write_bytes((ONE + "\n").encode(encoding))
        (example,) = read_data([path], Conversation).examples
        assert example.question == "Işık nedir?"
