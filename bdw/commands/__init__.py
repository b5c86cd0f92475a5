"""What the commands do: each prints for humans and leaves its results in files for machines."""
