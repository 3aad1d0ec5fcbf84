"""An answer that goes in circles is told from one that repeats a word."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dilmac.core import InputError
from dilmac.evaluate.chat import ends_in_loop, read_prompts


@settings(max_examples=50, deadline=None)
@given(
    st.text(alphabet="abçdeğ .", min_size=20, max_size=30).filter(lambda part: part.strip()),
    st.text(alphabet="xyz ", max_size=20),
    st.integers(4, 6),
    st.integers(0, 10),
)
def test_a_stretch_said_again_and_again_is_a_loop(
    part: str, before: str, rounds: int, cut: int
) -> None:
    assert ends_in_loop(before + part * rounds + part[:cut])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Evet, evet, evet.",
        "Bu çok çok çok güzel bir gün; dışarı çıkıp biraz yürüyelim, sonra eve döneriz.",
        "1. Suyu kaynatın.\n2. Çayı ekleyin.\n3. Demlenmesini bekleyin.\n4. Bardaklara doldurun.",
        "Ne güzel. " * 20 + "Ama sonra hava birden karardı ve herkes evine döndü.",
    ],
)
def test_other_answers_are_none(text: str) -> None:
    assert not ends_in_loop(text)


def test_prompts_that_ship_and_prompts_of_a_folder(tmp_path: Path) -> None:
    prompts, _ = read_prompts(None)
    assert len(set(prompts)) == 40
    path = tmp_path / "chat-prompts-mine.jsonl"
    path.write_text('{"instruction": "Selam"}\n', encoding="utf-8")
    assert read_prompts(tmp_path) == (["Selam"], ["chat-prompts-mine.jsonl"])
    path.write_text('{"prompt": "Selam"}\n{"text": "?"}\n', encoding="utf-8")
    with pytest.raises(InputError, match="no prompt in any of the fields"):
        read_prompts(tmp_path)
    path.write_text("\n", encoding="utf-8")
    with pytest.raises(InputError, match="holds no prompt"):
        read_prompts(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        read_prompts(tmp_path / "nowhere")
