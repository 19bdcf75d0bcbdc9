"""Two sockets; each has a switch with two NVMe drives. All drives are free: NVMe of several kinds, SATA, virtio."""
from scene import Namespace, Nvme, RootPort, Sata, Scene, Socket, Switch, Virtio

SCENE = Scene(
    Socket(
        RootPort(Switch(Nvme("ASH0", 512), Nvme("ASH1", 1024))),
        RootPort(Nvme("ASH2", Namespace(1, 64), Namespace(2, 128, sector=4096), Namespace(7, 64))),
    ),
    Socket(
        RootPort(Switch(Nvme("ASH3", 512), Nvme("ASH4", 512))),
        RootPort(Virtio("VIRT0", 96)),
        RootPort(Sata("SATA0", 80)),
    ),
)
