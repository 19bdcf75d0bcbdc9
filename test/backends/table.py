#!/usr/bin/env python3
"""The table of docs/backends.md: what the contract suite of backends (node-agent/testing/backend_contract.h) saw of each.

    table.py LAB RESULTS.xml...          1 unless the table says what was seen; ends as every script of test.sh
    table.py --write LAB RESULTS.xml...  puts what was seen into the table

LAB is "loop" or "drive", RESULTS what gtest wrote with --gtest_output=xml."""
import os
import re
import sys
import xml.etree.ElementTree as ET

DOCS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/backends.md")
BEGIN, END = "<!-- table of test/backends/table.py -->\n", "<!-- end of the table -->\n"
HEAD = ("| backend | lab | volumes | filesystems | grows | snapshots and clones | size of a volume | contract | left out |\n"
        "|---|---|---|---|---|---|---|---|---|\n")
# In the order of docs/backends.md; what is not here comes last.
ORDER = ("FileFull FileSparse Directory DirectoryXfs Linear Thin Striped Mirrored Partition NamespaceCreated NamespacePrepared "
         "WholeDrive").split()


def seen(results, lab):
    """Rows of the table, by backend, of what the suites' results tell."""
    backends = {}
    for result in results:
        for case in ET.fromstring(result).iter("testcase"):
            if case.get("classname").split("/")[-1] != "BackendContract":
                continue
            name, backend = case.get("name").split("/")
            told = backends.setdefault(backend, {"passed": 0, "failed": [], "left": [], "facts": {}})
            told["facts"].update({p.get("name"): p.get("value") for p in case.iter("property")})
            if case.find("failure") is not None or case.get("status") != "run":
                told["failed"].append(name)
            elif (skipped := case.find("skipped")) is not None:
                told["left"].append(skipped.get("message").split("\n")[-1].strip())
            else:
                told["passed"] += 1
    # Where the lab is missing every test is skipped before it begins.
    return {backend: _row(backend, lab, told) for backend, told in backends.items() if told["facts"]}


def _row(backend, lab, told):
    facts, yes = told["facts"], {"1": "yes", "0": "no"}
    volumes = "block, filesystem" if facts["block"] == "1" else "filesystem"
    grain = "whole drives or namespaces" if int(facts["granularityMiB"]) > 16 else f"multiple of {facts['granularityMiB']} MiB"
    contract = f"{told['passed']} passed" + (f", failed: {', '.join(told['failed'])}" if told["failed"] else "")
    left = "; ".join(sorted(set(told["left"]))) or "nothing"
    where = f"{lab} lab" + (", fake admin commands" if lab == "loop" and backend.startswith("Namespace") else "")
    cells = [backend, where, volumes, facts["fsTypes"], yes[facts["grow"]], yes[facts["copy"]], grain, contract, left]
    return "| " + " | ".join(cells) + " |\n"


def _split(text):
    before, rest = text.split(BEGIN)
    table, after = rest.split(END)
    rows = {re.match(r"\| (\w+) \|", line)[1]: line for line in table.splitlines(keepends=True)[2:]}
    return before, rows, after


def check(results, lab):
    """What of docs/backends.md is not as it was seen; empty if all is."""
    with open(DOCS, encoding="utf-8") as docs:
        _, rows, _ = _split(docs.read())
    return [f"docs/backends.md says of {backend}:\n  {rows.get(backend, 'nothing').strip()}\nand the suite saw:\n  {row.strip()}"
            for backend, row in seen(results, lab).items() if rows.get(backend) != row]


def write(results, lab):
    with open(DOCS, encoding="utf-8") as docs:
        before, rows, after = _split(docs.read())
    rows |= seen(results, lab)
    place = lambda backend: (ORDER.index(backend) if backend in ORDER else len(ORDER), backend)
    with open(DOCS, "w", encoding="utf-8") as docs:
        docs.write(before + BEGIN + HEAD + "".join(rows[backend] for backend in sorted(rows, key=place)) + END + after)


def main(argv):
    writing = argv[:1] == ["--write"]
    lab, *paths = argv[1 if writing else 0:]
    results = []
    for path in paths:
        with open(path, encoding="utf-8") as result:
            results.append(result.read())
    if writing:
        write(results, lab)
        return 0
    wrong = check(results, lab)
    print(*wrong, sep="\n")
    print("test/backends/table.py --write puts what was seen into the table" if wrong else "docs/backends.md says what was seen")
    print(f"{len(seen(results, lab)) - len(wrong)} passed, {len(wrong)} failed, 0 skipped")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
