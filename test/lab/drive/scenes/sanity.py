"""A drive for each backend that csi-sanity runs on in a guest: two for LVM, one for XFS, and one whose namespaces are prepared
and not attached, as many as a test has volumes at once."""
from scene import Namespace, Nvme, RootPort, Scene, Socket, Switch

SCENE = Scene(
    Socket(
        RootPort(Switch(Nvme("LVM0", 1024), Nvme("LVM1", 1024), Nvme("XFS0", 8192))),
        RootPort(Nvme("SPACES", Namespace(1, 64), *(Namespace(number, 64, detached=True) for number in range(2, 14)), subsystem="ss0")),
    ),
    setup="modprobe -a dm-mod",
)
