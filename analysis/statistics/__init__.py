"""Tests, effect sizes and what they depend on: numbers in, frozen records out; nothing is drawn here."""
