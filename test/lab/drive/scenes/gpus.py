"""Two sockets, each with two switches; behind each switch two GPUs, two NVMe drives and a network adapter. The first socket has a
second root, with a drive."""
from scene import Gpu, Nic, Nvme, RootPort, Scene, Socket, Switch


def behind(number):
    return RootPort(Switch(*(Gpu("H100-80GB") for _ in range(2)), *(Nvme(f"ASH{2 * number + i}", 64) for i in range(2)), Nic()))


SCENE = Scene(Socket(behind(0), behind(1), other_root=[RootPort(Nvme("ASH8", 64))]), Socket(behind(2), behind(3)))
