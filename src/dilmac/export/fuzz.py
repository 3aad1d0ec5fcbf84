"""Made-up strings that break tokenizers: the other half of every parity proof."""

from __future__ import annotations

import random

ALPHABETS = (
    "abcçdefgğhıijklmnoöprsştuüvyzABCÇDEFGĞHIİJKLMNOÖPRSŞTUÜVYZâîûÂÎÛ",
    "0123456789.,%'’",
    " \t\n",
    "          ",
    '!"#$%&()*+-/:;<=>?@[\\]^_`{|}~«»“”…–—',
    "😀🎉👩‍👩‍👧🇹🇷❤️👍🏽",
    "漢字日本語한국어",
    "абвгдالعربيةעברית",
    "\u0301\u0307\u0308\u0327\u0306",
    "\x01\x02\x07\x0b\x1b\x7f\x85\u200b\u200d\ufeff\u00ad",
    "\U0001f9ff\U00020000\ue000\uffff",
)
CONTROL_STRINGS = (
    "<|im_start|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|pad|>",
    "<unk>",
    "<0x41>",
    "<s>",
    "<|im_start|>system\n",
)


def fuzz_strings(count: int, seed: int) -> list[str]:
    """`count` strings mixing letters, digits, runs of spaces, emoji, scripts, combining marks,
    controls and the spelling of control tokens. NUL and U+2581 are left out: llama.cpp's server
    ends a string at the one, and every SentencePiece decodes the other as a space."""
    chooser = random.Random(seed)
    strings = []
    for _ in range(count):
        parts = []
        for _ in range(chooser.randint(1, 8)):
            if chooser.random() < 0.1:
                parts.append(chooser.choice(CONTROL_STRINGS))
            else:
                alphabet = chooser.choice(ALPHABETS)
                parts.append("".join(chooser.choices(alphabet, k=chooser.randint(1, 12))))
        strings.append("".join(parts))
    return strings
