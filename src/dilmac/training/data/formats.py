"""The formats of fine-tuning data, told apart by their fields.

A field that is null counts as absent: tables give every row every column.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dilmac.core import InputError
from dilmac.models import UNKNOWN
from dilmac.tokenizer import Message
from dilmac.training.data.examples import Conversation, Example, Labeled, Preference
from dilmac.training.data.fields import (
    Fields,
    kind_of,
    list_in,
    nearest,
    text_if_any,
    text_in,
)
from dilmac.training.data.turns import SHAREGPT, Naming, check_order, turns_in

COMMON = ("id", "license")
# Fields that hold what would be learned, and that nothing here can read: no silent skip.
_UNREADABLE = {
    "tools": 'calls of tools cannot be learned yet: remove the field if "tools" are not needed',
    "history": 'write earlier turns as {"messages": [{"role", "content"}, …]}',
}


@dataclass(frozen=True)
class Format:
    """A shape of records: the fields that tell it, those that may be there, and its reader."""

    kind: type[Example]
    needed: tuple[str, ...]
    optional: tuple[str, ...]
    parse: Callable[[Fields, str], Example]

    @property
    def shown(self) -> str:
        """Its fields, as they stand in messages and in the docs."""
        names = ", ".join(f'"{name}"' for name in self.needed)
        return f"{{{names}}}"

    def fits(self, values: Fields) -> bool:
        """Whether a record has all fields that tell the format."""
        return all(values.get(name) is not None for name in self.needed)

    def num_near(self, values: Fields) -> int:
        """How many of them a record has, or has a name for that was meant to be one."""
        return sum(name in values or bool(nearest(name, values)) for name in self.needed)


def formats_of(values: Fields, kind: type[Example]) -> list[Format]:
    """The formats that a record fits; where some hold what is wanted (`kind`), only those."""
    fitting = [known for known in KNOWN_FORMATS if known.fits(values)]
    return [known for known in fitting if known.kind is kind] or fitting


def format_of(values: Fields, kind: type[Example], where: str) -> Format:
    """The one format of a record.

    Raises:
        InputError: it fits none, or two, or one that holds other examples than wanted.
    """
    fitting = formats_of(values, kind)
    if len(fitting) > 1:
        shown = " and ".join(known.shown for known in fitting)
        raise InputError(
            f"has the fields of {shown}", where=where, mend="remove those that are not meant"
        )
    if fitting and fitting[0].kind is not kind:
        raise InputError(
            f"{fitting[0].shown} are {fitting[0].kind.NAME}, not {kind.NAME}",
            where=where,
            mend=f"give {_shown_formats(kind)}",
        )
    if fitting:
        return fitting[0]
    wanted = [known for known in KNOWN_FORMATS if known.kind is kind]
    near = max(wanted, key=lambda known: known.num_near(values))
    if not near.num_near(values):
        raise InputError(
            f"no known format; fields there: {', '.join(map(str, values)) or 'none'}",
            where=where,
            mend=f"give {_shown_formats(kind)}",
        )
    return near  # its own reader says which field is missing, and what is near it


def _shown_formats(kind: type[Example]) -> str:
    return " or ".join(known.shown for known in KNOWN_FORMATS if known.kind is kind)


def _common(values: Fields, where: str) -> tuple[str, str]:
    """The record's id as text (empty where it has none), and its license in one line."""
    named = values.get("id")
    if named is not None and (isinstance(named, bool) or not isinstance(named, str | int)):
        raise InputError(
            "field 'id' is neither text nor a whole number",
            where=where,
            mend="give one of them, or remove the field",
        )
    stated = values.get("license")
    license = stated.encode(errors="replace").decode() if isinstance(stated, str) else ""
    own_id = "" if named is None else str(named)
    return own_id.encode(errors="replace").decode(), " ".join(license.split()) or UNKNOWN


def _refuse_unreadable(values: Fields, where: str) -> None:
    for name, mend in _UNREADABLE.items():
        if values.get(name):
            raise InputError(f"field {name!r} is not read", where=where, mend=mend)


def _conversation(
    values: Fields, where: str, messages: tuple[Message, ...], field: str
) -> Conversation:
    _refuse_unreadable(values, where)
    own_id, license = _common(values, where)
    check_order(messages, field, where)
    messages = _under_system(values, messages, field, where)
    return Conversation(where=where, id=own_id, license=license, messages=messages)


def _under_system(
    values: Fields, messages: tuple[Message, ...], field: str, where: str
) -> tuple[Message, ...]:
    """The turns of a field, after the system turn that stands beside them."""
    system = text_if_any(values, "system", where)
    if system is None:
        return messages
    if messages[0].role == "system":
        raise InputError(
            f"field 'system' beside a system turn in {field!r}",
            where=where,
            mend="keep one of them",
        )
    return (Message("system", system), *messages)


def _pair(answer: str) -> Callable[[Fields, str], Conversation]:
    """Reader of an instruction, an input below it, and an answer."""

    def parse(values: Fields, where: str) -> Conversation:
        instruction = text_in(values, "instruction", where)
        response = text_in(values, answer, where)
        below = text_if_any(values, "input", where)
        question = instruction if below is None else f"{instruction}\n\n{below}"
        messages = (Message("user", question), Message("assistant", response))
        return _conversation(values, where, messages, "instruction")

    return parse


def _turns(field: str, naming: Naming | None = None) -> Callable[[Fields, str], Conversation]:
    """Reader of a list of turns."""

    def parse(values: Fields, where: str) -> Conversation:
        messages = turns_in(values, field, where, *filter(None, [naming]))
        return _conversation(values, where, messages, field)

    return parse


def _preference(values: Fields, where: str) -> Preference:
    _refuse_unreadable(values, where)
    own_id, license = _common(values, where)
    prompt = _prompt(values, where)
    chosen, rejected = (_answer(values, name, prompt, where) for name in ("chosen", "rejected"))
    if chosen == rejected:
        raise InputError(
            "fields 'chosen' and 'rejected' are the same",
            where=where,
            mend="nothing can be preferred: remove the record",
        )
    return Preference(
        where=where, id=own_id, license=license, prompt=prompt, chosen=chosen, rejected=rejected
    )


def _prompt(values: Fields, where: str) -> tuple[Message, ...]:
    """The turns before the answer: a text, a list, or what both answers' lists begin with."""
    if isinstance(values.get("prompt"), list):
        prompt = turns_in(values, "prompt", where)
    elif values.get("prompt") is None and isinstance(values.get("chosen"), list):
        prompt = turns_in(values, "chosen", where)[:-1]
        if not prompt:
            text_in(values, "prompt", where)  # says that it is missing
    else:
        prompt = (Message("user", text_in(values, "prompt", where)),)
    prompt = _under_system(values, prompt, "prompt", where)
    if prompt[-1].role != "user":
        raise InputError(
            f"field 'prompt' ends with a turn of the {prompt[-1].role}",
            where=where,
            mend="end it with the user's turn",
        )
    check_order((*prompt, Message("assistant", "")), "prompt", where)
    return prompt


def _answer(values: Fields, name: str, prompt: Sequence[Message], where: str) -> Message:
    """An answer: a text, or a list that is the answer's turn alone or after the prompt's."""
    if not isinstance(values.get(name), list):
        return Message("assistant", text_in(values, name, where))
    list_in(values, name, where)
    turns = turns_in(values, name, where)
    # The system turn of the prompt need not be said again; another one would be lost.
    spoken = tuple(turn for turn in prompt if turn.role != "system")
    if turns[-1].role != "assistant" or turns[:-1] not in ((), spoken, tuple(prompt)):
        raise InputError(
            f"field {name!r} is not the prompt's turns and one of the assistant",
            where=where,
            mend="give the answer as text, or both answers to the same prompt",
        )
    return turns[-1]


def labeled_in(
    values: Fields, where: str, text_field: str = "text", label_field: str = "label"
) -> Labeled:
    """The text of a record with its label, from the fields of those names.

    Raises:
        InputError: a field is missing, empty, or of another type.
    """
    own_id, license = _common(values, where)
    text = text_in(values, text_field, where)
    label = values.get(label_field)
    if isinstance(label, bool) or not isinstance(label, int):
        if label is None or isinstance(label, str):
            label = text_in(values, label_field, where)
        else:
            raise InputError(
                f"field {label_field!r} is {kind_of(label)}, neither text nor a whole number",
                where=where,
                mend="name the class in quotes",
            )
    return Labeled(where=where, id=own_id, license=license, text=text, label=label)


KNOWN_FORMATS = (
    Format(Conversation, ("instruction", "response"), ("input", "system"), _pair("response")),
    Format(Conversation, ("instruction", "output"), ("input", "system"), _pair("output")),
    Format(Conversation, ("messages",), ("system",), _turns("messages")),
    Format(Conversation, ("conversations",), ("system",), _turns("conversations", SHAREGPT)),
    Format(Preference, ("chosen", "rejected"), ("prompt", "system"), _preference),
    Format(Labeled, ("text", "label"), (), labeled_in),
)
