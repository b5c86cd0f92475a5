"""How good an encoder is for the target: one file per measure."""
