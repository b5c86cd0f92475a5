"""Files that are whole or not there, disks that fail for a while, folders elsewhere."""
