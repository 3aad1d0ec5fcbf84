"""What an upstream would read as a control token is not sent there.

An engine of ours gets ids, so text is text. An upstream gets text and looks for its control tokens
in it: transformers, vLLM and llama-server all do. So text that holds one is refused.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from dilmac.core import InputError
from dilmac.tokenizer import ANSWER_MARKS, Message, require_characters

# `<|im_start|>`, `<|eot_id|>`, `<|channel|>`: Qwen, Llama 3, Phi, gpt-oss, GLM. DeepSeek's bars
# are full-width (`<｜User｜>`), which NFKC turns into these.
_BARRED = r"<\|[^<>\s]{1,64}\|>"
_NAMED = (
    *ANSWER_MARKS,
    "<tool_response>",  # Qwen
    "</tool_response>",
    "<unk>",  # Llama 2, Mistral, Gemma
    "<pad>",
    "<s>",
    "</s>",
    "<bos>",
    "<eos>",
    "<start_of_turn>",  # Gemma
    "<end_of_turn>",
    "[INST]",  # Mistral
    "[/INST]",
    "[TOOL_CALLS]",
    "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]",
    "[SYSTEM_PROMPT]",
    "[/SYSTEM_PROMPT]",
    "[THINK]",
    "[/THINK]",
    "[gMASK]",  # GLM
    "<sop>",
)
_CONTROL = re.compile("|".join([_BARRED, *map(re.escape, _NAMED)]))


def control_string(text: str) -> str | None:
    """The first control string in a text; None if there is none.

    Full-width characters count as the plain ones, and invisible ones do not count: a tokenizer that
    normalizes before it looks for its control tokens would find them there, too.
    """
    folded = unicodedata.normalize("NFKC", text)
    if not folded.isascii():
        folded = "".join(char for char in folded if unicodedata.category(char) != "Cf")
    found = _CONTROL.search(folded)
    return found[0] if found else None


def require_plain(text: str, what: str) -> None:
    """Refuse a text that an upstream would not read as text.

    Raises:
        InputError: a control string is in it, or a lone surrogate.
    """
    require_characters(text)
    if found := control_string(text):
        raise InputError(
            f"{what} holds {found}, which the upstream would read as a control token",
            mend="write it differently; an engine of dilmac's own takes any text",
        )


def require_plain_messages(messages: Sequence[Message]) -> None:
    """The same of every turn of a conversation.

    Raises:
        InputError: with the number and the role of the message.
    """
    for number, message in enumerate(messages, 1):
        require_plain(message.content, f"message {number} ({message.role})")
