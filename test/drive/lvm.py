"""Pools of the backend LVM."""
import shlex

from case import Case, MI, PROGRAMS, UID  # first: it says where the lab is
import sanity


class LvmContract(Case):
    """The suite of node-agent/testing/backend_contract.h."""

    scene = "lvm"

    def contract(self, name):
        self.assert_contract(f"ASHLAR_TEST_DRIVES=LVM0,LVM1 lvm_contract_test --gtest_filter='Lvm/*/{name}'")

    def suite(self, filter, drives="LVM0,LVM1"):
        programs = f"ASHLAR_TEST_DRIVES={drives} lvm_contract_test --gtest_brief=1 --gtest_filter='{filter}'"
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


class LvmSanity(Case):
    scene = "lvm"
    programs = [*PROGRAMS, *sanity.PROGRAMS]

    def test_csi_sanity_skips_nothing_on_thin_volumes_and_leaves_nothing(self):
        instance = sanity.Sanity(self.guest, {"backend": "LVM", "provisioning": "Sparse", "devices": {"serials": ["LVM2", "LVM3"]},
                                              "overprovisionPercent": 1000})
        failed, (passed, _, skipped) = instance.run("LVM")
        self.assertEqual(failed, "")
        self.assertGreater(passed, 190)
        self.assertLessEqual(skipped, 6, "two that csi-test itself leaves out, and the one of sanity.sh, mounted and block")
        self.assertEqual(instance.left(), [])
        volumes = lambda: self.guest.run("lvm lvs --noheadings -o lv_name | grep -v '^ *pool$' || true").split()
        self.guest.until("no logical volume is left", lambda: volumes() == [])
        instance.end()


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

    def test_volumes_of_a_thin_pool_whose_drive_is_pulled_heal_when_it_is_back(self):
        self.running_agent()
        spec = {"name": "x", "uid": UID[:-1] + "9", "backend": "LVM", "devices": {"serials": ["LVM4"]}, "provisioning": "PROVISIONING_SPARSE"}
        self.assertTrue(self.ensure_pool(**spec)["ready"])
        self.call("EnsureVolume", volumeId="xf", pool="x", mode="VOLUME_MODE_FILESYSTEM", fsType="ext4", sizeBytes=24 * MI)
        device = self.call("EnsureVolume", volumeId="xb", pool="x", mode="VOLUME_MODE_BLOCK", sizeBytes=24 * MI)["devicePath"]
        stage = {"volumeId": "xf", "stagingPath": "/mnt/xf"}
        health = lambda: {v["volumeId"]: v["healthy"] for v in self.call("ListVolumes")["volumes"] if v["pool"] == "x"}
        reason = lambda: {p["name"]: p for p in self.call("WatchInventory")["pools"]}["x"]["reason"]
        read = lambda: self.guest.run("cat /mnt/xf/file; blkid -o value -s TYPE $(findmnt -no SOURCE /mnt/xf)")
        # Once nobody writes while the drive is away, once somebody does: the kernel gives the thin pool up then.
        for writes in (False, True):
            with self.subTest(writes=writes):
                self.call("StageVolume", mode="VOLUME_MODE_FILESYSTEM", **stage)
                self.guest.run("echo kept >/mnt/xf/file && sync /mnt/xf/file")
                self.guest.run(f"dd if=/dev/urandom of=/run/x bs=1M count=4 2>/dev/null && dd if=/run/x of={device} bs=1M oflag=direct 2>/dev/null")
                self.guest.unplug("LVM4")
                self.guest.until("its volumes are unhealthy", lambda: health() == {"xf": False, "xb": False})
                self.guest.until("its slot is free", lambda: not self.guest.qmp_has("LVM4"))
                if writes:
                    self.assertNotEqual(self.guest.status(f"dd if=/run/x of={device} bs=1M seek=8 oflag=direct 2>&1")[0], 0)
                self.guest.plug("LVM4")
                self.call("UnstageVolume", **stage)
                self.guest.until("they are healthy again", lambda: health() == {"xf": True, "xb": True}, 60)
                self.guest.until("nothing is wrong with the pool", lambda: reason() == "")
                self.call("StageVolume", mode="VOLUME_MODE_FILESYSTEM", **stage)
                self.assertEqual(read(), "kept\next4\n")
                device = {v["volumeId"]: v for v in self.call("ListVolumes")["volumes"]}["xb"]["devicePath"]
                self.guest.run(f"dd if={device} bs=1M count=4 iflag=direct 2>/dev/null | cmp - /run/x")
                self.call("UnstageVolume", **stage)
        self.call("EnsureVolume", volumeId="xn", pool="x", mode="VOLUME_MODE_BLOCK", sizeBytes=8 * MI)

    def test_copies_on_a_thin_pool_are_taken_in_use_and_larger_ones_are_grown_beside_their_source(self):
        self.running_agent()
        self.assertTrue(self.ensure_pool(name="x", uid=UID[:-1] + "9", backend="LVM", devices={"serials": ["LVM4"]}, overprovisionPercent=500,
                                         provisioning="PROVISIONING_SPARSE")["ready"])
        volume = {"pool": "x", "mode": "VOLUME_MODE_FILESYSTEM", "fsType": "ext4"}
        stage = lambda name: self.call("StageVolume", volumeId=name, stagingPath=f"/mnt/{name}", mode=volume["mode"])
        unstage = lambda name: self.call("UnstageVolume", volumeId=name, stagingPath=f"/mnt/{name}")
        snapshot = lambda *names: self.call("EnsureSnapshots", snapshots=[{"snapshotId": f"s-{n}", "volumeId": n} for n in names])
        for name in ("c1", "c2"):
            self.call("EnsureVolume", volumeId=name, sizeBytes=24 * MI, **volume)
            stage(name)
        # Of one moment is a copy whose second file is behind the first by no more than one.
        self.guest.run("(n=0; while test ! -e /run/enough; do n=$((n+1)); for f in a b; do echo $n >/mnt/c1/$f; sync /mnt/c1/$f; done; done) "
                       ">/dev/null 2>&1 &")
        goes_on = lambda then: self.guest.until("the writer goes on", lambda: self.guest.run("cat /mnt/c1/b") != then)
        snapshot("c1")
        goes_on(self.guest.run("cat /mnt/c1/b"))
        # Linux before 6.8, as the guest's, freezes no filesystem twice: several at one moment are refused, and nobody hangs.
        self.assertLess([int(part) for part in self.guest.run("uname -r").split(".")[:2]], [6, 8])
        with self.assertRaisesRegex(AssertionError, "FAILED_PRECONDITION: thin volumes on LVM that are mounted cannot be copied as a group"):
            self.call("EnsureSnapshots", snapshots=[{"snapshotId": f"g-{n}", "volumeId": n} for n in ("c1", "c2")])
        goes_on(self.guest.run("cat /mnt/c1/b"))
        self.guest.run("touch /run/enough; usleep 500000")
        unstage("c2")
        snapshot("c2")
        for name in ("c1", "c2"):
            self.call("EnsureVolume", volumeId=f"r-{name}", source=f"s-{name}", sizeBytes=48 * MI, **volume)
            stage(f"r-{name}")
        first, second = (int(self.guest.run(f"cat /mnt/r-c1/{file}")) for file in "ab")
        self.assertIn(first - second, (0, 1))
        uuid = lambda name: self.guest.run(f"blkid -o value -s UUID $(findmnt -no SOURCE /mnt/{name})").strip()
        self.assertEqual(len({uuid(name) for name in ("c1", "r-c1", "r-c2")} - {""}), 3)
        room = lambda name: int(self.guest.run(f"stat -f -c %b /mnt/{name}"))
        self.assertGreater(room("r-c1"), 1.5 * room("c1"))
        # Sources first, then what was taken of them.
        for name in ("c1", "c2", "r-c1", "r-c2"):
            if name != "c2":
                unstage(name)
            self.call("RemoveVolume", volumeId=name)
        for name in ("s-c1", "s-c2"):
            self.call("RemoveSnapshot", snapshotId=name)
        self.assertEqual([v["volumeId"] for v in self.call("ListVolumes")["volumes"] if "c1" in v["volumeId"]], [])

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
            self.guest.run(f"setsid sh -c {script} >/run/calls 2>&1 & c=$!; sleep {seconds}; kill -9 $(pidof ashlar-node-agent); kill -9 -$c || true")
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
