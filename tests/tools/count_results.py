#!/usr/bin/env python3
"""Counts test cases. Usage: count_results.py PRESET=FOLDER...

A folder holds junit.xml, written by CTest, and cases.tsv, to which each test program adds a line "program, outcome, case,
reason" for each of its cases. A program that failed without a failed case (it crashed, or ran out of time) counts as one
failure; a test that reports no cases counts as one case; a folder without junit.xml was not built and counts as one failure.
The last line is "N passed, N failed, N skipped"; the exit status is 1 if one failed or nothing ran.
"""

import collections
import pathlib
import sys
import xml.etree.ElementTree

Case = collections.namedtuple("Case", "outcome name reason")


def read_cases(path):
    """program → its cases"""
    cases = collections.defaultdict(list)
    if path.is_file():
        for line in path.read_text(errors="replace").splitlines():
            program, outcome, name, reason = (line.split("\t") + [""] * 4)[:4]
            cases[program].append(Case(outcome, name, reason))
    return cases


def skip_reason(output):
    """A test that is no Catch2 program says why it is skipped in a line "skipped: reason"."""
    for line in (output or "").splitlines():
        if line.startswith("skipped: "):
            return line.removeprefix("skipped: ")
    return "no reason given"


def count_test(element, cases):
    """The cases of one CTest test."""
    name, status = element.get("name"), element.get("status")
    if status == "fail" and not any(case.outcome == "failed" for case in cases):
        failure = element.find("failure")
        why = failure.get("message") if failure is not None else ""
        why = why or (f"crashed or ran out of time after {len(cases)} cases" if cases else "see its output above")
        return cases + [Case("failed", name, why)]
    if cases:
        return cases
    if status == "run":
        return [Case("passed", name, "")]
    if element.find("skipped") is not None and status != "disabled":
        message = element.find("skipped").get("message") or ""
        if "SKIP" in message.upper():
            return [Case("skipped", name, skip_reason(element.findtext("system-out")))]
        return [Case("failed", name, message or "was not run")]
    return [Case("failed", name, f"was not run ({status})")]


def count_folder(folder):
    junit = folder / "junit.xml"
    if not junit.is_file():
        return [Case("failed", "build", "it does not build, or no test was found")]
    cases = read_cases(folder / "cases.tsv")
    found = []
    for element in xml.etree.ElementTree.parse(junit).getroot().iter("testcase"):
        found += [case._replace(name=f"{element.get('name')}: {case.name}") if case.name != element.get("name") else case
                  for case in count_test(element, cases[element.get("name")])]
    return found


def main():
    totals = collections.Counter()
    for argument in sys.argv[1:]:
        preset, _, folder = argument.partition("=")
        for case in count_folder(pathlib.Path(folder)):
            totals[case.outcome] += 1
            if case.outcome != "passed":
                print(f"{case.outcome}: {preset}: {case.name}" + (f": {case.reason}" if case.reason else ""))
    if not totals:
        totals["failed"] = 1
        print("failed: no test was run")
    print(f"{totals['passed']} passed, {totals['failed']} failed, {totals['skipped']} skipped")
    return 1 if totals["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
