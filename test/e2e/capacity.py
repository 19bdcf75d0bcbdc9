"""What the scheduler is told of free bytes."""
from case import Case
from cluster import GI, MI, NAMESPACE, claim, pod, quantity


class Capacity(Case):
    def capacities(self, storage_class="ashlar"):
        found = self.cluster.get("csistoragecapacities", "-n", NAMESPACE)["items"]
        return {c["nodeTopology"]["matchLabels"]["topology.ashlar.dev/node"]: quantity(c["capacity"])
                for c in found if c["storageClassName"] == storage_class and "capacity" in c}

    def pool(self):
        return {n["node"]: quantity(n["allocatable"]) for n in self.cluster.get("pool", "default")["status"]["nodes"]}

    def settled(self):
        """Free bytes by node, once Pool and capacity objects agree."""
        return self.cluster.until("capacity objects agree with the pool", lambda: len(self.pool()) == 2 and self.pool() == self.capacities() and self.pool())

    def test_capacity_objects_tell_what_the_medium_has(self):
        free_bytes = self.settled()
        largest = lambda c: (c["capacity"], c.get("maximumVolumeSize"))
        told = [largest(c) for c in self.cluster.get("csistoragecapacities", "-n", NAMESPACE)["items"] if c["storageClassName"] == "ashlar"]
        self.assertTrue(all(capacity == most for capacity, most in told), told)  # one directory: one piece
        for node, free in free_bytes.items():
            block, available = self.cluster.on_node(node[-1], "stat", "-f", "-c", "%S %a", "/var/lib/ashlar").split()
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
        self.cluster.until("all bytes are free again", lambda: self.capacities() == before)
