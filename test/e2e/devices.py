"""ResourceClaims for bytes of drives (DRA), and the pods that use them."""
import json
import os
import subprocess

from case import DIGEST, FILL, Case
from cluster import GI, MI, pod

DRIVER = "nvme.ashlar.dev"


def resource_claim(name, size, path, **more):
    config = {"apiVersion": "ashlar.dev/v1alpha1", "kind": "VolumeConfig", "path": path, **more}
    return {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": {"name": name}, "spec": {"devices": {
        "requests": [{"name": "data", "exactly": {"deviceClassName": DRIVER, "capacity": {"requests": {"storage": size}}}}],
        "config": [{"requests": ["data"], "opaque": {"driver": DRIVER, "parameters": config}}]}}}


def claim_of_volume(name, volume, path):
    """A claim for a Volume as it is."""
    config = {"apiVersion": "ashlar.dev/v1alpha1", "kind": "VolumeConfig", "path": path}
    this = f'device.attributes["{DRIVER}"].volume == "{volume}"'
    return {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": {"name": name}, "spec": {"devices": {
        "requests": [{"name": "data", "exactly": {"deviceClassName": f"volume.{DRIVER}", "selectors": [{"cel": {"expression": this}}]}}],
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
        self.apply(resource_claim("scratch", "96Mi", "/scratch", limits={"readBytesPerSecond": "8Mi"}),
                   user_of("user", "scratch", security={"runAsUser": 1000}))
        self.running("user")
        self.assertEqual(self.cluster.get("pod", "user", "-n", self.space)["spec"]["nodeName"], "node-1")
        self.assertEqual(self.shell("user", "echo $ASHLAR_VOLUME_DATA").strip(), "/scratch")
        size = int(self.shell("user", "df -k /scratch | tail -1 | awk '{print $2}'")) * 1024
        self.assertGreater(size, 70 * MI)
        self.assertLessEqual(size, 96 * MI)
        self.shell("user", FILL.replace("/data", "/scratch"))
        digest = self.shell("user", DIGEST.replace("/data", "/scratch"))
        self.assertLess(self.read_rate("user", "/scratch/file"), 1.2 * 8)
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

    def test_the_example_runs(self):
        self.cluster.example("resourceclaim.yaml", self.space)
        self.running("claim-user")
        self.assertRegex(self.shell("claim-user", "cat /proc/mounts"), r"/scratch xfs")
        self.delete("pod/claim-user")
        self.cluster.until("the volume is gone with its pod", lambda: not self.cluster.leftovers())

    def read_rate(self, name, path):
        """MiB per second that the pod reads."""
        self.shell(name, f"dd if=/dev/zero of={path} bs=1M count=16 conv=fsync 2>/dev/null")
        report = self.shell(name, f"fio --name=pod --filename={path} --rw=read --bs=256k --direct=1 --ioengine=libaio --iodepth=8 "
                                  "--runtime=2 --time_based --output-format=json; rm " + path)
        return json.loads(report)["jobs"][0]["read"]["bw_bytes"] / MI

    def test_a_volume_that_is_offered_is_for_the_claims_of_its_namespaces_and_outlives_them(self):
        self.start("owner", node=2)
        self.shell("owner", FILL)
        digest = self.shell("owner", DIGEST)
        volume = self.volume_of("owner")
        self.cluster.kubectl("patch", "volumes.ashlar.dev", volume, "--type=merge", "-p",
                             json.dumps({"spec": {"offer": {"namespaces": [self.space]}}}))
        # Pods have it by its PersistentVolumeClaim: no claim gets it yet.
        taken = lambda: {d["attributes"]["volume"]["string"]: [t["key"] for t in d.get("taints", [])]
                         for s in self.cluster.get("resourceslices")["items"] if s["spec"]["driver"] == DRIVER
                         for d in s["spec"].get("devices", []) if "volume" in d["attributes"]}
        self.cluster.until("the volume is published as in use", lambda: taken() == {volume: ["ashlar.dev/volume-in-use"]})
        self.delete("pod/owner")
        self.cluster.until("nobody has the volume", lambda: taken() == {volume: []})
        # A namespace that it is not offered to gets nothing, whatever its claim says.
        self.cluster.apply(claim_of_volume("thief", volume, "/data"), user_of("thief", "thief"))
        refused = lambda: [e["message"] for e in self.cluster.get("events", "-n", "default", "--field-selector", "involvedObject.name=thief")["items"]
                           if e["reason"] == "NotOffered"]
        told = self.cluster.until("the thief is refused", refused)
        self.assertIn(f"volume {volume} is not offered to claims of namespace default", told[0])
        self.assertNotEqual(self.cluster.get("pod", "thief")["status"]["phase"], "Running")
        self.cluster.kubectl("delete", "pod/thief", "resourceclaim/thief", "--timeout=60s")
        self.apply(claim_of_volume("mine", volume, "/model"), user_of("reader", "mine"))
        self.running("reader")
        self.assertEqual(self.shell("reader", DIGEST.replace("/data", "/model")), digest)
        self.apply(pod("late", ["owner"]))
        self.wait_event("Pod", "late", "FailedMount", f"in use by pods through ResourceClaim {self.space}/mine")
        self.delete("pod/reader")
        self.delete("resourceclaim/mine")
        self.running("late")
        self.assertEqual(self.shell("late", DIGEST), digest)
