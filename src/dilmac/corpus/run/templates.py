"""Which lines are templates of their source, over all parts of a corpus."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from dilmac.core import written_whole
from dilmac.corpus.run.workfolder import WorkFolder
from dilmac.corpus.steps.boilerplate import MAX_COUNTED_LINES, repeated_lines

FILE = "templates.npy"


def find_templates(work: WorkFolder) -> None:
    """Write the keys of template lines. Of a very large corpus every n-th part is looked at."""
    parts = work.parts()
    sizes = [_num_lines(work, part) for part in parts]
    every = -(-sum(sizes) // MAX_COUNTED_LINES) or 1
    rows, documents_of_source = [np.zeros((0, 2), np.uint64)], dict[str, int]()
    for part in parts[::every]:
        rows.append(np.load(work.file("clean", part, "lines.npy")))
        for source, count in work.facts("clean", part)["sources"].items():
            documents_of_source[source] = documents_of_source.get(source, 0) + count
    keys = repeated_lines(np.concatenate(rows), documents_of_source)
    with written_whole(work.path / FILE) as file:
        np.save(file, np.array(sorted(keys), dtype=np.uint64))


@lru_cache(maxsize=1)
def templates(work: WorkFolder) -> frozenset[int]:
    """The keys that `find_templates` wrote; none where it was not asked."""
    path = work.path / FILE
    return frozenset(np.load(path).tolist()) if path.is_file() else frozenset()


def _num_lines(work: WorkFolder, part: str) -> int:
    return len(np.load(work.file("clean", part, "lines.npy"), mmap_mode="r"))
