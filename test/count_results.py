#!/usr/bin/env python3
"""count_results.py DIR: prints "passed failed skipped" of what ctest and the GoogleTest programs wrote there.

GoogleTest programs are counted by case, from their own XML; a ctest entry without such a file counts as one test. A program
that failed without a failed case (a crash, a time-out, a sanitizer's report) counts as one failure.
"""
import pathlib
import sys
import xml.etree.ElementTree as xml


def count_cases(path):
    passed = failed = skipped = 0
    for case in xml.parse(path).getroot().iter("testcase"):
        if case.find("failure") is not None:
            failed += 1
        elif case.get("result") == "skipped" or case.find("skipped") is not None:
            skipped += 1
        elif case.get("status") == "run":
            passed += 1
    return passed, failed, skipped


def main():
    results = pathlib.Path(sys.argv[1])
    total = [0, 0, 0]
    junit = results / "ctest.junit"
    if not junit.exists():
        print("0 1 0")
        return
    for entry in xml.parse(junit).getroot().iter("testcase"):
        own = results / (entry.get("name") + ".xml")
        broken = entry.find("failure") is not None
        if own.exists():
            try:
                counts = count_cases(own)
            except xml.ParseError:
                counts = (0, 1, 0)
            if broken and counts[1] == 0:
                counts = (counts[0], 1, counts[2])
        else:
            skipped = entry.get("status") in ("notrun", "disabled") or entry.find("skipped") is not None
            counts = (0, 1, 0) if broken else (0, 0, 1) if skipped else (1, 0, 0)
        total = [a + b for a, b in zip(total, counts)]
    print(*total)


main()
