"""Three drives behind an IOMMU, two of them behind one switch."""
from scene import Nvme, RootPort, Sata, Scene, Socket, Switch

SCENE = Scene(Socket(RootPort(Switch(Nvme("ONE", 64), Nvme("TWO", 64))), RootPort(Sata("THREE", 64))), iommu=True)
