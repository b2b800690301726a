"""Figures and terminal tables of gap sweeps."""
