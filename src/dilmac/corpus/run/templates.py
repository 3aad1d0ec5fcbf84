"""Which lines are templates of their source, over all parts of a corpus."""

from __future__ import annotations

import numpy as np

from dilmac.corpus.run.workfolder import WorkFolder
from dilmac.corpus.steps.boilerplate import MAX_COUNTED_LINES, repeated_lines


def find_templates(work: WorkFolder) -> frozenset[int]:
    """Keys of template lines. Of a very large corpus every n-th part is looked at: 200 MB."""
    parts = work.parts()
    sizes = [_num_lines(work, part) for part in parts]
    every = -(-sum(sizes) // MAX_COUNTED_LINES) or 1
    rows, documents_of_source = [np.zeros((0, 2), np.uint64)], dict[str, int]()
    for part in parts[::every]:
        rows.append(np.load(work.file("clean", part, "lines.npy")))
        for source, count in work.facts("clean", part)["sources"].items():
            documents_of_source[source] = documents_of_source.get(source, 0) + count
    return repeated_lines(np.concatenate(rows), documents_of_source)


def _num_lines(work: WorkFolder, part: str) -> int:
    return len(np.load(work.file("clean", part, "lines.npy"), mmap_mode="r"))
