"""Duplicates are counted, and what is trained on is not measured."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from dilmac.tokenizer import Message
from dilmac.training.data.examples import Conversation, Labeled
from dilmac.training.data.leaks import normalized, take_out_leaks
from dilmac.training.data.split import Split
from dilmac.turkish import lower, upper

LONG = (
    "Kıyıdaki küçük kasabada her sabah erkenden kalkan balıkçılar, ağlarını denizden çekip "
    "pazara taşır, öğleye doğru kahvede oturup havanın nasıl olacağını konuşurlardı"
)


def asked(question: str, answer: str = "Cevap.", line: int = 1) -> Conversation:
    messages = (
        Message("system", "Sen kısa ve öz konuşan bir yardımcısın, her soruya yanıt verirsin."),
        Message("user", question),
        Message("assistant", answer),
    )
    return Conversation(where=f"folder/data.jsonl:{line}", messages=messages)


def test_case_and_spaces_do_not_count_but_letters_and_signs_do() -> None:
    split = Split(
        train=[asked("IŞIK  nedir?\n"), asked("2+2 kaç eder?"), asked("Kış nedir?")],
        validation=[asked("ışık nedir?"), asked("2-2 kaç eder?"), asked("Kıs nedir?")],
    )
    repeats = take_out_leaks(split)
    assert [reject.found for reject in repeats.leaks] == ["trained on at data.jsonl:1"]
    assert [e.question for e in split.validation] == ["2-2 kaç eder?", "Kıs nedir?"]
    assert not (repeats.duplicates or repeats.near_duplicates or repeats.conflicts)


@given(st.text("abcçğıİiIöşüÇ ", max_size=30))
def test_normalizing_forgets_case_and_spaces(text: str) -> None:
    assert normalized(upper(text)) == normalized(lower(text)) == normalized(f"\n {text} ")
    assert normalized(normalized(text)) == normalized(text)


def test_what_is_nearly_the_same_leaks_too() -> None:
    near = LONG.replace("küçük", "minik")
    split = Split(
        train=[asked("Anlat bakalım.", LONG), asked("Başka bir şey.", line=2)],
        validation=[asked("Anlat bakalım.", near), asked("Bir şey anlat, ama kısa.", "Peki.")],
        test=[asked("Anlat, bakalım!", LONG)],
    )
    repeats = take_out_leaks(split)
    assert len(repeats.leaks) == 1 and repeats.test_leaks == 1
    assert [e.answer for e in split.validation] == ["Peki."] and len(split.test) == 1


def test_another_question_on_the_same_passage_is_another_example() -> None:
    split = Split(
        train=[asked(f"{LONG} Ne zaman kalkarlardı?", "Erkenden.")],
        validation=[
            asked(f"{LONG} Nerede otururlardı?", "Kahvede."),
            asked(f"{LONG} Ne vakit kalkarlardı?", "erkenden."),
        ],
    )
    assert len(take_out_leaks(split).leaks) == 1
    assert [e.answer for e in split.validation] == ["Kahvede."]


def test_repeats_are_counted_and_dropped_only_if_wanted() -> None:
    train = [
        asked("Anlat.", LONG, 1),
        asked("ANLAT.", LONG, 2),
        asked("Anlat.", LONG.replace("küçük", "minik"), 3),
        asked("Anlat.", "Olmaz.", 4),
        asked("Anlat.", LONG, 5),
    ]
    split = Split(train=list(train))
    figures = take_out_leaks(split).figures()
    assert figures["duplicates"] == 2 and figures["near_duplicates"] == 1
    assert figures["same_question"] == 1 and split.train == train
    take_out_leaks(split, drop_duplicates=True)
    assert split.train == [train[0], train[2], train[3]]


def test_one_text_with_two_labels_is_the_same_question() -> None:
    labels = [Labeled(where=f"a:{n}", text="Güzel.", label=label) for n, label in enumerate("ab")]
    repeats = take_out_leaks(Split(train=labels))
    assert (repeats.duplicates, repeats.conflicts) == (0, 1)


def test_nothing_is_a_leak_of_nothing(tmp_path: Path) -> None:
    split: Split[Conversation] = Split(train=[asked("Soru")])
    assert take_out_leaks(split).figures() == dict.fromkeys(
        ("duplicates", "near_duplicates", "same_question", "leaks", "leaks_to_test"), 0
    )
