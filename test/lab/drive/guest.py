"""A guest of the drive lab: QEMU without KVM, the drives of a scene as sparse files, commands over a virtio port, plugging over
QMP. One folder holds it all. QEMU dies with the process that started it; what a killed process left is removed by the next one."""
import base64
import ctypes
import fcntl
import glob
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import parts
import scene as scenes
from archive import Archive

# The machine of a test may be slow and shared: limits say "broken", not "slower than we like".
PATIENCE = float(os.environ.get("ASHLAR_E2E_PATIENCE", "1"))
PREFIX = "/var/tmp/ashdrive-"
PR_SET_PDEATHSIG = 1


class GuestFailed(Exception):
    """The guest did not start, ended, or did not answer; the text holds the end of its console."""


def _remove_abandoned():
    """Folders whose owner, who holds a lock on them, was killed. QEMU has died with it."""
    for folder in glob.glob(f"{PREFIX}*"):
        try:
            with open(f"{folder}/owner", encoding="utf-8") as owner:
                fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            continue
        except FileNotFoundError:  # it is being made, or nobody came further
            if time.time() - os.path.getmtime(folder) > 60:
                shutil.rmtree(folder, ignore_errors=True)


def _take_core():
    """A core that no other guest of these labs keeps busy, and the file that is locked for it; the first one and None if there is none."""
    cores = sorted(os.sched_getaffinity(0))
    for core in cores:
        lock = open(f"{tempfile.gettempdir()}/ashlar-drive-lab-core-{core}", "w", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return core, lock
        except OSError:
            lock.close()
    return cores[0], None


def _prepare(parent, core):
    """Ends with its parent, and stays on one core: QEMU 7.2 emulates NVMe in another thread than the guest's processor, and was
    seen to lose commands, and then the controller, when the two ran on two cores of a busy machine."""
    _die_with(parent)
    os.sched_setaffinity(0, {core})


def _die_with(parent):
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


class Guest:
    """boot() starts it on the drives of the scene, which stay what they are until close(). Programs are packed with their
    libraries and lie in the guest's /bin. Used by one thread."""

    def __init__(self, scene_name, programs=()):
        self.scene = scenes.load(scene_name)
        self.build = self.scene.build()
        self._parts = parts.find()
        _remove_abandoned()
        self.folder = tempfile.mkdtemp(prefix=PREFIX)
        self._owner = open(f"{self.folder}/owner", "w", encoding="utf-8")
        fcntl.flock(self._owner, fcntl.LOCK_EX)
        self._qemu = self._port = self._qmp = None
        self._core, self._core_lock = _take_core()
        self._boots = self._commands = 0
        for disk in self.build.disks:
            with open(f"{self.folder}/{disk.file}", "wb") as file:
                file.truncate(disk.mib * scenes.MIB)
        root = f"{self.folder}/root.cpio"
        shutil.copyfile(f"{self._parts}/root.cpio", root)
        with Archive(f"{self.folder}/more.cpio") as more:
            for program in programs:
                more.program(os.path.abspath(program))
        with open(root, "ab") as whole, open(f"{self.folder}/more.cpio", "rb") as more:
            whole.write(b"\0" * (-whole.tell() % 4))
            shutil.copyfileobj(more, whole)
        os.remove(f"{self.folder}/more.cpio")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    # Life.

    def boot(self, order=()):
        """Starts it and puts drives to their uses. NVMe controllers whose serials (or names in the scene) `order` names come
        first, in this order, so that /dev/nvme0 is another one than in the boot before."""
        first = [self.build.controllers[name][0] for name in order]
        addresses = first + [address for address, _ in self.build.controllers.values() if address not in first]
        self._boots += 1
        began = time.monotonic()
        sockets = len(self.scene.sockets)
        # Nehalem: a boot on "max" (5 levels of page tables, SMAP) takes a sixth more time.
        # norandmaps: QEMU translates a program once for each address that it is found at.
        argv = [parts.QEMU, "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "Nehalem", "-smp", f"{sockets},sockets={sockets}",
                "-m", str(sockets * self.scene.mib_each), "-display", "none", "-nodefaults", "-no-reboot", "-no-user-config",
                "-kernel", f"{self._parts}/vmlinuz", "-initrd", "root.cpio",
                "-append", f"console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off nokaslr norandmaps init_on_alloc=0 cryptomgr.notests "
                           f"lab_disks={len(self.expected_tree())} lab_nvme={','.join(addresses)}{' intel_iommu=on' if self.scene.iommu else ''}",
                "-serial", "file:console", "-qmp", "unix:qmp,server=on,wait=off",
                "-device", "virtio-serial-pci,addr=0x1e", "-chardev", "socket,id=lab,path=lab,server=on,wait=off",
                "-device", "virtserialport,chardev=lab,name=lab", *self.build.arguments]
        parent = os.getpid()
        log = open(f"{self.folder}/qemu.log", "wb")
        self._qemu = subprocess.Popen(argv, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                                      preexec_fn=lambda: _prepare(parent, self._core))
        log.close()
        self._qmp = self._connect("qmp")
        self._qmp_buffer = b""
        self._qmp_answer()
        self.qmp("qmp_capabilities")
        self._port = self._connect("lab")
        self._buffer = b""
        self._until(b"ready\n", 120)
        self._put_to_use()
        self.boot_seconds = time.monotonic() - began

    def _put_to_use(self):
        devices = {(disk["serial"], disk["nsid"]): disk["name"] for disk in self.tree()}
        script = ["set -e"]
        for disk in self.build.disks:
            if disk.used:
                script.append(f"s={disk.serial} d=/dev/{devices[disk.serial, disk.nsid]}; {scenes.USES[disk.used].make}")
        self.run("\n".join([*script, self.scene.setup]), 120)

    def cut_power(self):
        """Ends the guest at once. What its kernel had not written is lost; the drives keep what they had taken."""
        for end in (self._port, self._qmp):
            if end is not None:
                end.close()
        if self._qemu is not None:
            self._qemu.kill()
            self._qemu.wait()
        self._qemu = self._port = self._qmp = None
        for name in ("qmp", "lab"):
            if os.path.exists(f"{self.folder}/{name}"):
                os.remove(f"{self.folder}/{name}")

    def close(self):
        self.cut_power()
        shutil.rmtree(self.folder, ignore_errors=True)
        self._owner.close()
        if self._core_lock is not None:
            self._core_lock.close()

    # Commands.

    def status(self, command, seconds=60, show=None):
        """Status and output (both streams) of a shell command. `show` is called with the output as it comes."""
        self._commands += 1
        mark = f"{self._boots}.{self._commands}"
        self._port.sendall(f"{mark} {base64.b64encode(command.encode()).decode()}\n".encode())
        output = self._until(f"\0{mark} ".encode(), seconds, show)
        return int(self._until(b"\n", 10)), output

    def run(self, command, seconds=60):
        """Output of a command that ends with 0; AssertionError otherwise."""
        status, output = self.status(command, seconds)
        text = output.decode(errors="replace")
        if status:
            raise AssertionError(f"in the guest: {command}\nended with {status}: {text}")
        return text

    def json(self, command, seconds=60):
        text = self.run(command, seconds)
        try:
            return json.loads(text)
        except ValueError:
            raise AssertionError(f"in the guest: {command}\nprinted no JSON: {text}") from None

    def tree(self):
        """What the guest's sysfs says of its disks, in the form of Disk.expected, and with the kernel's name."""
        tree = self.json("show-tree")
        for disk in tree:
            disk["paths"].sort(key=lambda path: path["pci"])
        return tree

    def expected_tree(self):
        return [disk.expected() for disk in self.build.disks if not disk.detached]

    def until(self, what, condition, seconds=30):
        deadline = time.monotonic() + seconds * PATIENCE
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {seconds * PATIENCE:.0f} s: {what}")
            time.sleep(0.2)

    # Drives.

    def unplug(self, controller):
        """Asks the guest to let go of an NVMe controller (its attention button); it is gone some 6 seconds later."""
        self.qmp("device_del", id=controller)

    def plug(self, controller):
        """Puts an unplugged controller back into its slot. Fails while it is not gone yet."""
        driver, *options = self.build.controllers[controller][1].split(",")

        def added():
            try:
                self.qmp("device_add", driver=driver, **dict(option.split("=", 1) for option in options))
            except AssertionError as refused:
                if "Permission conflict" not in str(refused):
                    raise
                return False
            return True
        # QEMU lets go of a device's blocks a little after it has forgotten the device.
        self.until(f"the blocks of {controller} can be had", added)

    def qmp_has(self, controller):
        """Whether QEMU still has the device of that id."""
        return any(child["name"] == controller for child in self.qmp("qom-list", path="/machine/peripheral"))

    def digest(self, disk):
        """A digest over what the disk's file holds and over where it has holes."""
        digest = hashlib.sha256()
        with open(f"{self.folder}/{disk.file}", "rb") as file:
            at, end = 0, os.fstat(file.fileno()).st_size
            while at < end:
                try:
                    at = os.lseek(file.fileno(), at, os.SEEK_DATA)
                except OSError:
                    break
                stop = os.lseek(file.fileno(), at, os.SEEK_HOLE)
                digest.update(f"{at}-{stop} ".encode())
                digest.update(os.pread(file.fileno(), stop - at, at))
                at = stop
        return digest.hexdigest()

    # QMP.

    def qmp(self, execute, **arguments):
        self._qmp.sendall(json.dumps({"execute": execute, "arguments": arguments}).encode() + b"\n")
        while True:
            answer = self._qmp_answer()
            if "error" in answer:
                raise AssertionError(f"QEMU refuses {execute} {arguments}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def _qmp_answer(self):
        while b"\n" not in self._qmp_buffer:
            self._qmp.settimeout(30 * PATIENCE)
            data = self._receive(self._qmp)
            if not data:
                self._qemu.wait(10)
                raise self._failed("QEMU ended")
            self._qmp_buffer += data
        line, self._qmp_buffer = self._qmp_buffer.split(b"\n", 1)
        return json.loads(line)

    # The port.

    def _connect(self, name):
        deadline = time.monotonic() + 30 * PATIENCE
        while True:
            end = socket.socket(socket.AF_UNIX)
            try:
                end.connect(f"{self.folder}/{name}")
                return end
            except (FileNotFoundError, ConnectionRefusedError):
                end.close()
            if self._qemu.poll() is not None or time.monotonic() > deadline:
                raise self._failed("QEMU did not start")
            time.sleep(0.02)

    def _until(self, mark, seconds, show=None):
        """What the guest writes before the mark."""
        deadline = time.monotonic() + seconds * PATIENCE
        shown = 0
        while mark not in self._buffer:
            if show is not None:  # what may be the beginning of the mark waits
                safe = max(shown, len(self._buffer) - len(mark))
                show(self._buffer[shown:safe])
                shown = safe
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._failed(f"the guest did not answer within {seconds * PATIENCE:.0f} s; so far: {self._buffer[-2000:].decode(errors='replace')}")
            self._port.settimeout(left)
            try:
                data = self._receive(self._port)
            except TimeoutError:
                continue
            if not data:
                raise self._failed("the guest ended")
            self._buffer += data
        before, self._buffer = self._buffer.split(mark, 1)
        if show is not None:
            show(before[shown:])
        return before

    @staticmethod
    def _receive(end):
        try:
            return end.recv(65536)
        except ConnectionResetError:
            return b""

    def _failed(self, what):
        texts = []
        for name in ("console", "qemu.log"):
            with open(f"{self.folder}/{name}", "rb") as text:
                texts.append(re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\r", "", text.read()[-3000:].decode(errors="replace")))
        return GuestFailed("\n".join([f"drive lab: {what}", *texts]))
