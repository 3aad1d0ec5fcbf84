"""A transplanted vision-language model reads Turkish ids and a picture, and answers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from small_models import TEXT
from tokenizers import AddedToken
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    Qwen2VLImageProcessorPil,
)

from dilmac.core import InputError
from dilmac.tokenizer import Tokenizer, copy_tokenizer
from dilmac.transplant import MultimodalAdapter, TransplantConfig, transplant

VISION = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
EYES: dict[str, Any] = {
    "depth": 2,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_heads": 2,
    "out_hidden_size": 32,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
}
KINDS: dict[str, dict[str, Any]] = {
    "qwen2_5_vl": {"rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3]}},
    "qwen3_vl": {"rope_parameters": {"rope_type": "default", "mrope_section": [3, 3, 2]}},
}
MORE_EYES: dict[str, dict[str, Any]] = {
    "qwen2_5_vl": {"fullatt_block_indexes": [1], "window_size": 56},
    "qwen3_vl": {"num_position_embeddings": 64, "deepstack_visual_indexes": [0]},
}


@pytest.fixture(scope="module")
def eyed_tokenizer(tmp_path_factory: pytest.TempPathFactory, byte_level: Path) -> Path:
    """The byte-level tokenizer with vision tokens, as Qwen's has them."""
    folder = tmp_path_factory.mktemp("eyed") / "tokenizer"
    shutil.copytree(byte_level, folder)
    fast = Tokenizer(byte_level).fast
    fast.add_special_tokens([AddedToken(name, normalized=False) for name in VISION])
    fast.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}), encoding="utf-8"
    )
    return folder


@pytest.fixture(scope="module", params=sorted(KINDS))
def seeing(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, eyed_tokenizer: Path
) -> Path:
    """A tiny random model of each kind, with its processor."""
    kind = request.param
    known = Tokenizer(eyed_tokenizer)
    start, end, image, video = (known.control_id(name) for name in VISION)
    config = AutoConfig.for_model(
        kind,
        text_config=TEXT
        | KINDS[kind]
        | {"vocab_size": len(known), "eos_token_id": known.control_id("<|im_end|>")},
        vision_config=EYES | MORE_EYES[kind],
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
        tie_word_embeddings=True,
    )
    torch.manual_seed(3)
    folder: Path = tmp_path_factory.mktemp("seeing") / kind
    AutoModelForImageTextToText.from_config(config).save_pretrained(folder)
    copy_tokenizer(eyed_tokenizer, folder)
    Qwen2VLImageProcessorPil(
        patch_size=14, merge_size=2, size={"shortest_edge": 56 * 56, "longest_edge": 84 * 84}
    ).save_pretrained(folder)
    return folder


def picture(seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    return Image.fromarray(values)


@pytest.mark.parametrize("way", ["replace", "extend"])
def test_it_reads_turkish_ids_and_a_picture_and_answers(
    tmp_path: Path,
    seeing: Path,
    sample_tokenizer: Path,
    eyed_tokenizer: Path,
    way: str,
) -> None:
    tokenizer = sample_tokenizer if way == "replace" else eyed_tokenizer
    text = tmp_path / "text.txt"
    text.write_text("Bu resimde bir ev var.\n", encoding="utf-8")
    config = TransplantConfig(
        model=str(seeing), tokenizer=str(tokenizer), out=tmp_path / "out", turkish=(str(text),)
    )
    made = transplant(config)
    assert made.figures["bits_per_byte"]["step_0"]["turkish"] > 0
    adapter = MultimodalAdapter(made.path)
    inputs = adapter.process("Bu resimde ne var? <|image_pad|>", picture())
    place = adapter.tokenizer.control_id("<|image_pad|>")
    ids = inputs["input_ids"][0].tolist()
    squares = int(inputs["image_grid_thw"][0].prod()) // 4
    assert ids.count(place) == squares > 0  # what the user wrote is text
    assert "Bu resimde ne var? <|image_pad|>" in adapter.tokenizer.decode(ids)
    answer = adapter.generate("Bu resimde ne var?", picture(), max_new_tokens=5)
    assert isinstance(answer, str)
    with torch.inference_mode():
        seen, other = (
            adapter.model(**adapter.process("Ne var?", picture(seed))).logits[0, -1]
            for seed in (0, 1)
        )
    assert not torch.allclose(seen, other)  # the picture counts
    if way == "replace":
        assert made.figures["rows"] == len(Tokenizer(sample_tokenizer)) + len(VISION)


def test_what_it_needs(tmp_path: Path, seeing: Path, tiny_model: Path) -> None:
    with pytest.raises(InputError, match="no vision model"):
        MultimodalAdapter(tiny_model)
    blind = tmp_path / "blind"
    shutil.copytree(seeing, blind)
    (blind / "preprocessor_config.json").unlink()
    with pytest.raises(InputError, match=r"no preprocessor_config\.json"):
        MultimodalAdapter(blind)
    path = blind / "config.json"
    config = json.loads(path.read_text(encoding="utf-8")) | {"image_token_id": 3}
    path.write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(InputError, match="names the id 3"):
        MultimodalAdapter(blind)
    with pytest.raises(InputError, match="empty"):
        MultimodalAdapter(seeing).process("  ", picture())
