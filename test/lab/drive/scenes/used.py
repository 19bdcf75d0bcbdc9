"""One drive of every use that must keep a drive from being taken, over NVMe, SATA and virtio, and two that are free."""
from scene import Namespace, Nvme, RootPort, Sata, Scene, Socket, Switch, Virtio

SCENE = Scene(
    Socket(
        RootPort(Switch(Nvme("PART", 512, used="partition"), Nvme("TABLE", 512, used="partition-table"),
                        Nvme("EXT4", 512, used="ext4"), Nvme("MOUNT", 64, used="mounted"), Nvme("FREE0", 512))),
        RootPort(Sata("SWAP", 64, used="swap")),
        RootPort(Switch(Nvme("BACKUP", 512, used="backup-table"), Nvme("MAP", 64, used="device-mapper"))),
    ),
    Socket(
        RootPort(Switch(Nvme("MD", 64, used="md"), Nvme("MDOLD", 512, used="md-stopped"), Nvme("LVM", 64, used="lvm"),
                        Nvme("PV", Namespace(1, 512, used="lvm-inactive"), Namespace(2, 512, used="swap-off")), Nvme("FREE1", 512))),
        RootPort(Virtio("LOOP", 64, used="loop")),
        RootPort(Switch(Nvme("RO", 64, used="read-only"), Nvme("CLAIM", 64, used="claimed"))),
    ),
)
