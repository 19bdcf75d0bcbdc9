"""Pools of the backend LVM."""
import shlex

from case import Case, MI, UID  # first: it says where the lab is


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
