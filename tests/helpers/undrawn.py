"""`experiments.gap_length` without its figures, which cost a short command as much as all the rest of it does.

For tests of sweeps and of what may happen to them; tests/experiments looks at what commands draw.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":  # a worker process imports this file too
    from experiments.gap_length import main
    from lstm_jax.figures import learning_curves, style
    from lstm_jax.figures.gaps import gap_length

    gap_length.gap_length_figure = learning_curves.learning_curves_figure = lambda *_, **__: None
    style.save = lambda _, stem, endings=("png",): [stem.with_name(f"{stem.name}.{endings[0]}")]
    sys.exit(main())
