#!/usr/bin/env bash
# What a user of the wheel gets: installed alone in a fresh environment, every module is imported and the smoke preset run.
set -euo pipefail
wheel=$(realpath "$1")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv environment
environment/bin/python -m pip install --quiet --disable-pip-version-check "$wheel"
environment/bin/python - <<'END'
import importlib
import importlib.metadata
import pkgutil

import experiments
import lstm_jax

OPTIONAL = {"ray", "submitit", "sacrebleu", "torch"}  # of extras
for package in (lstm_jax, experiments):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            if error.name not in OPTIONAL:
                raise
print("lstm_jax", importlib.metadata.version("lstm_jax"), "imports")
END
environment/bin/lstm-jax gap-length --preset smoke --wandb disabled --out smoke
test -s smoke/report.html
environment/bin/lstm-jax gap-length --tyro-print-completion bash | grep -q lstm-jax
echo "the wheel alone runs: $(basename "$wheel")"
