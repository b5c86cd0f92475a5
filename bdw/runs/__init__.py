"""What a run leaves behind: its directory, checkpoints, measurements and what users take home."""
