"""The methods by their formulae."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dilmac.core import ConfigError, read_texts
from dilmac.models import load_model
from dilmac.tokenizer import Tokenizer, open_side
from dilmac.transplant import METHODS, Mixture, Role, Rows, Wanted, method_named, mixed, register
from dilmac.transplant.decompose import cuts_in_text
from dilmac.transplant.methods.focus import sparsemax
from dilmac.transplant.methods.omp import pursue
from dilmac.transplant.plan import make_plan
from dilmac.transplant.tables import new_rows
from dilmac.transplant.vectors import token_vectors

WIDTH = 24


@pytest.fixture(scope="module")
def wanted(byte_level: Path, sample_tokenizer: Path, sample_corpus: Path) -> Wanted:
    source, target = open_side(byte_level), open_side(sample_tokenizer)
    return Wanted(
        plan=make_plan(source, target, len(target.rows) + 3),
        source=Tokenizer(byte_level),
        target=Tokenizer(sample_tokenizer),
        texts=lambda: read_texts(sample_corpus, "train"),
    )


@pytest.fixture(scope="module")
def table(wanted: Wanted) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(len(wanted.plan.source_bytes), WIDTH, generator=generator).bfloat16()


def rows_by(name: str, wanted: Wanted, table: torch.Tensor, role: Role) -> torch.Tensor:
    made = method_named(name).make(wanted, role)
    return made(table, 0, len(wanted.rows))


@pytest.mark.parametrize("role", ["input", "output", "tied"])
def test_composition(wanted: Wanted, table: torch.Tensor, role: Role) -> None:
    """Against loops: mean, first part, byte lengths."""
    old = table.float()
    speaks = role != "input"
    for place, row in enumerate(wanted.rows[:200]):
        parts = wanted.plan.parts[row]
        sizes = torch.tensor([float(len(wanted.plan.source_bytes[p] or b"")) for p in parts])
        mean = old[parts].mean(0)
        expected = {
            "mean": mean,
            "first": old[parts[0]] if speaks else mean,
            "length_weighted": (sizes @ old[parts]) / sizes.sum() if speaks else mean,
        }
        for name, value in expected.items():
            made = method_named(name).make(wanted, role)
            torch.testing.assert_close(made(table, place, place + 1)[0], value)


def test_cuts_of_text_weigh_a_tokens_parts(
    wanted: Wanted, table: torch.Tensor, byte_level: Path, sample_tokenizer: Path
) -> None:
    """Found by looking at every token of a text whether both tokenizers cut before and after it."""
    assert wanted.texts
    text = "\n".join(list(wanted.texts())[:3])[:1200]
    source, target = open_side(byte_level), open_side(sample_tokenizer)
    cuts = cuts_in_text(wanted.rows, source, target, [text])
    new, old = wanted.target.encode(text), wanted.source.encode(text)
    expected: dict[int, Counter[tuple[int, ...]]] = {}
    for place, row in enumerate(new):
        before = b"".join(target.rows[part] or b"" for part in new[:place])
        inside = target.rows[row] or b""
        for first in range(len(old)):
            if b"".join(source.rows[part] or b"" for part in old[:first]) == before:
                for last in range(first + 1, first + 1 + len(inside)):
                    if b"".join(source.rows[part] or b"" for part in old[first:last]) == inside:
                        expected.setdefault(row, Counter())[tuple(old[first:last])] += 1
                break
    assert cuts == {row: counts for row, counts in expected.items() if row in set(wanted.rows)}
    assert cuts
    asked = Wanted(wanted.plan, wanted.source, wanted.target, cuts=cuts)
    rows = rows_by("mean", asked, table, "input")
    row, counts = max(cuts.items(), key=lambda item: (len(item[1]), item[1].total()))
    value = sum(
        count / counts.total() * table[list(cut)].float().mean(0) for cut, count in counts.items()
    )
    torch.testing.assert_close(rows[wanted.rows.index(row)], value)


@pytest.mark.parametrize("name", ["random", "mean", "focus"])
def test_rows_do_not_depend_on_how_they_are_asked_for(
    wanted: Wanted, table: torch.Tensor, name: str
) -> None:
    made = method_named(name).make(wanted, "input")
    whole = made(table, 0, len(wanted.rows))
    parts = [made(table, start, start + 50) for start in range(0, len(wanted.rows), 50)]
    torch.testing.assert_close(torch.cat(parts), whole)
    again = method_named(name).make(wanted, "input")(table, 0, len(wanted.rows))
    assert torch.equal(again, whole)


def test_random_rows_have_the_old_rows_distribution(wanted: Wanted, table: torch.Tensor) -> None:
    shifted = table * 3 + 5
    rows = rows_by("random", wanted, shifted, "input")
    torch.testing.assert_close(rows.mean(0), shifted.float().mean(0), rtol=0, atol=0.8)
    torch.testing.assert_close(rows.std(0), shifted.float().std(0), rtol=0.3, atol=0)
    assert not torch.equal(rows, rows_by("random", wanted, shifted, "output"))


@settings(deadline=None)
@given(st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=12))
def test_sparsemax_is_the_nearest_point_of_the_simplex(values: list[float]) -> None:
    scores = torch.tensor([values], dtype=torch.float64)
    shares = sparsemax(scores)[0]
    assert float(shares.sum()) == pytest.approx(1, abs=1e-6)
    assert (shares >= 0).all()
    # The nearest point p: (scores - p) · (q - p) <= 0 for every corner q.
    corners = torch.eye(len(values), dtype=torch.float64)
    assert ((corners - shares) @ (scores[0] - shares) <= 1e-6).all()


def test_tokens_in_the_same_company_have_like_vectors(sample_tokenizer: Path) -> None:
    tokenizer = Tokenizer(sample_tokenizer)
    first, second, other = (tokenizer.encode(word)[0] for word in (" bir", " bu", " ve"))
    text = tokenizer.decode([row for word in range(400) for row in (5, 6 + word % 40)])
    frames = [f"{text[: 3 + place % 50]} bir ev" for place in range(300)]
    frames += [f"{text[: 3 + place % 50]} bu ev" for place in range(300)]
    frames += [f" ve {text[:20]}" for place in range(300)]
    vectors, counts = token_vectors(tokenizer, frames, 1024, max_tokens=10**6, seed=1)
    assert counts[first] >= 300 and counts[second] >= 300
    assert vectors[first] @ vectors[second] > vectors[first] @ vectors[other]
    norms = vectors.norm(dim=1)
    assert torch.all((norms < 1e-3) | ((norms - 1).abs() < 1e-3))
    short = token_vectors(tokenizer, frames, 1024, max_tokens=100, seed=1)[1]
    assert short.sum() == 100


def test_focus_mixes_shared_tokens_only(wanted: Wanted, table: torch.Tensor) -> None:
    made = method_named("focus").make(wanted, "output")
    assert isinstance(made, Mixture)
    shared = set(wanted.plan.shared().values())
    assert wanted.notes["rows_with_vectors"]
    mixtures = 0
    for place, parts in enumerate(made.parts):
        assert sum(made.weights[place]) == pytest.approx(1, abs=1e-4)
        if list(parts) != wanted.parts[place]:
            mixtures += 1
            assert set(parts) <= shared
    assert mixtures > 100
    with pytest.raises(ConfigError, match="--corpus"):
        method_named("focus").make(Wanted(wanted.plan, wanted.source, wanted.target), "input")


def test_pursuit_finds_what_a_goal_is_made_of() -> None:
    generator = torch.Generator().manual_seed(0)
    atoms = torch.randn(60, 40, generator=generator)
    picks = torch.stack([torch.randperm(60, generator=generator)[:3] for _ in range(20)])
    shares = torch.randn(20, 3, generator=generator) + 3
    goals = torch.einsum("gs,gsw->gw", shares, atoms[picks])
    chosen, found = pursue(goals, atoms, 12)
    torch.testing.assert_close(
        torch.einsum("gs,gsw->gw", found, atoms[chosen]), goals, rtol=0, atol=1e-2
    )
    assert all(len(set(row)) == 12 for row in chosen.tolist())
    # Each step is the greedy one: the first is the largest product.
    assert torch.equal(chosen[:, 0], (goals @ atoms.T).abs().argmax(1))


def test_omp_rebuilds_rows_in_the_donors_space(
    wanted: Wanted, table: torch.Tensor, tiny_model: Path
) -> None:
    asked = Wanted(wanted.plan, wanted.source, wanted.target, donor=tiny_model)
    rows = rows_by("omp", asked, table, "tied")
    assert rows.shape == (len(wanted.rows), WIDTH)
    # The same coefficients rebuild the donor's own rows.
    made = method_named("omp").make(asked, "tied")
    assert isinstance(made, Mixture)
    theirs = load_model(tiny_model).get_input_embeddings().weight.detach()
    old_of = {old: row for row, old in wanted.plan.shared().items()}
    place = len(wanted.rows) - 1
    rebuilt = sum(
        share * theirs[old_of[old]]
        for old, share in zip(made.parts[place], made.weights[place], strict=True)
    )
    torch.testing.assert_close(rebuilt, theirs[wanted.rows[place]], rtol=0, atol=5e-3)
    with pytest.raises(ConfigError, match="--donor"):
        method_named("omp").make(wanted, "input")


def test_a_mixture_of_many_parts_is_made_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    table = torch.randn(50, 4, generator=generator)
    parts = [torch.randint(0, 50, (size,), generator=generator).tolist() for size in range(1, 20)]
    made = Mixture(parts, [[1.0] * len(row) for row in parts])
    whole = made(table, 0, 19)
    expected = torch.stack([table[row].sum(0) for row in parts])
    torch.testing.assert_close(whole, expected)
    monkeypatch.setattr("dilmac.transplant.mixture.MAX_PARTS", 7)
    assert [*made._slices(0, 4)] == [(0, 3), (3, 4)]
    torch.testing.assert_close(made(table, 2, 19), expected[2:])
    assert made(table, 5, 5).shape == (0, 4)


def test_new_tables_copy_bit_for_bit_and_keep_silent(wanted: Wanted, table: torch.Tensor) -> None:
    plan = wanted.plan
    for role in ("input", "output", "tied"):
        made = method_named("mean").make(wanted, role)
        rows = torch.cat(list(new_rows(plan, made, table, role)))
        assert rows.shape == (plan.num_rows, WIDTH) and rows.dtype == table.dtype
        for row, old in plan.shared().items():
            if plan.spoken[row] or role == "input":
                assert torch.equal(rows[row], table[old])
        silent = [row for row in range(plan.num_rows) if not plan.spoken[row]]
        if role == "output":
            assert silent and not rows[silent].any()
        assert not rows[-3:].any()
    assert bool(torch.cat(list(new_rows(plan, made, table, "tied")))[wanted.rows[-1]].any())


def test_rows_that_stay_in_a_run_are_handed_on_as_they_lie(
    byte_level: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    side = open_side(byte_level)
    plan = make_plan(side, side, len(side.rows) + 3)
    table = torch.randn(len(side.rows), WIDTH).to(torch.bfloat16)

    def nothing(table: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        raise AssertionError("no row is made")

    whole = torch.cat(list(new_rows(plan, nothing, table, "input")))
    monkeypatch.setattr("dilmac.transplant.tables.CHUNK_ROWS", 16)
    chunks = list(new_rows(plan, nothing, table, "input"))
    assert torch.equal(torch.cat(chunks), whole) and torch.equal(whole[:-3], table)
    assert chunks[3].data_ptr() == table[48:].data_ptr()


def test_a_method_of_ones_own(wanted: Wanted, table: torch.Tensor) -> None:
    @register("last", source="this test")
    def last(wanted: Wanted, role: Role) -> Rows:
        return mixed([parts[-1:] for parts in wanted.parts], [[1.0] for _ in wanted.parts])

    try:
        rows = rows_by("last", wanted, table, "input")
        assert torch.equal(rows[0], table[wanted.parts[0][-1]].float())
        with pytest.raises(ConfigError, match="already"):
            register("last", source="again")(method_named("mean").make)
    finally:
        del METHODS["last"]
    with pytest.raises(ConfigError, match="length_weighted"):
        method_named("last")
