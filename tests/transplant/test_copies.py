"""Copies beside the work: the same bytes and hashes, and nothing after the block has ended."""

from pathlib import Path

import pytest

from dilmac.core import InputError, sha256_of
from dilmac.transplant import copies as module
from dilmac.transplant.copies import COPY_BYTES, copied, copying


@pytest.fixture
def shards(tmp_path: Path) -> dict[Path, Path]:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    made = {}
    for number in range(3):
        old = tmp_path / "old" / f"{number}.safetensors"
        old.write_bytes(bytes([number]) * (COPY_BYTES + number))
        made[old] = tmp_path / "new" / old.name
    return made


@pytest.mark.parametrize("link", [False, True])
def test_copies_are_the_same_bytes_with_their_hashes(shards: dict[Path, Path], link: bool) -> None:
    with copying(shards, link=link) as copies:
        assert copies.result() == {new: sha256_of(old) for old, new in shards.items()}
    for old, new in shards.items():
        assert old.read_bytes() == new.read_bytes()
        assert old.samefile(new) == link


def test_nothing_is_written_after_a_block_that_failed(
    shards: dict[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = []

    def slow(shard: Path, target: Path, **settings: object) -> str:
        begun.append(target)
        settings["is_over"].wait(60)  # as long as the block goes on
        return copied(shard, target, **settings)

    monkeypatch.setattr(module, "copied", slow)
    with pytest.raises(InputError, match="the plan failed"), copying(shards, link=False):
        raise InputError("the plan failed")
    assert begun == [next(iter(shards.values()))]
    assert begun[0].read_bytes() == b""


def test_what_goes_wrong_in_a_copy_is_told_to_who_asks(shards: dict[Path, Path]) -> None:
    next(iter(shards)).unlink()
    with pytest.raises(FileNotFoundError), copying(shards, link=False) as copies:
        copies.result()
