"""Documentation says what is true: every flag is on its page, every link leads somewhere."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from dilmac.corpus import CorpusConfig
from dilmac.estimate import RecipeEstimateConfig
from dilmac.evaluate import CompareRunsConfig, EvaluateConfig
from dilmac.export import (
    AdapterConfig,
    CompressedConfig,
    DoctorConfig,
    GgufConfig,
    OllamaConfig,
    OnnxConfig,
    VerifyConfig,
)
from dilmac.models import ListConfig, PresetsConfig, ShowConfig, SuggestConfig
from dilmac.quickstart import QuickstartConfig
from dilmac.serve import ChatConfig, ServeConfig
from dilmac.tokenizer import CompareConfig, ExtendConfig, TokenizerConfig
from dilmac.training import (
    ClassifyConfig,
    ConvertConfig,
    FinetuneConfig,
    ListAdaptersConfig,
    MergeAdapterConfig,
    PredictConfig,
    PretrainConfig,
    RescaleConfig,
    SwitchAdapterConfig,
)
from dilmac.transplant import HealConfig, TransplantConfig

ROOT = Path(__file__).resolve().parents[1]
PAGES: dict[str, type[BaseModel] | tuple[type[BaseModel], ...]] = {
    "quickstart": QuickstartConfig,
    "corpus-build": CorpusConfig,
    "tokenizer-train": TokenizerConfig,
    "tokenizer-extend": ExtendConfig,
    "tokenizer-compare": CompareConfig,
    "pretrain": PretrainConfig,
    "finetune": FinetuneConfig,
    "adapters": (ListAdaptersConfig, SwitchAdapterConfig, MergeAdapterConfig),
    "classify": (ClassifyConfig, PredictConfig),
    "compare": CompareRunsConfig,
    "evaluate": EvaluateConfig,
    "estimate": RecipeEstimateConfig,
    "export-adapter": AdapterConfig,
    "export-gguf": GgufConfig,
    "export-ollama": OllamaConfig,
    "export-onnx": OnnxConfig,
    "export-compressed": CompressedConfig,
    "export-verify": VerifyConfig,
    "doctor": DoctorConfig,
    "chat": ChatConfig,
    "serve": ServeConfig,
    "transplant": TransplantConfig,
    "heal": HealConfig,
    "models": (
        ListConfig,
        ShowConfig,
        SuggestConfig,
        PresetsConfig,
        ConvertConfig,
        RescaleConfig,
    ),
}
TEXTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]


@pytest.mark.parametrize("page", PAGES)
def test_every_flag_is_on_its_page_with_its_meaning(page: str) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    listed = PAGES[page]
    models = listed if isinstance(listed, tuple) else (listed,)
    for name, field in (item for model in models for item in model.model_fields.items()):
        if name != "inputs":
            assert f"`--{name.replace('_', '-')}`" in text, name
        assert field.description and field.description in text, name


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_links_lead_somewhere_and_nothing_is_left_to_fill(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    prose = [line for line in text.splitlines() if not line.startswith("    ")]
    assert not [line for line in prose if "{{" in line]  # in code it may be somebody's template
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if "://" not in target:
            assert (path.parent / target).exists(), target


def test_both_readmes_have_the_same_parts() -> None:
    english, turkish = (
        (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.tr.md")
    )
    for pattern in (r"^## ", r"^    ", r"^\| \[", r"\]\("):
        counts = [len(re.findall(pattern, text, re.MULTILINE)) for text in (english, turkish)]
        assert counts[0] == counts[1], pattern
