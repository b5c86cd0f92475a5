"""A part of each kind for bdw."""
