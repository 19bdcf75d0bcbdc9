"""The parts of the drive lab that are the same for every scene: a Debian kernel and the guest's root filesystem.

They lie in ${ASHLAR_CACHE:-~/.cache/ashlar}/drive/HASH, where HASH is over everything that they are made from, and are made
when they are not there (about half a minute). Nothing is installed: the kernel's package is only unpacked."""
import fcntl
import glob
import hashlib
import os
import shutil
import subprocess
import tempfile

from archive import Archive, Missing

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
CACHE = os.path.join(os.environ.get("ASHLAR_CACHE") or os.path.expanduser("~/.cache/ashlar"), "drive")
QEMU = "qemu-system-x86_64"

# With what they depend on. What no scene loads costs a few pages.
MODULES = """crc32c_generic crc32c-intel xxhash_generic virtio_pci virtio_console virtio_blk sd_mod ahci nvme
ext4 xfs btrfs erofs loop dm-mod dm-crypt dm-snapshot dm-thin-pool dm-mirror dm-raid raid0 raid1 nvme-tcp nvmet nvmet-tcp null_blk scsi_debug""".split()
PROGRAMS = """blockdev nvme mdadm lvm dmsetup pdata_tools sfdisk wipefs mkswap swapon swapoff blkid lsblk losetup mount umount findmnt udevadm
kmod mkfs.ext4 e2fsck resize2fs tune2fs mkfs.xfs xfs_growfs xfs_repair xfs_info xfs_admin xfs_db""".split()
RULES = """50-udev-default 55-dm 56-lvm 60-block 60-persistent-storage 60-persistent-storage-dm 63-md-raid-arrays
64-md-raid-assembly 95-dm-notify""".split()



def _apt(*argv):
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def _packages(section):
    names, here = [], False
    with open(f"{ROOT}/deploy/packages.txt", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("["):
                here = line.strip() == f"[{section}]"
            elif here and line[0].isalpha():
                names.append(line.split()[0])
    return names


def _kernel():
    """Name and version of the kernel package that Debian offers for the one in packages.txt, which names no version."""
    (wanted,) = _packages("drive-lab-unpacked")

    def look():
        depends = [line.split()[1] for line in _apt("apt-cache", "depends", wanted).stdout.splitlines() if "Depends:" in line]
        images = [name for name in depends if name.startswith("linux-image-")]
        lines = _apt("apt-cache", "show", "--no-all-versions", images[0]).stdout.splitlines() if images else []
        versions = [line.split()[1] for line in lines if line.startswith("Version:")]
        return (images[0], versions[0]) if versions else None

    found = look()
    if found is None and os.geteuid() == 0:
        _apt("apt-get", "update", "-q")
        found = look()
    if found is None:
        raise Missing(f"drive lab: apt does not know the package {wanted}; run apt-get update as root")
    return found


def _inputs(kernel):
    digest = hashlib.sha256(repr((kernel, MODULES, PROGRAMS, RULES)).encode())
    versions = _apt("dpkg-query", "-W", *_packages("drive-lab"), *_packages("runtime"))
    if versions.returncode:
        raise Missing(f"drive lab: {' '.join(versions.stderr.split())}; run deploy/install-packages.sh drive-lab runtime")
    digest.update(versions.stdout.encode())
    for path in [f"{HERE}/archive.py", f"{HERE}/parts.py", *sorted(glob.glob(f"{HERE}/guest/*"))]:
        with open(path, "rb") as data:
            digest.update(data.read())
    return digest.hexdigest()[:16]


def _unpack_kernel(kernel, folder):
    name, version = kernel
    fetch = lambda: subprocess.run(["apt-get", "download", "-q", f"{name}={version}"], cwd=folder, capture_output=True, text=True, check=False)
    answer = fetch()
    if answer.returncode and os.geteuid() == 0:
        _apt("apt-get", "update", "-q")
        answer = fetch()
    if answer.returncode:
        raise Missing(f"drive lab: the kernel {name} {version} could not be fetched: {' '.join(answer.stderr.split())}")
    subprocess.run(["dpkg", "-x", *glob.glob(f"{folder}/*.deb"), f"{folder}/kernel"], check=True)


def _modules(release, source):
    """Paths below lib/modules/RELEASE of the wanted modules and of what they depend on."""
    subprocess.run(["depmod", "-b", source, release], check=True)
    depends, by_name = {}, {}
    with open(f"{source}/lib/modules/{release}/modules.dep", encoding="utf-8") as lines:
        for line in lines:
            path, needs = line.split(":")
            depends[path] = needs.split()
            by_name[os.path.basename(path).split(".")[0].replace("-", "_")] = path
    for name in MODULES:
        path = by_name.get(name.replace("-", "_"))
        if path:  # else it is built in
            yield path
            yield from depends[path]


def _pack(source, out):
    (release,) = os.listdir(f"{source}/lib/modules")
    with Archive(out) as root:
        for folder in "bin dev proc sys run tmp etc lib/modules mnt var/lib usr test".split():
            root.directory(folder)
        for name, target in {"sbin": "bin", "usr/bin": "../bin", "usr/sbin": "../bin", "usr/lib": "../lib", "lib64": "lib"}.items():
            root.link(name, target)
        for name in PROGRAMS:
            root.program(name)
        root.program("/bin/busybox")
        root.program("/bin/dash")  # busybox's own shell would run its mount and losetup instead of the real ones
        root.link("bin/sh", "dash")
        root.link("bin/systemd-udevd", "udevadm")
        for name in "modprobe insmod rmmod lsmod".split():
            root.link(f"bin/{name}", "kmod")
        for name in "thin_check thin_dump thin_repair thin_restore".split():
            root.link(f"bin/{name}", "pdata_tools")
        for name in "pvcreate vgcreate lvcreate vgchange lvs vgs pvs".split():
            root.link(f"bin/{name}", "lvm")
        for name in subprocess.run(["/bin/busybox", "--list"], capture_output=True, text=True, check=True).stdout.split():
            root.link(f"bin/{name}", "busybox")  # where no program of that name was put before
        for name in RULES:
            root.file(f"lib/udev/rules.d/{name}.rules", f"/lib/udev/rules.d/{name}.rules")
        for name in ("ata_id", "scsi_id"):
            root.program(f"/lib/udev/{name}", folder="lib/udev")
        for path in sorted(set(_modules(release, source))):
            root.file(f"lib/modules/{release}/{path}", f"{source}/lib/modules/{release}/{path}")
        for path in glob.glob(f"{source}/lib/modules/{release}/modules.*"):
            root.file(f"lib/modules/{release}/{os.path.basename(path)}", path)
        for path in sorted(glob.glob(f"{HERE}/guest/*")):
            name = os.path.basename(path)
            root.file("init" if name == "init" else f"bin/{name}", path)
        root.bytes("etc/passwd", b"root:x:0:0::/:/bin/sh\n")
        root.bytes("etc/group", b"root:x:0:\ndisk:x:6:\n")
        root.bytes("etc/nsswitch.conf", b"passwd: files\ngroup: files\nhosts: files\n")
        root.bytes("etc/lvm/lvm.conf", b"activation { monitoring = 0 }\n")


def find():
    """The folder that holds vmlinuz and root.cpio. Missing: they can be neither found nor made."""
    if shutil.which(QEMU) is None:
        raise Missing(f"drive lab: {QEMU} is missing; run deploy/install-packages.sh drive-lab")
    kernel = _kernel()
    folder = os.path.join(CACHE, _inputs(kernel))
    os.makedirs(CACHE, exist_ok=True)
    with open(f"{CACHE}/lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two at once would do the same work
        if os.path.exists(folder):
            os.utime(folder)
            return folder
        print(f"drive lab: packing {kernel[0]} {kernel[1]} and the guest's programs (once)", flush=True)
        for left in glob.glob(f"{CACHE}/making.*"):
            shutil.rmtree(left)
        making = tempfile.mkdtemp(prefix="making.", dir=CACHE)
        try:
            _unpack_kernel(kernel, making)
            source = f"{making}/kernel"
            _pack(source, f"{making}/root.cpio")
            (vmlinuz,) = glob.glob(f"{source}/boot/vmlinuz-*")
            os.rename(vmlinuz, f"{making}/vmlinuz")
            shutil.rmtree(source)
            for package in glob.glob(f"{making}/*.deb"):
                os.remove(package)
            os.rename(making, folder)
        except BaseException:
            shutil.rmtree(making, ignore_errors=True)
            raise
        finished = sorted((f for f in glob.glob(f"{CACHE}/*/") if os.path.exists(f"{f}vmlinuz")), key=os.path.getmtime)
        for old in finished[:-3]:  # other checkouts may use other parts
            shutil.rmtree(old)
        return folder
