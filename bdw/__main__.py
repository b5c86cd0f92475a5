"""`python -m bdw fit | evaluate | pack | report | doctor`."""

from bdw.cli import run

if __name__ == "__main__":
    run()
