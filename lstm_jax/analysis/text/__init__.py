"""Text: scores of translations, and loss by context, from the tables of records. No jax."""
