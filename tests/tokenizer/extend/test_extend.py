"""An extended tokenizer is the base, read on: the same ids where it was, joined elsewhere."""

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from transformers import AutoTokenizer

from byte_level_base import ADDED, LlamaTokenizer, make_base, texts
from dilmac.core import ConfigError, InputError, bundled_prose, open_artifact
from dilmac.export.fuzz import fuzz_strings
from dilmac.tokenizer import ExtendConfig, Tokenizer, extend_tokenizer
from dilmac.tokenizer.canonical import token_bytes

PROSE = (str(bundled_prose()[0]),)
Pair = tuple[Tokenizer, Tokenizer]
Extend = Callable[..., Path]


@pytest.fixture
def extend(tmp_path: Path, base: Path, sample_corpus: Path) -> Extend:
    def make(name: str = "out", **changes: Any) -> Path:
        settings = {"corpus": sample_corpus, "base": str(base), "rows": 50, **changes}
        return extend_tokenizer(ExtendConfig(out=tmp_path / name, **settings)).path

    return make


def spec_of(folder: Path) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    return spec


def test_every_old_row_keeps_its_id_and_new_ones_come_after(base: Path, both: Pair) -> None:
    old, new = (each.fast.get_vocab(with_added_tokens=True) for each in both)
    assert old.items() <= new.items()
    added = sorted(new[name] for name in new.keys() - old.keys())
    assert added == list(range(len(old), len(old) + 300))
    assert both[1].control_tokens == both[0].control_tokens


def test_new_merges_come_after_the_old_ones(base: Path, extended: Path) -> None:
    old, new = spec_of(base), spec_of(extended)
    count = len(old["model"]["merges"])
    assert new["model"]["merges"][:count] == old["model"]["merges"]
    assert len(new["model"]["merges"]) == count + 300
    for part in ("normalizer", "pre_tokenizer", "decoder", "added_tokens"):
        assert new[part] == old[part]


@settings(max_examples=400, deadline=None)
@given(text=texts)
@example(text="x.da .da ..da 'da' .")
@example(text="ANKARA'DAN ankara'dan\0\u2581<|im_end|></think>")
def test_written_in_the_bases_ids_a_text_is_what_the_base_makes_of_it(
    both: Pair, sources: list[list[int]], text: str
) -> None:
    ids = both[1].encode(text)
    assert [old for row in ids for old in sources[row]] == both[0].encode(text)
    assert both[1].decode(ids, keep_control=True) == unicodedata.normalize("NFC", text)


def test_new_rows_are_turkish_words_and_no_bytes_stand_twice(both: Pair) -> None:
    rows = token_bytes(both[1].fast)
    known = [data for data in rows if data is not None]
    assert len(set(known)) == len(known)
    for data in rows[len(both[0]) :]:
        text = (data or b"\n").decode(errors="ignore")
        assert not any(character.isdigit() or character in "\r\n<|>" for character in text)


def test_prose_costs_less_and_the_figures_say_so(
    extended: Path, both: Pair, prose: list[str]
) -> None:
    counts = [sum(len(each.encode(line)) for line in prose) for each in both]
    assert counts[1] < 0.88 * counts[0]
    figures = open_artifact(extended, "tokenizer").figures
    assert figures["rows_added"] == 300 and figures["rows_kept"] == 606
    assert figures["vocab_size"] == len(both[1]) == 906
    assert figures["measured_on"] == "heldout"
    assert figures["saved_percent"] > 12
    saved = 100 * (1 - figures["tokens_per_word"] / figures["base_tokens_per_word"])
    assert figures["saved_percent"] == pytest.approx(saved, abs=0.01)


def test_auto_tokenizer_opens_it_with_its_markers(extended: Path, both: Pair) -> None:
    auto = AutoTokenizer.from_pretrained(extended)
    text = "Öğretmenlerimizden biri <|im_end|> 42'ye bastı."
    assert auto(text, split_special_tokens=True).input_ids == both[1].encode(text)
    assert (len(auto), auto.eos_token, auto.pad_token) == (906, "<|im_end|>", "<|endoftext|>")
    shown = auto.apply_chat_template([{"role": "user", "content": "Selam"}], tokenize=False)
    assert shown.startswith("<|im_start|>user\nSelam<|im_end|>")


def test_a_template_of_the_base_is_kept(base: Path, tmp_path: Path, extend: Extend) -> None:
    folder = make_base(tmp_path / "base", 400)
    (folder / "chat_template.jinja").write_text("{{ messages[0]['content'] }}", encoding="utf-8")
    made = extend(base=str(folder))
    assert (made / "chat_template.jinja").read_text(encoding="utf-8").startswith("{{ messages[0]")


def test_llamacpp_reads_it_alike(
    extended: Path, both: Pair, prose: list[str], tmp_path: Path
) -> None:
    llama = LlamaTokenizer(extended, tmp_path / "tokenizer.gguf")
    strings = [line for line in prose if line][:400] + fuzz_strings(400, seed=5)
    for text in (unicodedata.normalize("NFC", string) for string in strings):
        assert llama.encode(text) == both[1].encode(text), text
    auto = AutoTokenizer.from_pretrained(extended)
    template = "".join(ADDED) + " Merhaba<|im_end|>\n"
    assert llama.encode(template, parse_special=True) == auto(template).input_ids


def test_fewer_rows_are_the_first_of_more(extend: Extend, extended: Path) -> None:
    merges = spec_of(extend())["model"]["merges"]
    assert spec_of(extended)["model"]["merges"][: len(merges)] == merges


def test_the_same_again_gives_the_same_bytes(extend: Extend) -> None:
    digests = {
        open_artifact(extend(name, balance=0.5, max_text_bytes=100_000)).manifest.digest
        for name in ("first", "second")
    }
    assert len(digests) == 1


def test_other_texts_are_measured(extend: Extend, tmp_path: Path) -> None:
    text = tmp_path / "english.txt"
    text.write_text("The quick brown fox jumps over the lazy dog.\n", encoding="utf-8")
    figures = open_artifact(extend(other_texts=(str(text),))).figures
    assert figures["other_texts_change_percent"].keys() == {"english.txt"}


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"rows": 1_000_000}, r"1,000,000 rows are more than the text .*\n.*give at most [\d,]+"),
        ({"keep": 260}, "the rows of English and code would go"),
        ({"keep": 9999, "other_texts": PROSE}, "more than the base's"),
        ({"keep": 260, "other_texts": PROSE}, r"260 old rows are too few\n.*give at least 3\d\d"),
    ],
    ids=["rows", "keep alone", "keep too many", "keep too few"],
)
def test_what_does_not_fit_is_refused_with_what_does(
    extend: Extend, tmp_path: Path, changes: dict[str, Any], fault: str
) -> None:
    with pytest.raises(ConfigError, match=fault):
        extend(**changes)
    assert not (tmp_path / "out").exists()


def test_what_is_no_base_is_refused(
    extend: Extend, sample_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="no byte-level BPE"):
        extend(base=str(sample_tokenizer))
    with pytest.raises(InputError, match=r"no tokenizer\.json in it"):
        extend(base=str(tmp_path))
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="no readable tokenizer"):
        extend(base=str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name in ("nobody/no-such-tokenizer", "no such name"):
        with pytest.raises(InputError, match="cannot be reached"):
            extend(base=name)


def test_settings_out_of_range_are_refused() -> None:
    needed = {"corpus": "corpus", "base": "base", "out": "out"}
    for key, value in (("rows", -1), ("keep", 0), ("balance", 1.5), ("balance", -0.1)):
        with pytest.raises(ConfigError, match=key):
            ExtendConfig.from_mapping(needed | {key: value}, where="recipe")


def test_a_corpus_without_words_is_refused(tmp_path: Path, extend: Extend) -> None:
    from dilmac.corpus import CorpusConfig, build_corpus

    text = tmp_path / "numbers.txt"
    text.write_text("1 2 3 4\n\n5 6 7 8\n", encoding="utf-8")
    config = CorpusConfig(
        inputs=(str(text),), steps=("repair",), holdout_percent=0, out=tmp_path / "corpus"
    )
    with pytest.raises(InputError, match="no word in it"):
        extend(corpus=build_corpus(config).path)
