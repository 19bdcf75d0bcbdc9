#!/usr/bin/env python3
"""Runs clang-tidy (.clang-tidy) and Clang's own warnings, thread safety among them, over every source of the project.

usage: tidy.py [FILE...]      without FILE: everything that build/release compiles and nobody generates

Needs build/release to be built: its compile_commands.json says how a file is compiled, its ninja deps what the file reads.
A file that was clean and whose bytes, command, checks and included headers are the same is not looked at again; what was
clean is remembered in ${ASHLAR_CACHE:-~/.cache/ashlar}/tidy. Last line: "N passed, N failed, N skipped".

Two things make it some five times as fast: the headers of tidy_prelude.h are read once for all files, and the plugin
own_code.cc keeps the checks from the declarations in system headers.
"""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build/release"
CACHE = pathlib.Path(os.environ.get("ASHLAR_CACHE") or pathlib.Path.home() / ".cache/ashlar") / "tidy"
REFUSED = {"test/checks/tidy_refuses.cc": ["clang-diagnostic-thread-safety-analysis", "bugprone-use-after-move"]}
KEPT_DAYS = 30
# C++20 means modules to Clang 14, and with them clang-tidy would read every header twice.
COMMON = ["-std=c++20", "-Xclang", "-fno-cxx-modules", "-pthread", "-DGTEST_HAS_PTHREAD=1", "-Wall", "-Wextra",
          "-Wno-missing-field-initializers", "-Wthread-safety"]


def output_of(*argv):
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout


def flags_of(command):
    """The macros and include folders of a compile command."""
    flags, words = [], iter(command)
    for word in words:
        if word == "-isystem":
            flags += [word, next(words)]
        elif word.startswith(("-D", "-I")):
            flags.append(word)
    return flags


def compiled():
    """{file below ROOT: (flags, object file)} of what is compiled and not generated."""
    found = {}
    for entry in json.loads((BUILD / "compile_commands.json").read_text()):
        path = pathlib.Path(entry["file"])
        if path.is_relative_to(ROOT) and not path.is_relative_to(ROOT / "build"):
            words = shlex.split(entry["command"])
            found.setdefault(str(path.relative_to(ROOT)), (flags_of(words), words[words.index("-o") + 1]))
    return found


def read_by():
    """{object file: paths that its compilation read}, as ninja recorded it."""
    deps, current = {}, []
    for line in output_of("ninja", "-C", str(BUILD), "-t", "deps").splitlines():
        if line.startswith("    "):
            current.append(line.strip())
        elif ": #deps" in line:
            current = deps.setdefault(line.split(": #deps")[0], [])
    return deps


class Keys:
    """Of a file, a hash of all that decides whether it is clean."""

    def __init__(self):
        self.deps = read_by()
        self.hashes = {}
        ours = [ROOT / ".clang-tidy", HERE / "tidy.py", HERE / "tidy_prelude.h", HERE / "own_code.cc"]
        tools = output_of("dpkg-query", "-W", "clang-tidy-14", "libclang-cpp14")
        self.configuration = tools + "".join(self.hash_of(path) for path in ours)

    def hash_of(self, path):
        path = os.path.normpath(BUILD / path)
        if path not in self.hashes:
            self.hashes[path] = hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
        return self.hashes[path]

    def key(self, name, flags, output):
        """None if it is not known what the file reads: then it is always looked at."""
        read = self.deps.get(output)
        if not read:
            return None
        parts = [self.configuration, name, *flags, *(f"{path} {self.hash_of(path)}" for path in read)]
        return hashlib.sha256("\n".join(parts).replace(str(ROOT), "").encode()).hexdigest()


def prepare(folder):
    """Makes the plugin and the compiled prelude, and returns the function that looks at one file."""
    plugin, prelude = f"{folder}/own_code.so", f"{folder}/prelude.pch"
    llvm = [word for word in output_of("llvm-config-14", "--cxxflags").split() if word.startswith(("-I", "-D"))]
    made = [subprocess.Popen(["g++", "-std=c++17", "-fPIC", "-shared", "-fno-rtti", *llvm, str(HERE / "own_code.cc"),
                              "-o", plugin]),
            subprocess.Popen(["clang++-14", "-x", "c++-header", "-fpch-instantiate-templates", *COMMON, "-w",
                              str(HERE / "tidy_prelude.h"), "-o", prelude])]
    if any([process.wait() for process in made]):
        sys.exit("tidy: could not compile the plugin or the prelude")

    def look(name, flags):
        run = subprocess.run(["clang-tidy-14", "-load", plugin, "--quiet", name, "--", *COMMON, *flags,
                              "-include-pch", prelude],
                             cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return run.returncode, run.stdout
    return look


def look_at(due):
    """How many of {file: (flags, key)} are not clean; remembers the others. First of all it refuses what it must."""
    failed = 0
    with tempfile.TemporaryDirectory() as folder, \
            concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        look = prepare(folder)
        for name, checks in REFUSED.items():
            _, said = look(name, [f"-I{ROOT}"])
            if missing := [check for check in checks if f"[{check}" not in said]:
                sys.exit(f"tidy: {name} is not refused by {missing}, so that nothing else would be:\n{said}")
        running = {pool.submit(look, name, flags): (name, key) for name, (flags, key) in due.items()}
        for done in concurrent.futures.as_completed(running):
            (name, key), (status, said) = running[done], done.result()
            if status == 0 and key:
                (CACHE / key).touch()
            elif status != 0:
                failed += 1
                print(f"FAIL {name}\n{said}", flush=True)
    return failed


def main():
    sources = compiled()
    unknown = [name for name in sys.argv[1:] if name not in sources]
    if unknown or not sources:
        sys.exit(f"tidy: not compiled by build/release: {' '.join(unknown) or 'anything'}")
    keys = Keys()
    wanted = {name: (flags, keys.key(name, flags, output)) for name, (flags, output) in sources.items()
              if not sys.argv[1:] or name in sys.argv[1:]}
    CACHE.mkdir(parents=True, exist_ok=True)
    for old in CACHE.iterdir():
        if old.stat().st_mtime < time.time() - KEPT_DAYS * 86400:
            old.unlink(missing_ok=True)
    due = {}
    for name, (flags, key) in wanted.items():
        if key and (CACHE / key).exists():
            os.utime(CACHE / key)
        else:
            due[name] = (flags, key)
    print(f"{len(wanted) - len(due)} files are as they were when they were clean, {len(due)} to look at", flush=True)

    failed = look_at(due) if due else 0
    print(f"{len(wanted) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
