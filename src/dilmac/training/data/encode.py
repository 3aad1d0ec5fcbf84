"""A conversation as the model will see it: its ids, and which of them are learned."""

from __future__ import annotations

from dilmac.core import InputError
from dilmac.tokenizer import EncodedChat, Tokenizer, encode_chat
from dilmac.training.data.examples import Conversation


def encode_example(example: Conversation, tokenizer: Tokenizer) -> EncodedChat:
    """Ids of an example in ChatML, and beside each whether it is learned.

    Raises:
        InputError: no token of it is learned.
    """
    chat = encode_chat(tokenizer, example.messages)
    if not any(chat.assistant_mask):
        raise InputError(
            "teaches nothing: no token of it is the assistant's",
            where=example.where,
            mend="give the answer, or remove the record",
        )
    return chat
