"""Between a tokenizer and its extension ids are mapped by a table, and equal those of the text."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from adapter_parts import saved, texts, with_merges
from hypothesis import example, given, settings

from dilmac.tokenizer import Tokenizer, TokenizerAdapter

Maker = Callable[..., Tokenizer]


@pytest.fixture(scope="module")
def both(byte_level: Path, extended: Path) -> tuple[Tokenizer, Tokenizer]:
    return Tokenizer(byte_level), Tokenizer(extended)


@pytest.fixture(scope="module")
def adapter(both: tuple[Tokenizer, Tokenizer]) -> TokenizerAdapter:
    return TokenizerAdapter(*both)


def require_equal_ids(
    adapter: TokenizerAdapter, base: Tokenizer, extended: Tokenizer, text: str
) -> None:
    base_ids, new_ids = base.encode(text), extended.encode(text)
    assert adapter.adapt_tokens(base_ids) == new_ids
    assert adapter.adapt_tokens(new_ids, reverse=True) == base_ids


@settings(max_examples=500, deadline=None)
@given(text=texts)
@example(text="x.da .da ..da 'da' .")
@example(text="ANKARA'DAN ankara'dan")
def test_the_table_gives_the_ids_of_the_text(
    adapter: TokenizerAdapter, both: tuple[Tokenizer, Tokenizer], text: str
) -> None:
    require_equal_ids(adapter, *both, text)


@pytest.mark.slow
@settings(max_examples=5000, deadline=None)
@given(text=texts)
def test_the_table_gives_the_ids_of_many_texts(
    adapter: TokenizerAdapter, both: tuple[Tokenizer, Tokenizer], text: str
) -> None:
    require_equal_ids(adapter, *both, text)


def test_the_table_gives_the_ids_of_prose(
    adapter: TokenizerAdapter, both: tuple[Tokenizer, Tokenizer], prose: list[str]
) -> None:
    assert adapter.by_table
    base, extended = both
    counts = [sum(len(each.encode(line)) for line in prose) for each in (base, extended)]
    assert counts[1] < 0.9 * counts[0]  # the new rows are used
    for line in prose:
        require_equal_ids(adapter, base, extended, line)


@pytest.mark.parametrize("swap", [False, True])
def test_the_table_is_found_from_both_sides(
    both: tuple[Tokenizer, Tokenizer], adapter: TokenizerAdapter, swap: bool
) -> None:
    turned = TokenizerAdapter(both[1], both[0])
    ids = both[swap].encode("Öğretmenlerimizden biri sınıfa girdi.")
    assert turned.by_table
    assert turned.adapt_tokens(ids, reverse=not swap) == adapter.adapt_tokens(ids, reverse=swap)


def test_control_tokens_and_cut_characters_pass_through_the_table(
    adapter: TokenizerAdapter, both: tuple[Tokenizer, Tokenizer]
) -> None:
    base, extended = both
    text = "Öğretmenlerimizden"
    start, think = base.control_id("<|im_start|>"), base.control_id("<think>")
    half = base.encode("😀")[:2]
    ids = [start, *base.encode(text), think, *base.encode(text), *half]
    expected = [start, *extended.encode(text), think, *extended.encode(text), *half]
    assert adapter.adapt_tokens(ids) == expected
    assert adapter.adapt_tokens(expected, reverse=True) == ids


def test_no_text_is_encoded_where_there_is_a_table(
    both: tuple[Tokenizer, Tokenizer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids that the base itself would never give keep their borders: nothing is encoded anew."""
    base, extended = both
    adapter = TokenizerAdapter(base, extended)
    letters = [row for letter in "girdi" for row in base.encode(letter)]
    assert letters != base.encode("girdi")
    monkeypatch.setattr(Tokenizer, "encode", lambda *_: pytest.fail("encoded"))
    there = adapter.adapt_tokens(letters)
    assert adapter.adapt_tokens(there, reverse=True) == letters


@pytest.fixture
def changed(byte_level: Path, tmp_path: Path) -> Maker:
    """The byte-level tokenizer with merges more."""
    spec = json.loads((byte_level / "tokenizer.json").read_text(encoding="utf-8"))

    def make(*merges: tuple[str, str]) -> Tokenizer:
        return Tokenizer(saved(with_merges(spec, list(merges)), tmp_path / "changed"))

    return make


def test_a_row_with_two_ways_back_is_adapted_by_its_text(byte_level: Path, changed: Maker) -> None:
    base, made = Tokenizer(byte_level), changed(("q", "x"), ("x", "w"), ("qx", "w"), ("q", "xw"))
    adapter = TokenizerAdapter(base, made)
    assert not adapter.by_table
    for text in ("qxw", "q x xw", "qxwqxw"):
        require_equal_ids(adapter, base, made, text)


def test_a_merge_that_makes_an_old_row_is_adapted_by_its_text(
    byte_level: Path, changed: Maker
) -> None:
    base = Tokenizer(byte_level)
    name = max((n for n in base.fast.get_vocab() if n.isascii() and n.isalpha()), key=len)
    letters = [(name[:place], name[place]) for place in range(1, len(name))]
    adapter = TokenizerAdapter(base, changed(("q", "x"), *letters))
    assert not adapter.by_table
    ids = adapter.encode(f"{name} qx {name}a")
    assert adapter.adapt_tokens(ids, reverse=True) == adapter.encode(f"{name} qx {name}a", "source")


def test_another_order_of_merges_is_no_extension(byte_level: Path, changed: Maker) -> None:
    spec = json.loads((byte_level / "tokenizer.json").read_text(encoding="utf-8"))
    spec["model"]["merges"] = spec["model"]["merges"][::-1]
    other = saved(with_merges(spec, [("q", "x")]), byte_level.parent / "other_order")
    assert not TokenizerAdapter(byte_level, other).by_table
    assert TokenizerAdapter(byte_level, changed(("q", "x")).folder).by_table


@pytest.mark.slow
def test_qwen3_extended(shared: Path, tmp_path: Path, prose: list[str]) -> None:
    """Qwen3 with merges of the sample's words behind its own."""
    base = Tokenizer(shared / "tokenizers" / "qwen3")
    spec = json.loads((base.folder / "tokenizer.json").read_text(encoding="utf-8"))
    merges: dict[str, tuple[str, str]] = {}
    for line in prose:
        for word, _ in base.fast.pre_tokenizer.pre_tokenize_str(line):
            pieces = [token.value for token in base.fast.model.tokenize(word)]
            for pair in pairwise(pieces):
                if "".join(pair) not in spec["model"]["vocab"]:
                    merges.setdefault("".join(pair), pair)
    extended = Tokenizer(saved(with_merges(spec, [*merges.values()]), tmp_path / "extended"))
    adapter = TokenizerAdapter(base, extended)
    assert adapter.by_table and len(extended) - len(base) == len(merges) > 1000
    for line in prose:
        require_equal_ids(adapter, base, extended, line)

    @settings(max_examples=1000, deadline=None)
    @given(text=texts)
    def on_any_text(text: str) -> None:
        require_equal_ids(adapter, base, extended, text)

    on_any_text()
