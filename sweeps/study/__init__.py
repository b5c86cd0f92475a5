"""The Optuna study, which records what is done, and who may drive it."""
