"""The command `callsheet`: starts `worker.cli`, and says in words when `worker` is another package.

It lies outside `worker`, because a backend's own `worker` package may stand in front of ours on Python's path.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path


def main() -> None:
    """Run the command line; exits with 1 and one line where Python finds another package `worker` first."""
    found = find_spec("worker")
    places = [Path(place) for place in found.submodule_search_locations or ()] if found else []
    if Path(__file__).resolve().with_name("worker") not in [place.resolve() for place in places]:
        seen = places[0] if places else (found.origin if found else "no place")
        sys.exit(
            f"Error: Python finds another `worker` before Callsheet's, at {seen}: take its directory out of PYTHONPATH "
            "for this command, or install Callsheet into an environment of its own; a backend with such a package "
            "sends callsheet.generate by name, without importing ours (README.md)"
        )
    import_module("worker.cli").main(prog_name="callsheet")


if __name__ == "__main__":
    main()
