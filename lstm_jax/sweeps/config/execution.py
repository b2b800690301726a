"""The options that change no number: where jobs run, and where results are shown."""

from __future__ import annotations

import dataclasses
import math
import os
from typing import Annotated, Literal, NamedTuple

from lstm_jax.errors import ConfigError
from lstm_jax.sweeps.config.fields import Allowed, Checked, Count, in_words, whole

Mode = Literal["online", "offline", "disabled"]
_MODES: dict[str, Mode] = {
    "online": "online",
    "run": "online",
    "offline": "offline",
    "dryrun": "offline",
    "disabled": "disabled",
}
"""Values of WANDB_MODE."""
SECONDS = Allowed("a positive number of seconds, or inf", lambda seconds: seconds > 0, metavar="FLOAT>0")
SHARE = Allowed("a number of at least 0", lambda number: 0 <= number < math.inf, metavar="FLOAT>=0")


def is_name(text: str) -> bool:
    """Whether the command line and YAML read `text` back as it is: no option, no None, no control characters."""
    return text.isprintable() and text not in ("", "~", "null", "None", ".inf") and not text.startswith("-")


PROJECT = Allowed(
    r"the name of a project: at most 128 characters, none of / \ # ? % :",
    lambda name: is_name(name) and len(name) <= 128 and not set(name) & set("/\\#?%:"),
)


class Target(NamedTuple):
    """Where runs are logged."""

    mode: Mode
    project: str


@dataclasses.dataclass(frozen=True)
class RayOptions(Checked):
    """Where jobs run with `--executor ray`."""

    GROUP = "ray."
    address: Annotated[str | None, Allowed("the address of a Ray cluster, or auto", is_name)] = None
    """Address of a Ray cluster, or auto. Default: start Ray on this machine."""
    cpus: Annotated[float, SHARE] = 1.0
    """CPU cores per job."""
    gpus: Annotated[float, SHARE] = 0.0
    """GPUs per job."""


@dataclasses.dataclass(frozen=True)
class SlurmOptions(Checked):
    """Where jobs run with `--executor slurm`."""

    GROUP = "slurm."
    partition: Annotated[str | None, Allowed("the name of a partition", is_name)] = None
    """Slurm partition. Default: the cluster's."""
    minutes: Count = 240
    """Time limit per job in minutes. A job that reaches it saves and is submitted again."""
    cpus: Count = 1
    """CPU cores per job."""
    gpus: Annotated[int, whole(0)] = 0
    """GPUs per job."""
    memory_gb: Count | None = None
    """Memory per job in GB. Default: the cluster's."""
    cluster: Literal["slurm", "local"] = "slurm"
    """slurm, or local: processes on this machine, to try it without Slurm."""


@dataclasses.dataclass(frozen=True)
class ExecutionOptions(Checked):
    """Where and how jobs run. None of it changes a number."""

    executor: Literal["serial", "process", "ray", "slurm"] = "process"
    """Where jobs run. serial: this process; process: one worker process per core or GPU; ray: a Ray cluster; slurm: a
    Slurm job array."""
    workers: Count | None = None
    """Jobs at once. Default: one per core or GPU; with Ray or Slurm, no limit."""
    checkpoint_seconds: Annotated[float, SECONDS] = 30.0
    """Seconds between checkpoints: the most work a crash can lose. inf: one checkpoint, when the job ends."""
    accept_changes: bool = False
    """Continue in a directory made with other settings, code or libraries. Each row of runs.csv records its own."""
    ray: RayOptions = RayOptions()
    slurm: SlurmOptions = SlurmOptions()


@dataclasses.dataclass(frozen=True)
class LoggingOptions(Checked):
    """Where results are shown beside the directory. None of it changes a number."""

    wandb: Literal["online", "offline", "disabled"] | None = None
    """Log to Weights & Biases. offline needs no account; `wandb sync` uploads later. Default: WANDB_MODE or offline."""
    wandb_project: Annotated[str | None, PROJECT] = None
    """wandb project. Default: WANDB_PROJECT or lstm_jax."""

    def target(self) -> Target:
        """Return what the options say, else the environment (WANDB_MODE, WANDB_PROJECT), else offline in lstm_jax.

        Raises ConfigError for a value that wandb would refuse after the training.
        """
        mode, project = self.wandb, self.wandb_project
        if mode is None:
            given = os.environ.get("WANDB_MODE") or "offline"
            if given not in _MODES:
                raise ConfigError(f"WANDB_MODE: got {given!r}; expected online, offline or disabled")
            mode = _MODES[given]
        if project is None:
            project = os.environ.get("WANDB_PROJECT") or "lstm_jax"
            if not PROJECT.admits(project):
                raise ConfigError(f"WANDB_PROJECT: got {in_words([project])}; expected {PROJECT.words}")
        return Target(mode, project)
