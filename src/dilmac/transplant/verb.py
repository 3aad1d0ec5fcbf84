"""`dilmac transplant`: a model on another tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from dilmac.core import (
    Artifact,
    Figures,
    InputError,
    building,
    expand_inputs,
    open_artifact,
    read_texts,
    say,
)
from dilmac.models import require_model_folder, write_model_card
from dilmac.tokenizer import PADDING, Side, Tokenizer, open_side
from dilmac.transplant.architectures import (
    Layout,
    Settings,
    find_layout,
    require_known,
    text_section,
)
from dilmac.transplant.config import TransplantConfig
from dilmac.transplant.controls import tokenizer_with_controls
from dilmac.transplant.decompose import cuts_in_text
from dilmac.transplant.folder import require_ids, write_folder
from dilmac.transplant.measure import measure_change
from dilmac.transplant.plan import ROWS_FILE, Origin, id_map, make_plan
from dilmac.transplant.registry import Registered, Role, Wanted, method_named
from dilmac.transplant.report import write_report
from dilmac.transplant.sources import source_folder, tokenizer_folder
from dilmac.transplant.stream import Checkpoint, Table, open_checkpoint, write_checkpoint
from dilmac.transplant.tables import is_silent, new_rows

REPORT = "report.html"


@dataclass(frozen=True)
class Source:
    """A model to transplant, opened: its files, not its numbers."""

    folder: Path
    settings: Settings
    checkpoint: Checkpoint
    layout: Layout
    tokenizer: Side


def open_source(folder: Path) -> Source:
    """Open a model folder and find its tables.

    Raises:
        InputError: an unknown architecture, missing or damaged weights, or no tokenizer.
    """
    settings = require_model_folder(folder)
    require_known(settings, folder / "config.json")
    checkpoint = open_checkpoint(folder)
    layout = find_layout(settings, checkpoint.shapes, is_tied=_is_tied(folder), where=folder)
    tokenizer = open_side(folder)
    if len(tokenizer.rows) > layout.num_rows:
        raise InputError(
            f"the model has {layout.num_rows:,} rows, its tokenizer {len(tokenizer.rows):,}",
            where=folder,
            mend="is this the tokenizer that the model was trained with?",
        )
    source = Source(folder, settings, checkpoint, layout, tokenizer)
    _require_one_table(source)
    return source


def _is_tied(folder: Path) -> bool:
    """As transformers reads it: where the config is silent, its class decides."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        message = " ".join(str(error).split())[:200]
        raise InputError(f"transformers cannot read it ({message})", where=folder) from error
    return bool(config.tie_word_embeddings)


def _require_one_table(source: Source) -> None:
    """A tied model whose file holds a head all the same: it must be the embedding's double."""
    spare = source.layout.spare_head
    if spare is None:
        return
    tables = source.checkpoint.table(spare), source.checkpoint.table(source.layout.embedding)
    if not torch.equal(*tables):
        raise InputError(
            f"its config.json says that head and embedding are one, and {spare} is another",
            where=source.folder,
            mend="set tie_word_embeddings to what the model was trained with",
        )


def transplant(config: TransplantConfig, *, force: bool = False) -> Artifact:
    """Make a model folder for another tokenizer, with `report.html`.

    Raises:
        InputError: model or tokenizer cannot be read, or one lacks what the other needs.
        ConfigError: the method is unknown, or lacks what it learns from.
    """
    folder = source_folder(config.model)
    tokenizer = tokenizer_folder(config.tokenizer)
    source = open_source(folder)
    if config.corpus:
        open_artifact(config.corpus, "corpus")
    inputs = {"model": [folder], "tokenizer": [tokenizer]}
    inputs |= {name: [path] for name in ("corpus", "donor") if (path := getattr(config, name))}
    for name in ("turkish", "english", "code"):
        inputs[name] = expand_inputs(getattr(config, name)) if getattr(config, name) else []
    method = method_named(config.init)
    with building("model", config, inputs, force=force) as build:
        if build.done:
            return build.done
        graft = Graft(source, _fitted(source, tokenizer, build.path), config)
        figures = graft.write(method, build.path)
        figures |= measure_change(config, folder, build.path)
        write_report(build.path / REPORT, config, figures)
        write_model_card(build, figures, how="transplanted", base=folder)
        return build.finish(figures)


def _fitted(source: Source, tokenizer: Path, folder: Path) -> Path:
    return tokenizer_with_controls(source.settings, source.tokenizer, tokenizer, folder)


class Graft:
    """A source and a new tokenizer, put together by any method."""

    def __init__(self, source: Source, tokenizer: Path, config: TransplantConfig):
        self.source, self.config, self.folder = source, config, tokenizer
        self.target = open_side(tokenizer)
        num_rows = config.rows or -(-len(self.target.rows) // config.pad_to) * config.pad_to
        self.plan = make_plan(source.tokenizer, self.target, num_rows)
        self.ids = id_map(source.tokenizer, self.target, self.plan)
        require_ids(source.folder, self.ids, {v: k for k, v in source.tokenizer.control.items()})
        self.is_tied = source.layout.is_tied and not config.untie

    @property
    def extends(self) -> bool:
        """Whether the tokenizer goes on from the model's own: most of what it knew is kept."""
        known = sum(data is not None for data in self.source.tokenizer.rows)
        return (self.folder / ROWS_FILE).is_file() or len(set(self.plan.shared().values())) == known

    @property
    def roles(self) -> dict[str, Role]:
        """Names of the new tables, and what each is for."""
        layout = self.source.layout
        if self.is_tied:
            return {layout.embedding: "tied"}
        return {layout.embedding: "input", layout.head or "lm_head.weight": "output"}

    def write(self, method: Registered, folder: Path) -> Figures:
        """Write the whole model folder by one method; its figures."""
        wanted = self._wanted()
        say(f"transplant: {self.plan.num_rows:,} rows, {len(wanted.rows):,} made by {method.name}")
        checkpoint, layout = self.source.checkpoint, self.source.layout
        tables = {
            name: self._table(name, role, method, wanted) for name, role in self.roles.items()
        }
        dropped = {layout.spare_head} if layout.spare_head and self.is_tied else set()
        write_checkpoint(checkpoint, folder, tables, dropped, link=self.config.link)
        silent = [row for row, spoken in enumerate(self.plan.spoken) if not spoken]
        write_folder(
            self.source.folder,
            self.folder,
            folder,
            new_id=self._new_id,
            num_rows=self.plan.num_rows,
            is_tied=self.is_tied,
            silent=silent,
        )
        return figures_of(self, method, folder)

    def _new_id(self, key: str, old: int) -> int | None:
        """The id for a config's key; padding is a token of its own where there is one."""
        pad = next((self.target.control[n] for n in PADDING if n in self.target.control), None)
        return pad if key == "pad_token_id" and pad is not None else self.ids.get(old)

    def _table(self, name: str, role: Role, method: Registered, wanted: Wanted) -> Table:
        checkpoint, layout = self.source.checkpoint, self.source.layout
        old = name if name in checkpoint.tensors else layout.embedding  # a head that is untied now
        table = checkpoint.table(old)
        made = method.make(wanted, role)
        shape = (self.plan.num_rows, layout.width)
        chunks = partial(new_rows, self.plan, made, table, role)
        return Table(checkpoint.tensors[old].dtype, shape, chunks)

    def _wanted(self) -> Wanted:
        config, target = self.config, Tokenizer(self.folder)
        texts = partial(read_texts, config.corpus, "train") if config.corpus else None
        cuts = None
        if config.weighted_parts and texts:
            rows = self.plan.rows_of(Origin.COMPOSED)
            cuts = cuts_in_text(rows, self.source.tokenizer, target, self.target, texts())
            say(f"transplant: {len(cuts):,} of {len(rows):,} new tokens were met in the text")
        return Wanted(
            plan=self.plan,
            source=Tokenizer(self.source.folder),
            target=target,
            texts=texts,
            donor=config.donor,
            cuts=cuts,
            seed=config.seed,
        )


def figures_of(graft: Graft, method: Registered, folder: Path) -> Figures:
    """Coverage, parameters and memory, before and after."""
    before, after = graft.source.checkpoint, open_checkpoint(folder)
    plan, layout = graft.plan, graft.source.layout
    kept = len(set(plan.shared().values()))
    return {
        "init": method.name,
        "init_source": method.source,
        "way": "extend" if graft.extends else "replace",
        "rows": plan.num_rows,
        "rows_before": layout.num_rows,
        "rows_by_origin": plan.counts(),
        "old_rows_kept": kept,
        "silent_rows": sum(is_silent(plan, row, "output") for row in range(plan.num_rows)),
        "tied": graft.is_tied,
        "parameters_before": before.num_parameters,
        "parameters": after.num_parameters,
        "bytes_before": before.num_bytes,
        "bytes": after.num_bytes,
        "layers": text_section(graft.source.settings).get("num_hidden_layers"),
    }
