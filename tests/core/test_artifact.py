"""The artifact contract: whole or not at all, done once, never over something else."""

import hashlib
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dilmac.core import (
    Artifact,
    ArtifactError,
    InputError,
    StageConfig,
    artifact,
    building,
    input_record,
    open_artifact,
    records,
)


class NoteConfig(StageConfig):
    """A stage that writes a note."""

    source: Path
    words: int = 3


def write_note(config: NoteConfig, *, force: bool = False, fail: bool = False) -> Artifact:
    inputs = {"source": [config.source]}
    with building("note", config, inputs, force=force) as build:
        if build.done:
            return build.done
        (build.path / "sub").mkdir()
        (build.path / "sub" / "note.txt").write_text("x " * config.words, encoding="utf-8")
        (build.path / "events.jsonl").write_text("{}\n", encoding="utf-8")
        if fail:
            raise RuntimeError("in the middle")
        return build.finish({"words": config.words}, speed=1.5)


@pytest.fixture
def config(tmp_path: Path) -> NoteConfig:
    source = tmp_path / "source.txt"
    source.write_text("girdi", encoding="utf-8")
    return NoteConfig(source=source, out=tmp_path / "note")


def test_an_artifact_says_what_it_is(config: NoteConfig) -> None:
    made = write_note(config)
    assert made.path == config.out and made.figures == {"words": 3}
    manifest = json.loads((config.out / "artifact.json").read_text(encoding="utf-8"))
    assert manifest["kind"] == "note" and manifest["seed"] == 42
    assert manifest["config"] == {"seed": 42, "words": 3}
    assert manifest["inputs"]["source"][0]["name"] == "source.txt"
    assert set(manifest["files"]) == {"sub/note.txt"}
    assert manifest["run"]["speed"] == 1.5 and "torch" in manifest["run"]["versions"]
    assert str(config.source.parent) not in json.dumps(manifest)
    assert open_artifact(config.out, "note").manifest == made.manifest


def test_the_same_request_does_nothing(config: NoteConfig) -> None:
    first, second = write_note(config), write_note(config)
    assert first.manifest.run == second.manifest.run


def test_other_settings_or_inputs_are_refused_and_force_makes_it_again(config: NoteConfig) -> None:
    write_note(config)
    longer = config.model_copy(update={"words": 5})
    with pytest.raises(ArtifactError, match=r"words was 3, now 5(.|\n)*--force"):
        write_note(longer)
    config.source.write_text("başka", encoding="utf-8")
    with pytest.raises(ArtifactError, match="source has other content"):
        write_note(config)
    assert write_note(longer, force=True).figures == {"words": 5}
    assert not list(config.out.parent.glob(".note.*"))


def test_the_digest_is_that_of_the_content(config: NoteConfig) -> None:
    first = write_note(config).manifest
    again = write_note(config, force=True).manifest
    assert first.digest == again.digest
    moved = config.model_copy(update={"out": config.out.with_name("elsewhere")})
    assert write_note(moved).manifest.digest == first.digest


def test_a_failure_leaves_nothing_with_a_final_name(config: NoteConfig) -> None:
    with pytest.raises(RuntimeError):
        write_note(config, fail=True)
    assert {path.name for path in config.out.parent.iterdir()} == {"source.txt"}
    write_note(config)
    with pytest.raises(RuntimeError):
        write_note(config, force=True, fail=True)
    assert open_artifact(config.out).figures == {"words": 3}


def test_a_resumable_stage_finds_what_it_left(config: NoteConfig) -> None:
    inputs = {"source": [config.source]}

    def begin(fail: bool, **changes: object) -> bool:
        settings = config.model_copy(update=changes)
        with building("note", settings, inputs, resumable=True) as build:
            found = (build.path / "half.txt").exists()
            assert found == build.resumed
            (build.path / "half.txt").write_text("yarım", encoding="utf-8")
            if fail:
                raise KeyboardInterrupt
            build.finish({})
        return found

    with pytest.raises(KeyboardInterrupt):
        begin(fail=True)
    assert not config.out.exists()
    with pytest.raises(ArtifactError, match="interrupted run with other inputs or settings"):
        begin(fail=False, words=9)
    assert begin(fail=False) is True
    assert set(open_artifact(config.out).manifest.files) == {"half.txt"}


def test_a_stage_that_refused_at_once_leaves_nothing_to_go_on_with(config: NoteConfig) -> None:
    def begin(words: int) -> None:
        settings = config.model_copy(update={"words": words})
        with building("note", settings, {}, resumable=True) as build:
            if words < 0:
                raise InputError("fewer than no words", where="--words", mend="give at least 0")
            build.finish({"words": words})

    with pytest.raises(InputError, match="--words"):
        begin(-1)
    assert not list(config.out.parent.glob(".note.*"))
    # What a killed run left before it wrote anything is no work either.
    partial = config.out.with_name(".note.partial")
    partial.mkdir()
    (partial / "request.json").write_text("{}", encoding="utf-8")
    begin(3)
    assert open_artifact(config.out).figures == {"words": 3}


def begun(config: NoteConfig, *, force: bool = False) -> Artifact:
    """A stage that can go on, with a folder and a file that it needs only on the way."""
    inputs = {"source": [config.source]}
    scratch = ("states", "plan.json")
    with building("note", config, inputs, force=force, resumable=True, scratch=scratch) as build:
        if build.done:
            return build.done
        (build.path / "states" / "deep").mkdir(parents=True, exist_ok=True)
        for name in ("plan.json", "note.txt", "states/deep/1", "states/2"):
            (build.path / name).write_text(name, encoding="utf-8")
        return build.finish({})


def test_what_another_version_left_is_not_thrown_away(
    config: NoteConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    partial = config.out.with_name(".note.partial")
    with monkeypatch.context() as patch:
        patch.setattr(artifact, "_replace_folder", stopped)
        with pytest.raises(KeyboardInterrupt):
            begun(config)
    monkeypatch.setattr(artifact, "versions", lambda: {"dilmac": "99.1"})
    with pytest.raises(ArtifactError, match=r"run of dilmac .*, this is 99\.1(.|\n)*--force"):
        begun(config)
    assert (partial / "states" / "2").exists()
    assert begun(config, force=True).path.is_dir()


def test_scratch_goes_when_the_artifact_has_its_name_even_after_a_kill(
    config: NoteConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    partial = config.out.with_name(".note.partial")
    with monkeypatch.context() as patch:
        patch.setattr(artifact, "_replace_folder", stopped)
        with pytest.raises(KeyboardInterrupt):
            begun(config)
    # Whole but for its name: what a repeated command goes on with is there.
    assert {"request.json", "states", "plan.json"} <= {path.name for path in partial.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(artifact, "_sweep", stopped)
        with pytest.raises(KeyboardInterrupt):
            begun(config)
    assert set(open_artifact(config.out).manifest.files) == {"note.txt"}
    assert (config.out / "states").is_dir()
    begun(config)
    assert {path.name for path in config.out.iterdir()} == {"artifact.json", "note.txt"}


def test_foreign_folders_and_files_are_left_alone(config: NoteConfig) -> None:
    config.out.mkdir()
    (config.out / "mine.txt").write_text("benim", encoding="utf-8")
    for force in (False, True):
        with pytest.raises(ArtifactError, match="was not made by dilmac"):
            write_note(config, force=force)
    assert (config.out / "mine.txt").read_text(encoding="utf-8") == "benim"
    file = config.model_copy(update={"out": config.source})
    with pytest.raises(ArtifactError, match="is a file"):
        write_note(file)


def test_what_was_damaged_is_found(config: NoteConfig, tmp_path: Path) -> None:
    write_note(config)
    note = config.out / "sub" / "note.txt"
    note.write_text("kısa", encoding="utf-8")
    with pytest.raises(ArtifactError, match="another size than recorded"):
        open_artifact(config.out)
    note.unlink()
    with pytest.raises(ArtifactError, match="is missing"):
        open_artifact(config.out)
    (config.out / "artifact.json").write_text("{", encoding="utf-8")
    with pytest.raises(ArtifactError, match="damaged"):
        open_artifact(config.out)
    with pytest.raises(InputError, match="no such folder"):
        open_artifact(tmp_path / "nowhere")
    with pytest.raises(InputError, match="not made by dilmac"):
        open_artifact(tmp_path)


def test_another_kind_is_refused(config: NoteConfig) -> None:
    write_note(config)
    with pytest.raises(InputError, match="holds a note, not a corpus"):
        open_artifact(config.out, "corpus")


def test_a_second_writer_waits_outside(config: NoteConfig) -> None:
    script = (
        "import sys, pathlib\n"
        "from dilmac.core import StageConfig, building\n"
        "with building('note', StageConfig(out=pathlib.Path(sys.argv[1])), {}) as build:\n"
        "    print('in', flush=True)\n"
        "    sys.stdin.read()\n"
        "    build.finish({})\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(config.out)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None and other.stdout.readline() == "in\n"
    with pytest.raises(ArtifactError, match="another dilmac is writing it"):
        write_note(config)
    other.communicate("")
    assert other.returncode == 0 and open_artifact(config.out).manifest.kind == "note"


def test_inputs_are_known_by_their_content(config: NoteConfig, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.txt").write_text("a", encoding="utf-8")
    before = input_record(folder)
    (folder / "a.txt").write_text("b", encoding="utf-8")
    assert input_record(folder).sha256 != before.sha256
    assert input_record(config.source).num_bytes == 5
    with pytest.raises(InputError, match="no such file or folder"):
        input_record(tmp_path / "nowhere")


def test_work_goes_on_while_the_inputs_are_hashed(
    config: NoteConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_hash = threading.Event()

    def hash_later(path: Path) -> str:
        assert may_hash.wait(20)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    monkeypatch.setattr(artifact, "sha256_of", hash_later)
    with building("note", config, {"source": [config.source]}) as build:
        (build.path / "note.txt").write_text("x", encoding="utf-8")  # before a byte is hashed
        may_hash.set()
        made = build.finish({})
    assert made.manifest.inputs["source"][0].sha256 == hashlib.sha256(b"girdi").hexdigest()


def test_a_block_that_reads_its_inputs_says_what_they_hold(
    config: NoteConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = config.source.with_name("folder")
    (folder / "sub").mkdir(parents=True)
    for name in ("large", "sub/small"):
        (folder / name).write_text(name, encoding="utf-8")
    asked = config.model_copy(update={"source": folder})
    expected = input_record(folder)
    hashed: list[str] = []
    sha256_of = records.sha256_of

    def counted(path: Path) -> str:
        hashed.append(path.name)
        return sha256_of(path)

    monkeypatch.setattr("dilmac.core.records.sha256_of", counted)
    with building("note", asked, {"source": [folder]}, hashes_inputs=True) as build:
        assert not hashed
        build.input_hashes[folder / "large"] = sha256_of(folder / "large")
        made = build.finish({})
    assert made.manifest.inputs["source"] == [expected] and hashed == ["small"]
    with building("note", asked, {"source": [folder]}) as build:
        assert build.done and build.done.manifest == made.manifest


def test_an_input_that_cannot_be_hashed_leaves_nothing(
    config: NoteConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> str:
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr(artifact, "sha256_of", fail)
    with pytest.raises(OSError, match="Input/output error"):
        write_note(config)
    assert [path.name for path in config.out.parent.iterdir()] == [config.source.name]


def test_a_missing_input_is_told_before_any_work(config: NoteConfig, tmp_path: Path) -> None:
    elsewhere = config.model_copy(update={"source": tmp_path / "nowhere.txt"})
    with pytest.raises(InputError, match="no such file or folder"):
        write_note(elsewhere)
    assert not config.out.exists()


def test_every_file_is_recorded_in_the_order_of_names(tmp_path: Path) -> None:
    contents = {f"shard-{number:02}": bytes([number]) * (1 << number) for number in range(20)}
    for name in reversed(contents):
        (tmp_path / name).write_bytes(contents[name])
    (tmp_path / "events.jsonl").write_text("{}\n", encoding="utf-8")
    records = artifact.record_files(tmp_path, without={"shard-03"})
    assert list(records) == [name for name in contents if name != "shard-03"]
    for name, record in records.items():
        assert record.num_bytes == len(contents[name])
        assert record.sha256 == hashlib.sha256(contents[name]).hexdigest()


@pytest.mark.parametrize("place", ["/proc/out", "/proc/folder/out", "{file}/out"])
def test_a_place_that_cannot_be_written_is_told(config: NoteConfig, place: str) -> None:
    if place.startswith("/proc") and not Path("/proc").is_dir():
        pytest.skip("has no /proc, where not even root can write")
    out = Path(place.format(file=config.source))
    with pytest.raises(ArtifactError, match="cannot be made"):
        write_note(config.model_copy(update={"out": out}))
