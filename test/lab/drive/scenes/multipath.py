"""One NVMe subsystem with a controller on each socket, one namespace shared and one detached, and a second subsystem with
a single controller."""
from scene import Namespace, Nvme, RootPort, Scene, Socket

SCENE = Scene(
    Socket(
        RootPort(Nvme("PATHS", Namespace(1, 128), Namespace(2, 64, detached=True), subsystem="ss0", name="PATHS-a")),
        RootPort(Nvme("SINGLE", Namespace(1, 64), subsystem="ss1")),
    ),
    Socket(RootPort(Nvme("PATHS", subsystem="ss0", name="PATHS-b"))),
)
