"""Claims of every kind, and the pods that use them."""
import re
import time

from case import ZONES, Case, DIGEST, FILL, may_grow_mounted_ext4
from cluster import GI, MI, Refused, claim, pod, quantity, storage_class


class Claims(Case):
    def test_a_claim_waits_for_its_pod_and_is_carved_on_that_node(self):
        for node in (1, 2):
            name = f"on-{node}"
            self.apply(claim(name))
            time.sleep(1)
            self.assertEqual(self.cluster.get("pvc", name, "-n", self.space)["status"]["phase"], "Pending")
            self.apply(pod(name, [name], node=node))
            self.running(name)
            self.shell(name, FILL)
            volume = self.cluster.get("volumes.ashlar.dev", self.volume_of(name))
            self.assertEqual(volume["spec"]["nodeName"], f"node-{node}")
            self.assertEqual(volume["spec"]["claimRef"], {"namespace": self.space, "name": name})
            self.assertEqual(len(self.cluster.images(node)), 1, self.cluster.images(node))
            self.assertEqual(len(self.cluster.loops(node)), 1)

    def test_a_new_pod_reads_the_same_digests(self):
        for node in (1, 2):
            name = f"kept-{node}"
            self.start(name, node=node)
            self.shell(name, FILL)
            digest = self.shell(name, DIGEST)
            self.delete(f"pod/{name}")
            self.cluster.until("the volume is detached", lambda: not self.cluster.loops(node))
            self.apply(pod(name, [name]))  # the volume, not the pod, says which node
            self.running(name)
            self.assertEqual(self.shell(name, DIGEST), digest)
            self.assertEqual(self.cluster.get("pod", name, "-n", self.space)["spec"]["nodeName"], f"node-{node}")

    def test_the_documented_example_works_and_grows_under_the_running_pod(self):
        for name in ("pvc.yaml", "pod.yaml"):
            self.cluster.example(name, namespace=self.space)
        self.running("writer")
        size = lambda: int(self.shell("writer", "df -k /data | tail -1 | awk '{print $2}'")) * 1024
        began = self.shell("writer", "cat /data/started")
        self.assertGreater(size(), 0.9 * GI)
        self.cluster.example("expand.yaml", namespace=self.space)
        if may_grow_mounted_ext4():
            self.cluster.until("the pod sees 2 GiB", lambda: size() > 1.85 * GI)
        else:  # the kernel of this machine refuses it to everyone: the refusal says so, and the next pod has the room
            self.wait_event("Pod", "writer", "VolumeResizeFailed", "CAP_SYS_RESOURCE")
            self.delete("pod/writer")
            self.cluster.example("pod.yaml", namespace=self.space)
            self.running("writer")
            self.cluster.until("the new pod sees 2 GiB", lambda: size() > 1.85 * GI)
        self.shell("writer", "dd if=/dev/zero of=/data/big bs=1M count=1500 2>/dev/null; sync")
        self.assertTrue(self.shell("writer", "cat /data/started").startswith(began))
        claimed = lambda: self.cluster.get("pvc", "scratch", "-n", self.space)["status"]["capacity"]["storage"]
        self.cluster.until("the claim says 2Gi", lambda: quantity(claimed()) == 2 * GI)

    def test_xfs_grows_too_and_a_retained_volume_stays(self):
        self.cluster.example("storageclass.yaml")
        self.start("xfs", size="512Mi", storage_class="ashlar-xfs-retain")
        self.assertIn("/data xfs", self.shell("xfs", "cat /proc/mounts"))
        self.shell("xfs", FILL)
        digest = self.shell("xfs", DIGEST)
        started = self.cluster.get("pod", "xfs", "-n", self.space)["status"]["containerStatuses"][0]["containerID"]
        self.apply(claim("xfs", "1Gi", storage_class="ashlar-xfs-retain"))
        self.cluster.until("the running pod sees 1 GiB", lambda: int(self.shell("xfs", "df -k /data | tail -1 | awk '{print $2}'")) > 900 * 1024)
        self.assertEqual(self.shell("xfs", DIGEST), digest)
        self.assertEqual(self.cluster.get("pod", "xfs", "-n", self.space)["status"]["containerStatuses"][0]["containerID"], started)
        volume, bound = self.volume_of("xfs"), self.cluster.get("pvc", "xfs", "-n", self.space)["spec"]["volumeName"]
        self.delete("pod/xfs")
        self.delete("pvc/xfs")
        self.cluster.until("the PersistentVolume is released", lambda: self.cluster.get("pv", bound)["status"]["phase"] == "Released")
        time.sleep(2)
        self.assertTrue(self.cluster.find("volumes.ashlar.dev", volume))
        self.cluster.kubectl("delete", "pv", bound)
        self.cluster.kubectl("delete", "volumes.ashlar.dev", volume, "--timeout=60s")
        self.assertEqual(self.cluster.leftovers(), {})

    def test_a_raw_block_device_keeps_what_is_written(self):
        self.cluster.example("block.yaml", namespace=self.space)
        self.running("raw")
        self.assertEqual(self.shell("raw", "blockdev --getsize64 /dev/data").strip(), str(256 * MI))
        self.shell("raw", "dd if=/dev/urandom of=/tmp/x bs=1M count=8 2>/dev/null; dd if=/tmp/x of=/dev/data bs=1M seek=100 conv=fsync 2>/dev/null")
        digest = self.shell("raw", "sha256sum < /tmp/x")
        self.delete("pod/raw")
        self.cluster.example("block.yaml", namespace=self.space)
        self.running("raw")
        self.assertEqual(self.shell("raw", "dd if=/dev/data bs=1M skip=100 count=8 2>/dev/null | sha256sum"), digest)
        grown = claim("raw", "512Mi", mode="Block")
        self.apply(grown)
        self.cluster.until("the pod sees 512 MiB", lambda: self.shell("raw", "blockdev --getsize64 /dev/data").strip() == str(512 * MI))
        self.assertEqual(self.shell("raw", "dd if=/dev/data bs=1M skip=100 count=8 2>/dev/null | sha256sum"), digest)

    def test_a_deleted_claim_leaves_nothing(self):
        self.start("gone", node=1)
        volume = self.volume_of("gone")
        self.assertTrue(self.cluster.leftovers())
        self.delete("pod/gone")
        self.delete("pvc/gone")
        self.cluster.until("nothing is left on the nodes", lambda: not self.cluster.leftovers())
        self.assertIsNone(self.cluster.find("volumes.ashlar.dev", volume))
        self.assertFalse([p for p in self.cluster.get("pv")["items"] if p["spec"]["claimRef"]["namespace"] == self.space])

    def test_a_new_volume_shows_nothing_of_a_deleted_one(self):
        self.start("secret", size="128Mi", node=1, mode="Block", block=True)
        self.shell("secret", "yes TOPSECRET | head -c 100000000 | dd of=/dev/data bs=1M conv=fsync 2>/dev/null")
        self.delete("pod/secret")
        self.delete("pvc/secret")
        self.cluster.until("the first volume is gone", lambda: not self.cluster.images(1))
        self.start("next", size="128Mi", node=1, mode="Block", block=True)
        self.assertEqual(self.shell("next", "grep -c TOPSECRET /dev/data || true").strip(), "0")

    def test_a_pod_without_root_owns_its_files_by_fsgroup(self):
        self.start("user", security={"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 2000, "runAsNonRoot": True})
        self.shell("user", "echo mine > /data/file")
        self.assertEqual(self.shell("user", "stat -c %g /data/file").strip(), "2000")

    def test_scratch_space_comes_and_goes_with_its_pod(self):
        self.cluster.example("ephemeral.yaml", namespace=self.space)
        self.running("scratch-user")
        self.assertEqual(self.cluster.find("pvc", "scratch-user-scratch", "-n", self.space)["status"]["phase"], "Bound")
        self.cluster.until("the pod has written", lambda: self.shell("scratch-user", "stat -c %s /scratch/tmp").strip() == str(64 * MI))
        self.assertTrue(self.cluster.leftovers())
        self.delete("pod/scratch-user")
        self.cluster.until("the volume is gone with its pod", lambda: not self.cluster.leftovers())
        self.assertEqual([v for v in self.cluster.get("volumes.ashlar.dev")["items"] if v["spec"].get("claimRef", {}).get("namespace") == self.space], [])

    def test_an_inline_volume_comes_and_goes_with_its_pod_and_refusals_are_events_of_the_pod(self):
        self.cluster.example("inline.yaml", namespace=self.space)
        self.addCleanup(self.cluster.kubectl, "delete", "pool", "scratch", "--timeout=60s")
        self.cluster.kubectl("wait", "--for=condition=Ready", "pool/scratch", "--timeout=60s")
        self.running("inline-user")
        self.cluster.until("the pod has written", lambda: self.shell("inline-user", "stat -c %s /scratch/tmp").strip() == str(64 * MI))
        self.assertIn("/scratch xfs", self.shell("inline-user", "cat /proc/mounts"))
        allocated = lambda: quantity(self.cluster.get("pool", "scratch")["status"].get("allocated", "0"))
        self.cluster.until("the pool counts its bytes", lambda: allocated() == 320 * MI)
        self.assertEqual(self.cluster.get("volumes.ashlar.dev")["items"], [])
        self.assertTrue(self.cluster.leftovers())

        def wrong(name, pool, size):
            asked = pod(name, node=1)
            asked["spec"]["containers"][0]["volumeMounts"] = [{"name": "scratch", "mountPath": "/scratch"}]
            asked["spec"]["volumes"] = [{"name": "scratch", "csi": {"driver": "csi.ashlar.dev", "volumeAttributes": {"pool": pool, "size": size}}}]
            return asked
        self.apply(wrong("large", "scratch", "2Gi"), wrong("forbidden", "default", "64Mi"), wrong("odd", "scratch", "plenty"), wrong("negative", "scratch", "-1Gi"))
        self.wait_event("Pod", "large", "FailedMount", str(512 * MI), "spec.inlineVolumes.maxSize")
        self.wait_event("Pod", "forbidden", "FailedMount", "pool default", "spec.inlineVolumes.maxSize is not set")
        self.wait_event("Pod", "odd", "FailedMount", "volumeAttributes[size] 'plenty'")
        self.wait_event("Pod", "negative", "FailedMount", "volumeAttributes[size]", "-1")
        for name in ("inline-user", "large", "forbidden", "odd", "negative"):
            self.delete(f"pod/{name}")
        self.cluster.until("the volume is gone with its pod", lambda: not self.cluster.leftovers())
        self.cluster.until("its bytes are given back", lambda: allocated() == 0)

    def test_only_one_pod_has_a_volume_that_is_for_one(self):
        self.start("only", node=1, access="ReadWriteOncePod")
        self.apply(pod("second", ["only"], node=1))
        self.wait_event("Pod", "second", "FailedScheduling", "ReadWriteOncePod")

    def test_eight_workers_spread_over_the_nodes_and_come_back_to_their_volumes(self):
        self.cluster.example("statefulset.yaml", namespace=self.space)
        all_ready = lambda: self.cluster.get("statefulset", "workers", "-n", self.space)["status"].get("readyReplicas") == 8

        def places():
            pods = self.cluster.get("pods", "-n", self.space, "-l", "app=workers")["items"]
            return {p["metadata"]["name"]: (p["spec"].get("nodeName"), p["metadata"]["uid"]) for p in pods}
        self.cluster.until("8 workers are ready", all_ready, seconds=180)
        first = places()
        self.assertEqual(sorted(node for node, _ in first.values()), ["node-1"] * 4 + ["node-2"] * 4)
        self.assertEqual([len(self.cluster.loops(n)) for n in (1, 2)], [4, 4])
        self.cluster.kubectl("-n", self.space, "delete", "pods", "-l", "app=workers", "--timeout=120s", timeout=150)
        self.cluster.until("8 new workers are ready", lambda: all_ready() and not set(first.values()) & set(places().values()), seconds=180)
        self.assertEqual({name: node for name, (node, _) in places().items()}, {name: node for name, (node, _) in first.items()})
        for worker in first:
            self.assertEqual(self.shell(worker, "cat /data/owner").strip(), worker)
        self.cluster.kubectl("-n", self.space, "delete", "statefulset/workers", "service/workers", "--timeout=120s", timeout=150)
        self.cluster.until("their volumes are gone with the StatefulSet", lambda: not self.cluster.leftovers(), seconds=120)
        self.assertEqual(self.cluster.get("pvc", "-n", self.space)["items"], [])

    def test_two_pods_of_a_node_share_a_claim_and_readers_cannot_write(self):
        self.start("shared", node=1)
        self.apply(pod("reader", ["shared"], read_only=True))
        self.running("reader")
        self.shell("shared", "echo hello > /data/file; sync")
        self.assertEqual(self.shell("reader", "cat /data/file"), "hello\n")
        with self.assertRaisesRegex(Refused, "Read-only file system"):
            self.shell("reader", "echo no > /data/file")
        # The container runtime would hold the reader too: what the driver published says that it was asked.
        self.assertEqual([self.published(name, "shared", node=1) for name in ("shared", "reader")], [{"rw"}, {"ro"}])

    def published(self, name, claimed, node):
        """How the claim's volume is mounted where the driver published it for the pod, seen on the node."""
        bound = self.cluster.get("pvc", claimed, "-n", self.space)["spec"]["volumeName"]
        uid = self.cluster.get("pod", name, "-n", self.space)["metadata"]["uid"]
        lines = [line.split() for line in self.cluster.on_node(node, "cat", "/proc/self/mountinfo").splitlines()]
        return {line[5].split(",")[0] for line in lines if line[4].endswith(f"/pods/{uid}/volumes/kubernetes.io~csi/{bound}/mount")}

    def test_readers_of_a_raw_block_device_are_held_at_the_device(self):
        self.apply(claim("raw", mode="Block"), pod("writer", ["raw"], node=2, block=True))
        self.running("writer")
        state = lambda: [self.cluster.on_node(2, "blockdev", "--getro", device).strip() for device in self.cluster.loops(2)]
        self.assertEqual(state(), ["0"])
        self.shell("writer", "yes KEPT | head -c 1048576 | dd of=/dev/data bs=1M conv=fsync 2>/dev/null")
        self.delete("pod/writer")
        self.apply(pod("reader", ["raw"], block=True, read_only=True))
        self.running("reader")
        self.assertEqual(self.shell("reader", "head -c 4 /dev/data"), "KEPT")
        self.assertEqual(state(), ["1"])  # the kernel, not the container's device list, refuses writes
        with self.assertRaises(Refused):
            self.shell("reader", "dd if=/dev/zero of=/dev/data bs=4k count=1 conv=fsync")

    def test_a_class_of_a_zone_has_its_volumes_there(self):
        zones = lambda *names: {"allowedTopologies": [{"matchLabelExpressions": [{"key": "topology.kubernetes.io/zone", "values": list(names)}]}]}
        for name, binding, zone in (("zone-now", "Immediate", ZONES[2]), ("zone-later", "WaitForFirstConsumer", ZONES[1]), ("zone-none", "Immediate", "middle")):
            self.cluster.apply({**storage_class(name, binding=binding), **zones(zone)})
            self.addCleanup(self.cluster.kubectl, "delete", "storageclass", name)
            self.apply(claim(name, storage_class=name))
        self.apply(pod("zone-now", ["zone-now"]), pod("zone-later", ["zone-later"]))
        self.running("zone-now", "zone-later")
        for name, node in (("zone-now", "node-2"), ("zone-later", "node-1")):
            self.assertEqual(self.cluster.get("volumes.ashlar.dev", self.volume_of(name))["spec"]["nodeName"], node)
            self.assertEqual(self.cluster.get("pod", name, "-n", self.space)["spec"]["nodeName"], node)
        self.wait_event("PersistentVolumeClaim", "zone-none", "ProvisioningFailed", "no node has the labels topology.kubernetes.io/zone=middle")

    def test_the_kubelet_knows_the_use_of_a_volume(self):
        self.start("stats", size="256Mi", node=2)
        self.shell("stats", "dd if=/dev/zero of=/data/x bs=1M count=32 2>/dev/null; sync")

        def used():
            report = self.cluster.kubectl("get", "--raw", "/api/v1/nodes/node-2/proxy/stats/summary")
            return re.search(r'"capacityBytes": *\d+,\s*"usedBytes": *(\d+)[^}]*?"pvcRef": *{\s*"name": *"stats"', report) or \
                re.search(r'"usedBytes": *(\d+)[^{}]*"pvcRef": *{\s*"name": *"stats"', report)
        found = self.cluster.until("the kubelet reports the volume", lambda: used() and int(used().group(1)) >= 32 * MI and used(), seconds=150, every=3)
        self.assertLess(int(found.group(1)), 64 * MI)
