#!/usr/bin/env python3
"""Proves that the sources keep to the layers. Usage: check_layers.py ROOT

    base → {format, region, backing} → journal → store → check → core → {fuse, virtiofs} → tools

Each layer may include itself and what is to its left. One line is printed for each violation; the exit status is 1 if
there was one.
"""

import pathlib
import re
import sys

RANKS = {
    "base": 0,
    "format": 1,
    "region": 1,
    "backing": 1,
    "journal": 2,
    "store": 3,
    "check": 4,
    "core": 5,
    "fuse": 6,
    "virtiofs": 6,
    "tools": 7,
}

# Public headers and the first layer that may include them.
PUBLIC_RANKS = {
    "pmemfs/result.hpp": 0,
    "pmemfs/types.hpp": 0,
    "pmemfs/durable.h": 0,
    "pmemfs/format.hpp": 0,
    "pmemfs/region.hpp": 1,
    "pmemfs/backing_dir.hpp": 1,
    "pmemfs/filesystem.hpp": 5,
}

# Headers of third parties that belong to single layers.
OWNED = (
    (re.compile(r"(libpmem\w*|libpmemobj.*)\.h(pp)?$"), {"region"}),
    (re.compile(r"linux/fuse\.h$"), {"fuse", "virtiofs"}),
    (re.compile(r"(fuse3?/.*|fuse(_\w+)?\.h)$"), {"fuse"}),
    (re.compile(r"boost/"), {"tools"}),
)

SUFFIXES = {".cpp", ".hpp", ".h", ".c", ".cc", ".hh"}
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^">]+)[">]', re.MULTILINE)
BLOCK_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


def sources(folder):
    return sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES and path.is_file())


def includes(path):
    """(line number, quote or bracket, name) of each #include."""
    text = path.read_text(errors="replace")
    text = BLOCK_COMMENT.sub(lambda comment: "\n" * comment.group().count("\n"), text)
    for found in INCLUDE.finditer(text):
        yield text.count("\n", 0, found.start()) + 1, found.group(1), found.group(2)


class Checker:
    def __init__(self, root):
        self.root = root
        self.violations = []
        self.files = {}  # file → the files of ours it includes

    def complain(self, path, line, text):
        self.violations.append(f"{path.relative_to(self.root)}:{line}: {text}")

    def run(self):
        for path in sources(self.root / "src"):
            self.check_source(path)
        for path in sources(self.root / "include"):
            self.check_public(path)
        for path in sources(self.root / "tests"):
            for line, _, name in includes(path):
                self.check_everywhere(path, line, name)
        self.check_cycles("folders", self.folder_graph())
        self.check_cycles("files", {str(path): {str(p) for p in to} for path, to in self.files.items()})
        return self.violations

    def check_everywhere(self, path, line, name):
        if name.startswith("/"):
            self.complain(path, line, f"'{name}' is an absolute path: include headers by their names")
        elif pathlib.PurePath(name).suffix in {".cpp", ".cc", ".c"}:
            self.complain(path, line, f"'{name}' is a source, not a header")

    def check_owned(self, path, line, name, layer):
        if (self.root / "src" / name).is_file():
            return  # our own src/fuse/, not libfuse's folder of that name
        for pattern, owners in OWNED:
            if pattern.match(name):
                if layer not in owners:
                    self.complain(path, line, f"'{name}' may be included only in {', '.join(sorted(owners))}")
                return

    def check_source(self, path):
        below = path.relative_to(self.root / "src").parts
        layer = below[0] if len(below) > 1 else ""
        if layer not in RANKS:
            self.complain(path, 1, "is in no layer: sources belong to src/<layer>/")
            return
        self.files[path] = set()
        for line, quote, name in includes(path):
            self.check_everywhere(path, line, name)
            self.check_owned(path, line, name, layer)
            if name.startswith("/"):
                continue
            if ".." in pathlib.PurePath(name).parts:
                self.complain(path, line, f"'{name}' leaves its folder: include from src/, as \"<layer>/<file>\"")
                continue
            self.check_public_use(path, line, name, RANKS[layer])
            self.check_layer_use(path, line, quote, name, layer)

    def check_public_use(self, path, line, name, rank):
        if not name.startswith("pmemfs/"):
            return
        if name not in PUBLIC_RANKS:
            self.complain(path, line, f"'{name}': give this public header a layer in PUBLIC_RANKS")
        elif PUBLIC_RANKS[name] > rank:
            self.complain(path, line, f"'{name}' belongs to a layer further right")

    def check_layer_use(self, path, line, quote, name, layer):
        target = self.root / "src" / name
        if not target.is_file() and quote == '"' and (path.parent / name).is_file():
            target = path.parent / name
        # An include of a layer is judged by its name even where the file is missing.
        other = target.relative_to(self.root / "src").parts[0] if target.is_file() else name.split("/")[0]
        if other not in RANKS or (not target.is_file() and "/" not in name):
            return
        if quote == "<" and not target.is_file():
            return  # a system header whose folder happens to be called like a layer
        if other != layer and RANKS[other] >= RANKS[layer]:
            self.complain(path, line, f"'{name}' is not to the left of {layer}")
        if target.is_file():
            self.files[path].add(target)

    def check_public(self, path):
        own = path.relative_to(self.root / "include").as_posix()
        rank = PUBLIC_RANKS.get(own)
        if rank is None:
            self.complain(path, 1, "give this public header a layer in PUBLIC_RANKS (tests/tools/check_layers.py)")
            return
        self.files[path] = set()
        for line, quote, name in includes(path):
            self.check_everywhere(path, line, name)
            self.check_owned(path, line, name, "a public header")
            self.check_public_use(path, line, name, rank)
            if quote == '"' and not name.startswith("pmemfs/"):
                self.complain(path, line, f"'{name}': a public header includes public headers only")
            target = self.root / "include" / name
            if name in PUBLIC_RANKS and target.is_file():
                self.files[path].add(target)

    def folder_graph(self):
        graph = {}
        for path, targets in self.files.items():
            for target in targets:
                if path.parent != target.parent and target.is_relative_to(self.root / "src"):
                    graph.setdefault(str(path.parent), set()).add(str(target.parent))
        return graph

    def check_cycles(self, what, graph):
        done, stack = set(), []

        def visit(node):
            if node in stack:
                names = [str(pathlib.Path(n).relative_to(self.root)) for n in stack[stack.index(node) :] + [node]]
                self.violations.append(f"a cycle of {what}: {' → '.join(names)}")
                return
            if node in done:
                return
            stack.append(node)
            for other in sorted(graph.get(node, ())):
                visit(other)
            stack.pop()
            done.add(node)

        for node in sorted(graph):
            visit(node)


def main():
    if len(sys.argv) != 2 or not (pathlib.Path(sys.argv[1]) / "src").is_dir():
        sys.exit("usage: check_layers.py ROOT (a folder that holds src/)")
    violations = Checker(pathlib.Path(sys.argv[1]).resolve()).run()
    print("\n".join(violations) if violations else "the layers are kept")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
