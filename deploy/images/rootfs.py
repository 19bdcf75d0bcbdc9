#!/usr/bin/env python3
"""Lays out the root filesystem of Ashlar's image.

  rootfs.py --programs DIR --files files.txt --root FOLDER

Copies Ashlar's programs from DIR (stripped), the files of the list, and every library that any of them is linked with,
from the Debian packages of this machine, with the copyright file of each package used. /usr/share/doc/ashlar/packages
of the image lists these packages with their versions.
"""
import argparse
import os
import re
import shutil
import stat
import subprocess
import sys

PROGRAMS = ("ashlar-controller", "ashlar-csi", "ashlar-node-agent")
MERGED = ("bin", "sbin", "lib", "lib64")  # links into /usr, as in Debian


def fail(text):
    sys.exit("image: " + text)


def output(*argv):
    answer = subprocess.run(argv, capture_output=True, text=True)
    if answer.returncode:
        fail(f"{' '.join(argv)}: {answer.stderr.strip() or answer.stdout.strip()}")
    return answer.stdout


def libraries(path):
    """Absolute paths of what the loader would load for the program or library `path`."""
    answer = subprocess.run(["ldd", path], capture_output=True, text=True)
    if answer.returncode:
        return []  # not a dynamic program
    if "not found" in answer.stdout:
        fail(f"{path} needs a library that is not installed:\n{answer.stdout}")
    return re.findall(r"(?:=> |^\s+)(/\S+) \(0x", answer.stdout, re.M)


def merged(path):
    """The path below /usr where Debian's links lead, /bin/sh becoming /usr/bin/sh."""
    first = path.split("/")[1]
    return "/usr" + path if first in MERGED else path


class Root:
    def __init__(self, folder):
        self.folder = folder
        self.sources = set()
        for name in MERGED:
            os.makedirs(f"{folder}/usr/{name}", exist_ok=True)
            os.symlink(f"usr/{name}", f"{folder}/{name}")
        for name in ("etc", "dev", "proc", "sys", "run", "tmp", "var", "csi"):
            os.makedirs(f"{folder}/{name}")
        os.chmod(f"{folder}/tmp", 0o1777)

    def add(self, path):
        """Copies a file of this machine, what its links lead to, and its libraries."""
        path = merged(path)
        if path in self.sources:
            return
        if not os.path.lexists(path):
            fail(f"{path} is not on this machine: deploy/install-packages.sh runtime")
        self.sources.add(path)
        target = self.folder + path
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if os.path.islink(path):
            os.symlink(os.readlink(path), target)
            self.add(os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path))))
            return
        shutil.copyfile(path, target)
        os.chmod(target, stat.S_IMODE(os.stat(path).st_mode) & 0o755)  # no set-uid in the image
        for library in libraries(path):
            self.add(library)

    def add_program(self, path):
        target = self.folder + "/usr/bin/" + os.path.basename(path)
        output("strip", "--strip-unneeded", "-o", target, path)
        os.chmod(target, 0o755)
        for library in libraries(path):
            self.add(library)

    def write(self, name, text):
        os.makedirs(os.path.dirname(self.folder + name), exist_ok=True)
        with open(self.folder + name, "w") as out:
            out.write(text)
        os.chmod(self.folder + name, 0o644)

    def record_packages(self):
        """Whose files these are: Debian's database knows some by the path before the merge into /usr."""
        packages = set()
        for path in self.sources:
            names = [path] + ([path[4:]] if path.startswith("/usr/") else [])
            for name in names:
                answer = subprocess.run(["dpkg", "-S", name], capture_output=True, text=True)
                if answer.returncode == 0:
                    packages.add([line for line in answer.stdout.splitlines() if not line.startswith("diversion")][0].rsplit(": ", 1)[0].split(",")[0])
                    break
            else:
                if not path.startswith("/etc/"):
                    print(f"image: {path} belongs to no package", file=sys.stderr)
        for package in packages:
            copyright_file = f"/usr/share/doc/{package.split(':')[0]}/copyright"
            if os.path.exists(copyright_file):
                target = self.folder + copyright_file
                os.makedirs(os.path.dirname(target), exist_ok=True)
                shutil.copyfile(os.path.realpath(copyright_file), target)
        versions = output("dpkg-query", "-W", "-f", "${Package} ${Version}\n", *sorted(packages))
        self.write("/usr/share/doc/ashlar/packages", versions)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--programs", required=True)
    parser.add_argument("--files", required=True)
    parser.add_argument("--root", required=True)
    args = parser.parse_args()
    os.umask(0o022)
    os.makedirs(args.root, exist_ok=True)
    root = Root(args.root)
    for name in PROGRAMS:
        path = os.path.join(args.programs, name)
        if not os.path.exists(path):
            fail(f"{path} is missing: cmake --preset release && ninja -C build/release {' '.join(PROGRAMS)}")
        root.add_program(path)
    with open(args.files) as lines:
        for line in lines:
            path = line.split("#")[0].strip()
            if path:
                root.add(path)
    os.symlink("/proc/self/mounts", args.root + "/etc/mtab")
    root.write("/etc/passwd", "root:x:0:0:root:/:/bin/sh\nashlar:x:65532:65532:ashlar:/:/bin/sh\n")
    root.write("/etc/group", "root:x:0:\nashlar:x:65532:\n")
    root.write("/etc/nsswitch.conf", "hosts: files dns\n")
    licence = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../LICENSE")
    with open(licence) as text:
        root.write("/usr/share/doc/ashlar/copyright", text.read())
    root.record_packages()


main()
