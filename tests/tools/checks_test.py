#!/usr/bin/env python3
"""Feeds check_layers.py, check_house.py and cmake/layer.cmake with and without faults: a check that cannot fail is a
defect."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.dont_write_bytecode = True
import check_house  # noqa: E402
import check_layers  # noqa: E402

GOOD = {
    "include/pmemfs/result.hpp": "#pragma once\n#include <variant>\n",
    "include/pmemfs/region.hpp": '#pragma once\n#include "pmemfs/result.hpp"\n',
    "include/pmemfs/filesystem.hpp": '#pragma once\n#include "pmemfs/result.hpp"\n',
    "src/base/log.hpp": "#pragma once\n#include <string>\n",
    "src/base/log.cpp": '#include "base/log.hpp"\n#include <base/of_the_system.h>\n',
    "src/region/map.cpp": '#include <libpmem.h>\n#include "pmemfs/region.hpp"\n#include "base/log.hpp"\n',
    "src/region/map.hpp": "#pragma once\n",
    "src/journal/lane.hpp": '#pragma once\n#include "region/map.hpp"\n#include "local.hpp"\n',
    "src/journal/local.hpp": "#pragma once\n",
    "src/core/names.hpp": '#pragma once\n#include "journal/lane.hpp"\n#include "pmemfs/filesystem.hpp"\n',
    "src/fuse/session.cpp": '#include <fuse3/fuse_lowlevel.h>\n#include <linux/fuse.h>\n#include "core/names.hpp"\n',
    "src/fuse/session.hpp": "#pragma once\n",
    "src/tools/mount.cpp": '#include "fuse/session.hpp"\n',
    "src/virtiofs/queue.cpp": "#include <linux/fuse.h>\n",
    "src/tools/mkfs.cpp": '#include <boost/program_options.hpp>\n#include "core/names.hpp"\n',
}

# One fault each: file → its text, and a word of the complaint.
LAYER_FAULTS = [
    ("src/base/bad.cpp", '#include "region/map.hpp"\n', "not to the left"),
    ("src/region/bad.cpp", '#include "backing/dir.hpp"\n', "not to the left"),
    ("src/region/bad.cpp", '  #  include "format/geometry.hpp"\n', "not to the left"),
    ("src/store/bad.cpp", '#include <core/names.hpp>\n', "not to the left"),
    ("src/core/bad.cpp", '/* a comment */\n#include "fuse/session.hpp"\n', "src/core/bad.cpp:2"),
    ("src/virtiofs/bad.cpp", '#include "fuse/session.hpp"\n', "not to the left"),
    ("src/journal/deep/bad.cpp", '#include "core/names.hpp"\n', "not to the left"),
    ("src/core/bad.cpp", "#include <libpmem.h>\n", "only in region"),
    ("include/pmemfs/region.hpp", "#include <libpmem.h>\n", "only in region"),
    ("src/core/bad.cpp", "#include <fuse3/fuse_lowlevel.h>\n", "only in fuse"),
    ("src/virtiofs/bad.cpp", "#include <fuse_lowlevel.h>\n", "only in fuse"),
    ("src/core/bad.cpp", "#include <linux/fuse.h>\n", "only in fuse, virtiofs"),
    ("include/pmemfs/filesystem.hpp", "#include <fuse.h>\n", "only in fuse"),
    ("src/fuse/bad.cpp", "#include <boost/program_options.hpp>\n", "only in tools"),
    ("src/core/bad.cpp", '#include "/usr/include/stdio.h"\n', "absolute path"),
    ("tests/unit/bad.cpp", "#include </usr/include/stdio.h>\n", "absolute path"),
    ("src/core/bad.cpp", '#include "core/names.cpp"\n', "is a source"),
    ("src/core/bad.cpp", '#include "../base/log.hpp"\n', "leaves its folder"),
    ("src/base/bad.cpp", '#include "pmemfs/region.hpp"\n', "further right"),
    ("src/store/bad.cpp", '#include "pmemfs/filesystem.hpp"\n', "further right"),
    ("src/core/bad.cpp", '#include "pmemfs/unknown.hpp"\n', "PUBLIC_RANKS"),
    ("include/pmemfs/unknown.hpp", "#pragma once\n", "PUBLIC_RANKS"),
    ("include/pmemfs/result.hpp", '#include "base/log.hpp"\n', "public headers only"),
    ("src/misc/bad.cpp", "\n", "in no layer"),
    ("src/bad.cpp", "\n", "in no layer"),
    ("src/base/log.hpp", '#include "journal/lane.hpp"\n', "cycle of folders"),
    ("src/journal/local.hpp", '#include "journal/lane.hpp"\n', "cycle of files"),
]


def write(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


class Tree(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = pathlib.Path(self.folder.name).resolve()
        for name, text in GOOD.items():
            write(self.root, name, text)

    def run_script(self, script):
        return subprocess.run([sys.executable, HERE / script, self.root], capture_output=True, text=True)


class Layers(Tree):
    def test_a_good_tree_passes(self):
        done = self.run_script("check_layers.py")
        self.assertEqual((done.returncode, done.stdout), (0, "the layers are kept\n"))

    def test_an_include_in_a_comment_is_no_include(self):
        write(self.root, "src/base/ok.cpp", '/*\n#include "core/names.hpp"\n*/\n// #include <libpmem.h>\n')
        self.assertEqual(self.run_script("check_layers.py").returncode, 0)

    def test_a_fault_is_the_exit_status(self):
        write(self.root, "src/store/bad.cpp", '#include "core/names.hpp"\n')
        done = self.run_script("check_layers.py")
        self.assertEqual((done.returncode, done.stdout.count("\n")), (1, 1))

    def test_a_missing_tree_is_an_error(self):
        done = subprocess.run([sys.executable, HERE / "check_layers.py", self.root / "none"], capture_output=True)
        self.assertNotEqual(done.returncode, 0)

    def test_the_ranks_are_those_of_the_build(self):
        build = (HERE / "../../cmake/layer.cmake").read_text()
        for layer, rank in check_layers.RANKS.items():
            self.assertIn(f"set(PMEMFS_RANK_{layer} {rank})\n", build)


# pmemfs_check_layer(...) in a build that has the layers base and format so far, and what it complains of.
BUILD_CASES = [
    ('journal "base;format" ""', None),
    ('base "" "pmemfs::other"', None),
    ('wrong "" ""', "is not a layer"),
    ('journal "base;wrong" ""', "is not a layer"),
    ('format "region" ""', "not to its left"),
    ('base "core" ""', "not to its left"),
    ('core "base;store" ""', "depends on 'store', which has no folder"),
    ('core "" "pmemfs::libfuse"', "only 'fuse' may"),
]


class Build(unittest.TestCase):
    def test_wrong_dependencies_are_refused(self):
        for call, complaint in BUILD_CASES:
            with self.subTest(call), tempfile.TemporaryDirectory() as folder:
                root = pathlib.Path(folder)
                lines = ["cmake_minimum_required(VERSION 3.25)", "project(test LANGUAGES NONE)"]
                lines += [f"include({(HERE / '../../cmake/layer.cmake').resolve()})"]
                lines += ["add_library(pmemfs_base INTERFACE)", "add_library(pmemfs_format INTERFACE)"]
                write(root, "CMakeLists.txt", "\n".join([*lines, f"pmemfs_check_layer({call})\n"]))
                done = subprocess.run(["cmake", "-S", root, "-B", root / "build"], capture_output=True, text=True)
                self.assertEqual(done.returncode == 0, complaint is None, done.stderr)
                self.assertIn(complaint or "", " ".join(done.stderr.split()))


class House(Tree):
    def setUp(self):
        super().setUp()
        for folder in (self.root / "src").iterdir():
            write(folder, "README.md", "# a layer\n")

    def test_a_good_tree_passes(self):
        done = self.run_script("check_house.py")
        self.assertEqual((done.returncode, done.stdout), (0, "the house is in order\n"))

    def expect(self, word, longer=()):
        self.assertIn(word, "\n".join(check_house.check(self.root, longer)))

    def test_faults_are_found(self):
        write(self.root, "src/base/long.cpp", "\n" * 501)
        self.expect("src/base/long.cpp: 501 lines")
        self.assertNotIn("long.cpp", "\n".join(check_house.check(self.root, {"src/base/long.cpp": "why"})))
        self.expect("is listed as longer", {"src/base/log.cpp": "why"})
        self.expect("does not exist", {"src/base/none.cpp": "why"})
        write(self.root, "src/base/unguarded.hpp", "\n")
        self.expect("unguarded.hpp: neither")
        write(self.root, "src/base/path.cpp", '"/ho' + 'me/someone/x"\n')
        self.expect("path.cpp: names a path")
        (self.root / "src/core/README.md").unlink()
        self.expect("src/core: has no README.md")
        self.assertEqual(self.run_script("check_house.py").returncode, 1)


JUNIT = """<testsuite>
<testcase name="good" status="run"><system-out></system-out></testcase>
<testcase name="script" status="run"><system-out></system-out></testcase>
<testcase name="bad" status="fail"><failure message=""/></testcase>
<testcase name="crashed" status="fail"><failure message=""/></testcase>
<testcase name="skipped" status="notrun"><skipped message="SKIP_RETURN_CODE=77"/>
<system-out>a line
skipped: needs root
</system-out></testcase>
<testcase name="missing" status="notrun"><skipped message="Unable to find executable"/></testcase>
<testcase name="off" status="disabled"/>
</testsuite>"""
CASES = "good\tpassed\ta\t\ngood\tskipped\tb\tneeds x\nbad\tpassed\ta\t\nbad\tfailed\tb\t\ncrashed\tpassed\ta\t\n"


class Counts(unittest.TestCase):
    def run_script(self, *arguments):
        return subprocess.run([sys.executable, HERE / "count_results.py", *arguments], capture_output=True, text=True)

    def counted(self, junit, cases):
        with tempfile.TemporaryDirectory() as folder:
            write(pathlib.Path(folder), "junit.xml", junit)
            write(pathlib.Path(folder), "cases.tsv", cases)
            return self.run_script(f"release={folder}")

    def test_cases_are_counted(self):
        done = self.counted(JUNIT, CASES)
        lines = done.stdout.splitlines()
        self.assertEqual(done.returncode, 1)
        self.assertEqual(lines[-1], "4 passed, 4 failed, 2 skipped")
        self.assertIn("skipped: release: good: b: needs x", lines)
        self.assertIn("skipped: release: skipped: needs root", lines)
        self.assertIn("failed: release: bad: b", lines)
        self.assertIn("failed: release: crashed: crashed or ran out of time after 1 cases", lines)

    def test_only_skips_are_no_failure(self):
        done = self.counted('<testsuite><testcase name="good" status="run"/></testsuite>', CASES)
        self.assertEqual((done.returncode, done.stdout.splitlines()[-1]), (0, "1 passed, 0 failed, 1 skipped"))

    def test_what_was_not_built_or_not_run_failed(self):
        for arguments in (["release=/nowhere"], []):
            done = self.run_script(*arguments)
            self.assertEqual((done.returncode, done.stdout.splitlines()[-1]), (1, "0 passed, 1 failed, 0 skipped"))


def add_fault(number, name, text, word):
    def test(self):
        write(self.root, name, text)
        found = "\n".join(check_layers.Checker(self.root).run())
        self.assertIn(word, found, f"not found: {text!r} in {name}")

    setattr(Layers, f"test_fault_{number:02}", test)


for index, fault in enumerate(LAYER_FAULTS):
    add_fault(index, *fault)

if __name__ == "__main__":
    unittest.main()
