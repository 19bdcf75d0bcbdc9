#!/usr/bin/env python3
"""What csi-sanity's JUnit files say. count.py BACKEND FILE... prints the line that test.sh counts; status 1 if a test failed."""
import sys
import xml.etree.ElementTree as xml


def counts(texts):
    """(passed, failed, skipped) of these JUnit files."""
    cases = [case for text in texts for case in xml.fromstring(text).iter("testcase") if "[It]" in case.get("name")]
    failed = sum(case.find("failure") is not None or case.find("error") is not None for case in cases)
    skipped = sum(case.find("skipped") is not None for case in cases)
    return len(cases) - failed - skipped, failed, skipped


def line(backend, passed, failed, skipped):
    return f"suite csi-sanity {backend}: {passed} passed, {failed} failed, {skipped} skipped"


def main():
    texts = []
    for path in sys.argv[2:]:
        with open(path, encoding="utf-8") as file:
            texts.append(file.read())
    found = counts(texts)
    print(line(sys.argv[1], *found))
    sys.exit(found[1] > 0)


if __name__ == "__main__":
    main()
