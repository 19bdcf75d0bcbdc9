"""What cannot be met, and who is told why."""
from case import Case
from cluster import Refused, claim, pod, storage_class


class Refusals(Case):
    def refused(self, *parts, **fields):
        """A claim that cannot be met gets an event that says each of the parts."""
        fields = {"storage_class": "now", **fields}
        self.apply(claim("wrong", **fields))
        self.wait_event("PersistentVolumeClaim", "wrong", "ProvisioningFailed", *parts)
        self.assertEqual(self.cluster.get("pvc", "wrong", "-n", self.space)["status"]["phase"], "Pending")

    def with_class(self, name, **parameters):
        self.cluster.apply(storage_class(name, binding="Immediate", **parameters))
        self.addCleanup(self.cluster.kubectl, "delete", "storageclass", name)
        return name

    def test_too_large_for_any_node_names_each_node(self):
        self.refused("ResourceExhausted", "node-1", "node-2", size="100Ti")
        self.delete("pvc/wrong")
        self.cluster.until("no volume is left behind", lambda: not self.cluster.get("volumes.ashlar.dev")["items"])

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

    def test_readonlymany_is_refused_with_what_to_use_instead(self):
        self.refused("InvalidArgument", "ReadOnlyMany", "ReadWriteOnce", "persistentVolumeClaim.readOnly", access="ReadOnlyMany")

    def test_a_negative_size_is_refused(self):
        with self.assertRaisesRegex(Refused, "must be greater than zero"):
            self.apply(claim("negative", "-1Gi"))
        for size, rule in (("-1Gi", "greater than 0"), ("0", "greater than 0")):
            with self.assertRaisesRegex(Refused, rule):
                self.cluster.apply({"apiVersion": "ashlar.dev/v1alpha1", "kind": "Volume", "metadata": {"name": "negative"},
                               "spec": {"pool": "default", "size": size}})

    def test_a_wrong_pool_is_refused_and_says_what_is_accepted(self):
        for spec, part in (({}, "exactly one of"), ({"directory": {"path": "relative"}}, "spec.directory.path"),
                           ({"directory": {"path": "/x"}, "backend": "Tape"}, "supported values")):
            with self.assertRaisesRegex(Refused, part):
                self.cluster.apply({"apiVersion": "ashlar.dev/v1alpha1", "kind": "Pool", "metadata": {"name": "wrong"}, "spec": spec})

    def test_a_pool_outside_the_folders_of_the_chart_is_not_ready_and_names_them(self):
        self.cluster.apply({"apiVersion": "ashlar.dev/v1alpha1", "kind": "Pool", "metadata": {"name": "elsewhere"},
                       "spec": {"directory": {"path": "/mnt/elsewhere"}}})
        self.addCleanup(self.cluster.kubectl, "delete", "pool", "elsewhere", "--timeout=60s")
        def told():
            conditions = (self.cluster.get("pool", "elsewhere").get("status") or {}).get("conditions", [])
            return any(c["type"] == "Ready" and c["status"] == "False" and "(/var/lib/ashlar)" in c["message"] and
                       "node.directories" in c["message"] for c in conditions)
        self.cluster.until("the pool says why", told)
