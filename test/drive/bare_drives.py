"""Pools of partitions, whole drives and namespaces."""
from case import Case, MI, STOP_AGENT  # first: it says where the lab is

# Name and number within the subsystem of every controller of PATHS.
CONTROLLERS = "cd /sys/class/nvme; for c in *; do grep -q PATHS $c/serial && echo $c $(cat $c/cntlid); done; true"


class BareDrives(Case):
    """Pools of partitions, of whole drives, of namespaces, and of filesystems on a drive."""
    scene = "two_sockets"

    def start_on_state(self):
        self.guest.run("mkdir -p /var/lib/ashlar && mount $(drive VIRT0) /var/lib/ashlar")
        self.start_agent()

    def volume(self, name):
        return {v["volumeId"]: v for v in self.call("ListVolumes")["volumes"]}[name]

    def device_of(self, pool, name):
        return self.guest.run(f"readlink /var/lib/ashlar/pools/{pool}/{name}").strip()

    def test_volumes_are_found_after_a_power_cut_and_in_another_order(self):
        self.guest.run("mkfs.ext4 -q $(drive VIRT0)")
        self.start_on_state()
        self.assertTrue(self.pool("parts", "Partition", serials=["ASH1", "ASH3"])["ready"])
        self.assertTrue(self.pool("whole", "WholeDrive", serials=["ASH4"], transports=["nvme"])["ready"])
        self.assertTrue(self.pool("image", "File", serials=["ASH0"])["ready"])
        filesystem = {"mode": "VOLUME_MODE_FILESYSTEM", "fsType": "ext4"}
        self.call("EnsureVolume", volumeId="file", pool="image", sizeBytes=24 * MI, **filesystem)
        self.call("EnsureVolume", volumeId="small", pool="parts", sizeBytes=24 * MI, **filesystem)
        self.call("EnsureVolume", volumeId="large", pool="parts", sizeBytes=600 * MI, mode="VOLUME_MODE_BLOCK")
        self.call("EnsureVolume", volumeId="drive", pool="whole", sizeBytes=400 * MI, mode="VOLUME_MODE_FILESYSTEM", fsType="xfs")
        before = {}
        for pool, name, serial in (("parts", "small", "ASH3"), ("parts", "large", "ASH1"), ("whole", "drive", "ASH4")):
            before[name] = self.device_of(pool, name)
            self.assertTrue(before[name].startswith(self.guest.run(f"drive {serial}").strip()), before[name])
        for name in ("small", "drive"):
            self.call("StageVolume", volumeId=name, stagingPath=f"/mnt/{name}", mode="VOLUME_MODE_FILESYSTEM")
            self.guest.run(f"echo {name} >/mnt/{name}/synced && sync /mnt/{name}/synced")
        self.assertEqual(self.guest.run("findmnt -no SOURCE /mnt/drive").strip(), before["drive"])
        self.guest.cut_power()
        self.guest.boot(order=["ASH4", "ASH3", "ASH2", "ASH1", "ASH0"])
        self.start_on_state()
        self.assertNotEqual(self.device_of("whole", "drive"), before["drive"])
        self.assertNotEqual(self.device_of("parts", "small"), before["small"])
        for name in ("small", "drive"):
            self.call("StageVolume", volumeId=name, stagingPath=f"/mnt/{name}", mode="VOLUME_MODE_FILESYSTEM")
            self.assertEqual(self.guest.run(f"cat /mnt/{name}/synced").strip(), name)
        self.assertEqual(self.volume("large")["sizeBytes"], str(600 * MI))

    def stage(self, name, mode="FILESYSTEM", pod=False):
        self.call("StageVolume", volumeId=name, stagingPath=f"/mnt/{name}", mode=f"VOLUME_MODE_{mode}")
        if pod:
            self.call("PublishVolume", volumeId=name, stagingPath=f"/mnt/{name}", targetPath=f"/mnt/pod-{name}", mode=f"VOLUME_MODE_{mode}")

    def healthy(self):
        return {v["volumeId"] for v in self.call("ListVolumes")["volumes"] if v["healthy"]}

    def assert_keeps(self, path, text):
        """What was synced is there, and more can be written."""
        self.assertEqual(self.guest.run(f"cat {path}/synced").strip(), text)
        self.guest.run(f"echo more >{path}/more && sync {path}/more")

    # As the class gds of deploy/examples promises.
    def test_partitions_drives_and_namespaces_are_published_as_they_are(self):
        self.assertTrue(self.pool("spaces", "Namespace", serials=["ASH5"])["ready"])
        self.call("EnsureVolume", volumeId="space", pool="spaces", sizeBytes=24 * MI, mode="VOLUME_MODE_FILESYSTEM", fsType="ext4")
        self.stage("small", pod=True)
        self.stage("space")
        self.guest.run("echo space >/mnt/space/synced && sync /mnt/space/synced")
        self.stage("large", "BLOCK", pod=True)
        devices = {path: self.guest.run(f"findmnt -no MAJ:MIN {path}").strip() for path in ("/mnt/pod-small", "/mnt/space", "/mnt/drive")}
        devices["/mnt/pod-large"] = self.guest.run("printf '%d:%d' 0x$(stat -c %t /mnt/pod-large) 0x$(stat -c %T /mnt/pod-large)")
        for path, number in devices.items():
            with self.subTest(path):
                block = self.guest.run(f"readlink -f /sys/dev/block/{number}").strip()
                self.assertRegex(block, r"^/sys/devices/pci.*/nvme\d+n\d+(/nvme\d+n\d+p\d+)?$" if "large" in path or "small" in path
                                 else r"^/sys/devices/pci.*/nvme\d+n\d+$")

    def test_volumes_whose_drives_were_away_are_healthy_again_when_these_are_back(self):
        away = {"large": "ASH1", "file": "ASH0", "small": "ASH3", "drive": "ASH4", "space": "ASH5"}
        self.stage("file")
        self.guest.run("echo file >/mnt/file/synced && sync /mnt/file/synced")
        self.guest.run("printf kept | dd of=/mnt/pod-large bs=4096 conv=sync,fsync 2>/dev/null")
        self.guest.until("all volumes are healthy", lambda: self.healthy() == set(away))
        for serial in away.values():
            self.guest.unplug(serial)
        self.guest.until("all volumes are unhealthy", lambda: not self.healthy())
        for volume in self.call("ListVolumes")["volumes"]:
            self.assertIn(volume["reason"], ("DriveMissing", "PoolNotReady", "StaleMount", "FilesystemStopped"), volume)
        for serial in away.values():
            self.guest.until("its slot is free", lambda: not self.guest.qmp_has(serial))
            self.guest.plug(serial)
        # No pod uses them, or it opens a device.
        self.guest.until("what no pod mounts is healthy again", lambda: self.healthy() == set(away) - {"small"}, 60)
        for name in ("file", "drive", "space"):
            self.assert_keeps(f"/mnt/{name}", name)
        self.assertEqual(self.guest.run("dd if=/mnt/pod-large bs=4 count=1 2>/dev/null"), "kept")
        self.assertTrue(self.device_of("parts", "large").startswith(self.guest.run("drive ASH1").strip()))
        # A pod still has the filesystem that went.
        small = self.volume("small")
        self.assertEqual(small["reason"], "StaleMount", small)
        self.assertIn("at /mnt/pod-small: delete them", small["message"])
        self.assertNotEqual(self.guest.status("echo more >/mnt/pod-small/more && sync /mnt/pod-small/more")[0], 0)
        self.call("UnpublishVolume", volumeId="small", targetPath="/mnt/pod-small")
        self.call("UnstageVolume", volumeId="small", stagingPath="/mnt/small")
        self.stage("small", pod=True)
        self.guest.until("it is healthy when the pod was replaced", lambda: self.healthy() == set(away))
        self.assert_keeps("/mnt/pod-small", "small")
        for name in ("small", "large"):
            self.call("UnpublishVolume", volumeId=name, targetPath=f"/mnt/pod-{name}")
        self.call("UnstageVolume", volumeId="large", stagingPath="/mnt/large")

    def test_a_removed_volume_leaves_no_byte_on_its_drive(self):
        node = self.device_of("parts", "large")
        drive = self.guest.run("drive ASH1").strip()
        self.guest.run(f"yes ashlar-tenant | dd of={node} bs=1M seek=400 count=4 iflag=fullblock conv=fsync 2>/dev/null")
        look = f"tr -d '\\000' <{drive} | grep -c ashlar-tenant || true"  # without zeros, which are one line to grep
        self.assertNotEqual(self.guest.run(f"dd if={node} bs=1M skip=400 count=4 2>/dev/null | grep -c ashlar-tenant").strip(), "0")
        self.call("RemoveVolume", volumeId="large")
        self.guest.run("echo 3 >/proc/sys/vm/drop_caches")
        self.assertEqual(self.guest.run(look).strip(), "0")


class SharedNamespaces(Case):
    scene = "multipath"

    def test_the_guest_sees_the_tree_of_the_scene(self):
        self.assert_sees_the_scene()

    def test_a_drive_of_two_paths_is_one_free_drive(self):
        said = [drive for disk, _, drive in self.drives() if disk.serial == "PATHS"]
        self.assertEqual([drive["busyReason"] for drive in said], [""])

    def test_a_drive_of_a_subsystem_lies_where_its_controllers_lie(self):
        for disk, device, said in self.drives():
            with self.subTest(device):
                self.assert_says_the_paths(disk, said)
                self.assertEqual(len(said["paths"]), 2 if disk.serial == "PATHS" else 1)
                self.assertEqual((said["pciAddress"], said["numaNode"]), (disk.paths[0]["pci"][-1], disk.paths[0]["numa"]))
                self.assertEqual(said["nvme"]["namespaceId"], disk.nsid)

    def test_an_attached_namespace_is_a_drive_and_a_detached_one_is_gone(self):
        namespaces = lambda: sorted((d["serial"], d["nsid"], len(d["paths"])) for d in self.guest.tree())
        before = namespaces()
        paths = [line.split() for line in self.guest.run(CONTROLLERS).splitlines()]
        control, controllers = f"/dev/{paths[0][0]}", ",".join(number for _, number in paths)
        self.guest.run(f"nvme attach-ns {control} -n 2 -c {controllers}")
        self.guest.until("the attached namespace is there on both paths", lambda: namespaces() == sorted([*before, ("PATHS", 2, 2)]))
        self.assertEqual(len(self.drives_of("PATHS")), 2)
        self.guest.run(f"nvme detach-ns {control} -n 2 -c {controllers}")
        self.guest.until("the detached namespace is gone", lambda: namespaces() == before)
        self.assertEqual(len(self.drives_of("PATHS")), 1)

    def test_a_prepared_namespace_is_attached_written_detached_and_wiped_as_a_volume(self):
        secret = b"ashlar-tenant"
        (detached,) = [disk for disk in self.guest.build.disks if disk.detached]
        kept = lambda: open(f"{self.guest.folder}/{detached.file}", "rb").read().count(secret)  # pylint: disable=consider-using-with
        shown = lambda: sorted((d["nsid"], len(d["paths"])) for d in self.guest.tree() if d["serial"] == "PATHS")
        self.start_agent()
        pool = lambda: self.pool("n", "Namespace", serials=["PATHS"])
        before = pool()
        self.assertTrue(before["ready"], before)
        self.assertEqual((before["devices"], int(before["allocatableBytes"])), (["PATHS"], (128 + 64) * MI))
        self.assertEqual(shown(), [(1, 2)], "the detached one was only looked at")
        volume = self.call("EnsureVolume", volumeId="v", pool="n", mode="VOLUME_MODE_FILESYSTEM", fsType="ext4", sizeBytes=40 * MI)
        self.assertEqual(int(volume["sizeBytes"]), 64 * MI)
        self.assertEqual(shown(), [(1, 2), (2, 2)])
        stage = {"volumeId": "v", "stagingPath": "/mnt/v"}
        self.call("StageVolume", mode="VOLUME_MODE_FILESYSTEM", **stage)
        self.guest.run(f"yes {secret.decode()} | head -c 1000000 >/mnt/v/file && sync /mnt/v/file")
        self.assertGreater(kept(), 1000)
        self.guest.run("kill -9 $(pidof ashlar-node-agent)")
        self.start_agent()
        (found,) = self.call("ListVolumes")["volumes"]
        self.assertEqual((found["volumeId"], found["staged"], found["healthy"]), ("v", True, True))
        self.call("UnstageVolume", **stage)
        self.call("RemoveVolume", volumeId="v")
        self.assertEqual(shown(), [(1, 2)])
        self.assertEqual(kept(), 0)
        self.assertEqual(pool()["allocatableBytes"], before["allocatableBytes"])

    def test_a_creation_that_the_controller_refuses_fails_with_its_reason(self):
        line = self.call_line("EnsureVolume", volumeId="w", pool="n", mode="VOLUME_MODE_BLOCK", sizeBytes=160 * MI)
        status, output = self.guest.status(line)
        self.assertNotEqual(status, 0)
        self.assertIn(f"controller PATHS refused to create a namespace of {160 * MI} bytes: Invalid Command Opcode (status 0x4001)",
                      output.decode())
        self.call("RemovePool", name="n")
        self.guest.run(STOP_AGENT)

    def drives_of(self, serial):
        return [drive for (found, _), drive in self.inventory().items() if found == serial]

    def test_a_drive_stays_when_one_of_its_paths_is_unplugged(self):
        self.guest.unplug("PATHS-a")
        paths = lambda: [d["paths"] for d in self.guest.tree() if d["serial"] == "PATHS"]
        self.guest.until("one path is left", lambda: [len(p) for p in paths()] == [1])
        self.assertEqual(paths()[0][0]["numa"], 1)
        (left,) = self.drives_of("PATHS")
        self.assertEqual((left["numaNode"], len(left["paths"])), (1, 1))
