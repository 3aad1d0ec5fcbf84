"""Texts to measure: by file and domain, and what is left out is said."""

from pathlib import Path

import pytest

from dilmac.core import InputError
from dilmac.evaluate import EvaluateConfig
from dilmac.evaluate.texts import texts_by_group


def test_a_text_over_its_share_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, length in (("long", 3000), ("short", 100)):
        (tmp_path / f"{name}.txt").write_text("a" * length, encoding="utf-8")
    config = EvaluateConfig(model="m", text=(str(tmp_path),), max_text_bytes=4000)
    assert list(texts_by_group(config)) == ["short"]
    assert "long.txt is not measured" in " ".join(capsys.readouterr().err.split())


def test_empty_texts_are_none(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": ""}\n', encoding="utf-8")
    config = EvaluateConfig(model="m", text=(str(path),))
    with pytest.raises(InputError, match="no text, or none within"):
        texts_by_group(config)
    path.write_text('{"text": ""}\n{"text": "Merhaba."}\n', encoding="utf-8")
    assert texts_by_group(config) == {"rows": ["Merhaba."]}
