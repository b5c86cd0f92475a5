"""Studies that answered one question each: the answers are in docs/evidence.md, nothing else needs the code."""
