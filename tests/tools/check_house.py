#!/usr/bin/env python3
"""Keeps the folders in order. Usage: check_house.py ROOT

Each folder under src/ has a README.md of a few lines; a file under src/ or include/ has 500 lines at most, unless it is
listed here with a reason; headers have #pragma once; no file names a path of one machine.
"""

import pathlib
import re
import sys

MAX_LINES = 500

# Path → why it is longer. An entry that is no longer needed is a violation too.
LONGER = {}

SUFFIXES = {".cpp", ".hpp", ".h"}
MACHINE_PATH = re.compile(r"(?<![\w./$}])/(work|home/\w+|root)/")


def check(root, longer):
    violations = []
    src = root / "src"
    for folder in sorted(path for path in src.iterdir() if path.is_dir()):
        if not (folder / "README.md").is_file():
            violations.append(f"src/{folder.name}: has no README.md")
    for path in sorted(p for tree in ("src", "include") for p in (root / tree).rglob("*") if p.suffix in SUFFIXES):
        name = path.relative_to(root).as_posix()
        text = path.read_text(errors="replace")
        lines = text.count("\n")
        if lines > MAX_LINES and name not in longer:
            violations.append(f"{name}: {lines} lines, more than {MAX_LINES}; split it, or list it here with a reason")
        if lines <= MAX_LINES and name in longer:
            violations.append(f"{name}: is listed as longer than {MAX_LINES} lines, but has {lines}")
        if path.suffix in {".hpp", ".h"} and "#pragma once" not in text and "#ifndef" not in text:
            violations.append(f"{name}: neither #pragma once nor an include guard")
        if MACHINE_PATH.search(text):
            violations.append(f"{name}: names a path of one machine: {MACHINE_PATH.search(text).group()}")
    violations += [f"{name}: is listed here but does not exist" for name in longer if not (root / name).is_file()]
    return violations


def main():
    if len(sys.argv) != 2 or not (pathlib.Path(sys.argv[1]) / "src").is_dir():
        sys.exit("usage: check_house.py ROOT (a folder that holds src/)")
    violations = check(pathlib.Path(sys.argv[1]).resolve(), LONGER)
    print("\n".join(violations) if violations else "the house is in order")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
