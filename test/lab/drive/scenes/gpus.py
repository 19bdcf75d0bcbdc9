"""Two sockets, each with two switches; behind each switch two GPUs and two NVMe drives."""
from scene import Gpu, Nvme, RootPort, Scene, Socket, Switch


def behind(number):
    return RootPort(Switch(*(Gpu("H100-80GB") for _ in range(2)), *(Nvme(f"ASH{2 * number + i}", 64) for i in range(2))))


SCENE = Scene(Socket(behind(0), behind(1)), Socket(behind(2), behind(3)))
