"""Curves of runs: what was recorded is drawn, what was not is left out, nothing is executed."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plotly.offline import get_plotlyjs

from dilmac.core import InputError
from dilmac.explore import write_curves
from dilmac.explore.curves import MOST_POINTS, read_runs, smoothed, thinned

HEADING = re.compile(r"<h2>(.*?)</h2>")


def record(folder: Path, num_steps: int = 60, step_tokens: int = 1000) -> Path:
    """Events of a run as the loop writes them."""
    events: list[dict[str, Any]] = []
    for step in range(1, num_steps + 1):
        loss = 2 + 4 * step**-0.5
        events.append(
            {
                "event": "step",
                "step": step,
                "tokens": step * step_tokens,
                "loss": loss,
                "bits_per_byte": loss / 3,
                "grad_norm": 0.5 + 1 / step,
                "rate": 1e-3,
                "tokens_per_second": 5000 + step,
                "mfu": 0.4,
                "memory_bytes": 3 << 30,
            }
        )
    by_source = {"haber": 1.5, "</script><b>kötü</b>": 1.75}
    events[40:40] = [
        {"event": "heldout", "step": 40, "bits_per_byte": 1.6, "by_source": by_source},
        {"event": "skipped", "step": 41, "reason": "loss 9 is above 5", "grad_norm": 7.0},
        {"event": "skipped", "step": 42, "reason": "not finite", "grad_norm": math.nan},
        {"event": "warning", "step": 43, "text": "the loss has been <i>rising</i>"},
        {
            "event": "sample",
            "step": 44,
            "prompt": "Bir gün",
            "text": "Bir gün <script>çay</script>",
        },
    ]
    folder.mkdir(parents=True)
    file = folder / "events.jsonl"
    file.write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
    return file


def figures_of(page: str) -> list[list[dict[str, Any]]]:
    """The traces of every figure of a page, in order."""
    decoder = json.JSONDecoder()
    starts = [match.end() for match in re.finditer(r'Plotly\.newPlot\(\s*"[^"]+",\s*', page)]
    return [decoder.raw_decode(page, start)[0] for start in starts]


def test_all_that_was_recorded_is_drawn(tmp_path: Path) -> None:
    write_curves(record(tmp_path / "base"), tmp_path / "curves.html")
    page = (tmp_path / "curves.html").read_text(encoding="utf-8")
    headings = HEADING.findall(page)
    assert headings == [
        "Bits per byte",
        "Held-out bits per byte by source",
        "Loss",
        "Learning rate",
        "Gradient norm",
        "Speed",
        "Model FLOPs utilization",
        "Memory",
        "Skipped steps and warnings",
        "Samples",
    ]
    figures = dict(zip(headings, figures_of(page), strict=False))
    raw, smooth, held_out = figures["Bits per byte"]
    assert len(raw["x"]) == len(smooth["x"]) == 60 and "held out" in held_out["name"]
    assert figures["Held-out bits per byte by source"][0]["name"] == "haber"
    skipped = figures["Gradient norm"][-1]
    assert skipped["x"] == [41, 42] and skipped["mode"] == "markers"
    assert skipped["y"] == [7.0, 7.0] and skipped["text"][1] == "not finite"
    assert figures["Model FLOPs utilization"][0]["y"][0] == pytest.approx(40)
    assert figures["Memory"][0]["y"][0] == pytest.approx(3)


def test_nothing_from_outside_is_executed_or_fetched(tmp_path: Path) -> None:
    write_curves(record(tmp_path / "<b>base"), tmp_path / "curves.html")
    page = (tmp_path / "curves.html").read_text(encoding="utf-8")
    for text in ("<i>rising", "<script>çay", "</script><b>", "<b>base"):
        assert text not in page
    assert "&lt;script&gt;çay" in page and "&lt;i&gt;rising" in page
    own = page.replace(get_plotlyjs(), "")
    assert len(own) < len(page) / 10  # plotly itself is in the page
    assert not re.search(r"<script[^>]+src=|<link|https?://", own)


def test_a_file_of_an_older_version_shows_what_it_has(tmp_path: Path, tiny_model: Path) -> None:
    old = tmp_path / "old.jsonl"
    steps = [{"event": "step", "step": n, "loss": 3.0, "bits_per_byte": 1.0} for n in (1, 2)]
    heldout = {"event": "heldout", "step": 2, "bits_per_byte": None}
    lines = [json.dumps(event) for event in (*steps, heldout, {"step": 3}, [1])]
    old.write_text("\n".join([*lines, '{"event": "st']), encoding="utf-8")  # cut off by a crash
    write_curves(old, tmp_path / "curves.html")
    assert HEADING.findall((tmp_path / "curves.html").read_text()) == ["Bits per byte", "Loss"]
    write_curves(tiny_model, tmp_path / "curves.html")
    assert {"Loss", "Learning rate", "Gradient norm"} <= set(
        HEADING.findall((tmp_path / "curves.html").read_text())
    )


def test_several_runs_lie_over_each_other_by_tokens(tmp_path: Path) -> None:
    paths = [record(tmp_path / "adamw"), record(tmp_path / "muon", 30, 2000)]
    write_curves(paths, tmp_path / "curves.html")
    page = (tmp_path / "curves.html").read_text(encoding="utf-8")
    figures = dict(zip(HEADING.findall(page), figures_of(page), strict=False))
    lines = [trace for trace in figures["Loss"] if trace.get("name")]
    assert [trace["name"] for trace in lines] == ["adamw", "muon"]
    assert [trace["x"][-1] for trace in lines] == [60_000, 60_000]
    assert lines[0]["line"]["color"] != lines[1]["line"]["color"]
    skipped = [trace for trace in figures["Gradient norm"] if trace["mode"] == "markers"]
    assert skipped[0]["x"] == [41_000, 42_000]
    assert len(figures["Held-out bits per byte by source"]) == 4


def test_a_run_is_found_by_its_folder_while_it_goes_on(tmp_path: Path) -> None:
    record(tmp_path / ".base.partial")
    assert read_runs([tmp_path / "base"])[0].name == "base"
    record(tmp_path / "other")
    twice = [tmp_path / "other", tmp_path / "other" / "events.jsonl"]
    assert [run.name for run in read_runs(twice)] == ["other", "other #2"]


def test_what_holds_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no events of a run"):
        write_curves(tmp_path / "nowhere", tmp_path / "curves.html")
    empty = tmp_path / "events.jsonl"
    empty.write_text('{"event": "heldout", "step": 0}\n', encoding="utf-8")
    with pytest.raises(InputError, match="records no step"):
        write_curves(empty, tmp_path / "curves.html")
    empty.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="no events of a run"):
        write_curves(empty, tmp_path / "curves.html")
    assert not (tmp_path / "curves.html").exists()


def test_a_run_whose_only_step_was_skipped_is_drawn(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    skipped = {"event": "skipped", "step": 1, "reason": "fp16 overflow", "grad_norm": math.inf}
    events.write_text(json.dumps(skipped) + "\n", encoding="utf-8")
    write_curves(events, tmp_path / "curves.html")
    assert "fp16 overflow" in (tmp_path / "curves.html").read_text(encoding="utf-8")


@given(st.lists(st.floats(-1e6, 1e6), max_size=400), st.sampled_from([10, 64]))
def test_thinning_keeps_order_and_extremes(ys: list[float], most: int) -> None:
    xs = [float(place) for place in range(len(ys))]
    thin_xs, thin_ys = thinned(xs, ys, most)
    assert len(thin_ys) == len(thin_xs) <= max(most, 0)
    assert thin_xs == sorted(thin_xs)
    assert all(ys[int(x)] == y for x, y in zip(thin_xs, thin_ys, strict=True))
    if ys:
        assert (min(thin_ys), max(thin_ys)) == (min(ys), max(ys))


def test_a_long_run_makes_a_page_of_bearable_size(tmp_path: Path) -> None:
    write_curves(record(tmp_path / "long", 20_000), tmp_path / "curves.html")
    page = (tmp_path / "curves.html").read_text(encoding="utf-8")
    assert all(len(trace["x"]) <= MOST_POINTS for figure in figures_of(page) for trace in figure)


def test_smoothing_takes_the_window_it_is_given() -> None:
    assert smoothed([4.0, 2.0, 0.0], window=2) == [4.0, 3.0, 1.0]
