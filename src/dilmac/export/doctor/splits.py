"""How a byte-level tokenizer cuts text before it merges, and llama.cpp's names for it.

Patterns: those in the binary of xllamacpp 2026.10.11549; names: llama.cpp's `src/llama-vocab.cpp`.
"""

from __future__ import annotations

from typing import Any

from dilmac.export.byte_level import QWEN_SPLIT

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = QWEN_SPLIT.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
QWEN35 = QWEN_SPLIT.replace(r"]?\p{L}+", r"]?[\p{L}\p{M}]+").replace(
    r"[^\s\p{L}\p{N}]+", r"[^\s\p{L}\p{M}\p{N}]+"
)
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_LETTERS = (
    r"[^\r\n\p{L}\p{N}]?" + _UPPER + "*" + _LOWER + "+{0}"
    r"|[^\r\n\p{L}\p{N}]?" + _UPPER + "+" + _LOWER + "*{0}"
)
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_SHORT = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
GPT4O = _LETTERS.replace("{0}", _SHORT + "?") + r"|\p{N}{1,3}" + _REST
TEKKEN = _LETTERS.replace("{0}", "") + r"|\p{N}" + _REST
DEEPSEEK3 = (
    r"\p{N}{1,3}",
    "[一-龥぀-ゟ゠-ヿ]+",
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
)

# The patterns, one after the other, and the names under which llama.cpp cuts so; the first is the
# one that is written.
NAMES: dict[tuple[str, ...], tuple[str, ...]] = {
    (QWEN_SPLIT,): ("qwen2", "deepseek-r1-qwen", "kormo", "megrez", "stablelm2"),
    (QWEN35,): ("qwen35",),
    (LLAMA3,): (
        "llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2",
        "dbrx", "smaug-bpe", "glm4", "chatglm-bpe",
    ),
    (GPT2,): (
        "gpt-2", "phi-2", "jina-es", "jina-de", "jina-v2-es", "jina-v2-de", "jina-v2-code",
        "gigachat", "roberta-bpe", "exaone4", "mpt", "olmo", "jais", "mellum", "a.x-4.0",
        "modern-bert", "trillion", "granite-docling",
    ),
    (r"\p{N}", GPT2): (
        "starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b",
    ),
    (GPT4O,): ("gpt-4o", "llama4"),
    (TEKKEN,): ("tekken",),
    DEEPSEEK3: ("deepseek-v3", "hunyuan-dense", "joyai-llm"),
}  # fmt: skip
# Those that llama.cpp opens, and whose pattern is not in the table.
OTHER_NAMES = frozenset(
    (
        "default", "deepseek-llm", "deepseek-coder", "falcon", "jina-v1-en", "poro-chat", "viking",
        "bloom", "gpt3-finnish", "exaone-moe", "chameleon", "superbpe", "bailingmoe", "bailingmoe2",
        "llada-moe", "seed-coder", "hunyuan", "kimi-k2", "grok-2", "afmoe", "minimax-m2",
        "solar-open", "youtu", "kanana2", "talkie", "tiny_aya", "cohere2moe", "laguna", "f2llmv2",
        "granite-embed-multi-97m", "whitespace", "gemma4",
    )
)  # fmt: skip
KNOWN_NAMES = OTHER_NAMES | {name for names in NAMES.values() for name in names}


def splits_of(pre_tokenizer: dict[str, Any] | None) -> tuple[str, ...]:
    """The patterns of a `pre_tokenizer`, in order; a step that is no pattern stands by its type."""
    if not pre_tokenizer:
        return ()
    found: list[str] = []
    for step in pre_tokenizer.get("pretokenizers", [pre_tokenizer]):
        match step.get("type"):
            case "Split":
                pattern = step.get("pattern", {})
                found.append(pattern.get("Regex") or f"the string {pattern.get('String')!r}")
            case "ByteLevel":
                found += [GPT2] if step.get("use_regex", True) else []
            case "Digits" if step.get("individual_digits"):
                found.append(r"\p{N}")
            case other:
                found.append(f"the step {other}")
    return tuple(found)


def names_of(splits: tuple[str, ...]) -> tuple[str, ...]:
    """llama.cpp's names for these patterns; none where the table has none."""
    return NAMES.get(tuple(_insensitive(split) for split in splits), ())


def _insensitive(pattern: str) -> str:
    """The one spelling of Qwen's table for short forms in either case."""
    spelled = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
    return pattern.replace(spelled, _SHORT)
