"""GPUs and a drive for a node of the lab: a stand-in for NVML with a scene of its own, and a PCIe tree in which the stand-in's
GPUs and a loop device have places. The agent is shown them by flags that nobody sets by accident, in its folder of the kubelet's."""
import json
import os
import shutil
import subprocess

from cluster import GI, ROOT

BIN = os.environ.get("ASHLAR_E2E_PROGRAMS", os.path.join(ROOT, "build/release/bin"))
NVML = os.path.join(os.path.dirname(BIN), "test/fake_nvml/libnvidia-ml.so.1")
INSIDE = "/var/lib/kubelet/ashlar-lab"  # on a node, and in the agent's container
NVIDIA_CAPS = 511  # a major number: nobody opens the nodes
INSTANCES = 15  # of a GPU, at most

# What the chart is told. The driver's root is what a user sets, too; the rest is for a lab.
SETTINGS = [f"gpu.driverRoot={INSIDE}/driver", f"node.extraArgs={{--sysfs-root={INSIDE}/sys,--nvidia-root={INSIDE}/driver}}",
            "node.updateStrategy.rollingUpdate.maxUnavailable=100%", "node.extraEnv[0].name=ASHLAR_FAKE_NVML_SCENE", f"node.extraEnv[0].value={INSIDE}/gpus"]

# Behind one switch of the first socket, a root port of the second.
SWITCH = "pci0000:40/0000:40:01.0/0000:41:00.0"
DRIVE = f"{SWITCH}/0000:42:00.0/0000:43:00.0"
NEAR = f"{SWITCH}/0000:42:01.0/0000:44:00.0"
FAR = "pci0000:80/0000:80:01.0/0000:81:00.0"


class GpuNode:
    """What node `node` of the cluster has: `far` and `near`, UUIDs of two GPUs, and `drive`, at the root of `near`."""

    def __init__(self, cluster, node):
        self.cluster, self.node = cluster, node
        self.folder = f"{cluster.folder}/node-{node}/kubelet/ashlar-lab"
        # In the order in which the scheduler meets them the far one is first.
        self.far, self.near = (f"GPU-{i}000000{node}-91d2-4c5e-8f00-000000000000" for i in (0, 1))
        os.makedirs(self.folder)
        self._make_tree()
        self._make_driver()
        with open(f"{self.folder}/gpus", "w") as scene:
            json.dump({"gpus": [{"uuid": uuid, "pci": place.split("/")[-1], "numaNode": numa}
                                for uuid, place, numa in ((self.far, FAR, 1), (self.near, NEAR, 0))]}, scene)
        image = f"{self.folder}/drive.img"
        with open(image, "w") as file:
            os.truncate(file.fileno(), 2 * GI)
        self.drive = cluster.run("losetup", "--show", "-f", image).strip()
        self.name = os.path.basename(self.drive)
        # A bind mount has all that the kernel tells of the device, at another place.
        os.makedirs(f"{self.folder}/sys/devices/{DRIVE}/block/{self.name}")
        cluster.on_node(node, "mount", "--bind", os.path.realpath(f"/sys/block/{self.name}"), f"{INSIDE}/sys/devices/{DRIVE}/block/{self.name}")
        self.plug()

    def remove(self):
        self.cluster.on_node(self.node, "umount", f"{INSIDE}/sys/devices/{DRIVE}/block/{self.name}")
        subprocess.run(["losetup", "-d", self.drive], check=True)
        shutil.rmtree(self.folder)

    def _make_tree(self):
        for name in ("block", "bus/pci/devices", "module"):
            os.makedirs(f"{self.folder}/sys/{name}")
        for place, numa in ((DRIVE, 0), (NEAR, 0), (FAR, 1)):
            parts = place.split("/")
            for i in range(1, len(parts)):
                function = f"{self.folder}/sys/devices/" + "/".join(parts[:i + 1])
                os.makedirs(function, exist_ok=True)
                with open(f"{function}/numa_node", "w") as file:
                    file.write(f"{numa}\n")
                link = f"{self.folder}/sys/bus/pci/devices/{parts[i]}"
                if not os.path.lexists(link):
                    os.symlink("../../../devices/" + "/".join(parts[:i + 1]), link)

    def _make_driver(self):
        """Its library, its device nodes, and the files that tell which node lets programs use which instance."""
        root = f"{self.folder}/driver"
        os.makedirs(f"{root}/usr/lib/x86_64-linux-gnu")
        shutil.copy(NVML, f"{root}/usr/lib/x86_64-linux-gnu/")
        os.makedirs(f"{root}/dev/nvidia-caps")
        for name, minor in (("nvidiactl", 255), ("nvidia0", 0), ("nvidia1", 1)):
            os.mknod(f"{root}/dev/{name}", 0o20666, os.makedev(195, minor))
        for gpu in range(2):
            for instance in range(INSTANCES):
                folder = f"{root}/proc/driver/nvidia/capabilities/gpu{gpu}/mig/gi{instance}"
                os.makedirs(f"{folder}/ci0")
                first = 2 * (gpu * INSTANCES + instance) + 3
                for file, minor in ((f"{folder}/access", first), (f"{folder}/ci0/access", first + 1)):
                    with open(file, "w") as access:
                        access.write(f"DeviceFileMinor: {minor}\nDeviceFileMode: 292\n")
                    os.mknod(f"{root}/dev/nvidia-caps/nvidia-cap{minor}", 0o20666, os.makedev(NVIDIA_CAPS, minor))

    # The drive.

    def plug(self):
        os.symlink(f"../devices/{DRIVE}/block/{self.name}", f"{self.folder}/sys/block/{self.name}")
        self._tell()

    def pull(self):
        os.unlink(f"{self.folder}/sys/block/{self.name}")
        self._tell()

    def _tell(self):
        with open(f"/sys/block/{self.name}/uevent", "w") as uevent:
            uevent.write("change")

    # The GPUs.

    def change(self, *words):
        self.cluster.run(f"{BIN}/fake_nvml_scene", f"{self.folder}/gpus", *(str(word) for word in words))

    def gpus(self):
        """[far, near] as the driver has them."""
        return json.loads(self.cluster.run(f"{BIN}/fake_nvml_scene", f"{self.folder}/gpus", "show"))["gpus"]

    def instances(self):
        return [instance for gpu in self.gpus() for instance in gpu["mig"]["instances"]]

    def leftovers(self):
        """What the node has of claims of GPUs: empty when all are gone."""
        found = [f"{gpu['uuid']}: {gpu['mig']}" for gpu in self.gpus() if gpu["mig"]["instances"] or gpu["mig"]["current"]]
        # A lock file stays: nobody could remove it safely.
        script = ("ls -d /run/cdi/*ashlar* /var/lib/ashlar/claims/*/* /var/lib/ashlar/journal/claims/* "
                  "/var/lib/ashlar/journal/gpu-partitions/* 2>/dev/null | grep -v '[.]lock$' || true")
        return found + self.cluster.on_node(self.node, "bash", "-c", script).split()
