"""Text: reading and cleaning pairs and running text, words, vocabularies, corpora with their splits. No jax."""
