"""What may be asked, field by field. What is not written here is refused, so nothing that a client
sends reaches an engine by accident.

Of OpenAI's fields some have no influence on an answer here (`_Ignored`); some are taken only at
the value at which they ask for nothing (`Only`), because to ignore them would be to answer another
question than was asked.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    model_validator,
)

from dilmac.engines import PresetName, with_preset
from dilmac.tokenizer import Message, Role

MAX_STOPS = 4  # as OpenAI
ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",  # OpenAI's newer name
    "user": "user",
    "assistant": "assistant",
}


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def _only(*neutral: Any) -> AfterValidator:
    """A field that asks for nothing at one of these values, and is not offered at others."""

    def check(value: Any) -> Any:
        if value is not None and value not in neutral:
            raise ValueError("is not offered by this server")
        return value

    return AfterValidator(check)


def _joined_parts(content: object) -> object:
    """Content in parts becomes one text; pictures, sounds and files are not taken."""
    if not isinstance(content, list):
        return content
    texts = []
    for part in content:
        is_text = isinstance(part, dict) and part.keys() == {"type", "text"}
        if not is_text or part["type"] != "text" or not isinstance(part["text"], str):
            raise ValueError('each part must be {"type": "text", "text": "…"}')
        texts.append(part["text"])
    return "".join(texts)


def _listed_stops(stop: object) -> object:
    stops: Any = [stop] if isinstance(stop, str) else stop or []
    is_list = isinstance(stops, list) and all(isinstance(one, str) and one for one in stops)
    if not is_list or len(stops) > MAX_STOPS:
        raise ValueError(f"must be a text or up to {MAX_STOPS} of them, none empty")
    return tuple(stops)


def _one_prompt(prompt: object) -> object:
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list):
        prompt = prompt[0]
    is_ids = isinstance(prompt, list) and all(type(one) is int for one in prompt)
    if not is_ids and not isinstance(prompt, str):
        raise ValueError("must be one text, or one list of token ids")
    return prompt


Content = Annotated[str, BeforeValidator(_joined_parts)]
Prompt = Annotated[str | list[int], PlainValidator(_one_prompt)]


class ChatMessage(_Request):
    """One turn. The fields that are not offered may stand there empty, as clients repeat them."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Content
    reasoning_content: str | None = None
    name: str | None = None
    refusal: None = None
    annotations: Annotated[Any, _only([])] = None
    audio: None = None
    function_call: None = None
    tool_calls: Annotated[Any, _only([])] = None

    def as_message(self) -> Message:
        return Message(ROLES[self.role], self.content, self.reasoning_content)


class StreamOptions(_Request):
    """What is told in a stream besides the answer."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class _Ignored(_Request):
    """Fields that OpenAI knows and that have no influence on an answer here."""

    user: str | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    service_tier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    safety_identifier: str | None = None
    parallel_tool_calls: bool | None = None


class Generation(_Ignored):
    """What chat and completions share."""

    model: str
    max_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=0, le=2**31 - 1)
    repetition_penalty: float | None = Field(None, ge=1, le=2)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    preset: PresetName | None = None
    stop: Annotated[tuple[str, ...], PlainValidator(_listed_stops)] = ()
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: Annotated[Any, _only(1)] = None
    frequency_penalty: Annotated[Any, _only(0)] = None
    presence_penalty: Annotated[Any, _only(0)] = None
    logit_bias: Annotated[Any, _only({})] = None

    @property
    def limit(self) -> int | None:
        """Most tokens of the answer; None leaves it to the context."""
        return self.max_tokens

    @property
    def choices(self) -> dict[str, Any]:
        """How tokens are chosen, as far as it is asked for: the preset, and over it what is given
        beside it."""
        names = ("temperature", "top_p", "top_k", "repetition_penalty")
        given = {name: value for name in names if (value := getattr(self, name)) is not None}
        return with_preset(self.preset, given)

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with the number of tokens."""
        return bool(self.stream_options and self.stream_options.include_usage)


def _ends_with_a_question(messages: list[ChatMessage]) -> list[ChatMessage]:
    if messages[-1].role == "assistant":
        raise ValueError("the last one must not be the assistant's: its turn comes now")
    return messages


class ChatRequest(Generation):
    """`POST /v1/chat/completions`"""

    messages: Annotated[
        list[ChatMessage], Field(min_length=1), AfterValidator(_ends_with_a_question)
    ]
    max_completion_tokens: int | None = Field(None, ge=1)
    enable_thinking: bool = True
    logprobs: Annotated[Any, _only(False)] = None
    top_logprobs: Annotated[Any, _only(0)] = None
    response_format: Annotated[Any, _only({"type": "text"})] = None
    modalities: Annotated[Any, _only(["text"])] = None
    tools: Annotated[Any, _only([])] = None
    tool_choice: Annotated[Any, _only("none", "auto")] = None

    @property
    def limit(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens


class CompletionRequest(Generation):
    """`POST /v1/completions`"""

    prompt: Prompt
    best_of: Annotated[Any, _only(1)] = None
    echo: Annotated[Any, _only(False)] = None
    logprobs: Annotated[Any, _only()] = None
    suffix: Annotated[Any, _only("")] = None


class TokenizeRequest(_Request):
    """`POST /tokenize`: a text, or a conversation as it reaches the engine."""

    model: str | None = None
    prompt: str | None = None
    messages: list[ChatMessage] | None = Field(None, min_length=1)
    add_generation_prompt: bool = True
    enable_thinking: bool = True

    @model_validator(mode="after")
    def _one_of_both(self) -> TokenizeRequest:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give prompt or messages, one of both")
        return self
