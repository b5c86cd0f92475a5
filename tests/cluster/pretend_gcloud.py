#!/usr/bin/env -S python3 -IS
"""A `gcloud` that remembers, in the folder it lies in, what it was told to make, and refuses to make it twice."""

from __future__ import annotations

import json
import sys
from pathlib import Path

FOLDER = Path(sys.argv[0]).resolve().parent


def main(arguments: list[str]) -> int:
    """The exit status of `gcloud` with these arguments."""
    with (FOLDER / "calls").open("a") as log:
        log.write(" ".join(arguments) + "\n")
    state = FOLDER / "made.json"
    made: list[str] = json.loads(state.read_text()) if state.is_file() else []
    words = [word for word in arguments[3:] if not word.startswith("--")]  # After --quiet --project NAME.
    verb = next((word for word in words if word in ("describe", "create", "update")), None)
    if verb is None:
        return 0  # Services that are enabled and bindings that are added may be there already.
    at = words.index(verb)
    name = " ".join([*words[:at], words[at + 1].split("@")[0]])
    if verb == "create" and name in made:
        print(f"ERROR: {name} already exists", file=sys.stderr)
        return 1
    if verb == "create":
        state.write_text(json.dumps([*made, name]))
        return 0
    if name not in made:
        print(f"ERROR: {name} was not found", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
