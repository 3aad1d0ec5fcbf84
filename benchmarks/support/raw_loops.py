"""The runtimes' own loops, for `engines.py`: a process that loads a model and generates greedily.

    python raw_loops.py KIND MODEL PRECISION THREADS TOKENS

Reads a prompt's ids from each line of standard input, and answers with a line: the seconds that it
took, prompt and all. Nothing of dilmaç is in the loop; it only opens the model in its precision.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def transformers_loop(model: str, precision: str, threads: int) -> Callable[[list[int], int], int]:
    import torch

    from dilmac.engines.precision import load_in_precision

    torch.set_num_threads(threads)
    loaded: Any = load_in_precision(Path(model), precision, torch.device("cpu"))  # type: ignore[arg-type]

    def run(prompt: list[int], tokens: int) -> int:
        ids = torch.tensor([prompt])
        with torch.inference_mode():
            made = loaded.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=tokens,
                min_new_tokens=tokens,
                do_sample=False,
            )
        return int(made.shape[1]) - len(prompt)

    return run


def llamacpp_loop(model: str, _precision: str, threads: int) -> Callable[[list[int], int], int]:
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = model
    parameters.n_ctx, parameters.n_parallel, parameters.warmup = 1024, 1, False
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    parameters.verbosity = 0
    server = xllamacpp.Server(parameters)

    def run(prompt: list[int], tokens: int) -> int:
        asked = {
            "prompt": prompt,
            "n_predict": tokens,
            "temperature": 0.0,
            "ignore_eos": True,
            "cache_prompt": False,
            "stream": True,  # as an engine must
        }
        made = 0

        def on_chunk(chunk: dict[str, Any]) -> bool:
            nonlocal made
            made += bool(chunk["choices"]) and chunk["choices"][0]["finish_reason"] is None
            return False

        server.handle_completions(asked, on_chunk)
        return made

    return run


def onnx_loop(model: str, _precision: str, threads: int) -> Callable[[list[int], int], int]:
    import onnxruntime_genai as genai

    settings = genai.Config(model)
    settings.overlay(
        json.dumps({"model": {"decoder": {"session_options": {"intra_op_num_threads": threads}}}})
    )
    loaded = genai.Model(settings)

    def run(prompt: list[int], tokens: int) -> int:
        parameters = genai.GeneratorParams(loaded)
        longest = len(prompt) + tokens
        parameters.set_search_options(max_length=longest, min_length=longest, do_sample=False)
        generator = genai.Generator(loaded, parameters)
        generator.append_tokens(prompt)
        made = 0
        while not generator.is_done():
            generator.generate_next_token()
            made += 1
        return made

    return run


LOOPS = {"transformers": transformers_loop, "llamacpp": llamacpp_loop, "onnx": onnx_loop}


def main() -> None:
    kind, model, precision, threads, tokens = sys.argv[1:]
    run = LOOPS[kind](model, precision, int(threads))
    for line in sys.stdin:
        started = time.perf_counter()
        made = run(json.loads(line), int(tokens))
        if made != int(tokens):
            raise SystemExit(f"{made} tokens instead of {tokens}")
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main()
