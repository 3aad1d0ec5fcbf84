"""The table on the terminal and the page: whole, escaped, self-contained."""

import json
import re
from pathlib import Path

import pytest

from dilmac.cli import main
from dilmac.core import bundled_prose
from dilmac.tokenizer import CompareConfig, Tokenizer, compare_tokenizers
from dilmac.tokenizer.measure.table import short_names

HOSTILE = "<script>alert('x')</script> <|im_end|> 漢"


@pytest.fixture(scope="module")
def page(sample_tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "page.html"
    config = CompareConfig(
        inputs=tuple(map(str, bundled_prose()[:3])),
        tokenizer=(str(sample_tokenizer), str(sample_tokenizer / "tokenizer.model")),
        requests_per_month=1000,
        price_per_million_tokens=0.5,
        sentence=("Bir göl kıyısında.", HOSTILE),
        html=path,
    )
    compare_tokenizers(config)
    return path.read_text(encoding="utf-8")


def test_the_page_needs_nothing_from_elsewhere(page: str) -> None:
    body = page[page.index("<body>") :]
    assert not re.search(r"""(src|href)=["']""", body) and "http" not in body.replace("plotly", "")
    assert "<script>alert" not in body and body.count('class="figure"') == 3


def test_the_page_shows_every_token_of_every_tokenizer(page: str, sample_tokenizer: Path) -> None:
    tokenizer = Tokenizer(sample_tokenizer)
    ids = [row for text in ("Bir göl kıyısında.", HOSTILE) for row in tokenizer.encode(text)]
    shown = [int(row) for row in re.findall(r'<span style="background[^"]*" title="(\d+)">', page)]
    assert sorted(shown) == sorted(ids * 2)
    assert "⟨E6⟩" in page and f"· {len(tokenizer.encode(HOSTILE))} tokens" in page


def test_the_page_says_what_the_figures_say(page: str) -> None:
    for said in ("saves 0.0 %", "mean of 3 groups", "1,000 requests a month", "usd per year"):
        assert said.lower() in page.lower()


def test_columns_are_named_so_that_they_differ() -> None:
    def names(*tokenizers: str) -> list[str]:
        return short_names({"tokenizers": [{"tokenizer": name} for name in tokenizers]})

    assert names("a/qwen3", "b/tr32k/") == ["qwen3", "tr32k"]
    assert names("a/t", "b/t", "c") == ["a/t", "b/t", "c"]
    assert names("x/tr/tokenizer.model", "x/tr/tokenizer.json", "x/tr") == [
        "tr/tokenizer.model",
        "tr/tokenizer.json",
        "tr",
    ]


def test_the_command_prints_a_table_or_json_alone(
    sample_tokenizer: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [sample_tokenizer, sample_tokenizer / "tokenizer.model"] * 4
    flags = [part for name in names for part in ("--tokenizer", str(name))]
    command = ["tokenizer", "compare", str(bundled_prose()[0]), *flags]
    for arguments in (command, [*command, "--json"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert not ended.value.code
        out = capsys.readouterr().out
        if arguments is command:  # eight columns, none of them cut
            line = next(line for line in out.splitlines() if "vocab size" in line)
            assert line.count("1,024") == 8 and "renyi efficiency" in out
        else:
            assert len(json.loads(out)["tokenizers"]) == 8
