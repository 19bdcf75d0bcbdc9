"""Pools of partitions, whole drives and namespaces."""
from case import Case, MI, STOP_AGENT  # first: it says where the lab is

# Name and number within the subsystem of every controller of PATHS.
CONTROLLERS = "cd /sys/class/nvme; for c in *; do grep -q PATHS $c/serial && echo $c $(cat $c/cntlid); done; true"


class BareDrives(Case):
    """Pools of partitions and of whole drives."""
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
        self.call("EnsureVolume", volumeId="drive", pool="whole", sizeBytes=24 * MI, **filesystem)
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

    def test_a_volume_whose_drive_is_unplugged_is_unhealthy_until_it_is_back(self):
        healthy = lambda: [self.volume(name).get("healthy", False) for name in ("large", "file")]
        self.assertEqual(healthy(), [True, True])
        self.call("StageVolume", volumeId="file", stagingPath="/mnt/file", mode="VOLUME_MODE_FILESYSTEM")
        self.guest.run("echo kept >/mnt/file/synced && sync /mnt/file/synced")
        self.call("UnstageVolume", volumeId="file", stagingPath="/mnt/file")
        for serial in ("ASH1", "ASH0"):
            self.guest.unplug(serial)
        self.guest.until("the volumes are unhealthy", lambda: healthy() == [False, False])
        self.assertTrue(self.volume("small")["healthy"])
        for serial in ("ASH1", "ASH0"):
            self.guest.until("its slot is free", lambda: not self.guest.qmp_has(serial))
            self.guest.plug(serial)
        self.guest.until("the volumes are healthy again", lambda: healthy() == [True, True])
        self.call("StageVolume", volumeId="file", stagingPath="/mnt/file", mode="VOLUME_MODE_FILESYSTEM")
        self.assertEqual(self.guest.run("cat /mnt/file/synced").strip(), "kept")
        self.assertTrue(self.device_of("parts", "large").startswith(self.guest.run("drive ASH1").strip()))

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
