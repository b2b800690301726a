import subprocess
import sys

import pytest

ANALYSIS = ("outcomes", "choice", "logistic", "bootstrap", "summary", "horizon")
REPORT = ("numbers", "style", "gap_length", "learning_curves", "table")


@pytest.mark.parametrize(
    ("package", "modules", "unwanted"),
    [
        ("analysis", ANALYSIS, ("jax", "wandb", "matplotlib", "rich")),
        ("report", REPORT, ("jax", "wandb", "matplotlib.pyplot")),
    ],
)
def test_neither_jax_nor_wandb_is_imported(package: str, modules: tuple[str, ...], unwanted: tuple[str, ...]) -> None:
    imports = "; ".join(f"import lstm_jax.{package}.{module}" for module in modules)
    code = f"import sys; {imports}; print([name for name in {unwanted!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
