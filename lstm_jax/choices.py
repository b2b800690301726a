"""Options that are one of a few words, each declared once. No jax."""

from __future__ import annotations

from typing import Literal

Backward = Literal["autodiff", "activations", "states", "checkpoint", "parallel"]
"""Residuals of the backward pass of a scan, from the most to the least: all that jax's autodiff asks for; results of
tanh, σ and the like; the state before every step; the state before every chunk of steps. `parallel`: of a cell that is
linear in its state all steps at once, by an associative scan; of any other it is `autodiff`."""
Form = Literal["sequence", "decoder", "encoder", "encoder_decoder"]
"""`sequence`: symbols in, answers out. Of language models and translation: `decoder` says the next word from those
before, `encoder` a masked word from those on both sides, `encoder_decoder` writes a target from a source."""
Readout = Literal["every", "last"]
"""The steps at which a model answers."""
Score = Literal["dot", "additive"]
"""The score of a decoder's attention."""
AttentionKind = Literal["none", "dot", "additive"]
"""A decoder's attention, or none."""
ScheduleName = Literal["constant", "cosine", "linear"]
"""How the learning rate goes on after its warm-up: as it is, or down to zero at the end of the budget."""
Against = Literal["before", "first"]
"""What a step is compared with: the one before (changes one after the other), or the first (each alone)."""
Precision = Literal["float32", "tf32", "bfloat16"]
"""What matrix products round their factors to; they add in float32, and all else is float32."""
