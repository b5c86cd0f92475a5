"""The Optuna study, the truth about what is done, and who may drive it."""
