"""The command line: help with an example, errors in a line or two, exit codes, JSON alone."""

import json
import signal
import time
from pathlib import Path

import pytest

from dilmac.cli import main
from killing import has_steps, run_dilmac, start_dilmac

VERBS = [
    ["quickstart"],
    ["corpus", "build"],
    ["tokenizer", "train"],
    ["tokenizer", "compare"],
    ["models", "list"],
    ["models", "show"],
    ["models", "suggest"],
    ["models", "presets"],
    ["models", "convert"],
    ["models", "rescale"],
    ["pretrain"],
    ["finetune"],
    ["classify", "train"],
    ["classify", "predict"],
    ["compare"],
    ["evaluate"],
    ["export", "gguf"],
    ["export", "ollama"],
    ["export", "onnx"],
    ["export", "verify"],
    ["chat"],
    ["run"],
    ["estimate"],
    ["estimate", "finetune"],
    ["estimate", "corpus", "build"],
]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_verb_has_help_with_an_example(
    verb: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, *verb, "--help")
    assert code == 0
    assert "Example" in out and f"dilmac {' '.join(verb)}" in out.replace("\n", " ")


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["corpus", "build", "nowhere.txt", "--out", "x"], "no such file or folder"),
        (["corpus", "bild"], "Did you mean"),
        (
            ["pretrain", "--corpus", "x", "--tokenizer", "y", "--out", "z", "--tokns", "3"],
            "Did you mean --tokens",
        ),
        (["pretrain", "--corpus", "x", "--tokenizer", "y"], "--out: is missing"),
        (["run", "nowhere.yaml"], "no such recipe"),
        (["models", "presets", "--params", "5M", "--vocab-size", "150000"], "at least 9.66M"),
        (["models", "list", "--family", "qwen33"], "did you mean qwen3"),
        (["models", "list", "--task", "cod"], "--task: input should be 'text', 'code'"),
        (["models", "show", "qwen3-0.5b"], "did you mean Qwen3-0.6B"),
        (["models", "show", "qwen3-0.6b", "--slots", "0"], "--slots: input should be"),
        (["models", "suggest", "--memory", "9QB"], "write 8GB, 7.5GiB or 900MB"),
        (["models", "rescale", "--model", "x", "--out", "y"], "--context: is missing"),
        (
            ["models", "rescale", "--model", "x", "--out", "y", "--context", "9"],
            "--context: input should be greater than or equal to 32",
        ),
        (["classify", "train", "--model", "x", "--out", "y"], "--data: is missing"),
        (["classify", "train", "--data", "x.jsonl", "--model", "nowhere", "--out", "y"], "no such"),
        (["classify", "predict", "Merhaba.", "--model", "nowhere"], "no such model folder"),
        (["compare", "nowhere"], "no such folder"),
        (["chat", "--model", "nowhere"], "no such model"),
        (["chat", "--model", "x", "--temperature", "9"], "--temperature"),
        (["evaluate", "--model", "nowhere"], "no such model folder"),
        (["tokenizer", "compare", "x.txt", "--tokenizer", "nowhere"], "no tokenizer.json"),
    ],
)
def test_what_the_user_can_mend_ends_with_2_and_no_traceback(
    arguments: list[str], found: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert err.startswith("error:") and found in err
    assert "Traceback" not in err and out == ""
    assert len(err.strip().splitlines()) <= 3


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "run", "nowhere.yaml", "--debug")
    assert code == 2 and "Traceback" in err


def test_json_is_all_there_is_on_standard_output(sample_corpus: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.jsonl"
    lines = (
        json.dumps({"text": f"{place} yağmur yağdı ama yol açıktı. " + "Çok iyi oldu. " * 9})
        for place in ("Kıyıda sabah erkenden", "Dağ köyünde bütün gece")
    )
    text.write_text("\n".join(lines), encoding="utf-8")
    flags = [
        "--out",
        str(tmp_path / "c"),
        "--steps",
        "language",
        "--steps",
        "deduplicate",
        "--json",
    ]
    ended = run_dilmac("corpus", "build", str(text), *flags, "--min-similarity", "1")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["documents_kept"] == 2
    again = run_dilmac("corpus", "build", str(text), *flags, "--min-similarity", "1")
    assert again.returncode == 0 and "nothing to do" in again.stderr
    other = run_dilmac("corpus", "build", str(text), *flags, "--min-words", "3")
    assert other.returncode == 2 and "--force" in other.stderr


def test_ctrl_c_ends_with_130_and_the_same_command_goes_on(
    sample_corpus: Path, sample_tokenizer: Path, tmp_path: Path
) -> None:
    flags = ["pretrain", "--corpus", str(sample_corpus), "--tokenizer", str(sample_tokenizer)]
    flags += ["--preset", "tiny", "--tokens", "200000", "--checkpoint-steps", "5"]
    flags += ["--eval-bytes", "500", "--out", str(tmp_path / "base")]
    process = start_dilmac(*flags)
    events = tmp_path / ".base.partial" / "events.jsonl"
    while not has_steps(events, 12):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in err and "Traceback" not in err
    assert not (tmp_path / "base").exists()
    ended = run_dilmac(*flags)
    assert ended.returncode == 0 and "going on at step" in ended.stderr
