"""An engine's own tokenizer, for what assembles prompts of it."""

from __future__ import annotations

from dilmac.core import InputError
from dilmac.engines.client import Engine


class EngineTokenizer:
    """The engine's own tokenizer: what the parity proof of an export compared."""

    def __init__(self, engine: Engine):
        self.engine = engine

    def encode(self, text: str) -> list[int]:
        return self.engine.tokenize([text])[0] if text else []

    def control_id(self, token: str) -> int:
        try:
            return self.engine.control_tokens[token]
        except KeyError:
            raise InputError(
                f"the model has no control token {token}: it was not made for chat",
                where=self.engine.spec.model,
                mend="fine-tune it with `dilmac finetune` on a tokenizer with ChatML markers",
            ) from None
