"""The rendered pool: letters of many scripts among rubbish, drawn from fonts that matplotlib ships. No download."""

from bdw.data.readers.glyphs.reader import READERS
from bdw.data.readers.glyphs.scripts import FOR_CHOOSING, REPORTED, SCRIPTS

__all__ = ["FOR_CHOOSING", "READERS", "REPORTED", "SCRIPTS"]
