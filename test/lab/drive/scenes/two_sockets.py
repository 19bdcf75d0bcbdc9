"""Two sockets; each has a switch with two NVMe drives. All drives are free: NVMe of several kinds, SATA, virtio."""
from scene import Namespace, Nvme, RootPort, Sata, Scene, Socket, Switch, Virtio

SCENE = Scene(
    Socket(
        RootPort(Switch(Nvme("ASH0", 512), Nvme("ASH1", 1024))),
        RootPort(Nvme("ASH2", Namespace(1, 64), Namespace(7, 64),
                      Namespace(2, 128, sector=4096, eui64=0x0025384300000001, uuid="9c2bd3a4-5a4e-4a0e-8f4e-6f0d7e3c2b1a"))),
    ),
    Socket(
        RootPort(Switch(Nvme("ASH3", 512), Nvme("ASH4", 512), Nvme("ASH5", 64))),
        RootPort(Virtio("VIRT0", 96)),
        RootPort(Sata("SATA0", 80)),
    ),
)
