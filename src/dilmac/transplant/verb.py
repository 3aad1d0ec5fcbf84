"""`dilmac transplant`: a model on another tokenizer."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from dilmac.core import (
    Artifact,
    Figures,
    building,
    open_artifact,
    read_texts,
    say,
)
from dilmac.models import model_folder, write_model_card
from dilmac.tokenizer import END_OF_DOCUMENT, END_OF_TURN, PADDING, Tokenizer, open_side
from dilmac.transplant.choices import choices
from dilmac.transplant.config import AUTO, TransplantConfig
from dilmac.transplant.controls import tokenizer_with_controls
from dilmac.transplant.copies import Copies
from dilmac.transplant.decompose import cuts_in_text
from dilmac.transplant.folder import require_ids, write_folder
from dilmac.transplant.measure import Texts, measure_change, measured_texts, text_inputs
from dilmac.transplant.plan import Origin, id_map, make_plan
from dilmac.transplant.registry import Registered, Role, Wanted, method_named
from dilmac.transplant.report import REPORT, write_report
from dilmac.transplant.sources import Source, open_source, tokenizer_folder
from dilmac.transplant.stream import (
    Hashes,
    Table,
    copied_beside,
    open_checkpoint,
    write_checkpoint,
)
from dilmac.transplant.tables import is_silent, new_rows

if TYPE_CHECKING:
    from dilmac.transplant.probe import Probed


def transplant(config: TransplantConfig, *, force: bool = False) -> Artifact:
    """Make a model folder for another tokenizer, with `report.html`.

    Raises:
        InputError: model or tokenizer cannot be read, or one lacks what the other needs.
        ConfigError: the method is unknown, or lacks what it learns from.
    """
    folder = model_folder(config.model)
    tokenizer = tokenizer_folder(config.tokenizer)
    source = open_source(folder)
    if config.corpus:
        open_artifact(config.corpus, "corpus")
    if config.init != AUTO:
        method_named(config.init).require(config)
    inputs = {"model": [folder], "tokenizer": [tokenizer]} | text_inputs(config)
    inputs |= {name: [path] for name in ("corpus", "donor") if (path := getattr(config, name))}
    texts = measured_texts(config)
    with building("model", config, inputs, force=force, hashes_inputs=True) as build:
        if build.done:
            return build.done
        changed = source.layout.tables
        with copied_beside(source.checkpoint, build.path, changed, link=config.link) as copies:
            graft = Graft(source, tokenizer_with_controls(source, tokenizer, build.path), config)
            probed = _probed(graft, config, build.path, texts) if config.init == AUTO else None
            method = method_named(probed.best if probed else config.init)
            figures, hashes = graft.write(method, build.path, copies)
        build.hashes |= hashes.written
        build.input_hashes |= hashes.read
        figures |= {"probe": probed.curves} if probed else {}
        figures |= measure_change(texts, folder, build.path, probed.bits if probed else None)
        figures |= {"choices": choices(graft, texts)}
        write_report(build.path / REPORT, config, figures)
        write_model_card(build, figures, how="transplanted", base=folder)
        return build.finish(figures)


def _probed(graft: Graft, config: TransplantConfig, folder: Path, texts: Texts) -> Probed:
    """What a short training says of each method."""
    from dilmac.transplant.probe import probe  # and all that training needs: seconds

    def write(method: Registered, into: Path) -> int | None:
        into.mkdir(parents=True)
        first: int | None = graft.write(method, into)[0]["first_made_row"]
        return first

    return probe(config, write, folder / "probe", texts)


class Graft:
    """A source and a new tokenizer, put together by any method."""

    def __init__(self, source: Source, tokenizer: Path, config: TransplantConfig):
        self.source, self.config, self.folder = source, config, tokenizer
        self.target = open_side(tokenizer)
        num_rows = -(-(config.rows or len(self.target.rows)) // config.pad_to) * config.pad_to
        self.plan = make_plan(source.tokenizer, self.target, num_rows)
        self.ids = id_map(source.tokenizer, self.target, self.plan)
        require_ids(source.folder, self.ids, {v: k for k, v in source.tokenizer.control.items()})
        self.is_tied = source.layout.is_tied and not config.untie

    @property
    def extends(self) -> bool:
        """Whether the tokenizer goes on from the model's own, or is it."""
        return self.plan.is_extension or not self.plan.rows_of(Origin.COMPOSED)

    @property
    def roles(self) -> dict[str, Role]:
        """Names of the new tables, and what each is for."""
        layout = self.source.layout
        if self.is_tied:
            return {layout.embedding: "tied"}
        head = layout.head or layout.spare_head or "lm_head.weight"
        return {layout.embedding: "input", head: "output"}

    def write(
        self, method: Registered, folder: Path, copies: Copies | None = None
    ) -> tuple[Figures, Hashes]:
        """Write the whole model folder by one method; its figures, and the shards' SHA-256.

        `copies` are shards that are on their way there already.
        """
        wanted = replace(self._wanted, notes={}, cache={})
        say(f"transplant: {self.plan.num_rows:,} rows, {len(wanted.rows):,} made by {method.name}")
        checkpoint, layout = self.source.checkpoint, self.source.layout
        tables = {
            name: self._table(name, role, method, wanted) for name, role in self.roles.items()
        }
        dropped = {layout.spare_head} if layout.spare_head and self.is_tied else set()
        hashes = write_checkpoint(
            checkpoint, folder, tables, dropped, copies, link=self.config.link
        )
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
        return figures_of(self, method, folder) | {"notes": wanted.notes}, hashes

    def _new_id(self, key: str, old: int) -> int | None:
        """The id for a config's key; padding is a token of its own where there is one."""
        control = self.target.control
        own = {"pad_token_id": PADDING, "eos_token_id": (*END_OF_TURN, *END_OF_DOCUMENT)}
        known = [control[name] for name in own.get(key, ()) if name in control]
        if key == "pad_token_id" and known:
            return known[0]
        found = self.ids.get(old)
        # An answer must end: what the new tokenizer ends one with, where it has not the same.
        return known[0] if found is None and key == "eos_token_id" and known else found

    def _table(self, name: str, role: Role, method: Registered, wanted: Wanted) -> Table:
        checkpoint, layout = self.source.checkpoint, self.source.layout
        old = name if name in checkpoint.tensors else layout.embedding  # a head that is untied now
        table = checkpoint.table(old)
        made = method.make(wanted, role)
        shape = (self.plan.num_rows, layout.width)
        chunks = partial(new_rows, self.plan, made, table, role)
        return Table(checkpoint.tensors[old].dtype, shape, chunks)

    @cached_property
    def _wanted(self) -> Wanted:
        config, old, new = self.config, self.source.tokenizer, self.target
        texts = partial(read_texts, config.corpus, "train") if config.corpus else None
        cuts = None
        if config.weighted_parts and texts:
            rows = self.plan.rows_of(Origin.COMPOSED)
            cuts = cuts_in_text(rows, old, new, texts())
            say(f"transplant: {len(cuts):,} of {len(rows):,} new tokens were met in the text")
        return Wanted(
            plan=self.plan,
            source=old.tokenizer or Tokenizer(old.where),
            target=new.tokenizer or Tokenizer(new.where),
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
    known = sum(bool(data) for data in graft.source.tokenizer.rows)
    composed = plan.rows_of(Origin.COMPOSED, Origin.FRESH)
    after_them = composed + plan.rows_of(Origin.IDLE)
    stand_last = after_them == list(range(plan.num_rows - len(after_them), plan.num_rows))
    return {
        # Where the made rows begin, if nothing but padding follows: they can be trained alone.
        "first_made_row": composed[0] if composed and stand_last else None,
        "init": method.name,
        "init_source": method.source,
        "way": "extend" if graft.extends else "replace",
        "rows": plan.num_rows,
        "rows_before": layout.num_rows,
        "rows_by_origin": plan.counts(),
        "old_rows_kept": kept,
        "old_rows": known,
        "silent_rows": sum(is_silent(plan, row, "output") for row in range(plan.num_rows)),
        "tied": graft.is_tied,
        "parameters_before": before.num_parameters,
        "parameters": after.num_parameters,
        "bytes_before": before.num_bytes,
        "bytes": after.num_bytes,
    }
