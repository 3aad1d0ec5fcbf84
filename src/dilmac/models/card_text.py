"""The words of a model's card, in English and Turkish, and of its `LICENSE`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from dilmac.models.card import CardFacts

MOST_SOURCES = 40  # rows of the table of data
ONE_LINE = 160  # longer values stay in artifact.json

TITLES = {
    "pretrained": "A Turkish language model, trained from scratch",
    "finetuned": "A Turkish language model, taught to answer",
    "converted": "A language model, converted from a PyTorch state dict",
    "rescaled": "A language model with a context longer than trained",
}
SUMMARIES = {
    "pretrained": "Metin tamamlayan bir Türkçe dil modeli; ağırlıkları sıfırdan eğitildi.",
    "finetuned": "Sohbet biçiminde yanıt vermek üzere ince ayar yapılmış bir dil modeli.",
    "converted": "PyTorch ağırlıklarından Hugging Face biçimine dönüştürülmüş bir dil modeli.",
    "rescaled": "Bağlamı, eğitildiğinden daha uzun olacak biçimde genişletilmiş bir dil modeli.",
}
USE = """\
```python
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "PATH/TO/THIS/FOLDER"
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder)
ids = tokenizer("Türkiye'nin en güzel", return_tensors="pt").input_ids
print(tokenizer.decode(model.generate(ids, max_new_tokens=40, do_sample=True)[0]))
```

Or `dilmac chat --model PATH/TO/THIS/FOLDER`."""
RESPONSIBILITY = """\
The model repeats patterns of the text that it read. It states falsehoods fluently, and it may be
biased or offensive. Do not let it decide about people. In medicine, law and finance an expert has
to check what it says before anyone relies on it. Tell your users that a machine is writing, and
do not use it to deceive, to harass, or to gather personal data.

### Sorumlu kullanım

Model, okuduğu metinlerdeki kalıpları yineler. Yanlış bilgileri akıcı bir dille aktarabilir;
önyargılı ya da incitici metinler üretebilir. İnsanlar hakkındaki kararları ona bırakmayın. Sağlık,
hukuk ve finans gibi alanlarda, söylediklerine bir uzman denetiminden geçmeden güvenmeyin.
Kullanıcılarınıza metni bir makinenin yazdığını bildirin; modeli aldatmak, taciz etmek ya da kişisel
veri toplamak için kullanmayın."""
LIMITS = """\
- It knows what its data held up to the day that they were gathered; it looks nothing up.
- It reads at most {context} tokens at once.
- What a figure above does not measure was not measured."""
SINIRLAR = """\
- Bilgisi, verinin toplandığı güne kadar veride bulunanlarla sınırlıdır; hiçbir kaynağa başvurmaz.
- Bir seferde en çok {context} token okur.
- Yukarıda sayısı verilmeyen hiçbir nitelik ölçülmemiştir."""
LICENSE_TEXTS = {
    "unknown": (
        "The license of these weights is not known.\n\n"
        "They were made from another model's weights, and nothing that came with those names a\n"
        "license. Ask whoever made them before you use or pass on this model. dilmac, the program\n"
        "that wrote this folder, grants no right in them.\n"
    ),
    "named": (
        "License identifier of these weights: {license}\n\n"
        "They were made from another model's weights, and this is the license stated for those.\n"
        "Its text did not come with them: get it from whoever published the model.\n"
    ),
}


def model_card(facts: CardFacts) -> str:
    """The whole `README.md`."""
    context = facts.model_config.get("max_position_embeddings", "an unknown number of")
    parts = [
        _front_matter(facts),
        f"# {TITLES[facts.how]}\n\n{SUMMARIES[facts.how]}",
        f"## Use\n\n{USE}",
        f"## Data\n\n{_data(facts)}",
        f"## Model\n\n{_table(_shape(facts.model_config))}",
        f"## Settings\n\n{_table(_flat(_but_seed(facts.settings)))}\n\nSeed: {facts.seed}.",
        f"## Figures\n\n{_table(_flat(facts.figures)) or 'None were measured.'}",
    ]
    if samples := facts.figures.get("samples"):
        parts.append(f"### Samples, unedited\n\n{_samples(samples)}")
    parts += [
        f"## Responsible use\n\n{RESPONSIBILITY}",
        f"## Limits\n\n{LIMITS.format(context=context)}",
        f"### Sınırlar\n\n{SINIRLAR.format(context=context)}",
        f"## License\n\n{_license(facts)}",
        f"## Versions\n\n{_table(facts.versions.items())}",
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(facts: CardFacts) -> str:
    front: dict[str, Any] = {
        "language": ["tr"],
        "license": facts.license,
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["turkish", facts.model_config.get("model_type", "causal-lm"), "dilmac", facts.how],
    }
    return f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---"


def _data(facts: CardFacts) -> str:
    parts = [_sources(facts)] if facts.sources else []
    parts.append("\n".join(f"- {name}: SHA-256 `{sha}`" for name, sha in facts.inputs.items()))
    if facts.base_data:
        parts.append(f"### Data of the base model\n\n{facts.base_data}")
    elif facts.how != "pretrained":
        parts.append("Of what the original weights learned from, only their own card can tell.")
    return "\n\n".join(part for part in parts if part)


def _sources(facts: CardFacts) -> str:
    rows = [(s.name, s.documents, s.license) for s in facts.sources[:MOST_SOURCES]]
    lines = [
        f"| {_cell(name)} | {'' if count is None else f'{count:,}'} | {_cell(terms)} |"
        for name, count, terms in rows
    ]
    more = len(facts.sources) - len(rows)
    rest = f"\n\nand {more:,} more sources." if more > 0 else ""
    return "\n".join(["| source | documents | license |", "|---|---:|---|", *lines]) + rest


def _but_seed(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name != "seed"}


def _shape(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    known = (
        "model_type",
        "vocab_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "intermediate_size",
        "max_position_embeddings",
        "rope_parameters",
        "tie_word_embeddings",
        "dtype",
    )
    return ((name, config[name]) for name in known if name in config)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested figures as one level; texts and long lists stay in `artifact.json`."""
    for name, value in values.items():
        if name == "samples":
            continue
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name} / ")
        elif value is not None and len(_shown(value)) <= ONE_LINE:
            yield f"{prefix}{name}", value


def _table(rows: Any) -> str:
    lines = [f"| {_cell(name)} | {_cell(_shown(value))} |" for name, value in rows]
    return "\n".join(["| | |", "|---|---|", *lines]) if lines else ""


def _shown(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return json.dumps(value, ensure_ascii=False)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _cell(text: Any) -> str:
    """A text in a table: in one line, with what Markdown would read made plain."""
    plain = " ".join(str(text).split())
    for mark in "\\|<>[]*`":
        plain = plain.replace(mark, f"\\{mark}")
    return plain


def _samples(samples: Mapping[str, str]) -> str:
    """As indented code, in which Markdown reads nothing."""
    blocks = (
        "\n".join(f"    {line}" for line in text.splitlines() if line.strip())
        for text in samples.values()
    )
    return "\n\n<!-- -->\n\n".join(block for block in blocks if block)


def _license(facts: CardFacts) -> str:
    if facts.how == "pretrained":
        return (
            "The weights: Apache License 2.0 (`LICENSE`). It covers the weights, not the texts "
            "that they were trained on, whose licenses stand above. Whoever trained the model may "
            "put another license in its place."
        )
    if facts.license == "unknown":
        return (
            "Unknown: nothing that came with the original weights names a license. See `LICENSE`."
        )
    return f"`{facts.license}`, as it was stated for the original weights. See `LICENSE`."
