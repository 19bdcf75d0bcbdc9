"""What a scene is made of: sockets, PCIe root ports, switches, and the drives behind them. A scene is a file in scenes/ that
sets SCENE; from it come QEMU's arguments and the tree that the guest must see.

    SCENE = Scene(Socket(RootPort(Switch(Nvme("A", 512), Nvme("B", 512))), RootPort(Virtio("C", 64))),
                  Socket(Sata("D", 64)))

Sizes are MiB. A drive with `used` is put to that use when the guest starts."""
import dataclasses
import importlib.util
import os

HERE = os.path.dirname(os.path.abspath(__file__))
MIB = 1 << 20


@dataclasses.dataclass
class Use:
    """How a drive comes into use (shell; $d is the device), and what must be said of it (a regular expression)."""

    make: str
    reason: str


USES = {
    "partition": Use('echo "label: gpt\n,\n" | sfdisk -q $d; udevadm settle', r"has partition nvme\d+n1p1"),
    "partition-table": Use('echo "label: dos" | sfdisk -q $d', r"has a partition table \(dos\)"),
    "ext4": Use("mkfs.ext4 -q $d", "has a signature of ext4"),
    "mounted": Use("mkfs.ext4 -q -E lazy_itable_init=0,lazy_journal_init=0 $d; mkdir -p /mnt/$s; mount -o noatime $d /mnt/$s", "is mounted at /mnt/.*"),
    "md": Use("modprobe raid1; mdadm --create /dev/md/$s --quiet --run --metadata=1.2 --level=1 --raid-devices=2 $d missing", r"is held by md\d+"),
    # It stays stopped when udev hears of the drive again.
    "md-stopped": Use("modprobe raid1; mkdir -p /etc/mdadm; echo AUTO -all >/etc/mdadm/mdadm.conf; mdadm --create /dev/md/$s --quiet --run --metadata=1.2 --level=1 --raid-devices=2 $d missing; "
                      "udevadm settle; mdadm --stop --quiet /dev/md/$s", "has a signature of linux_raid_member"),
    "lvm": Use("modprobe dm-mod; vgcreate -q vg$s $d; lvcreate -q -y -W n -n lv -L 16m vg$s", r"is held by dm-\d+"),
    "lvm-inactive": Use("pvcreate -q $d", "has a signature of LVM2_member"),
    "swap": Use("mkswap -q $d; swapon $d", "is used as swap"),
    "swap-off": Use("mkswap -q $d", "has a signature of swap"),
    "loop": Use("losetup -f $d", r"is the backing of loop\d+"),
    # Only the second header, at the drive's end, is left of the partition table.
    "backup-table": Use('echo "label: gpt" | sfdisk -q $d; dd if=/dev/zero of=$d bs=4096 count=8 conv=notrunc status=none', r"has a partition table \(gpt\)"),
    "device-mapper": Use('modprobe dm-mod; echo "0 2048 linear $d 0" | dmsetup create map$s', r"is held by dm-\d+"),
    "read-only": Use("blockdev --setro $d", "the drive is read-only"),
    # The realtime section of a filesystem that lies elsewhere: neither a signature nor an entry in the mount table.
    "claimed": Use("truncate -s 320M /run/$s.xfs; mkfs.xfs -q -m reflink=0 -r rtdev=$d /run/$s.xfs; mkdir -p /mnt/$s; "
                   "mount -o loop,rtdev=$d /run/$s.xfs /mnt/$s", "is in use: .*"),
}


@dataclasses.dataclass
class Disk:
    """One thing that the guest shows as a disk, and the file that holds it."""

    serial: str
    mib: int
    nsid: int = 0  # 0: no NVMe
    sector: int = 512
    used: str = ""
    detached: bool = False
    paths: list = dataclasses.field(default_factory=list)  # {"pci": [...], "numa": n} for each controller

    @property
    def file(self):
        return f"{self.serial}-{self.nsid}.img" if self.nsid else f"{self.serial}.img"

    def expected(self):
        return {"serial": self.serial, "nsid": self.nsid, "size": self.mib * MIB, "sector": self.sector,
                "paths": sorted(self.paths, key=lambda path: path["pci"])}


@dataclasses.dataclass
class Bus:
    """A PCI bus: QEMU's name, its number, and the functions that lead to it."""

    name: str
    number: int
    chain: list

    def function(self, slot):
        return [*self.chain, f"0000:{self.number:02x}:{slot:02x}.0"]


class Build:
    """QEMU's arguments and the disks that they make, gathered while a scene is walked through."""

    def __init__(self):
        self.arguments, self.disks = [], []
        self.gpus = []  # {"model": as the stand-in for NVML knows it, "pci": [...], "numa": n}
        self.nics = []  # {"pci": [...], "numa": n}
        self.controllers = {}  # of NVMe: QEMU's id: (PCI address, the argument that makes it)
        self.subsystems = {}  # name: disks
        self.numa, self.last_bus, self._ids = -1, 0, 0

    def id(self, kind):
        self._ids += 1
        return f"{kind}{self._ids}"

    def device(self, text):
        self.arguments += ["-device", text]

    def disk(self, disk):
        """Name of the disk's block node."""
        node = self.id("disk")
        self.disks.append(disk)
        self.arguments += ["-blockdev", f"driver=raw,node-name={node},discard=unmap,cache.no-flush=on,"
                                        f"file.driver=file,file.filename={disk.file}"]
        return node

    def bus_behind(self, device, bus, slot):
        """The bus behind a bridge. Firmware numbers buses depth first."""
        self.last_bus += 1
        return Bus(device, self.last_bus, bus.function(slot))

    def port(self, kind, bus, slot):
        port = self.id("port")
        self.device(f"{kind},id={port},bus={bus.name},addr={slot:#x},chassis={self._ids},slot={self._ids}")
        return self.bus_behind(port, bus, slot)

    def path(self, bus, slot):
        return {"pci": bus.function(slot), "numa": self.numa}


class Virtio:
    """A virtio disk."""

    def __init__(self, serial, mib, used=""):
        self.disk = Disk(serial, mib, used=used)

    def build(self, b, bus, slot):
        self.disk.paths = [b.path(bus, slot)]
        b.device(f"virtio-blk-pci,disable-legacy=on,serial={self.disk.serial},drive={b.disk(self.disk)},bus={bus.name},addr={slot:#x}")


class Sata:
    """An AHCI controller with one disk."""

    def __init__(self, serial, mib, used=""):
        self.disk = Disk(serial, mib, used=used)

    def build(self, b, bus, slot):
        self.disk.paths = [b.path(bus, slot)]
        controller = b.id("ahci")
        b.device(f"ahci,id={controller},bus={bus.name},addr={slot:#x}")
        b.device(f"ide-hd,serial={self.disk.serial},drive={b.disk(self.disk)},bus={controller}.0")


class Namespace:
    """One namespace of an NVMe controller. A detached one (of a subsystem only) is seen when it has been attached."""

    def __init__(self, nsid, mib, sector=512, detached=False, used="", eui64=0, uuid=""):
        self.nsid, self.mib, self.sector, self.detached, self.used = nsid, mib, sector, detached, used
        self.eui64, self.uuid = eui64, uuid

    def identifiers(self):
        return (f",eui64={self.eui64}" if self.eui64 else "") + (f",uuid={self.uuid}" if self.uuid else "")


class Nvme:
    """An NVMe controller. Nvme("A", 512) has one namespace and can be unplugged and plugged;
    Nvme("A", Namespace(...), ...) has those. Controllers of one `subsystem` are paths to the namespaces that the first of
    them names, and can be unplugged, too. QEMU's id is the serial, or `name`."""

    def __init__(self, serial, *namespaces, subsystem="", name="", used=""):
        self.serial, self.subsystem, self.name = serial, subsystem, name or serial
        self.simple = len(namespaces) == 1 and isinstance(namespaces[0], int)
        self.namespaces = [Namespace(1, n, used=used) if isinstance(n, int) else n for n in namespaces]

    def build(self, b, bus, slot):
        path = b.path(bus, slot)
        disks = [Disk(self.serial, n.mib, n.nsid, n.sector, n.used, n.detached, [path]) for n in self.namespaces]
        device = f"nvme,id={self.name},serial={self.serial},bus={bus.name},addr={slot:#x}"
        if self.subsystem:
            device += f",subsys={self.subsystem}"
            if self.subsystem not in b.subsystems:
                b.arguments += ["-device", f"nvme-subsys,id={self.subsystem},nqn={self.subsystem}"]
                b.subsystems[self.subsystem] = disks
            else:
                for disk in b.subsystems[self.subsystem]:
                    disk.paths.append(path)
        if self.simple:
            device += f",drive={b.disk(disks[0])}"
        b.controllers[self.name] = (path["pci"][-1], device)
        b.device(device)
        for disk, n in zip(disks, [] if self.simple else self.namespaces):
            b.device(f"nvme-ns,drive={b.disk(disk)},bus={self.name},nsid={n.nsid},logical_block_size={n.sector},"
                     f"physical_block_size={n.sector}{n.identifiers()}" + (",detached=on" if n.detached else ""))


class Gpu:
    """The PCI function of a GPU, for which QEMU's device edu stands. Its driver is test/fake_nvml, with this model."""

    def __init__(self, model):
        self.model = model

    def build(self, b, bus, slot):
        b.gpus.append({"model": self.model, **b.path(bus, slot)})
        b.device(f"edu,bus={bus.name},addr={slot:#x}")


class Nic:
    """A network adapter that nothing is plugged into."""

    def build(self, b, bus, slot):
        b.nics.append(b.path(bus, slot))
        b.device(f"virtio-net-pci,disable-legacy=on,bus={bus.name},addr={slot:#x},romfile=")


class RootPort:
    """A PCIe root port with one thing behind it."""

    def __init__(self, thing):
        self.thing = thing

    def build(self, b, bus, slot):
        self.thing.build(b, b.port("pcie-root-port", bus, slot), 0)


class Switch:
    """A PCIe switch: every thing has a downstream port of its own."""

    def __init__(self, *things):
        self.things = things

    def build(self, b, bus, slot):
        up = b.id("up")
        b.device(f"x3130-upstream,id={up},bus={bus.name},addr={slot:#x}")
        inner = b.bus_behind(up, bus, slot)
        for number, thing in enumerate(self.things):
            thing.build(b, b.port("xio3130-downstream", inner, number), 0)


class Socket:
    """A NUMA node with a processor, memory, and a PCIe root bus, which takes root ports only. With `other_root` it has a second
    root bus with these things."""

    def __init__(self, *things, other_root=()):
        self.roots = [things, other_root] if other_root else [things]


class Scene:
    """`setup` is shell that the guest runs when the drives are in use; it must end with status 0. With `iommu` an IOMMU
    translates the addresses of every device."""

    def __init__(self, *sockets, mib_each=512, setup="", iommu=False):
        self.sockets, self.mib_each, self.setup, self.iommu = sockets, mib_each, setup, iommu

    def build(self):
        b = Build()
        if self.iommu:
            b.device("intel-iommu,intremap=off")  # the emulated timer does not work through remapped interrupts
        for number, socket in enumerate(self.sockets):
            b.arguments += ["-object", f"memory-backend-ram,id=memory{number},size={self.mib_each}M",
                            "-numa", f"node,nodeid={number},cpus={number},memdev=memory{number}"]
            for root, things in enumerate(socket.roots):
                bus = Bus(f"pxb{number}-{root}", 64 * (number + 1) + 32 * root, [])
                b.device(f"pxb-pcie,id={bus.name},bus_nr={bus.number},numa_node={number},bus=pcie.0")
                b.numa, b.last_bus = number, bus.number
                for slot, thing in enumerate(things):
                    thing.build(b, bus, slot)
        return b


def load(name):
    """The scene of that name. FileNotFoundError: there is none; it names those that there are."""
    path = f"{HERE}/scenes/{name}.py"
    if not os.path.exists(path):
        raise FileNotFoundError(f"there is no scene {name}; there are: {', '.join(names())}")
    spec = importlib.util.spec_from_file_location(f"scene_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SCENE


def names():
    return sorted(file[:-3] for file in os.listdir(f"{HERE}/scenes") if file.endswith(".py"))
