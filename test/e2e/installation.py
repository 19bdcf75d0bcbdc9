"""What the chart installs, before anything else runs and after everything is deleted."""
import os

from case import Case
from cluster import EXAMPLES


class Installation(Case):
    def test_every_program_runs_and_none_was_restarted(self):
        names = sorted(self.cluster.processes().values())
        self.assertEqual(names, ["ashlar-controller"] * 2 + ["ashlar-csi"] * 4 + ["ashlar-node-agent"] * 2)
        for component in ("controller", "node-agent"):
            for p in self.cluster.pods(component):
                for c in p["status"]["containerStatuses"]:
                    self.assertEqual((c["restartCount"], c["ready"]), (0, True), p["metadata"]["name"] + "/" + c["name"])

    def test_the_api_server_accepts_every_example(self):
        accepted = self.cluster.kubectl("apply", "--dry-run=server", "-f", EXAMPLES)
        for kind in ("pool.ashlar.dev/", "storageclass.storage.k8s.io/", "volumesnapshot.snapshot.storage.k8s.io/"):
            self.assertIn(kind, accepted)

    def test_each_node_is_described_and_is_its_own_topology(self):
        inventories = {i["metadata"]["name"]: i for i in self.cluster.get("nodeinventories")["items"]}
        self.assertEqual(set(inventories), {"node-1", "node-2"})
        for name, inventory in inventories.items():
            ready = {c["type"]: c["status"] for c in inventory["status"]["conditions"]}
            self.assertEqual(ready.get("Ready"), "True", inventory["status"])
            drivers = self.cluster.get("csinode", name)["spec"]["drivers"]
            self.assertEqual([d["topologyKeys"] for d in drivers], [["topology.ashlar.dev/node", "topology.kubernetes.io/zone"]])
            with open("/proc/sys/fs/mount-max") as mounts:
                self.assertEqual([d["allocatable"]["count"] for d in drivers], [min(int(mounts.read()) // 4, (1 << 20) - 4096)])
            self.assertEqual(self.cluster.get("node", name)["metadata"]["labels"]["topology.ashlar.dev/node"], name)

    def test_no_program_on_a_node_holds_credentials_of_the_cluster(self):
        for process, name in self.cluster.processes().items():
            if name == "ashlar-node-agent":
                self.assertFalse(os.path.exists(f"/proc/{process}/root/var/run/secrets/kubernetes.io"))

    def test_every_program_serves_metrics(self):
        every = set()
        for component, ports in (("controller", (9502, 9503)), ("node-agent", (9501, 9503))):
            for p in self.cluster.pods(component):
                for port in ports:
                    series = self.cluster.metrics(p["metadata"]["name"], port)
                    self.assertTrue([s for s in series if s.startswith("ashlar_")], (p["metadata"]["name"], port))
                    every.update(series)
        # The leader's.
        self.assertLessEqual({'ashlar_controller_gpu_slices{state="stranded"}', 'ashlar_controller_gpu_node_bytes{state="free"}'}, every)


class End(Case):
    def test_when_all_objects_are_deleted_nothing_is_left_on_the_nodes(self):
        for kind in ("pvc", "pv", "volumes.ashlar.dev", "snapshots.ashlar.dev", "snapshotgroups.ashlar.dev"):
            self.cluster.until(f"no object of kind {kind} is left", lambda: not self.cluster.get(kind, "-A")["items"])
        pools = [p["metadata"]["name"] for p in self.cluster.get("pools")["items"]]
        self.assertIn("default", pools)
        self.cluster.kubectl("delete", "pools", "--all", "--timeout=60s")
        self.assertEqual(self.cluster.leftovers(), {})
        for node in self.cluster.nodes:
            # Folders of the admin's and the agent's stay; nothing is in them that tells of a volume or of a pool.
            left = self.cluster.on_node(node, "find", "/var/lib/ashlar", "-mindepth", "1", "-not", "-type", "d", "-not", "-path", "*/journal/lock",
                                        "-not", "-path", "*/journal/gpu-partitions/*.lock")
            self.assertEqual(left.split(), [])
            volumes = self.cluster.on_node(node, "find", "/var/lib/ashlar", "-path", "*/volumes/*")
            self.assertEqual(volumes.split(), [])
            inline = self.cluster.on_node(node, "find", "/var/lib/ashlar", "-path", "*/inline/*")
            self.assertEqual(inline.split(), [])
            self.assertNotIn("kubernetes.io~csi", self.cluster.on_node(node, "find", "/var/lib/kubelet/pods", "-name", "kubernetes.io~csi", "-not", "-empty"))
