"""Claim: quickstart ends within 5 minutes on 4 cores and within 4 GB of memory.

python benchmarks/quickstart.py [TEXT…]      (the bundled sample by default)
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from support.measuring import heading, run_measured


def main(texts: list[str]) -> None:
    flags = [flag for text in texts for flag in ("--text", text)]
    print(heading("python benchmarks/quickstart.py " + " ".join(Path(t).name for t in texts)))
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "dilmac", "quickstart", *flags, "--out", f"{folder}/out"]
        seconds, megabytes = run_measured(command)
    print(f"wall {seconds:.0f} s, peak memory {megabytes:,.0f} MB (children included)")


if __name__ == "__main__":
    main(sys.argv[1:])
