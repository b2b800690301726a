"""Where people run it: readers that die, terminals that close, odd names, other systems' files, odd environments."""

from __future__ import annotations

import ast
import json
import os
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from commands import inherited, run, run_here, start

import experiments
import lstm_jax

TINY = shlex.split(
    "--preset smoke --cells lstm --gaps 2 --tuning-seeds --seeds 0 1 --learning-rates 0.01 --max-steps 20 "
    "--chunk-steps 10 --workers 1 --eval-size 32 --hidden-dim 4"
)
ODD = "[/]b :bug: [red]x"
SOURCES = [path for package in (lstm_jax, experiments) for path in Path(package.__file__).parent.rglob("*.py")]


def shell(line, *arguments, cwd, **environment):
    """A line of bash in which `$@` is the command's arguments and `python` is ours."""
    variables = {**inherited(), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **environment}
    command = ["bash", "-c", line, "bash", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, done.stdout, done.stderr


def unread(umask, *argv, cwd, merged):
    """The command of a sweep under this umask, whose reader is gone at once; its status, and what it says beside."""
    before = os.umask(umask)
    try:
        process = start("gap_length", *argv, cwd=cwd, merged=merged)
    finally:
        os.umask(before)
    process.stdout.close()
    errors = "" if merged else process.stderr.read()
    return process.wait(timeout=120), errors


@pytest.fixture(scope="module")
def private(tmp_path_factory):
    """A sweep of an odd name under umask 077; its status, stderr and directory."""
    path = tmp_path_factory.mktemp("private")
    return *unread(0o077, *TINY, "--out", ODD, cwd=path, merged=False), path / ODD


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One under umask 002, where nobody reads errors either."""
    path = tmp_path_factory.mktemp("shared")
    status, _ = unread(0o002, *TINY, "--executor", "serial", "--out", "x", cwd=path, merged=True)
    return status, path / "x"


def test_a_sweep_outlives_its_readers(private, shared):
    status, errors, out = private
    assert (status, errors) == (0, "")
    assert shared[0] == 0
    for each in (out, shared[1]):
        assert len((each / "runs.csv").read_text().splitlines()) == 3
        assert (each / "gap_length.png").stat().st_size > 100


def test_files_have_the_permissions_of_the_umask(private, shared):
    """Tables, figures, records, checkpoints, wandb's runs."""
    for out, umask in ((private[2], 0o077), (shared[1], 0o002)):
        paths = [path for path in [out, *out.rglob("*")] if not path.is_symlink()]
        assert len(paths) > 30
        modes = {path: stat.S_IMODE(path.stat().st_mode) for path in paths}
        wide = {path: oct(mode) for path, mode in modes.items() if mode & umask}
        assert wide == {}
        ours = [path for path in paths if path.suffix in (".csv", ".json", ".yaml", ".png", ".svg")]
        ours = [path for path in ours if "wandb" not in path.parts]
        assert {oct(modes[path]) for path in ours} == {oct(0o666 & ~umask)}
        assert {oct(modes[path]) for path in paths if path.is_dir()} == {oct(0o777 & ~umask)}


@pytest.mark.parametrize(
    ("command", "reader"),
    [
        ("gap_length --help", "| true"),
        ("gap_length --show", "> /dev/full"),
        ("status DIR --check", "2>&1 | true"),
        ("status DIR", ">&-"),
        ("to_wandb DIR", "| true"),
    ],
)
def test_other_commands_outlive_their_readers(private, command, reader):
    words = [private[2].name if word == "DIR" else word for word in command.split()]
    line = f'python -m "experiments.$1" "${{@:2}}" {reader}; exit ${{PIPESTATUS[0]}}'
    assert shell(line, *words, cwd=private[2].parent) == (0, "", "")


def test_a_filter_ends_with_its_reader(private):
    """Translating for nobody would be a waste; and it says nothing, at its end neither."""
    line = "python -m experiments.translation translate --help | true; exit ${PIPESTATUS[0]}"
    status, _, errors = shell(line, cwd=private[2].parent)
    assert status in (0, 141) and errors == ""


def calls(name):
    """The files in which a function of that name is called, with the call."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == name:
                yield path.name, ast.unparse(node)


def test_there_is_one_way_to_a_console_and_one_to_a_file():
    """So that no text of a user can be taken for markup, and no file has permissions of its own."""
    assert {name for name, _ in calls("Console")} == {"terminal.py"}
    assert all("markup=False" in call for _, call in calls("TextColumn"))
    assert [*calls("from_markup"), *calls("mkstemp"), *calls("NamedTemporaryFile")] == []
    assert [name for name, _ in calls("chmod")] == ["slurm.py"]


def test_what_a_user_names_is_no_markup_and_files_of_other_systems_are_nobodys(private, tmp_path):
    """macOS leaves ._x beside x on disks that others read, and .DS_Store; people leave copies."""
    out = tmp_path / ODD
    shutil.copytree(private[2], out, symlinks=True)
    record = next((out / "records").glob("*/*.json"))
    checkpoint = next((out / "checkpoints").glob("*/ended-0"))
    for file in [path for path in out.rglob("*") if path.is_file() and "wandb" not in path.parts]:
        (file.parent / f"._{file.name}").write_bytes(b"\0\5\26\7")
    for folder in {path.parent for path in out.rglob("*")}:
        (folder / ".DS_Store").write_bytes(b"\0")
    shutil.copy(record, record.with_name(f"{record.stem} (copy).json"))
    record.with_name("notes.json").write_text("{}")
    (checkpoint.parent / "running-0").write_bytes(b"")  # a file
    (checkpoint.parent / "running-1.bak").mkdir()
    status, output, errors = run("status", ODD, "--check", cwd=tmp_path)
    assert (status, errors) == (0, "") and "checked 2 records and 1 checkpoints: 0 damaged" in output
    assert output.startswith(f"{ODD}: no command is at work\n")
    status, output, errors = run("to_wandb", ODD, cwd=tmp_path)
    assert (status, errors) == (0, "")
    assert output == f"0 of 2 runs logged offline, the others were there; see {ODD}/wandb\n"
    status, output, errors = run("gap_length", *TINY, "--out", ODD, cwd=tmp_path)
    assert (status, errors) == (0, "") and "damaged" not in output and "2 of 2 runs are there already" in output
    assert output.splitlines()[-2:] == [f"plot: {ODD}/gap_length.png", f"report: {ODD}/report.html"]


def test_a_working_directory_that_is_gone(tmp_path):
    for command in ("gap_length", "status x", "to_wandb x"):
        line = f"mkdir gone; cd gone; rmdir ../gone; python -m experiments.{command}"
        status, output, errors = shell(line, cwd=tmp_path, PYTHONPATH=str(Path(lstm_jax.__file__).parents[1]))
        assert (status, output) == (2, "")
        assert errors.startswith("error: the working directory is not there any more") and errors.count("\n") == 1


@pytest.mark.parametrize("executor", ["process", "serial"])
def test_a_gpu_that_is_not_there_is_told_before_anything_starts(tmp_path, executor):
    arguments = [*TINY, "--executor", executor, "--out", "x", "--wandb", "disabled"]
    line = 'JAX_PLATFORMS=cuda CUDA_VISIBLE_DEVICES=-1 python -m experiments.gap_length "$@"'
    status, output, errors = shell(line, *arguments, cwd=tmp_path)
    assert (status, output) == (2, "")
    assert errors.startswith("error: JAX_PLATFORMS=cuda asks for a GPU") and errors.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_wandb_modes_and_projects(private, tmp_path, monkeypatch):
    """An option beats the environment, which beats our default; what wandb would refuse is told before training."""
    out = tmp_path / "out"
    shutil.copytree(private[2], out, ignore=shutil.ignore_patterns("wandb"))

    def go(module, *arguments, **environment):
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            return run(module, *arguments, cwd=tmp_path)

    sweep = ("gap_length", *TINY, "--out", "out")
    assert go(*sweep, WANDB_MODE="disabled")[0] == 0
    assert not (out / "wandb").exists()
    status, _, errors = go("to_wandb", "out", WANDB_MODE="disabled")
    assert status == 2 and errors.startswith("error: WANDB_MODE: got disabled") and not (out / "wandb").exists()
    status, _, errors = go(*sweep, WANDB_MODE="disabled", WANDB_PROJECT="a/b")
    assert status == 2 and errors.startswith("error: WANDB_PROJECT: got 'a/b'") and errors.count("\n") == 1
    for bad in ("a/b", "x" * 129, "a%b"):
        status, _, errors = run_here("gap_length", *TINY, "--out", "other", "--wandb-project", bad, cwd=tmp_path)
        assert status == 2 and errors.startswith("error: wandb_project: got") and errors.count("\n") == 1
        assert len(errors) < 200 and not (tmp_path / "other").exists()
    status, _, errors = go(*sweep, "--wandb", "offline", WANDB_MODE="disabled", WANDB_PROJECT="my-project-7")
    assert (status, errors) == (0, "")
    files = list((out / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len(files) == 2 and all(b"my-project-7" in file.read_bytes() for file in files)


@pytest.mark.parametrize("module", ["to_wandb", "gap_length"])
def test_wandb_never_logs_elsewhere(private, tmp_path, monkeypatch, module):
    """Where wandb can't write it takes a temporary folder, and says nothing."""
    out = tmp_path / "out"
    shutil.copytree(private[2], out, ignore=shutil.ignore_patterns("wandb"))
    (out / "wandb").write_text("a file")
    (tmp_path / "tmp").mkdir()
    arguments = ["out"] if module == "to_wandb" else [*TINY, "--out", "out"]
    with monkeypatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path / "tmp"))
        status, output, errors = run(module, *arguments, cwd=tmp_path)
    if module == "to_wandb":
        assert status == 2 and errors.startswith("error: can't write to out/wandb") and errors.count("\n") == 1
    else:  # the results are worth more
        assert status == 0 and "warning: wandb failed" in output
    assert list((tmp_path / "tmp").rglob("run-*")) == []


def test_records_on_disk_are_json(private):
    def fail(name):
        raise AssertionError(name)

    for file in private[2].rglob("*.json"):
        if "wandb" not in file.parts and "checkpoints" not in file.parts:
            json.loads(file.read_text(), parse_constant=fail)
