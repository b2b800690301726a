import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "lstm_jax"
ANALYSIS, REPORT = (
    tuple(sorted(path.stem for path in (PACKAGE / part).glob("[!_]*.py"))) for part in ("analysis", "report")
)


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
