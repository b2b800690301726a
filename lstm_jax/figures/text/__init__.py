"""Figures of translation and language models."""
