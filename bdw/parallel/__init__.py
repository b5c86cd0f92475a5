"""Workers, devices and random numbers: what a process must know of the machine and of the others."""
