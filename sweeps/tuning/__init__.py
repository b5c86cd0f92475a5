"""A search of one's own: any fields of a run's config, any measures, samplers and schedulers by name."""
