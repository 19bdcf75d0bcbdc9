"""Runs the unittest cases of a module and ends with the line that test.sh counts: "N passed, N failed, N skipped"."""
import concurrent.futures
import os
import re
import subprocess
import sys
import time
import unittest


_also = [0, 0, 0]


def count_also(passed, failed, skipped):
    """Adds what another program ran within a test to the numbers of the last line."""
    for i, count in enumerate((passed, failed, skipped)):
        _also[i] += count


class _Result(unittest.TextTestResult):
    """Prints one line a test, with its duration."""

    def startTest(self, test):
        self._began = time.monotonic()
        super().startTest(test)

    def _line(self, word, test):
        took = time.monotonic() - getattr(self, "_began", time.monotonic())
        print(f"{word:5} {test.id().split('.', 1)[-1]} ({took:.1f} s)", flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        self._line("ok", test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._line("FAIL", test)

    def addError(self, test, err):
        super().addError(test, err)
        self._line("ERROR", test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._line("skip", test)


class _InOrder(unittest.TestLoader):
    """Tests run in the order in which they are written."""

    def getTestCaseNames(self, case):
        order = [name for base in reversed(case.__mro__) for name in vars(base)]
        return sorted(super().getTestCaseNames(case), key=order.index)

    def loadTestsFromModule(self, module):
        cases = [c for c in vars(module).values() if isinstance(c, type) and issubclass(c, unittest.TestCase)]
        return self.suiteClass([self.loadTestsFromTestCase(c) for c in cases])


def run(module="__main__"):
    """Exits with 0 if all passed. Arguments of the program name single tests, as unittest does (Class.test_name)."""
    loader, names = _InOrder(), sys.argv[1:]
    suite = loader.loadTestsFromNames(names, sys.modules[module]) if names else loader.loadTestsFromModule(sys.modules[module])
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=0, resultclass=_Result).run(suite)
    # What failed outside of a test (setUpModule) counts as one failure although it is no test.
    failed = {str(test) for test, _ in result.failures + result.errors}
    failed_tests = len({str(test) for test, _ in result.failures + result.errors if isinstance(test, unittest.TestCase)})
    skipped = len(result.skipped)
    passed, failed = max(0, result.testsRun - failed_tests - skipped) + _also[0], len(failed) + _also[1]
    print(f"{passed} passed, {failed} failed, {skipped + _also[2]} skipped")
    sys.exit(1 if failed else 0)


def run_side_by_side(workers, module="__main__"):
    """As run, with each class of tests in a process of its own, `workers` at a time: what the classes share must bear that.
    Each one's output comes as a whole when it ends. Named tests run as in run."""
    if sys.argv[1:]:
        run(module)
    cases = [name for name, c in vars(sys.modules[module]).items()
             if isinstance(c, type) and issubclass(c, unittest.TestCase) and unittest.TestLoader().getTestCaseNames(c)]

    def one(name):
        argv = [sys.executable, "-u", os.path.abspath(sys.modules[module].__file__), name]
        ended = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        print(ended.stdout, end="", flush=True)
        counts = re.search(r"^(\d+) passed, (\d+) failed, (\d+) skipped\n\Z", ended.stdout, re.MULTILINE)
        # One that ended without its last line is a failure by itself.
        return [int(count) for count in counts.groups()] if counts else [0, 1, 0]

    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        passed, failed, skipped = (sum(counts) for counts in zip(*pool.map(one, cases)))
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(1 if failed else 0)
