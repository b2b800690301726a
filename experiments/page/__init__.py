"""Finished sweeps as pages for a browser: what each says, and in which order."""
