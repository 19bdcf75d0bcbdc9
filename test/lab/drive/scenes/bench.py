"""For benchmarks: two equal drives, and a namespace that is prepared and not attached."""
from scene import Namespace, Nvme, RootPort, Scene, Socket

SCENE = Scene(
    Socket(
        RootPort(Nvme("BENCH0", 3072)),
        RootPort(Nvme("BENCH1", 3072)),
        RootPort(Nvme("BENCHNS", Namespace(1, 64), Namespace(2, 3072, detached=True), subsystem="ss0")),
    ),
    setup="modprobe -a dm-mod",
)
