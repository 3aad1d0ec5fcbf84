"""Variations: the user's side alone, plain words alone, the same for the same seed."""

import random

from hypothesis import given
from hypothesis import strategies as st

from dilmac.tokenizer import Message
from dilmac.training.data.augment import (
    Variations,
    misspell,
    recase,
    vary_questions,
    without_marks,
)
from dilmac.training.data.examples import Conversation
from dilmac.turkish import fold, lower

TEXT = "İstanbul'da ışık çok güzel mi, şimdi https://örnek.com/Şehir adresine bakıyor musunuz?"


def example(number: int, question: str = TEXT) -> Conversation:
    messages = (
        Message("system", "Özenli ol."),
        Message("user", f"{number} {question}"),
        Message("assistant", "Şöyle güzel bir cevap."),
        Message("user", f"{number} peki ya sonra ne oldu diye sorsam"),
        Message("assistant", "Öyle işte."),
    )
    return Conversation(where=f"data.jsonl:{number}", messages=messages)


def test_only_the_users_turns_change_and_about_as_many_as_wanted() -> None:
    examples = [example(number) for number in range(200)]
    varied, num_changed = vary_questions(examples, Variations(ascii=0.3), seed=1)
    assert 20 < num_changed < 100  # 400 turns, the short one of which has no Turkish letters
    for before, after in zip(examples, varied, strict=True):
        for old, new in zip(before.messages, after.messages, strict=True):
            assert old == new or (old.role == "user" and fold(new.content) == fold(old.content))
    assert vary_questions(examples, Variations(ascii=0.3), seed=1)[0] == varied
    assert vary_questions(examples, Variations(ascii=0.3), seed=2)[0] != varied
    assert vary_questions(examples, Variations(), seed=1) == (examples, 0)


def test_casing_is_turkish_and_leaves_addresses_alone() -> None:
    chance = random.Random(0)
    seen = {recase("IŞIK ve İyi Şey http://A.com/Ili A_b", chance) for _ in range(40)}
    assert seen == {
        "ışık ve iyi şey http://A.com/Ili A_b",
        "IŞIK VE İYİ ŞEY http://A.com/Ili A_b",
    }
    assert without_marks("çok ŞIK şehir.com", chance) == "cok SIK şehir.com"


def test_misspelled_text_is_near_and_its_first_letters_stay() -> None:
    chance = random.Random(3)
    seen = {misspell("Bugün hava güzel mi", chance) for _ in range(200)}
    assert any("güzelmi" in text for text in seen) and any("güzel mi" in text for text in seen)
    assert len(seen) > 20
    for text in seen:
        assert text.startswith("B") and abs(len(text) - len("Bugün hava güzel mi")) <= 2


@given(st.text(max_size=60), st.integers(0, 99))
def test_any_text_can_be_varied(text: str, seed: int) -> None:
    shares = Variations(ascii=1, casing=1, spelling=1)
    (varied,), _ = vary_questions([example(1, text)], shares, seed)
    assert [turn.role for turn in varied.messages] == [t.role for t in example(1).messages]
    assert varied.messages[2] == example(1).messages[2]
    if "```" in text:
        assert varied.messages[1].content == f"1 {text}"
    assert lower(varied.messages[0].content) == "özenli ol."
