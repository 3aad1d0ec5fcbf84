"""Texts for tests of the corpus: they differ from one another, or are copies, as wanted."""

import json
import random
from pathlib import Path

WORDS = (
    *("ağaç", "deniz", "kitap", "yağmur", "çocuk", "sokak", "pencere", "ekmek", "bulut", "rüzgâr"),
    *("dağ", "köprü", "balık", "taş", "ev", "yol", "gün", "gece", "sabah", "kapı", "masa", "kalem"),
    *("defter", "okul", "bahçe", "çiçek", "su", "ateş", "toprak", "kuş", "kedi", "at"),
)
SUBJECTS = ["Balıkçı", "Öğretmen", "Terzi", "Bahçıvan", "Şoför", "Saatçi", "Marangoz"]
PLACES = ["limanda", "okulun önünde", "çarşıda", "köy yolunda", "istasyonda", "tarlada"]
THINGS = [
    "eski bir sandık",
    "mavi bir defter",
    "kırık bir testi",
    "uzun bir mektup",
    "gümüş bir saat",
]
ENDS = [
    "Onu kimin bıraktığını bütün gün düşündü ama akşama kadar soran olmadı.",
    "Komşular merakla yaklaşınca hikâyeyi baştan anlatmak zorunda kaldı.",
    "Yağmur başlamadan eve yetişti ve bulduğunu çocuklarına gösterdi.",
    "Ertesi sabah belediyeye götürüp görevliye teslim etti.",
]


def documents(count: int) -> list[str]:
    """Short tales that share no long run of words."""
    return [
        f"{SUBJECTS[n % 7]} {n + 3}. {['gün', 'hafta', 'ay'][n % 3]} {PLACES[n % 6]} "
        f"{THINGS[n % 5]} buldu; yanında {n * 7 + 2} tane "
        f"{['düğme', 'çivi', 'boncuk', 'tohum'][n % 4]} ile birlikte "
        f"{['sararmış', 'ıslak', 'yırtık'][n % 3]} bir kâğıt vardı. {ENDS[n % 4]} "
        f"Kâğıtta şunlar yazılıydı: {', '.join(random.Random(n).choices(WORDS, k=12))}."
        for n in range(count)
    ]


def write(path: Path, lines: list[object]) -> Path:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


def large_text(path: Path, count: int, seed: int = 7) -> Path:
    """Documents that differ, with near and exact copies among them."""
    draw = random.Random(seed)
    lines: list[object] = []
    for number in range(count):
        words = [draw.choice(WORDS) for _ in range(120)]
        for place in range(9, 120, 10):
            words[place] += "."
        text = f"Bu {number}. metin için bir başlangıç ve çok kısa bir not. " + " ".join(words)
        lines.append({"text": text})
        if number % 7 == 0:
            lines.append({"text": text})
        if number % 11 == 0:
            lines.append({"text": text.replace("dağ", "tepe", 2)})
    return write(path, lines)
