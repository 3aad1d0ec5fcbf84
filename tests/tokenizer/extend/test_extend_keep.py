"""A pruned vocabulary: what stays is as it was, what goes is cut anew, and no byte is lost."""

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from transformers import AutoTokenizer

from byte_level_base import ADDED, LlamaTokenizer, texts
from dilmac.core import ConfigError, InputError, bundled_prose, open_artifact
from dilmac.export.fuzz import fuzz_strings
from dilmac.tokenizer import ExtendConfig, Tokenizer, extend_tokenizer
from dilmac.tokenizer.canonical import token_bytes
from dilmac.tokenizer.extend.base import read_base
from dilmac.tokenizer.extend.prune import rows_to_keep

KEPT, NEW = 330, 40


class Pruned:
    """A pruned tokenizer beside what it was, and the ids of the one in the other."""

    def __init__(self, after: Path, before: Path):
        self.after, self.before = Tokenizer(after), Tokenizer(before)
        self.sources: list[list[int]] = json.loads((after / "rows.json").read_text("utf-8"))
        old = self.before.fast.get_vocab(with_added_tokens=True)
        new = self.after.fast.get_vocab(with_added_tokens=True)
        self.new_id = {old[name]: row for name, row in new.items()}


@pytest.fixture(scope="session")
def pair(pruned: Path, unpruned: Path) -> Pruned:
    return Pruned(pruned, unpruned)


def test_as_many_rows_stay_as_asked_for(pair: Pruned, pruned: Path) -> None:
    assert len(pair.after) == len(pair.new_id) == KEPT + NEW
    figures = open_artifact(pruned, "tokenizer").figures
    assert (figures["rows_kept"], figures["rows_added"]) == (KEPT, NEW)


def test_bytes_controls_and_new_rows_stay(pair: Pruned) -> None:
    rows = token_bytes(pair.after.fast)
    assert {bytes([value]) for value in range(256)} <= set(rows)
    assert [token.content for token in pair.after.fast.get_added_tokens_decoder().values()] == [
        *ADDED
    ]
    assert rows[KEPT:] == token_bytes(pair.before.fast)[-NEW:]


def test_every_row_says_what_it_was_in_the_base(pair: Pruned, base: Path) -> None:
    old = Tokenizer(base)
    names = read_base(base).names
    for row, source in enumerate(pair.sources):
        if row < KEPT:
            assert [pair.new_id[source[0]]] == [row] and len(source) == 1
        else:
            assert len(source) > 1
        name = str(pair.after.fast.id_to_token(row))
        assert name == "".join(names[part] for part in source)
    assert len(pair.sources) == len(pair.after) < len(old) + NEW


@settings(max_examples=400, deadline=None)
@given(text=texts)
def test_no_byte_is_lost_and_what_stays_is_as_it_was(pair: Pruned, text: str) -> None:
    before, after = pair.before.encode(text), pair.after.encode(text)
    whole = unicodedata.normalize("NFC", text)
    assert pair.after.decode(after, keep_control=True) == whole
    if set(before) <= pair.new_id.keys():
        assert after == [pair.new_id[row] for row in before]


def test_words_without_a_pruned_token_are_as_they_were(pair: Pruned, prose: list[str]) -> None:
    words = {word for line in prose for word in line.split(" ")}
    same = 0
    for word in sorted(words):
        before, after = pair.before.encode(word), pair.after.encode(word)
        if set(before) <= pair.new_id.keys():
            same += 1
            assert after == [pair.new_id[row] for row in before]
    assert 0.1 * len(words) < same < 0.9 * len(words)


def test_llamacpp_and_transformers_read_it_alike(
    pair: Pruned, pruned: Path, prose: list[str], tmp_path: Path
) -> None:
    llama, auto = LlamaTokenizer(pruned, tmp_path / "t.gguf"), AutoTokenizer.from_pretrained(pruned)
    strings = [line for line in prose if line][:300] + fuzz_strings(300, seed=6)
    for text in (unicodedata.normalize("NFC", string) for string in strings):
        ids = pair.after.encode(text)
        assert llama.encode(text) == ids, text
        assert auto(text, split_special_tokens=True).input_ids == ids
    template = "".join(ADDED) + " Merhaba<|im_end|>\n"
    assert llama.encode(template, parse_special=True) == auto(template).input_ids
    assert auto.convert_tokens_to_ids("<think>") == pair.after.fast.token_to_id("<think>")


def test_the_least_used_goes_first_and_its_use_falls_to_its_parts(base: Path) -> None:
    parts = read_base(base)
    ids = {name: row for row, name in enumerate(parts.names)}
    last = [ids[parts.names[a] + parts.names[b]] for a, b in parts.merges[-2:]]
    everything = len(parts.names)
    use = dict.fromkeys(range(everything), 10.0) | {last[0]: 1.0, last[1]: 2.0}
    assert set(range(everything)) - set(rows_to_keep(parts, [], use, everything - 1)) == {last[0]}
    assert set(range(everything)) - set(rows_to_keep(parts, [], use, everything - 2)) == set(last)
    assert rows_to_keep(parts, [], use, everything) == list(range(everything))


def test_a_row_that_others_are_made_of_stays(base: Path) -> None:
    parts = read_base(base)
    smallest = 256 + len(ADDED)
    assert len(rows_to_keep(parts, [], {}, smallest)) == smallest
    first = parts.merges[-1]
    needed = rows_to_keep(parts, [first], {}, smallest + 20)
    assert set(first) <= set(needed)
    with pytest.raises(ConfigError, match=f"give at least {smallest}:"):
        rows_to_keep(parts, [], {}, smallest - 1)


def test_a_base_that_adds_controls_by_their_ids_cannot_be_pruned(
    base: Path, tmp_path: Path, sample_corpus: Path
) -> None:
    spec = json.loads((base / "tokenizer.json").read_text(encoding="utf-8"))
    end = spec["added_tokens"][0]
    spec["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {
            end["content"]: {"id": end["content"], "ids": [end["id"]], "tokens": [end["content"]]}
        },
    }
    folder = tmp_path / "template"
    folder.mkdir()
    (folder / "tokenizer.json").write_text(json.dumps(spec), encoding="utf-8")
    settings = {"corpus": sample_corpus, "base": str(folder), "rows": 10, "out": tmp_path / "out"}
    with pytest.raises(InputError, match="cannot be pruned"):
        extend_tokenizer(ExtendConfig(keep=400, other_texts=(str(bundled_prose()[0]),), **settings))
    made = extend_tokenizer(ExtendConfig(**settings))
    assert len(Tokenizer(made.path)) == 616


def test_without_new_rows_a_vocabulary_is_only_restricted(
    base: Path, tmp_path: Path, sample_corpus: Path
) -> None:
    settings = {"corpus": sample_corpus, "base": str(base), "rows": 0, "out": tmp_path / "out"}
    with pytest.raises(ConfigError, match="neither adds rows nor leaves any out"):
        extend_tokenizer(ExtendConfig(**settings))
    texts = (str(bundled_prose()[0]),)
    made = extend_tokenizer(ExtendConfig(keep=400, other_texts=texts, **settings))
    assert (made.figures["rows_added"], made.figures["rows_kept"]) == (0, 400)
    small, whole = Tokenizer(made.path), Tokenizer(base)
    assert len(small) == 400
    text = bundled_prose()[0].read_text(encoding="utf-8")[:2000]
    assert small.decode(small.encode(text)) == text
    assert len(small.encode(text)) >= len(whole.encode(text))
