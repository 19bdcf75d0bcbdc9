"""ResourceClaims for bytes of drives (DRA), and the pods that use them."""
import os
import subprocess

from case import DIGEST, FILL, Case
from cluster import GI, MI, pod

DRIVER = "nvme.ashlar.dev"


def resource_claim(name, size, path):
    config = {"apiVersion": "ashlar.dev/v1alpha1", "kind": "VolumeConfig", "path": path}
    return {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": {"name": name}, "spec": {"devices": {
        "requests": [{"name": "data", "exactly": {"deviceClassName": DRIVER, "capacity": {"requests": {"storage": size}}}}],
        "config": [{"requests": ["data"], "opaque": {"driver": DRIVER, "parameters": config}}]}}}


def user_of(name, claim, **more):
    made = pod(name, **more)
    made["spec"]["resourceClaims"] = [{"name": "data", "resourceClaimName": claim}]
    made["spec"]["containers"][0]["resources"] = {"claims": [{"name": "data"}]}
    return made


class Devices(Case):
    @classmethod
    def setUpClass(cls):
        """A pool on a drive of node 1."""
        image = f"{cls.cluster.folder}/drive.img"
        with open(image, "w") as file:
            os.truncate(file.fileno(), 2 * GI)
        cls.drive = cls.cluster.run("losetup", "--show", "-f", image).strip()
        cls.addClassCleanup(lambda: subprocess.run(["losetup", "-d", cls.drive], check=True))
        cls.cluster.apply({"apiVersion": "ashlar.dev/v1alpha1", "kind": "Pool", "metadata": {"name": "drives"}, "spec": {
            "nodeSelector": {"matchLabels": {"kubernetes.io/hostname": "node-1"}}, "devices": {"paths": [cls.drive]}}})
        cls.addClassCleanup(cls.cluster.kubectl, "delete", "pool/drives", "--timeout=60s")
        cls.cluster.kubectl("wait", "--for=condition=Ready", "pool/drives", "--timeout=60s")
        cls.cluster.until("the drive is offered", cls.offered)

    @classmethod
    def offered(cls):
        return [d["name"] for s in cls.cluster.get("resourceslices")["items"] if s["spec"]["driver"] == DRIVER for d in s["spec"].get("devices", [])]

    def test_a_pod_gets_bytes_of_a_drive_and_gives_them_back(self):
        self.apply(resource_claim("scratch", "96Mi", "/scratch"), user_of("user", "scratch", security={"runAsUser": 1000}))
        self.running("user")
        self.assertEqual(self.cluster.get("pod", "user", "-n", self.space)["spec"]["nodeName"], "node-1")
        self.assertEqual(self.shell("user", "echo $ASHLAR_VOLUME_DATA").strip(), "/scratch")
        size = int(self.shell("user", "df -k /scratch | tail -1 | awk '{print $2}'")) * 1024
        self.assertGreater(size, 70 * MI)
        self.assertLessEqual(size, 96 * MI)
        self.shell("user", FILL.replace("/data", "/scratch"))
        digest = self.shell("user", DIGEST.replace("/data", "/scratch"))
        # The agent is killed while the claim is prepared; another pod of the claim reads what the first wrote, and goes last.
        for process, name in self.cluster.processes().items():
            if name == "ashlar-node-agent":
                os.kill(process, 9)
        self.apply(user_of("reader", "scratch"))
        self.running("reader")
        self.delete("pod/user")
        self.assertEqual(self.shell("reader", DIGEST.replace("/data", "/scratch")), digest)
        files = lambda: self.cluster.on_node(1, "find", "/run/cdi", "-name", f"{DRIVER}*").split()
        self.assertEqual(len(files()), 1)
        self.delete("pod/reader")
        self.delete("resourceclaim/scratch")
        self.cluster.until("the volume is gone", lambda: not self.cluster.leftovers())
        self.assertEqual(files(), [])
        self.assertEqual(self.cluster.on_node(1, "find", "/var/lib/ashlar/claims", "-mindepth", "2"), "")
