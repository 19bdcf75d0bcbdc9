"""Snapshots, clones, restores and group snapshots."""
from case import Case, DIGEST, FILL
from cluster import GI, claim, pod, quantity, storage_class


class Snapshots(Case):
    """Copies lie on the node of their source, and so do the pods that use them."""

    def tearDown(self):
        super().tearDown()
        kinds = "snapshots.ashlar.dev,snapshotgroups.ashlar.dev,volumesnapshotcontents,volumegroupsnapshotcontents"
        self.cluster.until("no snapshot is left", lambda: not self.cluster.get(kinds)["items"])

    def ready(self, kind, name, what="readyToUse"):
        """The object, once its status says that it is ready."""
        def found():
            status = self.cluster.get(kind, name, "-n", self.space).get("status") or {}
            return status.get(what) and self.cluster.get(kind, name, "-n", self.space)
        try:
            return self.cluster.until(f"{kind} {name} is ready", found)
        except AssertionError as missing:
            raise AssertionError(f"{missing}: {self.events(kind, name)} {self.cluster.get(kind, name, '-n', self.space)}") from None

    def content_of(self, snapshot):
        return self.cluster.get("volumesnapshotcontent", snapshot["status"]["boundVolumeSnapshotContentName"])

    def copy(self, name, source, size, kind="VolumeSnapshot", storage_class="ashlar-copy"):
        wanted = claim(name, size, storage_class=storage_class)
        wanted["spec"]["dataSource"] = {"kind": kind, "name": source, **({"apiGroup": "snapshot.storage.k8s.io"} if kind == "VolumeSnapshot" else {})}
        return wanted

    def filesystem(self, name):
        """UUID and KiB of the filesystem that the pod has at /data."""
        size, device = self.shell(name, "df -k /data | tail -1 | awk '{print $2, $1}'").split()
        node = self.cluster.get("pod", name, "-n", self.space)["spec"]["nodeName"][-1]
        return self.cluster.on_node(node, "blkid", "-p", "-s", "UUID", "-o", "value", device).strip(), int(size)

    def test_a_volume_in_use_is_copied_and_the_copies_outlive_it_and_one_another(self):
        for name in ("pvc.yaml", "pod.yaml"):
            self.cluster.example(name, namespace=self.space)
        self.running("writer")
        self.shell("writer", FILL)
        digest, started = self.shell("writer", DIGEST), self.shell("writer", "cat /data/started")
        self.shell("writer", "(while :; do date >> /data/log; done) > /dev/null 2>&1 &")
        self.cluster.example("snapshot.yaml", namespace=self.space)
        taken = self.ready("volumesnapshot", "scratch-1")
        self.cluster.example("clone.yaml", namespace=self.space)
        self.running("cloned")
        self.shell("writer", "rm -r /data/tree; echo later > /data/later; sync")
        self.cluster.example("restore.yaml", namespace=self.space)
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
        where = self.cluster.get("pod", "writer", "-n", self.space)["spec"]["nodeName"]
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
        self.cluster.kubectl("delete", "volumesnapshotcontent", f"{self.space}-listed", "--timeout=60s")
        self.assertTrue(self.cluster.find("snapshots.ashlar.dev", handle))

        # The source goes first, then what was made of the snapshot is copied, then the snapshot goes.
        self.delete("pod/writer")
        self.delete("pvc/scratch")
        self.apply(self.copy("again", "scratch-1", "1Gi"), pod("again", ["again"]))
        self.running("again")
        self.delete("volumesnapshot/scratch-1")
        self.cluster.until("the snapshot is gone", lambda: not self.cluster.find("snapshots.ashlar.dev", handle))
        self.apply(self.copy("grandchild", "restored", "2Gi", kind="PersistentVolumeClaim"), pod("grandchild", ["grandchild"]))
        self.running("grandchild")
        for what in ("pod/cloned", "pvc/cloned", "pod/restored", "pvc/restored"):
            self.delete(what)
        for name in ("again", "grandchild"):
            self.assertEqual(self.shell(name, DIGEST), digest, name)
            self.shell(name, "echo mine > /data/mine; sync")
        self.assertEqual(len(self.cluster.images(where[-1])), 2, self.cluster.images(where[-1]))

    def test_a_group_is_of_one_moment_and_xfs_copies_mount_beside_their_source(self):
        self.cluster.example("ledger.yaml", namespace=self.space)
        self.running("ledger")
        self.cluster.until("numbers are written", lambda: int(self.shell("ledger", "tail -n 1 /table/log")) > 20)
        self.cluster.example("groupsnapshot.yaml", namespace=self.space)
        group = self.ready("volumegroupsnapshot", "ledger-1")
        members = {s["spec"]["source"]["persistentVolumeClaimName"]: s["metadata"]["name"] for s in self.cluster.get("volumesnapshots", "-n", self.space)["items"]}
        self.assertEqual(set(members), {"journal", "table"})
        self.cluster.apply(storage_class("ashlar-copy", binding="Immediate"))
        self.apply(*[self.copy(f"{c}-then", members[c], "512Mi") for c in members], pod("then", ["journal-then", "table-then"]))
        self.running("then")
        last = [int(n or 0) for n in self.shell("then", "for f in /data/log /data1/log; do tail -n 1 $f; done").split("\n")[:2]]
        print(f"      the group was taken after {last[0]} and {last[1]} numbers", flush=True)
        self.assertIn(last[0] - last[1], (0, 1))
        self.delete("volumegroupsnapshot/ledger-1")
        self.cluster.until("its members are gone", lambda: not self.cluster.get("volumesnapshots", "-n", self.space)["items"])

        self.cluster.apply(storage_class("xfs", binding="Immediate", fstype="xfs"))
        self.addCleanup(self.cluster.kubectl, "delete", "storageclass", "xfs")
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
