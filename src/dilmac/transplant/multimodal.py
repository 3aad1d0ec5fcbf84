"""A transplanted vision-language model: Turkish ids and a picture in, text out.

The guide's `combine_features` is what such a model does inside: its vision tower makes a vector of
every square of patches, and its merger puts them into the places of `<|image_pad|>` tokens among
the vectors of the text (LLaVA, Liu et al. 2023; Qwen2-VL, Wang et al. 2024). So a transplant has
to keep those tokens, and nothing else of the picture's side changes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from dilmac.core import InputError, MissingDependencyError, read_json
from dilmac.tokenizer import IM_END, IM_START, Tokenizer
from dilmac.transplant.folder import CONFIG

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

START, PLACE, END = "<|vision_start|>", "<|image_pad|>", "<|vision_end|>"
PROCESSOR = "preprocessor_config.json"


class MultimodalAdapter:
    """Text and a picture as a transplanted model takes them.

    `folder` is a model of Qwen2-VL's, Qwen2.5-VL's or Qwen3-VL's kind with the new tokenizer and
    its `preprocessor_config.json`.
    """

    def __init__(self, folder: Path):
        """Open the tokenizer and the picture's processor.

        Raises:
            InputError: the folder is no vision model, or lacks a vision token or its processor.
            MissingDependencyError: Pillow is not installed.
        """
        self.folder = folder
        self.tokenizer = Tokenizer(folder)
        settings = read_json(folder / CONFIG)
        if "vision_config" not in settings:
            raise InputError("is no vision model", where=folder)
        self.merge = int(settings["vision_config"].get("spatial_merge_size", 2))
        self._ids = [self.tokenizer.control_id(name) for name in (START, PLACE, END)]
        self._turns = [self.tokenizer.control_id(name) for name in (IM_START, IM_END)]
        if settings.get("image_token_id") != self._ids[1]:
            raise InputError(
                f"config.json names the id {settings.get('image_token_id')} for pictures, its "
                f"tokenizer {self._ids[1]}",
                where=folder,
                mend="make the model with `dilmac transplant`",
            )
        self._processor = _image_processor(folder)

    def process(self, text: str, image: Image) -> dict[str, torch.Tensor]:
        """What the model's `forward` and `generate` take of a picture and a text about it.

        `input_ids` and `attention_mask` [1, tokens], `mm_token_type_ids` [1, tokens] (1 for the
        picture's places), `pixel_values` [patches, values], `image_grid_thw` [1, 3].
        Control strings in the text are text.

        Raises:
            InputError: the text is empty.
        """
        import torch

        if not text.strip():
            raise InputError("empty: there is nothing to ask", where="text")
        pictures = self._processor(images=[image], return_tensors="pt")
        grid = pictures["image_grid_thw"]
        start, place, end = self._ids
        num_places = int(grid[0].prod()) // self.merge**2
        ids = self._chat(text, [start, *[place] * num_places, end])
        input_ids = torch.tensor([ids])
        return {
            "input_ids": input_ids,
            "attention_mask": torch.ones_like(input_ids),
            "mm_token_type_ids": (input_ids == place).long(),
            "pixel_values": pictures["pixel_values"],
            "image_grid_thw": grid,
        }

    def _chat(self, text: str, picture: list[int]) -> list[int]:
        """A user's turn with the picture before the text, and the opening of the answer."""
        (first, last), encode = self._turns, self.tokenizer.encode
        question = [first, *encode("user\n"), *picture, *encode(text), last, *encode("\n")]
        return [*question, first, *encode("assistant\n")]

    def generate(self, text: str, image: Image, *, max_new_tokens: int = 128) -> str:
        """The model's answer, by its own generation settings."""
        import torch

        inputs = self.process(text, image)
        with torch.inference_mode():
            given = self.model.generate(**inputs, max_new_tokens=max_new_tokens)
        return self.tokenizer.decode(given[0, inputs["input_ids"].shape[1] :].tolist())

    @property
    def model(self) -> Any:
        """The model, opened when it is first asked for."""
        if not hasattr(self, "_model"):
            from transformers import AutoModelForImageTextToText

            self._model = AutoModelForImageTextToText.from_pretrained(
                str(self.folder), local_files_only=True, use_safetensors=True
            ).eval()
        return self._model


def _image_processor(folder: Path) -> Any:
    if not (folder / PROCESSOR).is_file():
        raise InputError(
            f"no {PROCESSOR} in it", where=folder, mend="copy it from the model's own folder"
        )
    try:
        import PIL  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            "pictures need Pillow", mend="pip install 'dilmac[vision]'"
        ) from error
    from transformers import AutoImageProcessor

    return AutoImageProcessor.from_pretrained(str(folder), local_files_only=True, backend="pil")
