"""The options of the built-in pretext tasks, a file each: no task needs to be imported to read a config."""
