#!/usr/bin/env python3
"""Ashlar in a real Kubernetes of two nodes, installed by its chart. Tests run in the order in which they stand here;
each has a namespace of its own and leaves nothing on any node."""
import json
import os
import re
import signal
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import summary  # noqa: E402
from cluster import EXAMPLES, GI, MI, NAMESPACE, PATIENCE, Cluster, Refused, claim, pod, quantity, storage_class  # noqa: E402

# Numbered lines, each written through to the medium; ends with an error if any write fails.
WRITER = """i=0; while :; do i=$((i+1)); read up rest < /proc/uptime
echo "$i $up" >> /data/log && dd if=/dev/zero of=/data/block bs=4k count=1 conv=fsync 2>/dev/null || { echo "write $i failed"; exit 1; }
usleep 50000; done"""
# A tree of files with one digest over all of them.
FILL = "mkdir -p /data/tree; for i in $(seq 50); do dd if=/dev/urandom of=/data/tree/$i bs=37k count=$((i % 5 + 1)) 2>/dev/null; done; sync"
DIGEST = "cd /data/tree && sha256sum * | sha256sum"

cluster = None
failures = []


def setUpModule():
    global cluster
    if os.geteuid() != 0:
        raise RuntimeError("the cluster test must be run as root: its nodes are namespaces of this machine")
    cluster = Cluster()
    try:
        cluster.install()
        cluster.example("pool.yaml")
        cluster.kubectl("wait", "--for=condition=Ready", "pool/default", "--timeout=60s")
        cluster.apply(storage_class("now", binding="Immediate"))
    except BaseException:
        failures.append("setUpModule")
        tearDownModule()
        raise


def tearDownModule():
    if failures:
        cluster.collect_logs()
    if os.environ.get("ASHLAR_E2E_KEEP"):
        print(f"the lab is left running in {cluster.folder}")
    else:
        cluster.close()


def may_grow_mounted_ext4():
    """Whether this machine leaves root CAP_SYS_RESOURCE, which the kernel asks for before it grows a mounted ext4."""
    with open("/proc/self/status") as text:
        bounds = next(int(line.split()[1], 16) for line in text if line.startswith("CapBnd"))
    return bool(bounds >> 24 & 1)


class Case(unittest.TestCase):
    counter = 0

    def setUp(self):
        Case.counter += 1
        self.space = f"test-{Case.counter}"
        cluster.kubectl("create", "namespace", self.space)

    def tearDown(self):
        outcome = self._outcome.result
        broken = any(test is self for test, _ in outcome.failures + outcome.errors)
        if broken:
            failures.append(self.id())
            cluster.collect_logs()
        cluster.kubectl("-n", self.space, "delete", "pods,pvc,volumegroupsnapshots,volumesnapshots", "--all", "--timeout=180s", timeout=200)
        cluster.kubectl("delete", "namespace", self.space, "--wait=false")
        try:
            cluster.until("nothing is left on the nodes", lambda: not cluster.leftovers(), seconds=60)
        except AssertionError:
            failures.append(self.id())
            raise AssertionError(f"left on the nodes: {cluster.leftovers()}") from None

    # Steps.

    def apply(self, *objects):
        cluster.apply(*objects, namespace=self.space)

    def shell(self, name, script):
        return cluster.shell(name, script, namespace=self.space)

    def delete(self, what):
        cluster.kubectl("-n", self.space, "delete", what, "--timeout=90s")

    def events(self, kind, name):
        found = cluster.get("events", "-n", self.space, "--field-selector", f"involvedObject.kind={kind},involvedObject.name={name}")
        return "\n".join(f"{e['reason']}: {e['message']}" for e in found["items"])

    def wait_event(self, kind, name, *parts):
        """Waits for an event that says each of the parts."""
        def told():
            return any(all(p.lower() in line.lower() for p in parts) for line in self.events(kind, name).splitlines())
        try:
            cluster.until(f"an event of {kind} {name} with {parts}", told)
        except AssertionError as missing:
            raise AssertionError(f"{missing}; its events: {self.events(kind, name)}") from None

    def running(self, *names, seconds=120):
        for name in names:
            try:
                cluster.kubectl("-n", self.space, "wait", "--for=condition=Ready", f"pod/{name}", f"--timeout={seconds * PATIENCE:.0f}s", timeout=seconds + 10)
            except Refused as refused:
                claims = cluster.get("pvc", "-n", self.space)["items"]
                told = [self.events("Pod", name)] + [self.events("PersistentVolumeClaim", c["metadata"]["name"]) for c in claims]
                raise AssertionError(f"{refused}\n" + "\n".join(told)) from None

    def start(self, name, size="64Mi", node=None, script="exec sleep 1000000", **more):
        """A claim and a pod of the same name, running."""
        fields = {k: more.pop(k) for k in ("storage_class", "access", "mode") if k in more}
        self.apply(claim(name, size, **fields), pod(name, [name], node=node, script=script, **more))
        self.running(name)

    def volume_of(self, claim_name):
        bound = cluster.get("pvc", claim_name, "-n", self.space)["spec"]["volumeName"]
        return cluster.get("pv", bound)["spec"]["csi"]["volumeHandle"]

    def assert_wrote_on(self, name, longest=8.0):
        """The pod of WRITER never failed, never restarted, and never waited longer than this for a write."""
        state = cluster.get("pod", name, "-n", self.space)["status"]["containerStatuses"][0]
        self.assertEqual(state["restartCount"], 0, cluster.kubectl("-n", self.space, "logs", name))
        self.assertIn("running", state["state"])
        lines = [line.split() for line in self.shell(name, "cat /data/log").splitlines()]
        self.assertEqual([int(n) for n, _ in lines], list(range(1, len(lines) + 1)))
        times = [float(t) for _, t in lines]
        gap = max((b - a for a, b in zip(times, times[1:])), default=0)
        self.assertLess(gap, longest * PATIENCE, f"a write waited {gap} s")
        return len(lines)


class Installation(Case):
    def test_every_program_runs_and_none_was_restarted(self):
        names = sorted(cluster.processes().values())
        self.assertEqual(names, ["ashlar-controller"] * 2 + ["ashlar-csi"] * 4 + ["ashlar-node-agent"] * 2)
        for component in ("controller", "node-agent"):
            for p in cluster.pods(component):
                for c in p["status"]["containerStatuses"]:
                    self.assertEqual((c["restartCount"], c["ready"]), (0, True), p["metadata"]["name"] + "/" + c["name"])

    def test_the_api_server_accepts_every_example(self):
        accepted = cluster.kubectl("apply", "--dry-run=server", "-f", EXAMPLES)
        for kind in ("pool.ashlar.dev/", "storageclass.storage.k8s.io/", "volumesnapshot.snapshot.storage.k8s.io/"):
            self.assertIn(kind, accepted)

    def test_each_node_is_described_and_is_its_own_topology(self):
        inventories = {i["metadata"]["name"]: i for i in cluster.get("nodeinventories")["items"]}
        self.assertEqual(set(inventories), {"node-1", "node-2"})
        for name, inventory in inventories.items():
            ready = {c["type"]: c["status"] for c in inventory["status"]["conditions"]}
            self.assertEqual(ready.get("Ready"), "True", inventory["status"])
            drivers = cluster.get("csinode", name)["spec"]["drivers"]
            self.assertEqual([d["topologyKeys"] for d in drivers], [["topology.ashlar.dev/node"]])
            with open("/proc/sys/fs/mount-max") as mounts:
                self.assertEqual([d["allocatable"]["count"] for d in drivers], [min(int(mounts.read()) // 4, (1 << 20) - 4096)])
            self.assertEqual(cluster.get("node", name)["metadata"]["labels"]["topology.ashlar.dev/node"], name)

    def test_no_program_on_a_node_holds_credentials_of_the_cluster(self):
        for process, name in cluster.processes().items():
            if name == "ashlar-node-agent":
                self.assertFalse(os.path.exists(f"/proc/{process}/root/var/run/secrets/kubernetes.io"))

    def test_every_program_serves_metrics(self):
        for component, ports in (("controller", (9502, 9503)), ("node-agent", (9501, 9503))):
            for p in cluster.pods(component):
                for port in ports:
                    series = cluster.metrics(p["metadata"]["name"], port)
                    self.assertTrue([s for s in series if s.startswith("ashlar_")], (p["metadata"]["name"], port))


class Attributes(Case):
    def measure(self, name, how, block, seconds=2):
        """Direct I/O of the pod on /data/file, as fio has it: (operations, MiB) per second."""
        report = json.loads(self.shell(name, f"fio --name=pod --filename=/data/file --rw={how} --bs={block} --direct=1 --ioengine=libaio "
                                             f"--iodepth=8 --runtime={seconds} --time_based --output-format=json"))
        side = report["jobs"][0]["write" if how.endswith("write") else "read"]
        return side["iops"], side["bw_bytes"] / MI

    def change_class(self, name, to):
        cluster.kubectl("-n", self.space, "patch", "pvc", name, "--type=merge", "-p", '{"spec": {"volumeAttributesClassName": "%s"}}' % to)
        cluster.until(f"claim {name} has class {to}", lambda: cluster.get("pvc", name, "-n", self.space)["status"].get("currentVolumeAttributesClassName") == to)

    def test_limits_change_under_a_pod_that_writes(self):
        cluster.example("volumeattributesclass.yaml")
        self.start("busy", size="256Mi", node=1, script=WRITER)
        self.shell("busy", "dd if=/dev/zero of=/data/file bs=1M count=96 conv=fsync 2>/dev/null")
        iops = lambda: self.measure("busy", "randread", "4k")[0]
        rates = lambda: (self.measure("busy", "read", "256k")[1], self.measure("busy", "write", "256k")[1])
        measured = {"none": (iops(), *rates())}
        for to, most in (("ashlar-bronze", (500, 8, 4)), ("ashlar-silver", (None, 24, 12))):
            self.change_class("busy", to)
            measured[to] = (iops() if most[0] else None, *rates())
            for limit, rate in zip(most, measured[to]):
                if limit:
                    self.assertLess(rate, 1.2 * limit, measured)
                    self.assertGreater(rate, 0.5 * limit, measured)
        self.change_class("busy", "ashlar-gold")
        measured["ashlar-gold"] = (iops(), *rates())
        print("      by class: 4k random reads, MiB read, MiB written, each per second: " +
              "; ".join(f"{to} " + ", ".join("-" if rate is None else f"{rate:.0f}" for rate in measured[to]) for to in measured), flush=True)
        for without in ("none", "ashlar-gold"):
            self.assertGreater(measured[without][0], 1.5 * 500, f"this machine is slower than the limits: {measured}")
            self.assertGreater(measured[without][1], 1.5 * 24, f"this machine is slower than the limits: {measured}")
        self.assert_wrote_on("busy")
        volume = cluster.get("volumes.ashlar.dev", self.volume_of("busy"))
        self.assertNotIn("limits", volume["status"])
        self.assertEqual(volume["status"]["trim"], "Daily")

    def test_a_claim_is_born_with_its_limits_and_a_wrong_class_says_what_is_accepted(self):
        cluster.example("volumeattributesclass.yaml")
        born = claim("born")
        born["spec"]["volumeAttributesClassName"] = "ashlar-bronze"
        self.apply(born, pod("born", ["born"], node=2))
        self.running("born")
        self.shell("born", "dd if=/dev/zero of=/data/file bs=1M count=8 conv=fsync 2>/dev/null")
        self.assertLess(self.measure("born", "read", "256k")[1], 1.2 * 8)
        conditions = {c["type"]: c for c in cluster.get("volumes.ashlar.dev", self.volume_of("born"))["status"]["conditions"]}
        self.assertEqual(conditions["Applied"]["status"], "True", conditions)
        cluster.apply({"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttributesClass", "metadata": {"name": "wrong"},
                       "driverName": "csi.ashlar.dev", "parameters": {"readIops": "plenty"}})
        cluster.kubectl("-n", self.space, "patch", "pvc", "born", "--type=merge", "-p", '{"spec": {"volumeAttributesClassName": "wrong"}}')
        self.wait_event("PersistentVolumeClaim", "born", "readIops", "plenty", "whole number")
        self.change_class("born", "ashlar-silver")  # and the way back is open
        cluster.kubectl("delete", "volumeattributesclass", "wrong")


class Capacity(Case):
    def capacities(self, storage_class="ashlar"):
        found = cluster.get("csistoragecapacities", "-n", NAMESPACE)["items"]
        return {c["nodeTopology"]["matchLabels"]["topology.ashlar.dev/node"]: quantity(c["capacity"])
                for c in found if c["storageClassName"] == storage_class and "capacity" in c}

    def pool(self):
        return {n["node"]: quantity(n["allocatable"]) for n in cluster.get("pool", "default")["status"]["nodes"]}

    def settled(self):
        """Free bytes by node, once Pool and capacity objects agree."""
        return cluster.until("capacity objects agree with the pool", lambda: len(self.pool()) == 2 and self.pool() == self.capacities() and self.pool())

    def test_capacity_objects_tell_what_the_medium_has(self):
        for node, free in self.settled().items():
            block, available = cluster.on_node(node[-1], "stat", "-f", "-c", "%S %a", "/var/lib/ashlar").split()
            available = int(block) * int(available) - GI  # the pool's reserve
            self.assertLessEqual(free, available)
            self.assertGreater(free, available * 0.97)

    def test_what_is_reported_free_can_be_allocated_to_the_last_byte(self):
        before = self.settled()
        self.start("all", size=str(before["node-1"]), node=1)
        after = self.settled()
        self.assertLess(after["node-1"], 64 * MI)
        self.assertEqual(after["node-2"], before["node-2"])
        self.apply(claim("more", "128Mi"), pod("more", ["more"], node=1))
        self.wait_event("Pod", "more", "FailedScheduling", "did not have enough free storage")
        for what in ("pod/all", "pvc/all"):
            self.delete(what)
        self.running("more")  # the bytes came back, and the pod that waited for them got its share
        for what in ("pod/more", "pvc/more"):
            self.delete(what)
        cluster.until("all bytes are free again", lambda: self.capacities() == before)


class Claims(Case):
    def test_a_claim_waits_for_its_pod_and_is_carved_on_that_node(self):
        for node in (1, 2):
            name = f"on-{node}"
            self.apply(claim(name))
            time.sleep(1)
            self.assertEqual(cluster.get("pvc", name, "-n", self.space)["status"]["phase"], "Pending")
            self.apply(pod(name, [name], node=node))
            self.running(name)
            self.shell(name, FILL)
            volume = cluster.get("volumes.ashlar.dev", self.volume_of(name))
            self.assertEqual(volume["spec"]["nodeName"], f"node-{node}")
            self.assertEqual(volume["spec"]["claimRef"], {"namespace": self.space, "name": name})
            self.assertEqual(len(cluster.images(node)), 1, cluster.images(node))
            self.assertEqual(len(cluster.loops(node)), 1)

    def test_a_new_pod_reads_the_same_digests(self):
        for node in (1, 2):
            name = f"kept-{node}"
            self.start(name, node=node)
            self.shell(name, FILL)
            digest = self.shell(name, DIGEST)
            self.delete(f"pod/{name}")
            cluster.until("the volume is detached", lambda: not cluster.loops(node))
            self.apply(pod(name, [name]))  # the volume, not the pod, says which node
            self.running(name)
            self.assertEqual(self.shell(name, DIGEST), digest)
            self.assertEqual(cluster.get("pod", name, "-n", self.space)["spec"]["nodeName"], f"node-{node}")

    def test_the_documented_example_works_and_grows_under_the_running_pod(self):
        for name in ("pvc.yaml", "pod.yaml"):
            cluster.example(name, namespace=self.space)
        self.running("writer")
        size = lambda: int(self.shell("writer", "df -k /data | tail -1 | awk '{print $2}'")) * 1024
        began = self.shell("writer", "cat /data/started")
        self.assertGreater(size(), 0.9 * GI)
        cluster.example("expand.yaml", namespace=self.space)
        if may_grow_mounted_ext4():
            cluster.until("the pod sees 2 GiB", lambda: size() > 1.85 * GI)
        else:  # the kernel of this machine refuses it to everyone: the refusal says so, and the next pod has the room
            self.wait_event("Pod", "writer", "VolumeResizeFailed", "CAP_SYS_RESOURCE")
            self.delete("pod/writer")
            cluster.example("pod.yaml", namespace=self.space)
            self.running("writer")
            cluster.until("the new pod sees 2 GiB", lambda: size() > 1.85 * GI)
        self.shell("writer", "dd if=/dev/zero of=/data/big bs=1M count=1500 2>/dev/null; sync")
        self.assertTrue(self.shell("writer", "cat /data/started").startswith(began))
        claimed = lambda: cluster.get("pvc", "scratch", "-n", self.space)["status"]["capacity"]["storage"]
        cluster.until("the claim says 2Gi", lambda: quantity(claimed()) == 2 * GI)

    def test_xfs_grows_too_and_a_retained_volume_stays(self):
        cluster.example("storageclass.yaml")
        self.start("xfs", size="512Mi", storage_class="ashlar-xfs-retain")
        self.assertIn("/data xfs", self.shell("xfs", "cat /proc/mounts"))
        self.shell("xfs", FILL)
        digest = self.shell("xfs", DIGEST)
        started = cluster.get("pod", "xfs", "-n", self.space)["status"]["containerStatuses"][0]["containerID"]
        self.apply(claim("xfs", "1Gi", storage_class="ashlar-xfs-retain"))
        cluster.until("the running pod sees 1 GiB", lambda: int(self.shell("xfs", "df -k /data | tail -1 | awk '{print $2}'")) > 900 * 1024)
        self.assertEqual(self.shell("xfs", DIGEST), digest)
        self.assertEqual(cluster.get("pod", "xfs", "-n", self.space)["status"]["containerStatuses"][0]["containerID"], started)
        volume, bound = self.volume_of("xfs"), cluster.get("pvc", "xfs", "-n", self.space)["spec"]["volumeName"]
        self.delete("pod/xfs")
        self.delete("pvc/xfs")
        cluster.until("the PersistentVolume is released", lambda: cluster.get("pv", bound)["status"]["phase"] == "Released")
        time.sleep(2)
        self.assertTrue(cluster.find("volumes.ashlar.dev", volume))
        cluster.kubectl("delete", "pv", bound)
        cluster.kubectl("delete", "volumes.ashlar.dev", volume, "--timeout=60s")
        self.assertEqual(cluster.leftovers(), {})

    def test_a_raw_block_device_keeps_what_is_written(self):
        cluster.example("block.yaml", namespace=self.space)
        self.running("raw")
        self.assertEqual(self.shell("raw", "blockdev --getsize64 /dev/data").strip(), str(256 * MI))
        self.shell("raw", "dd if=/dev/urandom of=/tmp/x bs=1M count=8 2>/dev/null; dd if=/tmp/x of=/dev/data bs=1M seek=100 conv=fsync 2>/dev/null")
        digest = self.shell("raw", "sha256sum < /tmp/x")
        self.delete("pod/raw")
        cluster.example("block.yaml", namespace=self.space)
        self.running("raw")
        self.assertEqual(self.shell("raw", "dd if=/dev/data bs=1M skip=100 count=8 2>/dev/null | sha256sum"), digest)
        grown = claim("raw", "512Mi", mode="Block")
        self.apply(grown)
        cluster.until("the pod sees 512 MiB", lambda: self.shell("raw", "blockdev --getsize64 /dev/data").strip() == str(512 * MI))
        self.assertEqual(self.shell("raw", "dd if=/dev/data bs=1M skip=100 count=8 2>/dev/null | sha256sum"), digest)

    def test_a_deleted_claim_leaves_nothing(self):
        self.start("gone", node=1)
        volume = self.volume_of("gone")
        self.assertTrue(cluster.leftovers())
        self.delete("pod/gone")
        self.delete("pvc/gone")
        cluster.until("nothing is left on the nodes", lambda: not cluster.leftovers())
        self.assertIsNone(cluster.find("volumes.ashlar.dev", volume))
        self.assertFalse([p for p in cluster.get("pv")["items"] if p["spec"]["claimRef"]["namespace"] == self.space])

    def test_a_new_volume_shows_nothing_of_a_deleted_one(self):
        self.start("secret", size="128Mi", node=1, mode="Block", block=True)
        self.shell("secret", "yes TOPSECRET | head -c 100000000 | dd of=/dev/data bs=1M conv=fsync 2>/dev/null")
        self.delete("pod/secret")
        self.delete("pvc/secret")
        cluster.until("the first volume is gone", lambda: not cluster.images(1))
        self.start("next", size="128Mi", node=1, mode="Block", block=True)
        self.assertEqual(self.shell("next", "grep -c TOPSECRET /dev/data || true").strip(), "0")

    def test_a_pod_without_root_owns_its_files_by_fsgroup(self):
        self.start("user", security={"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 2000, "runAsNonRoot": True})
        self.shell("user", "echo mine > /data/file")
        self.assertEqual(self.shell("user", "stat -c %g /data/file").strip(), "2000")

    def test_scratch_space_comes_and_goes_with_its_pod(self):
        cluster.example("ephemeral.yaml", namespace=self.space)
        self.running("scratch-user")
        self.assertEqual(cluster.find("pvc", "scratch-user-scratch", "-n", self.space)["status"]["phase"], "Bound")
        cluster.until("the pod has written", lambda: self.shell("scratch-user", "stat -c %s /scratch/tmp").strip() == str(64 * MI))
        self.assertTrue(cluster.leftovers())
        self.delete("pod/scratch-user")
        cluster.until("the volume is gone with its pod", lambda: not cluster.leftovers())
        self.assertEqual([v for v in cluster.get("volumes.ashlar.dev")["items"] if v["spec"].get("claimRef", {}).get("namespace") == self.space], [])

    def test_an_inline_volume_comes_and_goes_with_its_pod_and_refusals_are_events_of_the_pod(self):
        cluster.example("inline.yaml", namespace=self.space)
        self.addCleanup(cluster.kubectl, "delete", "pool", "scratch", "--timeout=60s")
        cluster.kubectl("wait", "--for=condition=Ready", "pool/scratch", "--timeout=60s")
        self.running("inline-user")
        cluster.until("the pod has written", lambda: self.shell("inline-user", "stat -c %s /scratch/tmp").strip() == str(64 * MI))
        self.assertIn("/scratch xfs", self.shell("inline-user", "cat /proc/mounts"))
        allocated = lambda: quantity(cluster.get("pool", "scratch")["status"].get("allocated", "0"))
        cluster.until("the pool counts its bytes", lambda: allocated() == 320 * MI)
        self.assertEqual(cluster.get("volumes.ashlar.dev")["items"], [])
        self.assertTrue(cluster.leftovers())

        def wrong(name, pool, size):
            asked = pod(name, node=1)
            asked["spec"]["containers"][0]["volumeMounts"] = [{"name": "scratch", "mountPath": "/scratch"}]
            asked["spec"]["volumes"] = [{"name": "scratch", "csi": {"driver": "csi.ashlar.dev", "volumeAttributes": {"pool": pool, "size": size}}}]
            return asked
        self.apply(wrong("large", "scratch", "2Gi"), wrong("forbidden", "default", "64Mi"), wrong("odd", "scratch", "plenty"))
        self.wait_event("Pod", "large", "FailedMount", str(512 * MI), "spec.inlineVolumes.maxSize")
        self.wait_event("Pod", "forbidden", "FailedMount", "pool default", "spec.inlineVolumes.maxSize is not set")
        self.wait_event("Pod", "odd", "FailedMount", "volumeAttributes[size] 'plenty'")
        for name in ("inline-user", "large", "forbidden", "odd"):
            self.delete(f"pod/{name}")
        cluster.until("the volume is gone with its pod", lambda: not cluster.leftovers())
        cluster.until("its bytes are given back", lambda: allocated() == 0)

    def test_only_one_pod_has_a_volume_that_is_for_one(self):
        self.start("only", node=1, access="ReadWriteOncePod")
        self.apply(pod("second", ["only"], node=1))
        self.wait_event("Pod", "second", "FailedScheduling", "ReadWriteOncePod")

    def test_eight_workers_spread_over_the_nodes_and_come_back_to_their_volumes(self):
        cluster.example("statefulset.yaml", namespace=self.space)
        all_ready = lambda: cluster.get("statefulset", "workers", "-n", self.space)["status"].get("readyReplicas") == 8

        def places():
            pods = cluster.get("pods", "-n", self.space, "-l", "app=workers")["items"]
            return {p["metadata"]["name"]: (p["spec"].get("nodeName"), p["metadata"]["uid"]) for p in pods}
        cluster.until("8 workers are ready", all_ready, seconds=180)
        first = places()
        self.assertEqual(sorted(node for node, _ in first.values()), ["node-1"] * 4 + ["node-2"] * 4)
        self.assertEqual([len(cluster.loops(n)) for n in (1, 2)], [4, 4])
        cluster.kubectl("-n", self.space, "delete", "pods", "-l", "app=workers", "--timeout=120s", timeout=150)
        cluster.until("8 new workers are ready", lambda: all_ready() and not set(first.values()) & set(places().values()), seconds=180)
        self.assertEqual({name: node for name, (node, _) in places().items()}, {name: node for name, (node, _) in first.items()})
        for worker in first:
            self.assertEqual(self.shell(worker, "cat /data/owner").strip(), worker)
        cluster.kubectl("-n", self.space, "delete", "statefulset/workers", "service/workers", "--timeout=120s", timeout=150)
        cluster.until("their volumes are gone with the StatefulSet", lambda: not cluster.leftovers(), seconds=120)
        self.assertEqual(cluster.get("pvc", "-n", self.space)["items"], [])

    def test_two_pods_of_a_node_share_a_claim_and_readers_cannot_write(self):
        self.start("shared", node=1)
        self.apply(pod("reader", ["shared"], read_only=True))
        self.running("reader")
        self.shell("shared", "echo hello > /data/file; sync")
        self.assertEqual(self.shell("reader", "cat /data/file"), "hello\n")
        with self.assertRaisesRegex(Refused, "Read-only file system"):
            self.shell("reader", "echo no > /data/file")

    def test_the_kubelet_knows_the_use_of_a_volume(self):
        self.start("stats", size="256Mi", node=2)
        self.shell("stats", "dd if=/dev/zero of=/data/x bs=1M count=32 2>/dev/null; sync")

        def used():
            report = cluster.kubectl("get", "--raw", "/api/v1/nodes/node-2/proxy/stats/summary")
            return re.search(r'"capacityBytes": *\d+,\s*"usedBytes": *(\d+)[^}]*?"pvcRef": *{\s*"name": *"stats"', report) or \
                re.search(r'"usedBytes": *(\d+)[^{}]*"pvcRef": *{\s*"name": *"stats"', report)
        found = cluster.until("the kubelet reports the volume", lambda: used() and int(used().group(1)) >= 32 * MI and used(), seconds=150, every=3)
        self.assertLess(int(found.group(1)), 64 * MI)


class Refusals(Case):
    def refused(self, *parts, **fields):
        """A claim that cannot be met gets an event that says each of the parts."""
        fields = {"storage_class": "now", **fields}
        self.apply(claim("wrong", **fields))
        self.wait_event("PersistentVolumeClaim", "wrong", "ProvisioningFailed", *parts)
        self.assertEqual(cluster.get("pvc", "wrong", "-n", self.space)["status"]["phase"], "Pending")

    def with_class(self, name, **parameters):
        cluster.apply(storage_class(name, binding="Immediate", **parameters))
        self.addCleanup(cluster.kubectl, "delete", "storageclass", name)
        return name

    def test_too_large_for_any_node_names_each_node(self):
        self.refused("ResourceExhausted", "node-1", "node-2", size="100Ti")
        self.delete("pvc/wrong")
        cluster.until("no volume is left behind", lambda: not cluster.get("volumes.ashlar.dev")["items"])

    def test_too_large_for_the_scheduler_is_an_event_of_the_pod(self):
        self.apply(claim("huge", "100Ti"), pod("huge", ["huge"]))
        self.wait_event("Pod", "huge", "FailedScheduling", "did not have enough free storage")

    def test_an_unknown_parameter_is_named(self):
        self.refused("InvalidArgument", "colour", storage_class=self.with_class("odd", colour="blue"))

    def test_an_unknown_pool_is_named(self):
        self.refused("atlantis", storage_class=self.with_class("lost", pool="atlantis"))

    def test_an_unknown_filesystem_is_named(self):
        self.refused("InvalidArgument", "ntfs", storage_class=self.with_class("strange", fstype="ntfs"))

    def test_readwritemany_is_refused_for_what_it_is(self):
        self.refused("InvalidArgument", "MULTI_NODE_MULTI_WRITER", access="ReadWriteMany")

    def test_a_negative_size_is_refused(self):
        with self.assertRaisesRegex(Refused, "must be greater than zero"):
            self.apply(claim("negative", "-1Gi"))
        for size, rule in (("-1Gi", "greater than 0"), ("0", "greater than 0")):
            with self.assertRaisesRegex(Refused, rule):
                cluster.apply({"apiVersion": "ashlar.dev/v1alpha1", "kind": "Volume", "metadata": {"name": "negative"},
                               "spec": {"pool": "default", "size": size}})

    def test_a_wrong_pool_is_refused_and_says_what_is_accepted(self):
        for spec, part in (({}, "exactly one of"), ({"directory": {"path": "relative"}}, "spec.directory.path"),
                           ({"directory": {"path": "/x"}, "backend": "Tape"}, "supported values")):
            with self.assertRaisesRegex(Refused, part):
                cluster.apply({"apiVersion": "ashlar.dev/v1alpha1", "kind": "Pool", "metadata": {"name": "wrong"}, "spec": spec})

    def test_a_pool_outside_the_folders_of_the_chart_is_not_ready_and_names_them(self):
        cluster.apply({"apiVersion": "ashlar.dev/v1alpha1", "kind": "Pool", "metadata": {"name": "elsewhere"},
                       "spec": {"directory": {"path": "/mnt/elsewhere"}}})
        self.addCleanup(cluster.kubectl, "delete", "pool", "elsewhere", "--timeout=60s")
        def told():
            conditions = (cluster.get("pool", "elsewhere").get("status") or {}).get("conditions", [])
            return any(c["type"] == "Ready" and c["status"] == "False" and "(/var/lib/ashlar)" in c["message"] and
                       "node.directories" in c["message"] for c in conditions)
        cluster.until("the pool says why", told)


class Snapshots(Case):
    """Copies lie on the node of their source, and so do the pods that use them."""

    def tearDown(self):
        super().tearDown()
        kinds = "snapshots.ashlar.dev,snapshotgroups.ashlar.dev,volumesnapshotcontents,volumegroupsnapshotcontents"
        cluster.until("no snapshot is left", lambda: not cluster.get(kinds)["items"])

    def ready(self, kind, name, what="readyToUse"):
        """The object, once its status says that it is ready."""
        def found():
            status = cluster.get(kind, name, "-n", self.space).get("status") or {}
            return status.get(what) and cluster.get(kind, name, "-n", self.space)
        try:
            return cluster.until(f"{kind} {name} is ready", found)
        except AssertionError as missing:
            raise AssertionError(f"{missing}: {self.events(kind, name)} {cluster.get(kind, name, '-n', self.space)}") from None

    def content_of(self, snapshot):
        return cluster.get("volumesnapshotcontent", snapshot["status"]["boundVolumeSnapshotContentName"])

    def copy(self, name, source, size, kind="VolumeSnapshot", storage_class="ashlar-copy"):
        wanted = claim(name, size, storage_class=storage_class)
        wanted["spec"]["dataSource"] = {"kind": kind, "name": source, **({"apiGroup": "snapshot.storage.k8s.io"} if kind == "VolumeSnapshot" else {})}
        return wanted

    def filesystem(self, name):
        """UUID and KiB of the filesystem that the pod has at /data."""
        size, device = self.shell(name, "df -k /data | tail -1 | awk '{print $2, $1}'").split()
        node = cluster.get("pod", name, "-n", self.space)["spec"]["nodeName"][-1]
        return cluster.on_node(node, "blkid", "-p", "-s", "UUID", "-o", "value", device).strip(), int(size)

    def test_a_volume_in_use_is_copied_and_the_copies_outlive_it_and_one_another(self):
        for name in ("pvc.yaml", "pod.yaml"):
            cluster.example(name, namespace=self.space)
        self.running("writer")
        self.shell("writer", FILL)
        digest, started = self.shell("writer", DIGEST), self.shell("writer", "cat /data/started")
        self.shell("writer", "(while :; do date >> /data/log; done) > /dev/null 2>&1 &")
        cluster.example("snapshot.yaml", namespace=self.space)
        taken = self.ready("volumesnapshot", "scratch-1")
        cluster.example("clone.yaml", namespace=self.space)
        self.running("cloned")
        self.shell("writer", "rm -r /data/tree; echo later > /data/later; sync")
        cluster.example("restore.yaml", namespace=self.space)
        self.running("restored")
        for name in ("cloned", "restored"):
            self.assertEqual((self.shell(name, DIGEST), self.shell(name, "cat /data/started")), (digest, started), name)
            self.assertEqual(self.shell(name, "ls /data/later 2>&1 || true").count("No such file"), 1)
        (own, size), (of_clone, same), (of_restored, grown) = (self.filesystem(p) for p in ("writer", "cloned", "restored"))
        self.assertEqual(len({own, of_clone, of_restored}), 3)
        self.assertEqual(same, size)
        self.assertGreater(grown, 1.9 * size)
        self.assertEqual(quantity(taken["status"]["restoreSize"]), GI)

        # A copy cannot lie on another node than its source: a pod that is bound to one is told so.
        where = cluster.get("pod", "writer", "-n", self.space)["spec"]["nodeName"]
        self.apply(self.copy("far", "scratch-1", "1Gi", storage_class="ashlar"), pod("far", ["far"], node=3 - int(where[-1])))
        self.wait_event("PersistentVolumeClaim", "far", "a copy lies on the node of its source", where)
        self.delete("pod/far")
        self.delete("pvc/far")

        # A snapshot that exists is taken into Kubernetes by its handle, which lists it.
        content = self.content_of(taken)
        handle = content["status"]["snapshotHandle"]
        listed = {"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotContent", "metadata": {"name": f"{self.space}-listed"},
                  "spec": {"driver": "csi.ashlar.dev", "deletionPolicy": "Retain", "source": {"snapshotHandle": handle},
                           "volumeSnapshotRef": {"namespace": self.space, "name": "listed"}}}
        self.apply(listed, {"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot", "metadata": {"name": "listed"},
                            "spec": {"source": {"volumeSnapshotContentName": f"{self.space}-listed"}}})
        for field in ("restoreSize", "creationTime"):
            self.assertEqual(self.ready("volumesnapshot", "listed")["status"][field], taken["status"][field])
        self.delete("volumesnapshot/listed")
        cluster.kubectl("delete", "volumesnapshotcontent", f"{self.space}-listed", "--timeout=60s")
        self.assertTrue(cluster.find("snapshots.ashlar.dev", handle))

        # The source goes first, then what was made of the snapshot is copied, then the snapshot goes.
        self.delete("pod/writer")
        self.delete("pvc/scratch")
        self.apply(self.copy("again", "scratch-1", "1Gi"), pod("again", ["again"]))
        self.running("again")
        self.delete("volumesnapshot/scratch-1")
        cluster.until("the snapshot is gone", lambda: not cluster.find("snapshots.ashlar.dev", handle))
        self.apply(self.copy("grandchild", "restored", "2Gi", kind="PersistentVolumeClaim"), pod("grandchild", ["grandchild"]))
        self.running("grandchild")
        for what in ("pod/cloned", "pvc/cloned", "pod/restored", "pvc/restored"):
            self.delete(what)
        for name in ("again", "grandchild"):
            self.assertEqual(self.shell(name, DIGEST), digest, name)
            self.shell(name, "echo mine > /data/mine; sync")
        self.assertEqual(len(cluster.images(where[-1])), 2, cluster.images(where[-1]))

    def test_a_group_is_of_one_moment_and_xfs_copies_mount_beside_their_source(self):
        cluster.example("ledger.yaml", namespace=self.space)
        self.running("ledger")
        cluster.until("numbers are written", lambda: int(self.shell("ledger", "tail -n 1 /table/log")) > 20)
        cluster.example("groupsnapshot.yaml", namespace=self.space)
        group = self.ready("volumegroupsnapshot", "ledger-1")
        members = {s["spec"]["source"]["persistentVolumeClaimName"]: s["metadata"]["name"] for s in cluster.get("volumesnapshots", "-n", self.space)["items"]}
        self.assertEqual(set(members), {"journal", "table"})
        cluster.apply(storage_class("ashlar-copy", binding="Immediate"))
        self.apply(*[self.copy(f"{c}-then", members[c], "512Mi") for c in members], pod("then", ["journal-then", "table-then"]))
        self.running("then")
        last = [int(n or 0) for n in self.shell("then", "for f in /data/log /data1/log; do tail -n 1 $f; done").split("\n")[:2]]
        print(f"      the group was taken after {last[0]} and {last[1]} numbers", flush=True)
        self.assertIn(last[0] - last[1], (0, 1))
        self.delete("volumegroupsnapshot/ledger-1")
        cluster.until("its members are gone", lambda: not cluster.get("volumesnapshots", "-n", self.space)["items"])

        cluster.apply(storage_class("xfs", binding="Immediate", fstype="xfs"))
        self.addCleanup(cluster.kubectl, "delete", "storageclass", "xfs")
        self.start("xfs", size="512Mi", storage_class="xfs")
        self.shell("xfs", FILL)
        digest = self.shell("xfs", DIGEST)
        self.apply(self.copy("larger", "xfs", "1Gi", kind="PersistentVolumeClaim", storage_class="xfs"), pod("larger", ["larger"]))
        self.running("larger")
        self.assertEqual(self.shell("larger", DIGEST), digest)
        (own, size), (other, grown) = self.filesystem("xfs"), self.filesystem("larger")
        self.assertNotEqual(own, other)
        self.assertGreater(grown, 1.9 * size)
        self.assertTrue(group["status"]["creationTime"])


class Failures(Case):
    def kill_all(self):
        """Every Ashlar process ends by SIGKILL; returns when all of them run again."""
        before = cluster.processes()
        self.assertEqual(len(before), 8, before)
        for process in before:
            os.kill(process, signal.SIGKILL)
        cluster.until("all programs run again", lambda: len(cluster.processes()) == 8 and not set(cluster.processes()) & set(before), seconds=120)
        cluster.wait_ready()

    def test_killing_every_process_disturbs_no_pod_and_work_goes_on(self):
        cluster.apply(storage_class("xfs", fstype="xfs"))
        self.addCleanup(cluster.kubectl, "delete", "storageclass", "xfs")
        self.start("writer", size="512Mi", node=1, script=WRITER, storage_class="xfs")
        self.start("idle", node=2)
        cluster.until("the pod has written", lambda: self.assert_wrote_on("writer") > 20)
        self.kill_all()
        lines = self.assert_wrote_on("writer")
        self.start("later", node=2)
        self.apply(claim("writer", "1Gi", storage_class="xfs"))
        cluster.until("the running pod sees 1 GiB", lambda: int(self.shell("writer", "df -k /data | tail -1 | awk '{print $2}'")) > 900 * 1024)
        self.delete("pod/idle")
        self.delete("pvc/idle")
        self.assertGreater(self.assert_wrote_on("writer"), lines)

    def test_killed_in_the_middle_of_it_all_requests_end_well(self):
        names = [f"burst-{i}" for i in range(8)]
        self.apply(*[claim(n) for n in names], *[pod(n, [n]) for n in names])
        for _ in range(3):
            time.sleep(1.5)
            for process in cluster.processes():
                try:
                    os.kill(process, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        self.running(*names, seconds=240)
        for name in names:
            self.shell(name, "echo alive > /data/file")
        cluster.kubectl("-n", self.space, "delete", "pods,pvc", "--all", "--wait=false")
        time.sleep(1)
        for process in cluster.processes():
            os.kill(process, signal.SIGKILL)
        cluster.until("nothing is left on the nodes", lambda: not cluster.leftovers(), seconds=240)
        cluster.until("no volume is left", lambda: not cluster.get("volumes.ashlar.dev")["items"])
        cluster.wait_ready()

    def test_when_the_leader_is_deleted_another_replica_takes_over(self):
        holder = lambda: cluster.get("lease", "ashlar-controller", "-n", NAMESPACE)["spec"].get("holderIdentity") or ""
        old = cluster.until("there is a leader", holder)
        leader = next(p["metadata"]["name"] for p in cluster.pods("controller") if p["metadata"]["name"] in old)
        began = time.monotonic()
        cluster.kubectl("-n", NAMESPACE, "delete", "pod", leader, "--grace-period=0", "--force")
        new = cluster.until("another replica leads", lambda: holder() not in ("", old) and holder(), seconds=60)
        print(f"      {new} led {time.monotonic() - began:.1f} s after {old} was deleted")
        self.start("after")
        cluster.wait_ready()

    def test_agents_that_are_replaced_leave_volumes_in_use_alone(self):
        self.start("writer", node=1, script=WRITER)
        cluster.kubectl("-n", NAMESPACE, "rollout", "restart", "daemonset/ashlar-node")
        cluster.wait_ready()
        self.assert_wrote_on("writer")
        self.start("other", node=1)


class Releases(Case):
    def secrets(self):
        return {name: cluster.get("secret", f"ashlar-{name}-tls", "-n", NAMESPACE)["data"] for name in ("controller", "node-agent")}

    def test_helm_test_passes(self):
        self.assertIn("Succeeded", cluster.helm("test", "ashlar", "-n", NAMESPACE, "--timeout=3m"))

    def test_an_upgrade_keeps_certificates_and_disturbs_no_pod(self):
        self.start("writer", node=2, script=WRITER)
        before = self.secrets()
        cluster.install("logLevel=debug")
        self.assertEqual(self.secrets(), before)
        self.assert_wrote_on("writer")
        self.start("other", node=2)
        cluster.install()

    def test_deleted_certificates_are_made_anew_and_taken_up_without_a_restart(self):
        before, processes = self.secrets(), set(cluster.processes())
        cluster.kubectl("-n", NAMESPACE, "delete", "secret", "ashlar-controller-tls", "ashlar-node-agent-tls")
        cluster.install()
        self.assertNotEqual(self.secrets()["controller"]["ca.crt"], before["controller"]["ca.crt"])
        # The kubelet brings new secrets into pods within a minute or two.
        mounted = lambda: all(self.file_of(p, "/etc/ashlar/tls/ca.crt") == self.secrets()["controller"]["ca.crt"]
                              for p, name in cluster.processes().items() if name != "ashlar-csi")
        cluster.until("every pod has the new files", mounted, seconds=180, every=2)
        self.start("other", node=1)
        self.start("another", node=2)
        self.assertEqual(set(cluster.processes()), processes)

    @staticmethod
    def file_of(process, path):
        import base64
        with open(f"/proc/{process}/root{path}", "rb") as data:
            return base64.b64encode(data.read()).decode()

    def test_uninstalling_leaves_data_and_pods_and_the_next_install_finds_them(self):
        self.start("writer", node=1, script=WRITER)
        volume = self.volume_of("writer")
        cluster.helm("uninstall", "ashlar", "-n", NAMESPACE, "--wait", "--timeout=3m")
        cluster.until("no Ashlar process is left", lambda: not cluster.processes())
        self.assertTrue(cluster.find("volumes.ashlar.dev", volume))
        self.assert_wrote_on("writer")
        cluster.install()
        self.assert_wrote_on("writer")
        carved = [c["status"] for c in cluster.get("volumes.ashlar.dev", volume)["status"]["conditions"] if c["type"] == "Carved"]
        self.assertEqual(carved, ["True"])
        self.start("other", node=1)


class End(Case):
    def test_when_all_objects_are_deleted_nothing_is_left_on_the_nodes(self):
        for kind in ("pvc", "pv", "volumes.ashlar.dev", "snapshots.ashlar.dev", "snapshotgroups.ashlar.dev"):
            cluster.until(f"no object of kind {kind} is left", lambda: not cluster.get(kind, "-A")["items"])
        pools = [p["metadata"]["name"] for p in cluster.get("pools")["items"]]
        self.assertIn("default", pools)
        cluster.kubectl("delete", "pools", "--all", "--timeout=60s")
        self.assertEqual(cluster.leftovers(), {})
        for node in cluster.nodes:
            # Folders of the admin's and the agent's stay; nothing is in them that tells of a volume or of a pool.
            left = cluster.on_node(node, "find", "/var/lib/ashlar", "-mindepth", "1", "-not", "-type", "d", "-not", "-path", "*/journal/lock")
            self.assertEqual(left.split(), [])
            volumes = cluster.on_node(node, "find", "/var/lib/ashlar", "-path", "*/volumes/*")
            self.assertEqual(volumes.split(), [])
            inline = cluster.on_node(node, "find", "/var/lib/ashlar", "-path", "*/inline/*")
            self.assertEqual(inline.split(), [])
            self.assertNotIn("kubernetes.io~csi", cluster.on_node(node, "find", "/var/lib/kubelet/pods", "-name", "kubernetes.io~csi", "-not", "-empty"))


if __name__ == "__main__":
    summary.run()
