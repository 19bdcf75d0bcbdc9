"""What the tests of the drive lab have in common: a guest for each class, and calls of the agent inside it."""
import json
import os
import shlex
import sys
import time
import unittest

TEST = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path += [TEST, os.path.join(TEST, "lab/drive"), os.path.join(TEST, "backends"), os.path.join(TEST, "csi_sanity")]
import table  # noqa: E402
from archive import Missing  # noqa: E402
from guest import Guest  # noqa: E402

BIN = os.path.join(os.path.dirname(TEST), "build/release/bin")
PROGRAMS = [f"{BIN}/ashlar-node-agent", f"{BIN}/agent_call", f"{BIN}/lvm_contract_test", f"{BIN}/quota_contract_test"]
MI = 1 << 20
MOUNT_CALLS = ("StageVolume", "UnstageVolume", "PublishVolume", "UnpublishVolume", "GetVolumeStats", "GetHealth")
UID = "5e1ec7ed-0000-4000-8000-000000000001"
# And waits for its end: two agents do not share a state directory.
STOP_AGENT = "kill $(pidof ashlar-node-agent); while pidof ashlar-node-agent >/dev/null; do sleep 0.1; done"


class Case(unittest.TestCase):
    scene = ""
    programs = PROGRAMS
    agent = "ashlar-node-agent"  # the command
    guest = None

    @classmethod
    def setUpClass(cls):
        try:
            cls.guest = Guest(cls.scene, cls.programs)
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

    def tearDown(self):
        result = self._outcome.result
        if any(test is self for test, _ in result.failures + result.errors):
            print(f"the guest's kernel: {self.guest.status('dmesg | tail -n 15')[1].decode(errors='replace')}", flush=True)

    def assert_sees_the_scene(self):
        """Serial, namespace, size, sector, PCI functions from the host bridge on, and NUMA node of every disk."""
        key = lambda disk: (disk["serial"], disk["nsid"])
        seen = [{name: disk[name] for name in disk if name != "name"} for disk in self.guest.tree()]
        self.assertEqual(sorted(seen, key=key), sorted(self.guest.expected_tree(), key=key))

    def inventory(self):
        """What the agent's scanner says, by serial and device."""
        return {(d["serial"], d["device"]): d for d in self.guest.json(f"{self.agent} --print-inventory")["drives"]}

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
        self.guest.run(f"{self.agent} --node-name guest --listen unix:///run/agent.sock --mount-socket /run/mount.sock "
                       "--ops-address '' --publish-root /mnt </dev/null >>/run/agent.log 2>&1 &")
        self.call("ListVolumes")

    def call_line(self, method, **request):
        path = "/run/mount.sock" if method in MOUNT_CALLS else "/run/agent.sock"
        return f"agent_call {path} {method} {shlex.quote(json.dumps(request))}"

    def call(self, method, **request):
        """The agent's answer; a call that finds another one under way is repeated for a while, as the controller does."""
        end = time.monotonic() + 10
        try:
            while True:
                try:
                    return self.guest.json(self.call_line(method, **request), 150)
                except AssertionError as failure:
                    if "ABORTED: " not in str(failure) or time.monotonic() > end:
                        raise
                    time.sleep(0.2)
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
