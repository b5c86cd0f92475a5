"""Files that are whole or not there, another try where a disk fails for a while, folders in remote storage."""
