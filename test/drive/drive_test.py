#!/usr/bin/env python3
"""Ashlar's node agent among the drives of the drive lab's scenes. Every class is one scene and one guest; its tests run in the
order in which they stand here."""
import collections
import json
import os
import re
import shlex
import sys
import time
import unittest

TEST = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path += [TEST, os.path.join(TEST, "lab/drive"), os.path.join(TEST, "backends")]
import scene  # noqa: E402
import summary  # noqa: E402
import table  # noqa: E402
from archive import Missing  # noqa: E402
from guest import PATIENCE, Guest  # noqa: E402

BIN = os.path.join(os.path.dirname(TEST), "build/release/bin")
PROGRAMS = [f"{BIN}/ashlar-node-agent", f"{BIN}/agent_call", f"{BIN}/lvm_contract_test", f"{BIN}/quota_contract_test"]
MI = 1 << 20
UID = "5e1ec7ed-0000-4000-8000-000000000001"
# Uses that no name in spec.wipe ends.
IN_USE = {"mounted", "md", "lvm", "swap", "loop", "device-mapper", "read-only", "claimed"}
# Name and number within the subsystem of every controller of PATHS.
CONTROLLERS = "cd /sys/class/nvme; for c in *; do grep -q PATHS $c/serial && echo $c $(cat $c/cntlid); done; true"
# And waits for its end: two agents do not share a state directory.
STOP_AGENT = "kill $(pidof ashlar-node-agent); while pidof ashlar-node-agent >/dev/null; do sleep 0.1; done"


class Enough(Exception):
    """Raised from within a command of the guest that is not waited for any longer."""


class Case(unittest.TestCase):
    scene = ""
    guest = None

    @classmethod
    def setUpClass(cls):
        try:
            cls.guest = Guest(cls.scene, PROGRAMS)
        except Missing as missing:
            if os.environ.get("CI") == "true":
                raise
            print(missing, flush=True)
            raise unittest.SkipTest(str(missing)) from None
        try:
            cls.guest.boot()
        except BaseException:
            cls.guest.close()
            raise
        print(f"scene {cls.scene} is up after {cls.guest.boot_seconds:.1f} s", flush=True)

    @classmethod
    def tearDownClass(cls):
        if cls.guest is not None:
            cls.guest.close()

    def assert_sees_the_scene(self):
        """Serial, namespace, size, sector, PCI functions from the host bridge on, and NUMA node of every disk."""
        key = lambda disk: (disk["serial"], disk["nsid"])
        seen = [{name: disk[name] for name in disk if name != "name"} for disk in self.guest.tree()]
        self.assertEqual(sorted(seen, key=key), sorted(self.guest.expected_tree(), key=key))

    def inventory(self):
        """What the agent's scanner says, by serial and device."""
        return {(d["serial"], d["device"]): d for d in self.guest.json("ashlar-node-agent --print-inventory")["drives"]}

    def drives(self):
        """(disk of the scene, name in the guest, the scanner's words)"""
        inventory, tree = self.inventory(), {(d["serial"], d["nsid"]): d["name"] for d in self.guest.tree()}
        self.assertEqual(len(inventory), len(tree))
        return [(disk, f"/dev/{tree[disk.serial, disk.nsid]}", inventory[disk.serial, f"/dev/{tree[disk.serial, disk.nsid]}"])
                for disk in self.guest.build.disks if not disk.detached]

    def assert_contract(self, command):
        """A program with the contract suite of backends passes, and docs/backends.md says what it saw."""
        self.guest.run("rm -f /run/seen.xml")
        status, output = self.guest.status(f"{command} --gtest_brief=1 --gtest_output=xml:/run/seen.xml", 600)
        self.assertEqual(status, 0, output.decode(errors="replace"))
        seen = self.guest.run("cat /run/seen.xml")
        self.assertTrue(table.seen([seen], "drive"), seen)
        if os.environ.get("ASHLAR_WRITE_BACKENDS"):  # to bring the table up to date
            table.write([seen], "drive")
        self.assertEqual(table.check([seen], "drive"), [])

    def ids(self):
        return {(disk.serial, disk.nsid): said["id"] for disk, _, said in self.drives()}

    def start_agent(self):
        self.guest.run("ashlar-node-agent --node-name guest --listen unix:///run/agent.sock --mount-socket /run/mount.sock "
                       "--ops-address '' --publish-root /mnt </dev/null >>/run/agent.log 2>&1 &")
        self.call("ListVolumes")

    def call_line(self, method, **request):
        path = "/run/mount.sock" if method in ("StageVolume", "UnstageVolume") else "/run/agent.sock"
        return f"agent_call {path} {method} {shlex.quote(json.dumps(request))}"

    def call(self, method, **request):
        try:
            return self.guest.json(self.call_line(method, **request), 150)
        except AssertionError as failure:
            raise AssertionError(f"{failure}\nagent: {self.guest.status('tail -n 20 /run/agent.log')[1].decode()}") from None

    def told(self, serial):
        """What the running agent last told of the drive; None if it told of no such drive."""
        drives = {drive["serial"]: drive for drive in self.call("WatchInventory")["drives"]}
        return drives.get(serial)

    def assert_says_the_paths(self, disk, said):
        key = lambda path: path["pci"]
        self.assertEqual(sorted(({"pci": path["pci"], "numa": path["numaNode"]} for path in said["paths"]), key=key),
                         sorted(disk.paths, key=key))
        for path in said["paths"]:
            self.assertEqual((path["iommuGroup"], path["iommuTranslates"]), ("", False))
            self.assertEqual(path["pcieRoot"], "pci0000:40" if path["numaNode"] == 0 else "pci0000:80")

    def ensure_pool(self, **request):
        """EnsurePool, repeated while the agent looks at its pools itself (Aborted)."""
        end = time.monotonic() + 60
        while True:
            try:
                return self.call("EnsurePool", **request)
            except AssertionError as refused:
                if "ABORTED" not in str(refused) or time.monotonic() > end:
                    raise
                time.sleep(0.5)

    def pool(self, name, backend="File", wipe=(), **devices):
        pool = lambda: self.call("EnsurePool", name=name, uid=UID[:-1] + str(len(name)), backend=backend, devices=devices,
                                 wipe=list(wipe))

        def answer():  # the agent may be trying another pool again
            try:
                return pool()
            except AssertionError as failure:
                if "ABORTED" not in str(failure):
                    raise
                return None

        return self.guest.until("the agent takes the call", answer)


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
        self.assertEqual(transports, {"nvme": 7, "sata": 1, "virtio": 1})

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
        self.guest.unplug("ASH3")
        self.guest.until("the agent tells that it is gone", lambda: self.told("ASH3") is None)
        self.guest.until("its slot is free", lambda: not self.guest.qmp_has("ASH3"))
        self.guest.plug("ASH3")
        self.guest.until("the agent tells that it is there", lambda: self.told("ASH3") is not None)
        self.assertEqual(self.told("ASH3")["busyReason"], "")
        self.guest.run(STOP_AGENT)

    def test_directories_of_xfs_keep_the_contract_of_backends(self):
        self.guest.run("d=$(drive ASH1); mkfs.xfs -q $d && mkdir /mnt/quota && mount -o prjquota $d /mnt/quota && mkdir /mnt/quota/pool")
        try:
            self.assert_contract("ASHLAR_TEST_DIRECTORY=/mnt/quota/pool quota_contract_test --gtest_filter=-GoogleTest*")
        finally:
            self.guest.run("umount /mnt/quota && wipefs -qa $(drive ASH1)")

    def test_identities_survive_a_reboot_in_another_order(self):
        devices = lambda: {(d["serial"], d["nsid"]): d["name"] for d in self.guest.tree() if d["nsid"]}
        ids, names = self.ids(), devices()
        self.assertEqual(len(set(ids.values())), len(ids))
        self.guest.cut_power()
        self.guest.boot(order=["ASH4", "ASH3", "ASH2", "ASH1", "ASH0"])
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
        self.call("EnsureVolume", volumeId="v", pool="a", mode="VOLUME_MODE_FILESYSTEM", fsType="ext4", sizeBytes=24 * MI)
        self.guest.run("udevadm trigger --action=change --subsystem-match=block && udevadm settle")
        time.sleep(3 * PATIENCE)  # the agent hears of it and looks for drives for the other pools
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

    def test_the_guest_sees_the_tree_of_the_scene(self):
        self.assert_sees_the_scene()

    def test_each_path_tells_its_group_and_that_addresses_are_translated(self):
        for disk, device, said in self.drives():
            with self.subTest(device):
                group = self.guest.run(f"basename $(readlink /sys/bus/pci/devices/{said['pciAddress']}/iommu_group)").strip()
                self.assertEqual([(path["iommuGroup"], path["iommuTranslates"]) for path in said["paths"]], [(group, True)])


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


class LvmContract(Case):
    """The suite of node-agent/testing/backend_contract.h."""

    scene = "lvm"

    def contract(self, name):
        self.assert_contract(f"ASHLAR_TEST_DRIVES=LVM0,LVM1 lvm_contract_test --gtest_filter='Lvm/*/{name}'")

    def suite(self, filter):
        programs = f"ASHLAR_TEST_DRIVES=LVM0,LVM1 lvm_contract_test --gtest_brief=1 --gtest_filter='{filter}'"
        status, output = self.guest.status(programs, 600)
        self.assertEqual(status, 0, output.decode(errors="replace"))
        self.assertRegex(output, rb"[1-9]\d* tests? from \d test suites? ran")

    def test_full_volumes_keep_the_contract_of_backends(self):
        self.contract("Linear")

    def test_thin_volumes_keep_the_contract_of_backends(self):
        self.contract("Thin")

    # What depends on where a volume's extents lie.
    def test_striped_and_mirrored_volumes_keep_it_too(self):
        self.suite("Lvm/*.AVolumeGrows*/Striped:Lvm/*.AVolumeGrows*/Mirrored:Lvm/*.TheNextTenant*/Mirrored")

    def test_what_is_told_of_room_is_true_and_growing_is_safe(self):
        self.suite("LvmFull.*:LvmThinPool.*:LvmRoom.*")


class LvmPool(Case):
    scene = "lvm"

    def running_agent(self):
        if not self.guest.status("pidof ashlar-node-agent")[1]:
            self.start_agent()

    def test_a_pool_on_lvm_carves_stages_grows_and_takes_added_drives(self):
        self.start_agent()
        pool = lambda *serials: self.call("EnsurePool", name="l", uid=UID, backend="LVM", devices={"serials": [*serials]})
        first = pool("LVM0")
        self.assertTrue(first["ready"], first)
        both = pool("LVM0", "LVM1")
        self.assertEqual(len(both["devices"]), 2)
        self.assertEqual(int(both["capacityBytes"]), 2 * int(first["capacityBytes"]))
        volume = {"pool": "l", "mode": "VOLUME_MODE_FILESYSTEM", "fsType": "ext4"}
        made = self.call("EnsureVolume", volumeId="v", sizeBytes=24 * MI, **volume)
        self.assertRegex(made["devicePath"], r"^/dev/dm-\d+$")
        self.call("StageVolume", volumeId="v", stagingPath="/mnt/v", mode="VOLUME_MODE_FILESYSTEM")
        self.guest.run("echo written >/mnt/v/file && sync /mnt/v/file")
        self.call("ResizeVolume", volumeId="v", sizeBytes=48 * MI)
        self.assertEqual(self.guest.run(f"blockdev --getsize64 {made['devicePath']}"), f"{48 * MI}\n")
        self.guest.run("kill -9 $(pidof ashlar-node-agent)")
        self.start_agent()
        (found,) = self.call("ListVolumes")["volumes"]
        self.assertEqual((found["volumeId"], found["staged"], found["healthy"]), ("v", True, True))
        self.assertEqual(self.guest.run("cat /mnt/v/file"), "written\n")

    def test_an_unplugged_drive_makes_its_volumes_unhealthy_and_the_plugged_one_heals_them(self):
        self.guest.unplug("LVM0")
        healthy = lambda: [v["healthy"] for v in self.call("ListVolumes")["volumes"]]
        self.guest.until("the volume is unhealthy", lambda: healthy() == [False])
        self.guest.until("its slot is free", lambda: not self.guest.qmp_has("LVM0"))
        self.guest.plug("LVM0")
        self.guest.until("the volume is healthy again", lambda: healthy() == [True], 60)
        self.call("EnsureVolume", volumeId="w", pool="l", mode="VOLUME_MODE_BLOCK", sizeBytes=24 * MI)

    def test_a_mirrored_volume_outlives_each_of_its_drives_and_heals(self):
        self.running_agent()
        mirrored = self.ensure_pool(name="m", uid=UID[:-1] + "8", backend="LVM", devices={"serials": ["LVM2", "LVM3"]}, lvmMirrors=1)
        self.assertEqual((mirrored["ready"], int(mirrored["largestVolumeBytes"])), (True, int(mirrored["capacityBytes"])), mirrored)
        device = self.call("EnsureVolume", volumeId="m", pool="m", mode="VOLUME_MODE_BLOCK", sizeBytes=16 * MI)["devicePath"]
        self.assertEqual(self.call("ResizeVolume", volumeId="m", sizeBytes=24 * MI)["devicePath"], device)
        self.guest.run("dd if=/dev/urandom of=/run/noise bs=1M count=24 2>/dev/null")
        write = f"dd if=/run/noise of={device} bs=1M oflag=direct 2>&1"
        same = f"dd if={device} bs=1M iflag=direct 2>/dev/null | cmp - /run/noise"
        legs = "set -- /dev/mapper/*rimage_0 /dev/mapper/*rimage_1; sync; echo 3 >/proc/sys/vm/drop_caches; cmp $1 $2"
        healthy = lambda: [v["healthy"] for v in self.call("ListVolumes")["volumes"] if v["volumeId"] == "m"]
        self.guest.run(write)
        self.guest.unplug("LVM2")
        self.guest.until("the volume is unhealthy", lambda: healthy() == [False])
        self.guest.run(f"{same} && dd if=/dev/urandom of=/run/noise bs=1M count=24 2>/dev/null && {write}")
        self.guest.until("its slot is free", lambda: not self.guest.qmp_has("LVM2"))
        self.guest.plug("LVM2")
        self.guest.until("the volume is healthy again", lambda: healthy() == [True], 60)
        self.guest.until("both mirrors are the same", lambda: self.guest.status(legs)[0] == 0)

        # The other drive goes and comes while no agent runs.
        self.guest.run("kill -9 $(pidof ashlar-node-agent)")
        self.guest.unplug("LVM3")
        self.guest.until("its slot is free", lambda: not self.guest.qmp_has("LVM3"))
        self.guest.run(f"{same} && dd if=/dev/urandom of=/run/noise bs=1M count=24 2>/dev/null && {write}")
        self.guest.plug("LVM3")
        self.guest.until("the drive is back", lambda: self.guest.status("drive LVM3")[0] == 0)
        self.start_agent()
        self.guest.until("the volume is healthy again", lambda: healthy() == [True], 60)
        self.guest.until("both mirrors are the same", lambda: self.guest.status(legs)[0] == 0)
        self.guest.run(same)

    def test_a_drained_drive_leaves_the_pool_empty_and_comes_back_when_it_is_wanted(self):
        self.running_agent()
        drives = {"serials": ["LVM0", "LVM1"]}
        pool = lambda *drain: self.ensure_pool(name="l", uid=UID, backend="LVM", devices=drives, drain=[*drain])
        before = pool()
        used = f"lvm pvs --noheadings --nosuffix --units m -o pv_used {self.guest.run('drive LVM0').strip()}"
        self.assertNotEqual(self.guest.run(used).strip(), "0")
        draining = pool("LVM0")
        self.assertEqual((draining["ready"], draining["reason"]), (True, "Draining"))
        self.assertRegex(draining["message"], r"^\d+ MiB are still to be moved off LVM0")
        self.assertEqual(int(draining["capacityBytes"]), int(before["capacityBytes"]) // 2)
        self.assertEqual(int(draining["allocatableBytes"]) + int(draining["allocatedBytes"]), int(draining["capacityBytes"]))
        self.guest.run("kill -9 $(pidof ashlar-node-agent)")
        self.start_agent()
        state = lambda: {p["name"]: p for p in self.call("WatchInventory")["pools"]}["l"]
        self.guest.until("the drive has left", lambda: len(state()["devices"]) == 1 and state()["reason"] == "", 90)
        self.assertEqual(self.told("LVM0")["busyReason"], "")
        self.assertEqual(self.guest.run("cat /mnt/v/file"), "written\n")
        # Nothing of what was moved is left on it.
        self.assertEqual(self.guest.run("tail -c +1048577 $(drive LVM0) | tr -d '\\000' | head -c 10000 | grep -c written || true").strip(), "0")
        self.assertEqual({v["healthy"] for v in self.call("ListVolumes")["volumes"] if v["pool"] == "l"}, {True})
        self.assertEqual(len(pool()["devices"]), 2)

    def test_an_agent_that_is_killed_leaves_nothing_half_made(self):
        self.running_agent()
        self.ensure_pool(name="l", uid=UID, backend="LVM", devices={"serials": ["LVM0", "LVM1"]})
        kept = {v["volumeId"] for v in self.call("ListVolumes")["volumes"] if v["pool"] == "l"}
        for number, seconds in enumerate((3, 5, 8)):
            calls = []
            for name in (f"k{number}a", f"k{number}b", f"k{number}c"):
                for method, size in (("EnsureVolume", 8), ("ResizeVolume", 24), ("RemoveVolume", 0)):
                    request = {"EnsureVolume": {"pool": "l", "mode": "VOLUME_MODE_BLOCK"}}.get(method, {})
                    if size:
                        request["sizeBytes"] = size * MI
                    line = self.call_line(method, volumeId=name, **request)
                    calls.append(f"echo begun {name} {size}; {line} >/dev/null && echo done {name} {size}")
            script = shlex.quote("\n".join(calls))
            # Killed with its calls, which would go on with the next agent.
            self.guest.run(f"setsid sh -c {script} >/run/calls 2>&1 & c=$!; sleep {seconds}; kill -9 $(pidof ashlar-node-agent); kill -9 -$c")
            self.start_agent()
            left = "lvm lvs --noheadings -o lv_name,lv_tags | grep -cE 'ashlar.partial|^ *g_' || true"
            self.guest.until("nothing half made is left", lambda: self.guest.run(left).strip() == "0", 90)
            told = [line.split() for line in self.guest.run("cat /run/calls").splitlines() if line.startswith(("begun", "done"))]
            volumes = {v["volumeId"]: v for v in self.call("ListVolumes")["volumes"] if v["pool"] == "l"}
            self.assertLessEqual(kept, set(volumes))
            least = {name: int(mib) for what, name, mib in told if what == "done"}
            ending = {name for what, name, mib in told if what == "begun" and mib == "0"}
            for name, mib in least.items():
                if name not in ending:
                    self.assertGreaterEqual(int(volumes[name]["sizeBytes"]), mib * MI, name)
            for name in set(volumes) - kept:
                self.assertIn(int(volumes[name]["sizeBytes"]) // MI, (8, 24), name)
                self.guest.run(f"dd if={volumes[name]['devicePath']} of=/dev/null bs=1M iflag=direct 2>/dev/null")
                self.call("RemoveVolume", volumeId=name)
            names = f"lvm lvs --noheadings -o lv_name ashlar-{UID.replace('-', '')} | grep -c ' v_'"
            self.assertEqual(int(self.guest.run(names)), len(kept))

    # A pool of 31 MiB of data and 8 MiB of reserve, of which 62 MiB may be promised.
    def test_a_thin_pool_that_fills_up_takes_no_volumes_and_loses_no_byte(self):
        self.running_agent()
        # How long a writer waits for room; else 60 s.
        self.guest.run("echo 20 >/sys/module/dm_thin_pool/parameters/no_space_timeout; dd if=/dev/urandom of=/run/noise bs=1M count=30 2>/dev/null")
        made = self.ensure_pool(name="t", uid=UID[:-1] + "7", backend="LVM", devices={"serials": ["VIRT0"]}, provisioning="PROVISIONING_SPARSE",
                                reserveBytes=8 * MI, overprovisionPercent=200)
        self.assertEqual((made["ready"], int(made["capacityBytes"])), (True, 62 * MI), made)
        carve = lambda name, mib: self.call("EnsureVolume", volumeId=name, pool="t", mode="VOLUME_MODE_BLOCK", sizeBytes=mib * MI)["devicePath"]
        first, second = carve("t1", 30), carve("t2", 30)
        write = lambda device, mib, at=0: self.guest.status(f"dd if=/run/noise of={device} bs=1M count={mib} seek={at} oflag=direct 2>&1", 120)
        pool = lambda: {p["name"]: p for p in self.call("WatchInventory")["pools"]}["t"]
        health = lambda: {v["volumeId"]: v["healthy"] for v in self.call("ListVolumes")["volumes"] if v["volumeId"].startswith("t")}

        self.assertEqual(write(first, 29)[0], 0)
        with self.assertRaisesRegex(AssertionError, "RESOURCE_EXHAUSTED.*0 can be allocated"):
            carve("t3", 8)
        self.guest.until("the pool says that it fills up", lambda: pool()["reason"] == "ThinPoolNearlyFull")
        self.assertEqual((pool()["ready"], int(pool()["allocatableBytes"]), health()), (True, 0, {"t1": True, "t2": True}))

        # All that there is, the reserve with it: writers wait until the pool has grown.
        self.assertEqual(write(second, 10)[0], 0)
        status, output = write(second, 1, at=10)
        self.assertNotEqual(status, 0, output)
        self.guest.until("the pool says that it is full", lambda: pool()["reason"] == "ThinPoolFull")
        self.guest.until("so do its volumes", lambda: health() == {"t1": False, "t2": False})
        for device, mib in ((first, 29), (second, 10)):
            self.guest.run(f"dd if={device} bs=1M count={mib} iflag=direct 2>/dev/null >/run/read; head -c {mib * MI} /run/noise | cmp - /run/read")

        self.guest.run(f"blkdiscard -o 0 -l {8 * MI} {second}")
        self.guest.until("the volumes are healthy again", lambda: health() == {"t1": True, "t2": True}, 90)
        self.assertEqual(write(second, 1, at=10)[0], 0)
        self.assertEqual(pool()["reason"], "ThinPoolNearlyFull")
        self.call("RemoveVolume", volumeId="t2")
        self.guest.until("nothing is wrong with the pool", lambda: pool()["reason"] == "", 90)
        carve("t3", 8)
        self.guest.run("rm /run/noise /run/read")


if __name__ == "__main__":
    # A guest keeps one core busy.
    summary.run_side_by_side(min(2, os.cpu_count()))
