"""From a grid to results on disk: configuration, jobs, workers, records. Import its modules by name."""
