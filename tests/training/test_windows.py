"""Windows: every one once an epoch, in an order that the step number names."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dilmac.core import InputError, read_texts
from dilmac.tokenizer import Tokenizer
from dilmac.training.windows import TokenFile, Windows, tokenize


def token_file(folder: Path, count: int) -> TokenFile:
    path = folder / "train.bin"
    np.arange(count, dtype=np.uint16).tofile(path)
    return TokenFile(path, "uint16", count, count * 4)


@settings(max_examples=25, deadline=None)
@given(count=st.integers(30, 400), context=st.integers(2, 20), batch=st.integers(1, 7))
def test_an_epoch_reads_every_window_once(
    tmp_path_factory: pytest.TempPathFactory, count: int, context: int, batch: int
) -> None:
    windows = Windows(token_file(tmp_path_factory.mktemp("w"), count), context, seed=1)
    rows = [row for step in range(windows.num_windows) for row in windows.batch(step, batch)]
    for epoch in range(batch):
        part = rows[epoch * windows.num_windows : (epoch + 1) * windows.num_windows]
        starts = sorted(int(row[0]) for row in part)
        assert starts == [n * context for n in range(windows.num_windows)]
        assert all((np.diff(row) == 1).all() for row in part)


def test_order_follows_seed_and_epoch(tmp_path: Path) -> None:
    tokens = token_file(tmp_path, 1000)
    first, again, other = (Windows(tokens, 10, seed) for seed in (1, 1, 2))
    assert (first.batch(3, 4) == again.batch(3, 4)).all()
    assert (first.batch(3, 4) != other.batch(3, 4)).any()
    epoch = first.num_windows // 3
    assert (first.batch(0, 3) != first.batch(epoch, 3)).any()


def test_text_smaller_than_a_window_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="do not fill one window"):
        Windows(token_file(tmp_path, 10), 10, seed=1)


def test_tokens_on_disk_are_the_corpus(
    sample_corpus: Path, sample_tokenizer: Path, tmp_path: Path
) -> None:
    tokenizer = Tokenizer(sample_tokenizer)
    tokens = tokenize(sample_corpus, tokenizer, tmp_path / "tokens")
    end = tokenizer.document_start_id
    expected = [
        row for text in read_texts(sample_corpus, "train") for row in [*tokenizer.encode(text), end]
    ]
    assert tokens.ids().tolist() == expected
    assert tokens.dtype == "uint16"
    again = tokenize(sample_corpus, tokenizer, tmp_path / "tokens")
    assert again == tokens
