"""Images of classes: IDX files, and the sets that can be fetched by name. No jax."""
