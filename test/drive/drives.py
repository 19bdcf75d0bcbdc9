"""What the agent finds: free drives and used ones, plugged and unplugged, behind switches and IOMMUs."""
import collections
import re
import time

from case import BIN, Case, MI, STOP_AGENT  # first: it says where the lab is
import scene
from guest import PATIENCE

# Uses that no name in spec.wipe ends.
IN_USE = {"mounted", "md", "lvm", "swap", "loop", "device-mapper", "read-only", "claimed"}


class Enough(Exception):
    """Raised from within a command of the guest that is not waited for any longer."""


class FreeDrives(Case):
    scene = "two_sockets"

    def test_the_guest_sees_the_tree_of_the_scene(self):
        self.assert_sees_the_scene()

    def test_every_drive_is_found_at_its_place_and_free(self):
        for disk, device, said in self.drives():
            with self.subTest(device):
                self.assertEqual(said["busyReason"], "")
                self.assertEqual(int(said["sizeBytes"]), disk.mib * MI)
                self.assertEqual(said["logicalBlockBytes"], disk.sector)
                self.assertEqual(said["pciAddress"], disk.paths[0]["pci"][-1])
                self.assertEqual(said["numaNode"], disk.paths[0]["numa"])
                self.assert_says_the_paths(disk, said)
        transports = collections.Counter(said["transport"] for *_, said in self.drives())
        self.assertEqual(transports, {"nvme": 8, "sata": 1, "virtio": 1})

    def test_namespaces_of_one_controller_have_ids_of_their_own(self):
        ids = [said["id"] for disk, _, said in self.drives() if disk.serial == "ASH2"]
        self.assertEqual((len(ids), len(set(ids))), (3, 3))

    def test_nvme_drives_tell_who_and_how_they_are_and_others_what_applies(self):
        for disk, device, said in self.drives():
            with self.subTest(device):
                self.assertEqual("nvme" in said, disk.nsid > 0)
                self.assertEqual("health" in said, disk.nsid > 0)
                if not disk.nsid:
                    continue
                self.assertRegex(said["firmware"], r"^\d+\.\d+")
                self.assertEqual(said["model"], "QEMU NVMe Ctrl")
                facts = said["nvme"]
                self.assertEqual(facts["namespaceId"], disk.nsid)
                self.assertTrue(facts["namespaceManagement"])
                used = [f for f in facts["lbaFormats"] if f["inUse"]]
                self.assertEqual([(f["dataBytes"], f["metadataBytes"]) for f in used], [(disk.sector, 0)])
                self.assertLessEqual({512, 4096}, {f["dataBytes"] for f in facts["lbaFormats"]})
                self.assertEqual((said["health"]["temperatureCelsius"], said["health"]["criticalWarnings"]), (50, 0))
                for path in said["paths"]:
                    self.assertRegex(f"{path['linkSpeed']} x{path['linkWidth']}", r"^\d+(\.\d+)? GT/s x\d+$")
        (named,) = [said["nvme"] for disk, _, said in self.drives() if (disk.serial, disk.nsid) == ("ASH2", 2)]
        self.assertEqual((named["eui64"], named["uuid"]), ("0025384300000001", "9c2bd3a4-5a4e-4a0e-8f4e-6f0d7e3c2b1a"))

    def test_an_unplugged_drive_goes_and_a_plugged_one_comes(self):
        serials = lambda: {disk["serial"] for disk in self.guest.tree()}
        self.guest.unplug("ASH3")
        self.guest.until("the unplugged drive is gone", lambda: "ASH3" not in serials())
        self.assertNotIn("ASH3", {serial for serial, _ in self.inventory()})
        self.guest.until("its slot is free", lambda: not self.guest.qmp_has("ASH3"))
        self.guest.plug("ASH3")
        self.guest.until("the plugged drive is there", lambda: "ASH3" in serials())
        self.assertIn("ASH3", {serial for serial, _ in self.inventory()})
        self.assert_sees_the_scene()

    # The agent looks by itself every 2 minutes: what it tells within 30 seconds it was told.

    def test_a_running_agent_hears_what_happens_to_drives(self):
        self.start_agent()
        self.assertEqual(self.told("ASH4")["busyReason"], "")
        reason = lambda expected: lambda: re.search(expected, self.told("ASH4")["busyReason"])
        device = self.guest.run("drive ASH4").strip()
        for what, command, expected in [
                ("a filesystem", f"mkfs.ext4 -q {device}", "^has a signature of ext4$"),
                ("a mount", f"mkdir -p /mnt/heard && mount {device} /mnt/heard", "^is mounted at /mnt/heard$"),
                ("its end", "umount /mnt/heard", "^has a signature of ext4$"),
                ("a swap signature", f"wipefs -qa {device} && mkswap -q {device}", "^has a signature of swap$"),
                ("swapping", f"swapon {device}", "^is used as swap$"),
                ("its end", f"swapoff {device}", "^has a signature of swap$"),
                ("a volume group", f"wipefs -qa {device} && modprobe dm-mod && vgcreate -q vg {device} && lvcreate -q -y -W n -n lv -L 16m vg", "^is held by dm-"),
                ("its end", "vgchange -q -an vg", "^has a signature of LVM2_member$"),
                ("an empty drive", f"wipefs -qa {device}", "^$")]:
            self.guest.run(command)
            self.guest.until(f"the agent tells of {what}", reason(expected))
        self.guest.run(STOP_AGENT)

    def test_a_running_agent_hears_of_a_drive_that_goes_comes_or_warns(self):
        self.start_agent()
        self.assertEqual(self.told("ASH3")["health"]["criticalWarnings"], 0)
        self.guest.qmp("qom-set", path="/machine/peripheral/ASH3", property="smart_critical_warning", value=0b1100)
        # Linux asks controllers for no announcements of this kind: without any event it is the agent's next look that finds it.
        self.guest.run("udevadm trigger --action=change --subsystem-match=nvme")
        self.guest.until("the agent tells of the warning", lambda: self.told("ASH3")["health"]["criticalWarnings"] == 0b1100)
        self.assertTrue(self.pool("pulled", serials=["ASH3"])["ready"])
        self.guest.unplug("ASH3")
        self.guest.until("the agent tells that it is gone", lambda: self.told("ASH3") is None)
        self.call("RemovePool", name="pulled")
        self.assertEqual(self.guest.run("grep pools/pulled /proc/self/mounts; ls /var/lib/ashlar/pools"), "", "a pool whose drive is gone leaves no mount")
        self.guest.until("its slot is free", lambda: not self.guest.qmp_has("ASH3"))
        self.guest.plug("ASH3")
        self.guest.until("the agent tells that it is there", lambda: self.told("ASH3") is not None)
        self.guest.run("wipefs -qa $(drive ASH3)")
        self.guest.until("it is free", lambda: self.told("ASH3")["busyReason"] == "")
        self.guest.run(STOP_AGENT)

    def test_directories_of_xfs_keep_the_contract_of_backends(self):
        self.guest.run("d=$(drive ASH1); mkfs.xfs -q $d && mkdir /mnt/quota && mount -o prjquota $d /mnt/quota && mkdir /mnt/quota/pool")
        try:
            self.assert_contract("ASHLAR_TEST_DIRECTORY=/mnt/quota/pool ASHLAR_TEST_RAW=$(drive ASH1) quota_contract_test --gtest_filter=-GoogleTest*")
        finally:
            self.guest.run("umount /mnt/quota && wipefs -qa $(drive ASH1)")

    def test_identities_survive_a_reboot_in_another_order(self):
        devices = lambda: {(d["serial"], d["nsid"]): d["name"] for d in self.guest.tree() if d["nsid"]}
        ids, names = self.ids(), devices()
        self.assertEqual(len(set(ids.values())), len(ids))
        self.guest.cut_power()
        self.guest.boot(order=["ASH5", "ASH4", "ASH3", "ASH2", "ASH1", "ASH0"])
        self.assertEqual({disk for disk, name in devices().items() if names[disk] == name} - {("ASH2", 1), ("ASH2", 2), ("ASH2", 7)}, set())
        self.assertEqual(self.ids(), ids)

    def test_after_a_power_cut_the_pool_has_every_acknowledged_volume(self):
        # The node's own disk, which keeps the agent's state; a new machine has its /var there, too.
        self.guest.run("mkfs.ext4 -q $(drive VIRT0) && mkdir -p /var/lib/ashlar && mount $(drive VIRT0) /var/lib/ashlar")
        self.start_agent()
        self.assertTrue(self.pool("p", serials=["ASH0"])["ready"])
        before = self.guest.run("drive ASH0")
        volume = {"pool": "p", "mode": "VOLUME_MODE_FILESYSTEM", "fsType": "ext4", "sizeBytes": 24 * MI}
        self.call("EnsureVolume", volumeId="kept", **volume)
        stage = {"volumeId": "kept", "stagingPath": "/mnt/kept", "mode": "VOLUME_MODE_FILESYSTEM"}
        self.call("StageVolume", **stage)
        self.guest.run("echo written >/mnt/kept/synced && sync /mnt/kept/synced")
        acknowledged = self.cut_power_while_carving(volume)

        self.guest.boot(order=["ASH4", "ASH2"])
        self.assertNotEqual(self.guest.run("drive ASH0"), before)
        self.guest.run("mkdir -p /var/lib/ashlar && mount $(drive VIRT0) /var/lib/ashlar")
        self.start_agent()
        volumes = {v["volumeId"]: v for v in self.call("ListVolumes")["volumes"]}
        self.assertLessEqual({"kept", *acknowledged}, set(volumes))
        for name, found in volumes.items():
            self.assertEqual((found["sizeBytes"], found["healthy"]), (str(24 * MI), True), name)
        self.assertEqual(self.guest.run("find /var/lib/ashlar/pools/p -name '*.partial'"), "")
        for name in acknowledged:  # repeated calls of a controller that did not hear the answer
            self.call("EnsureVolume", volumeId=name, **volume)
        self.call("StageVolume", **stage)
        self.assertEqual(self.guest.run("cat /mnt/kept/synced"), "written\n")

    def cut_power_while_carving(self, volume):
        """Names of the volumes that were acknowledged before the cut."""
        loop = [f"{self.call_line('EnsureVolume', volumeId=f'v{i}', **volume)} >/dev/null && echo acknowledged v{i}" for i in range(1, 12)]
        output = b""

        def show(data):
            nonlocal output
            output += data
            if output.count(b"acknowledged") >= 3:
                raise Enough

        with self.assertRaises(Enough):
            self.guest.status("\n".join(loop), 120, show)
        self.guest.cut_power()
        return re.findall(r"acknowledged (v\d+)\n", output.decode())


class UsedDrives(Case):
    scene = "used"

    def test_the_guest_sees_the_tree_of_the_scene(self):
        self.assert_sees_the_scene()

    def test_each_says_why_it_is_not_free(self):
        uses = set()
        for disk, device, said in self.drives():
            with self.subTest(f"{device} {disk.used}"):
                self.assertRegex(said["busyReason"], f"^{scene.USES[disk.used].reason}$" if disk.used else "^$")
            uses.add(disk.used)
        self.assertEqual(uses, {"", *scene.USES}, "the scene shows every use")

    def digests(self):
        return {disk.file: self.guest.digest(disk) for disk in self.guest.build.disks if disk.used}

    def quiet_digests(self):
        self.guest.run("sync")
        digests = self.digests()

        def quiet():  # the kernel writes superblocks of arrays and filesystems a moment later
            nonlocal digests
            time.sleep(2)
            last, digests = digests, self.digests()
            return last == digests

        self.guest.until("the used drives are quiet", quiet)
        return digests

    def test_none_of_them_is_touched(self):
        before = self.quiet_digests()
        self.start_agent()
        every = {"transports": ["nvme", "sata", "virtio"]}
        taken = [self.pool(name, **every) for name in ("a", "bb", "ccc")]
        self.assertEqual([pool["ready"] for pool in taken], [True, False, False])
        self.assertEqual(taken[2]["reason"], "NoFreeDrive")
        free = {said["id"]: disk.serial for disk, _, said in self.drives() if not disk.used}
        self.assertEqual(sorted(free[device] for device in taken[0]["devices"]), ["FREE0", "FREE1"])
        # Nobody names a drive, and every backend looks at all of them.
        others = {"Partition": "d" * 4, "LVM": "d" * 5, "WholeDrive": "d" * 6, "Namespace": "d" * 7, "Directory": "d" * 8}
        for backend, name in others.items():
            with self.subTest(backend):
                refused = self.pool(name, backend, minSizeBytes=MI, **every)
                self.assertEqual((refused["ready"], refused["reason"]), (False, "NoFreeDrive"))
        self.call("EnsureVolume", volumeId="v", pool="a", mode="VOLUME_MODE_FILESYSTEM", fsType="ext4", sizeBytes=24 * MI)
        self.guest.run("udevadm trigger --action=change --subsystem-match=block && udevadm settle")
        time.sleep(3 * PATIENCE)  # the agent hears of it and looks for drives for the other pools
        for name in others.values():
            self.guest.until("the pool is removed", lambda: self.guest.status(self.call_line("RemovePool", name=name))[0] == 0)
        self.guest.run(f"{STOP_AGENT}; sync")
        self.assertEqual(self.digests(), before)


    # What is written when spec.wipe names a drive; the tests above have left a pool on the free drives.

    def test_a_named_drive_that_somebody_uses_is_not_wiped(self):
        used = sorted({disk.serial for disk in self.guest.build.disks if disk.used in IN_USE})
        before = self.quiet_digests()
        self.start_agent()
        pool = self.pool("dddd", wipe=used, serials=used)
        self.assertEqual((pool["ready"], pool["reason"]), (False, "NoFreeDrive"))
        for use in IN_USE:
            self.assertRegex(pool["message"], scene.USES[use].reason)
        self.assertNotIn("spec.wipe", pool["message"])
        self.guest.run("sync")
        self.assertEqual(self.digests(), before)
        self.call("RemovePool", name="dddd")

    def test_a_named_drive_that_nobody_uses_is_wiped_and_taken(self):
        backends = {"BACKUP": "WholeDrive", "EXT4": "Partition", "MDOLD": "Namespace", "PART": "File", "PV": "File", "TABLE": "LVM"}
        for name in ("bb", "ccc"):
            self.call("RemovePool", name=name)  # they wait for any drive that becomes free
        at_rest = sorted({disk.serial for disk in self.guest.build.disks if disk.used and disk.used not in IN_USE})
        for number, serial in enumerate(at_rest):
            with self.subTest(serial):
                name, backend = "e" * (4 + number), backends[serial]
                # Those that were taken before are in use, and their filesystems write when they like.
                others = lambda gone: {file: digest for file, digest in self.digests().items() if not file.startswith(tuple(gone))}
                before = others(at_rest[:number])
                unnamed = self.pool(name, backend, serials=[serial])
                self.assertEqual((unnamed["ready"], unnamed["reason"]), (False, "NoFreeDrive"))
                self.assertIn(f"its serial {serial} in spec.wipe would wipe it", unnamed["message"])
                self.assertEqual(others(at_rest[:number]), before)
                named = self.pool(name, backend, wipe=[serial], serials=[serial])
                self.assertTrue(named["ready"], named["message"])
                self.guest.run("sync")
                left = others(at_rest[:number + 1])
                self.assertEqual(left, {file: before[file] for file in left})
        wiped = [disk for disk in self.guest.build.disks if disk.serial in at_rest]  # a serial names every namespace
        self.assertEqual(int(self.guest.run("grep -c 'wiping a drive' /run/agent.log")), len(wiped))


class BehindAnIommu(Case):
    scene = "iommu"
    programs = [f"{BIN}/ashlar-node-agent", f"{BIN}/../node-agent/limits_loop_test"]  # what is packed takes the guest's memory

    def test_the_guest_sees_the_tree_of_the_scene(self):
        self.assert_sees_the_scene()

    def test_each_path_tells_its_group_and_that_addresses_are_translated(self):
        for disk, device, said in self.drives():
            with self.subTest(device):
                group = self.guest.run(f"basename $(readlink /sys/bus/pci/devices/{said['pciAddress']}/iommu_group)").strip()
                self.assertEqual([(path["iommuGroup"], path["iommuTranslates"]) for path in said["paths"]], [(group, True)])

    def test_a_kernel_with_control_groups_of_version_2_keeps_limits(self):
        """The loop suite's own tests: this machine's kernel may have version 1, the guest's has version 2 alone."""
        self.guest.run("test ! -e /sys/fs/cgroup/blkio && mkdir -p /tmp && mount -t tmpfs tmpfs /tmp")
        status, output = self.guest.status("limits_loop_test --gtest_filter=-*Trim* --gtest_brief=1", 200)
        self.assertEqual(status, 0, output.decode(errors="replace"))
        self.assertIn(b"PASSED  ] 2 tests", output)
        self.assertNotIn(b"SKIPPED", output)
