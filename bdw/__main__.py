"""`python -m bdw fit | evaluate | pack | report | doctor`."""

import sys

from bdw.cli import main

if __name__ == "__main__":
    sys.exit(main())
