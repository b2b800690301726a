"""`experiments.gap_length` without its figures, which cost a short command as much as all the rest of it does.

For tests of sweeps and of what may happen to them; tests/experiments looks at what commands draw.
"""

from __future__ import annotations

import sys
import types

if __name__ == "__main__":
    for module in [name for name in sys.modules if name.partition(".")[0] == "experiments"]:
        del sys.modules[module]  # imported before this process was forked: they have what draws
    # In the place of the modules, so that matplotlib is not imported either where it is not yet.
    nothing = lambda *_, **__: None  # noqa: E731
    for name, members in {
        "gaps.budgets": {"horizon_by_budget_figure": nothing, "sentence": lambda found, *_: found.cell},
        "gaps.gap_length": {"gap_length_figure": nothing},
        "gaps.rates": {"rates_figure": nothing},
        "learning_curves": {"learning_curves_figure": nothing},
        "style": {"save": lambda _, stem, endings=("png",): [stem.with_name(f"{stem.name}.{endings[0]}")]},
    }.items():
        sys.modules[f"lstm_jax.figures.{name}"] = types.SimpleNamespace(**members)
        package, _, last = f"lstm_jax.figures.{name}".rpartition(".")
        vars(sys.modules.get(package, types.SimpleNamespace()))[last] = sys.modules[f"lstm_jax.figures.{name}"]
    for name, members in {
        "gaps": {"of_gaps": nothing},
        "read": {"paged": nothing, "verdicts_in": nothing},
        "sections": {"write": lambda _, file: file},
    }.items():
        sys.modules[f"experiments.page.{name}"] = types.SimpleNamespace(**members)
    from experiments.gap_length import main

    sys.exit(main())
