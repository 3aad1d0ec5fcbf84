"""What ships to be started elsewhere is sound: scripts, the flags they name, and every recipe."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from torch.distributed.run import get_args_parser

from dilmac.core import Config, StageConfig
from dilmac.corpus import CorpusConfig
from dilmac.models import preset_named
from dilmac.recipe import VERBS, Stage, apply_change, check_stages, load_recipe
from dilmac.tokenizer import pretrained_names
from dilmac.training import PretrainConfig
from standin import place_standin

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = sorted((ROOT / "deploy").glob("*.sh"))
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
CONFIGS: dict[str, type[Config]] = {"corpus": CorpusConfig, "pretrain": PretrainConfig}
# What `sbatch` takes, of what our scripts use.
SBATCH = {
    *("job-name", "nodes", "ntasks-per-node", "gpus-per-node", "cpus-per-task", "exclusive"),
    *("time", "requeue", "open-mode", "signal", "output", "partition"),
}
BASH = shutil.which("bash")
needs_bash = pytest.mark.skipif(BASH is None, reason="needs bash")


def by_name(path: Path) -> str:
    return path.name


def flags_in(text: str) -> set[str]:
    """Long flags, however they are broken over lines."""
    return set(re.findall(r"(?<![\w-])--([a-z][a-z-]+)", text))


def without_comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))


@needs_bash
@pytest.mark.parametrize("script", SCRIPTS, ids=by_name)
def test_bash_can_read_a_script_and_run_it(script: Path) -> None:
    assert BASH
    assert os.access(script, os.X_OK)
    subprocess.run([BASH, "-n", str(script)], check=True)
    alone = subprocess.run([BASH, str(script)], check=False, capture_output=True, text=True)
    assert alone.returncode == 2
    assert "usage:" in alone.stderr


@pytest.mark.parametrize("script", SCRIPTS, ids=by_name)
def test_every_flag_of_a_script_exists(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    fields = CONFIGS[script.name.partition("-")[0]].model_fields
    ours = {name.replace("_", "-") for name in fields}
    launcher = {flag[2:] for action in get_args_parser()._actions for flag in action.option_strings}
    asked = flags_in("\n".join(re.findall(r"^#SBATCH (.*)$", text, re.MULTILINE)))
    assert asked <= SBATCH
    # A flag of `ray` or `sbatch` may stand in a comment, with the command that takes it.
    commands = flags_in(without_comments(text))
    of_others = flags_in("\n".join(re.findall(r"ray start.*|sbatch (?:--.*?)\S+\.sh", text)))
    named = flags_in(text) - of_others - asked - {"signal"}
    assert named, "the script names no flag: the pattern is wrong"
    assert named <= ours | launcher
    assert commands <= ours | launcher


def test_every_flag_on_the_page_of_pretraining_exists() -> None:
    page = (ROOT / "docs" / "pretrain.md").read_text(encoding="utf-8")
    commands = "\n".join(re.findall(r"^    .*(?:dilmac|deploy/|--).*$", page, re.MULTILINE))
    ours = {name.replace("_", "-") for name in PretrainConfig.model_fields}
    assert flags_in(commands) <= ours | SBATCH | {"set"}


@pytest.fixture
def shipped(tiny_chat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return place_standin(tiny_chat, tmp_path, monkeypatch)


def stages_of(recipe: Path, folder: Path, changes: list[str]) -> dict[str, Stage]:
    values = load_recipe(recipe)
    for change in changes:
        apply_change(values, change)
    return {stage.name: stage for stage in check_stages(values, recipe, folder)}


@pytest.mark.parametrize("recipe", RECIPES, ids=by_name)
def test_every_recipe_is_sound_and_so_are_the_changes_it_names(
    recipe: Path, shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("Qwen/Qwen3-0.6B").mkdir(parents=True)  # a hub's name is a folder's, where there is one
    text = recipe.read_text(encoding="utf-8")
    named = re.findall(r"""--set (?:'([^']*)'|"([^"]*)"|(\S+))""", text)
    changes = ["".join(change) for change in named]
    stages = stages_of(recipe, tmp_path, changes)
    assert stages
    assert {stage.verb for stage in stages.values()} <= VERBS.keys()
    for name, stage in stages.items():
        if isinstance(stage.config, StageConfig):
            assert stage.config.out == tmp_path / name


def test_the_134m_recipe_is_the_published_shape_within_both_budgets(tmp_path: Path) -> None:
    base = stages_of(ROOT / "recipes" / "134m.yaml", tmp_path, [])["base"].config
    assert isinstance(base, PretrainConfig)
    assert str(base.tokenizer) in pretrained_names()
    assert base.corpus == tmp_path / "corpus"
    assert (base.tokens, base.hours) == (2_000_000_000, 24.0)
    assert (base.optimizer, base.context, base.seed) == ("muon", 2048, 42)
    shape = preset_named(base.preset)
    assert (shape.hidden_size, shape.num_layers, shape.context) == (768, 12, 2048)
    assert shape.tied
    for num_gpus in (1, 2, 4, 8):  # as the recipe says
        assert base.batch_tokens % (num_gpus * 2048) == 0
    assert base.batch_tokens % base.micro_batch_tokens == 0


def place_commands(folder: Path, **bodies: str) -> dict[str, str]:
    """An environment in which these commands are found first, and `activate` has nothing to do."""
    programs = folder / "env" / "bin"
    programs.mkdir(parents=True)
    (programs / "activate").write_text("", encoding="utf-8")
    for name, body in bodies.items():
        (programs / name).write_text(f"#!{BASH}\n{body}\n", encoding="utf-8")
        (programs / name).chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "VENV": str(folder / "env"), "PATH": path}


SHOW = 'printf "%s\\n" "$@"'


@needs_bash
def test_torchrun_gets_one_process_a_gpu_and_every_flag_as_it_was(tmp_path: Path) -> None:
    environment = place_commands(tmp_path, torchrun=SHOW)
    environment.pop("PROCESSES", None)
    command = [str(ROOT / "deploy/pretrain-torchrun.sh"), "--corpus", "two words", "--out", "base"]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    arguments = shown.stdout.splitlines()
    parsed = get_args_parser().parse_args(arguments)
    assert (parsed.standalone, parsed.nproc_per_node, parsed.module) == (True, "gpu", True)
    assert parsed.training_script == "dilmac"
    assert parsed.training_script_args == ["pretrain", *command[1:]]
    environment["PROCESSES"] = "2"
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert get_args_parser().parse_args(shown.stdout.splitlines()).nproc_per_node == "2"


SLURM = {"SLURM_JOB_ID": "70123", "SLURM_NNODES": "2", "SLURM_JOB_NODELIST": "node[1-2]"}
# Two writes: a reader that stops after the first line breaks the pipe under the second.
HOSTS = 'if [ "$1" = show ]; then echo node1; sleep 0.1; echo node2; else echo "$@"; fi'


@needs_bash
def test_slurm_starts_torchrun_on_every_node_and_they_meet_on_the_first(tmp_path: Path) -> None:
    bodies = {"srun": 'exec "$@"', "torchrun": f"{SHOW}; exit 3", "scontrol": HOSTS}
    environment = place_commands(tmp_path, **bodies) | SLURM | {"SLURM_SUBMIT_DIR": str(tmp_path)}
    for name in ("PROCESSES", "PORT"):
        environment.pop(name, None)
    command = [str(ROOT / "deploy/pretrain-slurm.sh"), "--corpus", "two words", "--out", "base"]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert shown.returncode == 3  # an error ends the job
    parsed = get_args_parser().parse_args(shown.stdout.splitlines())
    assert (parsed.nnodes, parsed.rdzv_id, parsed.rdzv_backend) == ("2", "70123", "c10d")
    host, port = parsed.rdzv_endpoint.split(":")
    assert host == "node1"
    assert 1024 < int(port) < 65536
    assert parsed.training_script_args == ["pretrain", *command[1:]]


@needs_bash
def test_slurm_puts_the_job_into_the_queue_again_when_its_time_is_up(tmp_path: Path) -> None:
    """The signal comes while torchrun runs; the script waits on for it, and keeps its status."""
    running, go_on = tmp_path / "running", tmp_path / "go-on"
    waits = f'touch "{running}"; until [ -e "{go_on}" ]; do sleep 0.05; done; exit 5'
    queues = f'{HOSTS}; if [ "$1" = requeue ]; then touch "{go_on}"; fi'
    bodies = {"srun": 'exec "$@"', "torchrun": waits, "scontrol": queues}
    environment = place_commands(tmp_path, **bodies) | SLURM | {"SLURM_SUBMIT_DIR": str(tmp_path)}
    command = [str(ROOT / "deploy/pretrain-slurm.sh"), "--corpus", "corpus", "--out", "base"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as job:
        while not running.exists():
            assert job.poll() is None
            time.sleep(0.02)
        # srun and torchrun have begun, so the trap stands.
        subprocess.run(["kill", "-USR1", str(job.pid)], check=True)
        shown, _ = job.communicate()
    assert "requeue 70123" in shown
    assert job.returncode == 5
