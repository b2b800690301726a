"""Jobs of one test process that need the same three programs share them, as runs of one job do.

For tests of what runs do: tracing and lowering the programs takes longer than such a run. What is compiled when is
tested without (tests/sweeps/test_worker.py, tests/sweeps/test_program_cache.py).
"""

from __future__ import annotations

from lstm_jax.sweeps.worker.vmapped import VmappedRuns

_COMPILED = {}


def share(monkeypatch):
    """Until the test is over; which programs they are follows from the training and the number of lanes."""
    compile_anew = VmappedRuns._compile
    names = ("_init", "_advance", "_evaluate")

    def compile_once(self):
        key = (self._training, self.width)
        if key not in _COMPILED:
            compile_anew(self)
            _COMPILED[key] = [getattr(self, name) for name in names]
        for name, program in zip(names, _COMPILED[key], strict=True):
            setattr(self, name, program)

    monkeypatch.setattr(VmappedRuns, "_compile", compile_once)
