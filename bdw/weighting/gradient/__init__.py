"""The gradient of the meta-loss with respect to the instance weights, and what improves it."""
