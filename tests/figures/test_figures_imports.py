import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "lstm_jax"


@pytest.mark.parametrize(
    ("package", "unwanted"),
    [
        ("analysis", ("jax", "wandb", "matplotlib", "rich")),
        ("figures", ("jax", "wandb", "matplotlib.pyplot")),
    ],
)
def test_neither_jax_nor_wandb_is_imported(package: str, unwanted: tuple[str, ...]) -> None:
    paths = sorted((PACKAGE / package).rglob("[!_]*.py"))
    assert len(paths) > 5
    imports = "; ".join(f"import {'.'.join(path.relative_to(PACKAGE.parent).with_suffix('').parts)}" for path in paths)
    code = f"import sys; {imports}; print([name for name in {unwanted!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
