"""Weighters that learn during training, one file each."""
