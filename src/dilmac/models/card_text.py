"""The words of a model's card, in English and Turkish, and of its `LICENSE`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import yaml

from dilmac.models.card_data import data_section
from dilmac.models.markdown import shown, table

if TYPE_CHECKING:
    from dilmac.models.card import CardFacts

ONE_LINE = 160  # longer values stay in artifact.json
BY_SOURCE = "by_source"  # figures of this ending have a table of their own

TITLES = {
    "pretrained": "A Turkish language model, trained from scratch",
    "trained on": "A Turkish language model, trained on from another one",
    "finetuned": "A Turkish language model, taught to answer",
    "classified": "A classifier of texts, made from a language model",
    "converted": "A language model, converted from a PyTorch state dict",
    "rescaled": "A language model with a context longer than trained",
    "transplanted": "A language model on another tokenizer",
    "healed": "A language model at home in another tokenizer",
}
SUMMARIES = {
    "pretrained": "Metin tamamlayan bir Türkçe dil modeli; ağırlıkları sıfırdan eğitildi.",
    "trained on": (
        "Metin tamamlayan bir Türkçe dil modeli; eğitimine başka bir modelin ağırlıklarından "
        "devam edildi."
    ),
    "finetuned": "Sohbet biçiminde yanıt vermek üzere ince ayar yapılmış bir dil modeli.",
    "classified": "Metinleri etiketleyen, bir dil modelinden eğitilmiş bir sınıflandırıcı.",
    "converted": "PyTorch ağırlıklarından Hugging Face biçimine dönüştürülmüş bir dil modeli.",
    "rescaled": "Bağlamı, eğitildiğinden daha uzun olacak biçimde genişletilmiş bir dil modeli.",
    "transplanted": "Başka bir belirteçleyiciye geçirilmiş bir dil modeli.",
    "healed": "Başka bir belirteçleyiciye geçirilmiş, sonra onunla eğitilmiş bir dil modeli.",
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
USE_CLASSIFIER = """\
```python
from transformers import pipeline

classify = pipeline("text-classification", "PATH/TO/THIS/FOLDER")
print(classify("Ürün tam zamanında geldi.", truncation=True, top_k=None))
```

Or `dilmac classify predict "Ürün tam zamanında geldi." --model PATH/TO/THIS/FOLDER`."""
RESPONSIBILITY_CLASSIFIER = """\
The model gives one of its labels to every text, also to one that fits none of them, and its
probabilities are no measure of truth. It repeats the biases of whoever labeled its data. Do not let
it decide about people. Look at its errors by label before you rely on it.

### Sorumlu kullanım

Model, hiçbirine uymasa bile her metne etiketlerinden birini verir; olasılıkları doğruluğun ölçüsü
değildir. Verisini etiketleyenlerin önyargılarını yineler. İnsanlar hakkındaki kararları ona
bırakmayın. Güvenmeden önce her etikette yaptığı yanlışlara bakın."""
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
    "stated": (
        "License identifier of these weights: {license}\n\n"
        "Whoever trained them stated it; put the license's text here before you pass them on.\n"
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
    kind = "trained on" if facts.how == "pretrained" and facts.has_base else facts.how
    parts = [
        _front_matter(facts),
        f"# {TITLES[kind]}\n\n{SUMMARIES[kind]}",
        f"## Use\n\n{USE_CLASSIFIER if kind == 'classified' else USE}",
        f"## Data\n\n{data_section(facts)}",
        f"## Model\n\n{table(_shape(facts.model_config))}",
        f"## Settings\n\n{table(_flat(_but_seed(facts.settings)))}\n\nSeed: {facts.seed}.",
        f"## Figures\n\n{_figures(facts.figures)}",
    ]
    if samples := facts.figures.get("samples"):
        parts.append(f"### Samples, unedited\n\n{_samples(samples)}")
    parts += [
        f"## Responsible use\n\n{_responsibility(kind)}",
        f"## Limits\n\n{LIMITS.format(context=context)}",
        f"### Sınırlar\n\n{SINIRLAR.format(context=context)}",
        f"## License\n\n{_license(facts)}",
        f"## Versions\n\n{table(facts.versions.items())}",
    ]
    return "\n\n".join(parts) + "\n"


def _responsibility(kind: str) -> str:
    return RESPONSIBILITY_CLASSIFIER if kind == "classified" else RESPONSIBILITY


def _front_matter(facts: CardFacts) -> str:
    front: dict[str, Any] = {
        "language": ["tr"],
        "license": facts.license,
        "library_name": "transformers",
        "pipeline_tag": ("text-classification" if facts.how == "classified" else "text-generation"),
        "tags": ["turkish", facts.model_config.get("model_type", "causal-lm"), "dilmac", facts.how],
    }
    return f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---"


def _figures(figures: Mapping[str, Any]) -> str:
    """All figures, and a table of each that was measured by source."""
    by_source = {
        name: values
        for name, values in figures.items()
        if name.endswith(BY_SOURCE) and isinstance(values, Mapping) and values
    }
    others = {name: value for name, value in figures.items() if name not in by_source}
    parts = [table(_flat(others))]
    for name, values in by_source.items():
        what = name.removesuffix(BY_SOURCE).strip("_") or "value"
        heads = ("source", what.replace("_", " "))
        parts.append(f"### {name.replace('_', ' ').capitalize()}\n\n{table(values.items(), heads)}")
    return "\n\n".join(part for part in parts if part) or "None were measured."


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
        elif value is not None and len(shown(value)) <= ONE_LINE:
            yield f"{prefix}{name}", value


def _samples(samples: Mapping[str, str]) -> str:
    """As indented code, in which Markdown reads nothing."""
    blocks = (
        "\n".join(f"    {line}" for line in text.splitlines() if line.strip())
        for text in samples.values()
    )
    return "\n\n<!-- -->\n\n".join(block for block in blocks if block)


def _license(facts: CardFacts) -> str:
    if facts.is_made_from_weights:
        if facts.license == "unknown":
            return (
                "Unknown: nothing that came with the original weights names a license. "
                "See `LICENSE`."
            )
        return f"`{facts.license}`, as it was stated for the original weights. See `LICENSE`."
    if facts.license == "apache-2.0":
        return (
            "The weights: Apache License 2.0 (`LICENSE`). It covers the weights, not the texts "
            "that they were trained on, whose licenses stand above. Whoever trained the model may "
            "put another license in its place."
        )
    return (
        f"The weights: `{facts.license}`, as whoever trained the model stated it. It covers the "
        "weights, not the texts that they were trained on, whose licenses stand above."
    )
