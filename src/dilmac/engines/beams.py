"""Beam search: several answers are followed at once, and the most probable whole one is given."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedModel, StoppingCriteriaList

from dilmac.engines.batch import Request, read
from dilmac.engines.interface import READING, Token

# The answer with the best sum of log-probabilities / tokens ** LENGTH_PENALTY is taken: at 1 it is
# the mean of a token, at 0 it would be the sum, which short answers win.
LENGTH_PENALTY = 1.0
PART = 128  # tokens of an answer that are read at once for their log-probabilities


def search(
    model: PreTrainedModel,
    request: Request,
    goes_on: Callable[[], bool],
) -> None:
    """Answer a request of which all but the last part is read; its tokens come out at the end.

    `goes_on` is asked at each step, and ends the search when it says no.

    Source: transformers' own beam search.
    """
    is_ended = False

    def step(ids: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        nonlocal is_ended
        request.items.put(READING)
        is_ended = is_ended or not goes_on()
        return torch.full((len(ids),), is_ended, device=ids.device)

    rest = request.parts[0]
    tokens = _best(model, request, rest, step)
    if is_ended:
        return
    stop = next((n for n, row in enumerate(tokens) if row in request.sampling.stop_ids), None)
    answer = tokens[:stop]
    for token in _with_logprobs(model, request.cache, rest, answer):
        request.give(token)
    if request.room > 0:  # else its end was told with the last token
        request.end("length" if stop is None else "stop")


def _best(
    model: PreTrainedModel,
    request: Request,
    rest: torch.Tensor,
    step: Callable[..., torch.Tensor],
) -> list[int]:
    """Tokens of the best answer [at most `request.room`], its stop among them."""
    num_beams = request.sampling.num_beams
    cache = copy.deepcopy(request.cache)
    cache.batch_repeat_interleave(num_beams)
    num_read = request.cache.get_seq_length()
    # What was read is in the cache; generate looks only at how long it is.
    ids = torch.cat([rest.new_zeros(1, num_read), rest], dim=1)
    settings = GenerationConfig(
        num_beams=num_beams,
        do_sample=False,
        length_penalty=LENGTH_PENALTY,
        max_new_tokens=request.room,
        eos_token_id=list(request.sampling.stop_ids) or [-1],  # none
        pad_token_id=0,
        suppress_tokens=request.suppressed.tolist() or None,
    )
    answer: Any = model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        past_key_values=cache,
        generation_config=settings,
        stopping_criteria=StoppingCriteriaList([step]),
    )
    return [int(row) for row in answer[0, ids.shape[1] :]]


def _with_logprobs(
    model: PreTrainedModel, cache: Any, rest: torch.Tensor, answer: list[int]
) -> list[Token]:
    """The answer's tokens with their log-probabilities after the prompt, read in one pass."""
    ids = torch.cat([rest, rest.new_tensor([answer])], dim=1)
    logprobs: list[float] = []
    for place in range(0, ids.shape[1] - 1, PART):
        part = ids[:, place : min(place + PART, ids.shape[1] - 1)]
        following = ids[0, place + 1 : place + 1 + part.shape[1]]
        shares = torch.log_softmax(read(model, part, cache, num_logits=0)[0], -1)
        logprobs += shares.gather(-1, following[:, None])[:, 0].tolist()
    given = logprobs[len(logprobs) - len(answer) :]
    return [Token(id=row, logprob=value) for row, value in zip(answer, given, strict=True)]
