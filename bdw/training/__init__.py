"""The loop around the step: from a config to a run that is done."""
