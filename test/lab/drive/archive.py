"""Packs files, programs and the libraries that programs need as a cpio archive ("newc"), the form in which Linux takes its
first root filesystem. Several archives behind one another are one tree, in which the later file wins."""
import os
import shutil
import stat
import subprocess
import tempfile


class Missing(Exception):
    """A part of the lab is not here; the text is one sentence for people."""


def libraries(program):
    """Absolute paths of the shared libraries that the program is linked with; none for a static program or a script."""
    answer = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    if "not found" in answer.stdout:
        raise Missing(f"drive lab: {program} needs libraries that are not here: {answer.stdout.strip()}")
    words = (word for line in answer.stdout.splitlines() for word in line.split())
    return [word for word in words if word.startswith("/")]


class Archive:
    """Entries keep the order in which they were put; a path that was put before is left as it is."""

    def __init__(self, path):
        self._out = open(path, "wb")
        self._seen = set()
        self._inode = 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._entry("TRAILER!!!", 0, b"")
        self._out.close()

    def _entry(self, name, mode, data):
        self._inode += 1
        encoded = name.encode() + b"\0"
        fields = [self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0]
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
        self._out.write(head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4))

    def _put(self, name, mode, data):
        name = name.strip("/")
        if name in self._seen:
            return
        if "/" in name:
            self.directory(os.path.dirname(name))
        self._seen.add(name)
        self._entry(name, mode, data)

    def directory(self, name):
        self._put(name, stat.S_IFDIR | 0o755, b"")

    def link(self, name, target):
        self._put(name, stat.S_IFLNK | 0o777, target.encode())

    def bytes(self, name, data, mode=0o644):
        self._put(name, stat.S_IFREG | mode, data)

    def file(self, name, source):
        with open(source, "rb") as data:
            self._put(name, stat.S_IFREG | (os.stat(source).st_mode & 0o777), data.read())

    def program(self, source, folder="bin"):
        """A program of this machine, by path or by name, with its libraries in /lib."""
        path = shutil.which(source, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if path is None:
            raise Missing(f"drive lab: the program {source} is missing; run deploy/install-packages.sh drive-lab runtime")
        with tempfile.TemporaryDirectory() as making:
            # Symbols for debuggers would be most of the guest's memory. Scripts, and machines without strip: as it is.
            bare = f"{making}/bare"
            strip = shutil.which("strip") and subprocess.run(["strip", "-o", bare, os.path.realpath(path)], capture_output=True, check=False)
            self.file(f"{folder}/{os.path.basename(source)}", bare if strip and strip.returncode == 0 else os.path.realpath(path))
        for library in libraries(path):
            self.file(f"lib/{os.path.basename(library)}", os.path.realpath(library))
