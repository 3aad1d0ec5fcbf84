"""Claim: LoRA teaches dilmac-mini to answer on a CPU in 15 minutes, and it stops by itself.

    python benchmarks/finetune_mini.py --data instruct-tr.jsonl.zst --work build/ft

The data is split by the hash of the id, as `dilmac finetune` does: 10 % test, 10 % validation.
Before and after, the model answers, at each `--temperature` and chat's repetition penalty, up to
`--max-new-tokens`: ten prompts of the test part, the sources in turn, word for word into the
result; a hundred with the sources in turn; and a hundred as they come, nearly all of which ask for
a name or a short sentence. An answer stops by itself where it ends with the model's own end token
before the limit. It loops where a piece of at least four tokens stands three times in a row.

What follows `--` goes to `dilmac finetune` as it is: `-- --epochs 2 --lora-rank 32`.
"""

from __future__ import annotations

import argparse
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import torch

from dilmac.core import open_artifact, place_of
from dilmac.engines import CHAT_REPETITION_PENALTY
from dilmac.models import load_model, model_folder
from dilmac.tokenizer import Message, Tokenizer, encode_chat
from dilmac.training import Conversation, data_files, read_data
from dilmac.training.data.split import split_examples
from support.measuring import heading
from support.tables import print_json, print_table

KIND = re.compile(r"[a-z]*(-[a-z]+)?")  # of an id: nutuk, inst-tquad
LOOP_PIECE, LOOP_TIMES = 4, 3
BATCH = 25
SPLIT = {"validation_percent": 10.0, "test_percent": 10.0}


def loops(ids: Sequence[int]) -> bool:
    """Whether a piece of at least `LOOP_PIECE` tokens stands `LOOP_TIMES` times in a row."""
    for size in range(LOOP_PIECE, len(ids) // LOOP_TIMES + 1):
        for start in range(len(ids) - size * LOOP_TIMES + 1):
            piece = ids[start : start + size]
            ends = (start + size * time for time in range(1, LOOP_TIMES))
            if all(ids[end : end + size] == piece for end in ends):
                return True
    return False


class Answerer:
    """A model folder that answers: greedily (temperature 0), or as chat draws."""

    def __init__(self, folder: Path, max_new_tokens: int, repetition_penalty: float):
        self.tokenizer = Tokenizer(folder)
        self.model: Any = load_model(folder).eval()
        self.model.config.use_cache = True
        self.max_new_tokens, self.repetition_penalty = max_new_tokens, repetition_penalty
        self.context = int(self.model.config.max_position_embeddings)

    def answers(self, prompts: Sequence[str], temperature: float) -> list[tuple[list[int], bool]]:
        """Ids of each answer without its end, and whether it ended by itself; `BATCH` at a time."""
        asked = [
            encode_chat(self.tokenizer, [Message("user", prompt)], open_answer=True).ids
            for prompt in prompts
        ]
        order = sorted(range(len(asked)), key=lambda place: len(asked[place]))
        made: dict[int, tuple[list[int], bool]] = {}
        torch.manual_seed(42)
        for start in range(0, len(order), BATCH):
            places = order[start : start + BATCH]
            found = self._batch([asked[place] for place in places], temperature)
            made |= dict(zip(places, found, strict=True))
        return [made[place] for place in range(len(asked))]

    def _batch(self, asked: list[list[int]], temperature: float) -> list[tuple[list[int], bool]]:
        """Padded on the left, which the mask hides."""
        longest = max(map(len, asked))
        pad = self.model.config.pad_token_id
        ids = torch.tensor([[pad] * (longest - len(one)) + one for one in asked])
        mask = torch.tensor([[0] * (longest - len(one)) + [1] * len(one) for one in asked])
        sampling: dict[str, Any] = {"do_sample": False}
        if temperature:
            sampling = {"do_sample": True, "temperature": temperature, "top_k": 40, "top_p": 0.95}
        with torch.inference_mode():
            made = self.model.generate(
                ids,
                attention_mask=mask,
                max_new_tokens=min(self.max_new_tokens, self.context - longest),
                **sampling,
                repetition_penalty=self.repetition_penalty,
                use_cache=True,
            )[:, longest:].tolist()
        stops = set(self.model.generation_config.eos_token_id)
        answers = []
        for row in made:
            end = next((place for place, token in enumerate(row) if token in stops), None)
            answers.append((row if end is None else row[:end], end is not None))
        return answers

    def figures(self, examples: Sequence[Conversation], temperature: float) -> dict[str, Any]:
        answers = self.answers([example.messages[0].content for example in examples], temperature)
        references = [len(self.tokenizer.encode(e.messages[1].content)) for e in examples]
        lengths = [len(ids) for ids, _ in answers]
        return {
            "prompts": len(answers),
            "stops": statistics.fmean(ended for _, ended in answers),
            "median_tokens": statistics.median(lengths),
            "median_reference_tokens": statistics.median(references),
            "loops": statistics.fmean(loops(ids) for ids, _ in answers),
            "empty": statistics.fmean(not ids for ids, _ in answers),
        }


def chosen_prompts(
    folder: Path, data: list[Path], max_prompt: int
) -> dict[str, list[Conversation]]:
    """Of the test part: ten to read, and the two hundreds."""
    split = split_examples(read_data(data, Conversation).examples, **SPLIT)
    tokenizer = Tokenizer(folder)
    fitting = [
        example
        for example in sorted(split.test, key=lambda e: place_of(e.key))
        if len(tokenizer.encode(example.messages[0].content)) <= max_prompt
    ]
    by_kind: dict[str, list[Conversation]] = {}
    for example in fitting:
        kind = KIND.match(example.key)
        by_kind.setdefault(kind.group() if kind else "", []).append(example)
    in_turn = [example for row in zip(*by_kind.values(), strict=False) for example in row]
    return {"sources in turn": in_turn[:100], "as they come": fitting[:100]}


def train(model: str, data: list[Path], out: Path, flags: list[str]) -> tuple[float, float]:
    """Run `dilmac finetune`; its wall and processor time, imports and all [seconds]."""
    percents = ["--validation-percent", "10", "--test-percent", "10"]
    files = [flag for path in data for flag in ("--data", str(path))]
    command = [sys.executable, "-m", "dilmac", "finetune", "--model", model, *files, *percents]
    started = time.monotonic()
    subprocess.run([*command, *flags, "--out", str(out)], check=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic() - started, used.ru_utime + used.ru_stime


def main() -> None:
    chosen, flags = parse()
    data = data_files(chosen.data)
    print(heading("python benchmarks/finetune_mini.py … -- " + " ".join(flags)))
    wall = processor = 0.0
    if not chosen.answers_only:
        wall, processor = train(chosen.model, data, chosen.work / "chat", flags)
    base = model_folder(chosen.model)
    prompts = chosen_prompts(base, data, chosen.max_prompt)
    before, after = (
        Answerer(folder, chosen.max_new_tokens, chosen.repetition_penalty)
        for folder in (base, chosen.work / "chat")
    )
    rows = []
    measured: dict[str, Any] = {}
    sides = {"before": before, "after": after}
    for temperature, name, side in product(chosen.temperature, prompts, sides):
        figures = sides[side].figures(prompts[name], temperature)
        measured[f"{name}, {side}, {temperature}"] = figures
        rows.append((name, side, temperature, *(f"{value:g}" for value in figures.values())))
    print_table(("prompts of the test part", "", "temperature", *figures), rows)
    ten = prompts["sources in turn"][:10]
    questions = [example.messages[0].content for example in ten]
    said = {
        (side, temperature): sides[side].answers(questions, temperature)
        for side, temperature in product(sides, chosen.temperature)
    }
    for place, example in enumerate(ten):
        print(f"\n### {questions[place]}\n")
        for (side, temperature), answers in said.items():
            ids, ended = answers[place]
            print(
                f"- {side}, at {temperature}{'' if ended else ' (cut off)'}: "
                f"{after.tokenizer.decode(ids)!r}"
            )
        print(f"- reference: {example.messages[1].content!r}")
    artifact = open_artifact(chosen.work / "chat")
    print_json(
        {
            "wall_seconds": round(wall, 1),
            "processor_seconds": round(processor, 1),
            **artifact.figures,
            "answers": measured,
        }
    )


def parse() -> tuple[argparse.Namespace, list[str]]:
    own, _, flags = " ".join(sys.argv[1:]).partition(" -- ")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="dilmac-mini")
    parser.add_argument("--data", action="append", required=True)
    parser.add_argument("--work", type=Path, default=Path("build/finetune-mini"))
    parser.add_argument(
        "--max-prompt", type=int, default=256, help="prompts that are asked [tokens]"
    )
    parser.add_argument("--answers-only", action="store_true", help="of what --work has already")
    parser.add_argument(
        "--repetition-penalty", type=float, default=CHAT_REPETITION_PENALTY, help="1: none"
    )
    parser.add_argument("--max-new-tokens", type=int, default=200)
    parser.add_argument(
        "--temperature", type=float, nargs="+", default=[0.0, 0.7], help="0: greedy; 0.7: as chat"
    )
    return parser.parse_args(own.split()), flags.split()


if __name__ == "__main__":
    main()
