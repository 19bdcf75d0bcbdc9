"""Small free NVMe drives for pools that lie on several, LVM0 and LVM1, LVM2 and LVM3, and on one, LVM4; VIRT0 is soon full."""
from scene import Nvme, RootPort, Scene, Socket, Switch, Virtio

SCENE = Scene(
    Socket(
        RootPort(Switch(Nvme("LVM0", 192), Nvme("LVM1", 192), Nvme("LVM2", 192), Nvme("LVM3", 192),
                        Nvme("LVM4", 128))),
        RootPort(Virtio("VIRT0", 72)),
    ),
    setup="modprobe -a dm-mod dm-thin-pool dm-mirror dm-raid",
)
