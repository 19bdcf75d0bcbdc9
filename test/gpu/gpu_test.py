#!/usr/bin/env python3
"""Ashlar's node agent on a machine with GPUs and drives behind the same switches."""
import json
import os
import shlex
import sys

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "drive"))
from case import BIN, Case, MI, STOP_AGENT, UID  # noqa: E402
import summary  # noqa: E402  found by what case put into sys.path

NVML = os.path.join(os.path.dirname(BIN), "test/fake_nvml/libnvidia-ml.so.1")
XID, DRAM_RETIREMENT, MIG_CHANGE = 0x8, 0x400, 0x100  # nvmlEventType*


class Gpus(Case):
    scene = "gpus"
    programs = [f"{BIN}/ashlar-node-agent", f"{BIN}/agent_call", f"{BIN}/fake_nvml_scene", f"{BIN}/fake_pod_resources", NVML]
    agent = ("ASHLAR_FAKE_NVML_SCENE=/run/gpus ashlar-node-agent --nvml-library /bin/libnvidia-ml.so.1 "
             "--pod-resources-socket /run/kubelet.sock")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.gpus = cls.guest.build.gpus
        scene = {"gpus": [{"model": gpu["model"], "pci": gpu["pci"][-1], "numaNode": gpu["numa"]} for gpu in cls.gpus]}
        cls.guest.run(f"echo {shlex.quote(json.dumps(scene))} >/run/gpus")

    def change(self, *words):
        self.guest.run(f"fake_nvml_scene /run/gpus {' '.join(shlex.quote(str(word)) for word in words)}")

    def told_gpu(self, index):
        """What the running agent last told of the scene's GPU."""
        address = self.gpus[index]["pci"][-1]
        (gpu,) = [gpu for gpu in self.call("WatchInventory")["gpus"] if gpu["pciAddress"] == address]
        return gpu

    @staticmethod
    def level(gpu, path):
        """By the tree that QEMU was told to make: a root port on a root bus, the switch's ports, the device."""
        if gpu["pci"][1] == path["pci"][1]:
            return "Switch"
        if gpu["pci"][0][:7] == path["pci"][0][:7]:
            return "Root"
        return "NUMANode" if gpu["numa"] == path["numa"] else "System"

    def test_the_guest_sees_the_tree_of_the_scene(self):
        self.assert_sees_the_scene()
        self.assertEqual((len(self.gpus), len(self.guest.build.disks)), (8, 9))

    def test_every_gpu_is_found_at_its_place(self):
        inventory = self.guest.json(f"{self.agent} --print-inventory")
        self.assertEqual((inventory["gpuDriver"]["state"], inventory["gpuDriver"]["version"]), ("Ready", "580.65.06"))
        said = {gpu["pciAddress"]: gpu for gpu in inventory["gpus"]}
        self.assertEqual(len(said), 8)
        for minor, gpu in enumerate(self.gpus):
            with self.subTest(gpu["pci"][-1]):
                its = said[gpu["pci"][-1]]
                self.assertEqual((its["pci"], its["numaNode"], its["minor"]), (gpu["pci"], gpu["numa"], minor))
                self.assertEqual(its["pcieRoot"], ["pci0000:40", "pci0000:80"][gpu["numa"]])
                self.assertEqual(its["pcieSwitch"], gpu["pci"][1])
                self.assertEqual((its["product"], its["architecture"]), ("NVIDIA H100 80GB HBM3", "Hopper"))
                self.assertEqual(its["power"], {"limitWatts": 700, "defaultLimitWatts": 700, "minLimitWatts": 200, "maxLimitWatts": 700, "usageWatts": 75})

        ups = sorted({gpu["pci"][1] for gpu in self.gpus})
        self.assertEqual(len(ups), 4)
        roots = {"pci0000:40": "numa-0", "pci0000:60": "numa-0", "pci0000:80": "numa-1"}
        tree = {"numa-0": "", "numa-1": "", **roots, **{f"switch-{up}": "pci0000:40" if up < "0000:80" else "pci0000:80" for up in ups}}
        domains = {domain["name"]: domain["parent"] for domain in inventory["domains"] if domain["kind"] != "NVLinkClique"}
        self.assertEqual(domains, tree)
        self.assertEqual(len(inventory["domains"]) - len(domains), 1, "one clique")

        self.assertEqual([(nic["pci"], nic["numaNode"], nic["pcieRoot"], nic["pcieSwitch"]) for nic in inventory["nics"]],
                         [(nic["pci"], nic["numa"], ["pci0000:40", "pci0000:80"][nic["numa"]], nic["pci"][1]) for nic in self.guest.build.nics])

        disks = {said["id"]: disk for disk, _, said in self.drives()}
        uuids = {its["uuid"]: next(gpu for gpu in self.gpus if gpu["pci"][-1] == address) for address, its in said.items()}
        levels = {(path["gpu"], path["drive"]): path["level"] for path in inventory["paths"]}
        self.assertEqual(levels, {(uuid, drive): self.level(gpu, disk.paths[0]) for uuid, gpu in uuids.items() for drive, disk in disks.items()})
        self.assertEqual({level: list(levels.values()).count(level) for level in levels.values()}, {"Switch": 16, "Root": 16, "NUMANode": 4, "System": 36})
        self.assertEqual({(path["peerToPeer"], path["reason"]) for path in inventory["paths"]},
                         {("No", "neither nvidia-fs nor the driver's open kernel modules are loaded")})
        self.assertEqual(inventory["gds"], {"nvidiaFs": False, "openKernelModules": False, "acsRedirects": []})

    # The agent reads GPUs by itself every 2 minutes: what it tells within 30 seconds it was told.

    def test_a_running_agent_hears_what_happens_to_gpus(self):
        self.start_agent()
        self.guest.until("the GPUs are told", lambda: len(self.call("WatchInventory")["gpus"]) == 8)
        self.change("event", 2, XID, 79)
        self.guest.until("the XID is told", lambda: [xid["code"] for xid in self.told_gpu(2)["health"]["xids"]] == ["79"])
        self.change("gpu", 3, '{"rows": {"uncorrected": 1, "pending": true}, "recovery": 1}')
        self.change("event", 3, DRAM_RETIREMENT)
        self.guest.until("the row is told", lambda: self.told_gpu(3)["health"]["rowRemapPending"])
        self.assertEqual(self.told_gpu(3)["health"]["recoveryAction"], "Reset")
        self.change("gpu", 5, '{"lost": true}')
        self.guest.until("the loss is told", lambda: "lost" in self.told_gpu(5)["health"]["problem"])
        self.change("set", '{"hang": ["nvmlDeviceGetPowerManagementLimit"]}')
        self.change("event", 2, MIG_CHANGE)
        self.guest.until("the hang is told", lambda: self.call("WatchInventory")["gpuDriver"]["state"] == "Hung")
        self.assertIn("nvmlDeviceGetPowerManagementLimit did not return", self.call("WatchInventory")["gpuDriver"]["message"])
        self.assertEqual(len(self.call("WatchInventory")["gpus"]), 8)
        self.change("set", '{"hang": []}')
        self.change("gpu", 5, '{"lost": false}')
        # The pause before the next attempt has doubled with each that hung.
        self.guest.until("all is well again", lambda: self.call("WatchInventory")["gpuDriver"]["state"] == "Ready"
                         and self.told_gpu(5)["health"]["problem"] == "", 180)
        self.guest.run(STOP_AGENT)

    def give(self, uuid):
        """The kubelet has given the GPU to the pod."""
        device = {"resourceName": "nvidia.com/gpu", "deviceIds": [uuid]}
        pod = {"name": "trainer", "namespace": "ml", "containers": [{"name": "main", "devices": [device]}]}
        self.guest.run(f"echo {shlex.quote(json.dumps({'podResources': [pod]}))} >/run/pods")

    def publish_near(self, name, required):
        """Drive, level and GPUs that are told of an inline volume of 40 MiB; the refusal if there is one."""
        status, output = self.guest.status(self.publish_line(name, required), 150)
        if status:
            return output.decode()
        return self.place(name)

    def publish_line(self, name, required):
        near = {"podNamespace": "ml", "podName": "trainer", "podUid": "uid-1", "level": "Switch", "required": required}
        return self.call_line("PublishVolume", volumeId=f"csi-{name}", targetPath=f"/mnt/{name}", mode="VOLUME_MODE_FILESYSTEM",
                              inlineVolume={"pool": "near", "sizeBytes": str(40 * MI), "near": near})

    def place(self, name):
        (volume,) = [volume for volume in self.call("ListVolumes")["volumes"] if volume["volumeId"] == f"csi-{name}"]
        locality = volume.get("locality") or {"level": "", "gpus": []}
        return volume["drive"], locality["level"], locality["gpus"]

    def test_volumes_land_behind_the_switch_of_their_pods_gpu_and_farther_off_as_drives_fill_up(self):
        disks = {said["id"]: disk for disk, _, said in self.drives()}
        self.start_agent()
        self.guest.until("the GPUs are told", lambda: len(self.call("WatchInventory")["paths"]) == 72)
        pool = self.ensure_pool(name="near", uid=UID, backend="Partition", devices={"transports": ["nvme"]},
                                inlineVolumeMaxBytes=str(64 * MI))
        self.assertEqual({drive["id"] for drive in pool["drives"]}, set(disks))
        self.guest.run("fake_pod_resources /run/kubelet.sock /run/pods </dev/null >/run/kubelet.log 2>&1 &")
        first, last = (self.told_gpu(index)["uuid"] for index in (0, 7))
        self.give(first)
        # Each drive has room for one; two are behind a switch.
        places = [self.publish_near(f"v{i}", required=False) for i in range(6)]
        self.assertEqual([level for _, level, _ in places], ["Switch", "Switch", "Root", "Root", "NUMANode", "System"])
        for drive, level, gpus in places:
            self.assertEqual((self.level(self.gpus[0], disks[drive].paths[0]), gpus), (level, [first]))
        refused = self.publish_near("v6", required=True)
        self.assertIn("FAILED_PRECONDITION: a drive within level Switch of " + first, refused)
        self.assertRegex(refused, r"the nearest drive with room for 41943040 bytes is \S+ at level System; of nearer ones \S+ \(Switch\)")
        self.give(last)
        drive, level, _ = self.publish_near("v6", required=True)
        self.assertEqual((self.level(self.gpus[7], disks[drive].paths[0]), level), ("Switch", "Switch"))
        self.call("UnpublishVolume", volumeId="csi-v1", targetPath="/mnt/v1")
        self.give(first)
        self.assertEqual(self.publish_near("v7", required=True), places[1])
        self.guest.run("kill $(pidof fake_pod_resources)")
        self.assertIn("UNAVAILABLE: the kubelet does not tell at /run/kubelet.sock", self.publish_near("v8", required=True))
        self.assertEqual(self.publish_near("v8", required=False)[1:], ("", []))
        self.call("UnpublishVolume", volumeId="csi-v8", targetPath="/mnt/v8")
        self.publish_beside_a_gpu_of_a_claim(disks)
        for name in ("v0", "v2", "v3", "v4", "v5", "v6", "v7", "v8"):
            self.call("UnpublishVolume", volumeId=f"csi-{name}", targetPath=f"/mnt/{name}")
        self.assertEqual(self.call("ListVolumes")["volumes"], [])
        self.guest.run(STOP_AGENT)

    def test_which_way_cufile_takes_is_told_and_may_be_required(self):
        self.start_agent()
        self.guest.until("the GPUs are told", lambda: len(self.call("WatchInventory")["paths"]) == 72)
        self.ensure_pool(name="near", uid=UID, backend="Partition", devices={"transports": ["nvme"]}, inlineVolumeMaxBytes=str(64 * MI))
        self.call("EnsureVolume", volumeId="d", pool="near", sizeBytes=str(40 * MI), mode="VOLUME_MODE_FILESYSTEM", fsType="ext4")
        place = {"volumeId": "d", "stagingPath": "/mnt/d", "mode": "VOLUME_MODE_FILESYSTEM"}
        published = dict(place, targetPath="/mnt/pod-d")

        def refused():
            status, output = self.guest.status(self.call_line("PublishVolume", **published, gpuDirect="Required"), 150)
            self.assertNotEqual(status, 0)
            self.assertNotEqual(self.guest.status("findmnt /mnt/pod-d")[0], 0)
            self.assertIn("FAILED_PRECONDITION: gpuDirect is Required, and cuFile would take its compatibility mode", output.decode())
            return output.decode()

        self.call("StageVolume", **place)
        self.assertIn("ext4 is mounted without the option data=ordered", refused())
        self.call("UnstageVolume", volumeId="d", stagingPath="/mnt/d")
        self.call("StageVolume", **place, mountFlags=["data=ordered"])
        data = "/run/udev/data/b" + self.guest.run("findmnt -no MAJ:MIN /mnt/d").strip()
        self.guest.run(f"rm -f {data}")
        self.assertIn("udev has no data of its device", refused())
        self.guest.run(f"mkdir -p /run/udev/data && touch {data}")
        why = "neither nvidia-fs nor the driver's open kernel modules are loaded"
        self.assertIn(why, refused())

        def told():
            (volume,) = [volume for volume in self.call("WatchInventory")["volumes"] if volume["volumeId"] == "d"]
            return volume.get("gpuDirect")

        self.assertIsNone(told())
        self.call("PublishVolume", **published, gpuDirect="Preferred")
        way = self.guest.until("the way is told", told)
        self.assertEqual(way["mode"], "Compatibility")
        self.assertTrue(way["message"].endswith(why), way)
        self.call("UnpublishVolume", volumeId="d", targetPath="/mnt/pod-d")
        self.guest.until("nothing is told any more", lambda: told() is None)
        self.call("UnstageVolume", volumeId="d", stagingPath="/mnt/d")
        self.call("RemoveVolume", volumeId="d")
        self.guest.run(STOP_AGENT)

    def publish_beside_a_gpu_of_a_claim(self, disks):
        """The kubelet tells of no GPU; the controller, which the agent asks, knows of the sixth one, by its PCI address."""
        gpu = self.gpus[5]
        device = {"driver": "gpu.nvidia.com", "device": "gpu-elsewhere", "pciAddress": gpu["pci"][-1].upper()}
        answer = self.call_line("AnswerOpenQuestions", devices=[device])
        self.guest.run(f"rm -f /run/published; (until [ -e /run/published ]; do {answer}; done) >/run/answers 2>&1 &")
        # As the kubelet repeats it: an answer may come too late in a slow guest.
        self.guest.until("the volume is published", lambda: self.guest.status(self.publish_line("v8", True), 150)[0] == 0, 120)
        self.guest.run("touch /run/published")
        drive, level, gpus = self.place("v8")
        self.assertEqual((self.level(gpu, disks[drive].paths[0]), level), ("Switch", "Switch"))
        self.assertEqual(gpus, [self.told_gpu(5)["uuid"]])


if __name__ == "__main__":
    summary.run()
