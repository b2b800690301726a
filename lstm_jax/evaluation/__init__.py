"""Scoring and decoding with a trained model. Imports models and text; tasks and commands import it."""
