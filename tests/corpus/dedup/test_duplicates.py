"""Deduplication: the best of each cluster stays, and what goes resembles what stays."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpora import WORDS, write
from dilmac.core import read_lines
from dilmac.corpus import CorpusConfig, build_corpus
from dilmac.corpus.dedup import buckets
from dilmac.corpus.dedup.sketch import band_hashes, exact_hashes, min_hashes, similarity
from dilmac.corpus.words import word_table
from dilmac.turkish import fold, upper

STEPS = ("repair", "language", "deduplicate", "quality")


def prose(seed: int, num_words: int = 120) -> str:
    draw = random.Random(seed)
    words = [draw.choice(WORDS) for _ in range(num_words)]
    for place in range(7, num_words, 8):
        words[place] += f"{seed}."
    return "Bu yazı çok eski bir gün için değil ama " + " ".join(words)


def changed(text: str, share: float, seed: int) -> str:
    draw = random.Random(seed)
    words = text.split()
    for place in draw.sample(range(len(words)), int(share * len(words))):
        words[place] = draw.choice(WORDS) + "lar"
    return " ".join(words)


def build(tmp_path: Path, texts: list[str], name: str = "c", **settings: Any) -> dict[str, Any]:
    """Ids of the kept documents and, of each that went, reason and the one that stays."""
    path = write(
        tmp_path / "in.jsonl", [{"text": text, "id": str(n)} for n, text in enumerate(texts)]
    )
    config = CorpusConfig.model_validate(
        {"inputs": (str(path),), "out": tmp_path / name, "steps": STEPS, **settings}
    )
    corpus = build_corpus(config).path
    rejects = [json.loads(line.data or b"") for line in read_lines(corpus / "rejects.jsonl.zst")]
    clusters = [json.loads(line.data or b"") for line in read_lines(corpus / "clusters.jsonl.zst")]
    gone = {reject["id"]: (reject["reason"], reject.get("kept")) for reject in rejects}
    return {"gone": gone, "clusters": clusters}


def test_near_duplicates_go_and_others_stay(tmp_path: Path) -> None:
    texts = [prose(seed) for seed in range(30)]
    near = [changed(texts[seed], 0.03, seed) for seed in range(10)]
    found = build(tmp_path, texts + near)
    pairs = {frozenset((gone, kept)) for gone, (_, kept) in found["gone"].items()}
    assert pairs == {frozenset((str(seed), str(30 + seed))) for seed in range(10)}
    assert {reason for reason, _ in found["gone"].values()} == {"near_duplicate"}
    assert len(build(tmp_path, texts + near, "exact", near_duplicates=False)["gone"]) == 0


def test_the_best_stays_not_the_first(tmp_path: Path) -> None:
    good = prose(1)
    texts = [fold(good), upper(good), good + " ka?ıt", good + " Son.", fold(good) + " a b c"]
    found = build(tmp_path, texts)
    assert sorted(found["gone"]) == ["0", "1", "2", "4"]
    assert {kept for _, kept in found["gone"].values()} == {"3"}


def test_a_member_that_breaks_a_quality_rule_does_not_stay_for_a_good_one(tmp_path: Path) -> None:
    good = prose(2, 60)
    menu = "\n".join([good, *["Giriş yap"] * 40])  # longer, but full of repeated lines
    found = build(tmp_path, [menu, good], min_similarity=0.1)
    assert list(found["gone"]) == ["0"]
    assert found["gone"]["0"] == ("near_duplicate", "1")


def test_a_chain_of_small_changes_drops_nothing_unlike_what_stays(tmp_path: Path) -> None:
    chain = [prose(3)]
    for seed in range(14):
        chain.append(changed(chain[-1], 0.06, 100 + seed))
    gone = build(tmp_path, chain)["gone"]
    assert 3 < len(gone) < len(chain) - 1  # one cluster, but its ends have nothing in common
    for name, (_, kept) in gone.items():
        one, other = (word_table([chain[int(number)]]) for number in (name, kept))
        sketches = [min_hashes(table, 128).astype(np.uint8) for table in (one, other)]
        assert similarity(sketches[0][0], sketches[1])[0] >= 0.5


def test_clusters_name_who_stays_and_who_goes(tmp_path: Path) -> None:
    good = prose(4)
    found = build(tmp_path, [prose(5), good, good, upper(good), changed(good, 0.02, 1)])
    (cluster,) = found["clusters"]
    assert cluster["size"] == 4 and cluster["kept"]["id"] in {"1", "2"}
    reasons = sorted(other["reason"] for other in cluster["others"])
    assert reasons == ["duplicate", "duplicate", "near_duplicate"]
    assert all(other["beginning"] for other in cluster["others"])


def test_small_buckets_outside_memory_give_the_same_verdicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [prose(seed) for seed in range(40)]
    texts += [changed(texts[seed], 0.03, seed) for seed in range(20)] + texts[:7]
    whole = build(tmp_path, texts, "whole")
    monkeypatch.setattr(buckets, "BUCKET_ROWS", 9)
    monkeypatch.setattr("dilmac.corpus.dedup.duplicates.BUCKET_ROWS", 9)
    monkeypatch.setattr("dilmac.corpus.dedup.clusters.BUCKET_ROWS", 9)
    assert build(tmp_path, texts, "small") == whole


def test_similarity_estimates_the_share_of_common_runs() -> None:
    text = prose(6, 400)
    for share in (0.0, 0.02, 0.05, 0.1, 0.3):
        other = changed(text, share, 9)
        runs = [
            {tuple(words[n : n + 5]) for n in range(len(words) - 4)}
            for words in (text.lower().split(), other.lower().split())
        ]
        true = len(runs[0] & runs[1]) / len(runs[0] | runs[1])
        sketches = min_hashes(word_table([text, other]), 128)[:, :128].astype(np.uint8)
        assert similarity(sketches[0], sketches[1:])[0] == pytest.approx(true, abs=0.15)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text("abcçı .\n", max_size=40), min_size=1, max_size=6))
def test_sketches_do_not_depend_on_the_neighbors(texts: list[str]) -> None:
    together = word_table(texts)
    bands = band_hashes(min_hashes(together, 128), 20, 6)
    for place, text in enumerate(texts):
        alone = word_table([text])
        assert (exact_hashes(alone)[0] == exact_hashes(together)[place]).all()
        assert (band_hashes(min_hashes(alone, 128), 20, 6)[:, 0] == bands[:, place]).all()


def test_texts_without_words_are_told_by_their_signs(tmp_path: Path) -> None:
    found = build(tmp_path, ["!!!", "???", "😀", "→ ←", "!!!"], steps=("deduplicate",))
    assert list(found["gone"]) in (["0"], ["4"])


def test_nothing_stays_in_place_of_a_text_and_is_then_rejected_itself(tmp_path: Path) -> None:
    question = " ".join(f"soru{n}" for n in range(40))
    evaluation = write(tmp_path / "evaluation.jsonl", [{"text": question}])
    good = prose(8, 400)
    found = build(
        tmp_path,
        [f"{good} {question}", good],
        steps=("deduplicate", "decontaminate"),
        decontaminate=(str(evaluation),),
    )
    assert found["gone"] == {"0": ("near_duplicate", "1")}
    secret = good + " Arayın: 0532 123 45 67."
    steps = ("deduplicate", "personal")
    dropped = build(tmp_path, [secret, good], "d", steps=steps, personal_data="drop")
    assert dropped["gone"] == {"0": ("near_duplicate", "1")}


def test_copies_in_many_parts_all_point_to_the_one_that_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dilmac.corpus.run.divide.PART_CHARACTERS", 2000)
    texts = [text for seed in range(6) for text in (prose(seed), upper(prose(seed)), prose(seed))]
    texts += [changed(prose(seed), 0.02, seed) for seed in range(6)] + [fold(prose(0))] * 5
    found = build(tmp_path, texts)
    kept = {kept for _, kept in found["gone"].values()}
    assert len(kept) == 6 and not kept & set(found["gone"])
    assert len(found["gone"]) == len(texts) - 6
