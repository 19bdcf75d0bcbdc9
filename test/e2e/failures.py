"""Programs that are killed, and replicas that take over."""
import os
import signal
import time

from case import Case, WRITER
from cluster import NAMESPACE, claim, pod, storage_class


class Failures(Case):
    def kill_all(self):
        """Every Ashlar process ends by SIGKILL; returns when all of them run again."""
        before = self.cluster.processes()
        self.assertEqual(len(before), 8, before)
        for process in before:
            os.kill(process, signal.SIGKILL)
        self.cluster.until("all programs run again", lambda: len(self.cluster.processes()) == 8 and not set(self.cluster.processes()) & set(before), seconds=120)
        self.cluster.wait_ready()

    def test_killing_every_process_disturbs_no_pod_and_work_goes_on(self):
        self.cluster.apply(storage_class("xfs", fstype="xfs"))
        self.addCleanup(self.cluster.kubectl, "delete", "storageclass", "xfs")
        self.start("writer", size="512Mi", node=1, script=WRITER, storage_class="xfs")
        self.start("idle", node=2)
        self.cluster.until("the pod has written", lambda: self.assert_wrote_on("writer") > 20)
        self.kill_all()
        lines = self.assert_wrote_on("writer")
        self.start("later", node=2)
        self.apply(claim("writer", "1Gi", storage_class="xfs"))
        self.cluster.until("the running pod sees 1 GiB", lambda: int(self.shell("writer", "df -k /data | tail -1 | awk '{print $2}'")) > 900 * 1024)
        self.delete("pod/idle")
        self.delete("pvc/idle")
        self.assertGreater(self.assert_wrote_on("writer"), lines)

    def test_killed_in_the_middle_of_it_all_requests_end_well(self):
        names = [f"burst-{i}" for i in range(8)]
        self.apply(*[claim(n) for n in names], *[pod(n, [n]) for n in names])
        for _ in range(3):
            time.sleep(1.5)
            for process in self.cluster.processes():
                try:
                    os.kill(process, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        self.running(*names, seconds=240)
        for name in names:
            self.shell(name, "echo alive > /data/file")
        self.cluster.kubectl("-n", self.space, "delete", "pods,pvc", "--all", "--wait=false")
        time.sleep(1)
        for process in self.cluster.processes():
            os.kill(process, signal.SIGKILL)
        self.cluster.until("nothing is left on the nodes", lambda: not self.cluster.leftovers(), seconds=240)
        self.cluster.until("no volume is left", lambda: not self.cluster.get("volumes.ashlar.dev")["items"])
        self.cluster.wait_ready()

    def test_when_the_leader_is_deleted_another_replica_takes_over(self):
        holder = lambda: self.cluster.get("lease", "ashlar-controller", "-n", NAMESPACE)["spec"].get("holderIdentity") or ""
        old = self.cluster.until("there is a leader", holder)
        leader = next(p["metadata"]["name"] for p in self.cluster.pods("controller") if p["metadata"]["name"] in old)
        others = [p["metadata"]["name"] for p in self.cluster.pods("controller") if p["metadata"]["name"] != leader]
        nodes = [f"node-{n}" for n in self.cluster.nodes]
        self.cluster.kubectl("cordon", *nodes)  # the pod that replaces it must wait
        self.addCleanup(self.cluster.kubectl, "uncordon", *nodes)
        began = time.monotonic()
        self.cluster.kubectl("-n", NAMESPACE, "delete", "pod", leader, "--grace-period=0", "--force")
        new = self.cluster.until("another replica leads", lambda: holder() not in ("", old) and holder(), seconds=60)
        self.assertTrue(any(name in new for name in others), f"{new} leads, not one of {others}")
        self.cluster.kubectl("uncordon", *nodes)
        print(f"      {new} led {time.monotonic() - began:.1f} s after {old} was deleted")
        self.start("after")
        self.cluster.wait_ready()

    def test_agents_that_are_replaced_leave_volumes_in_use_alone(self):
        self.start("writer", node=1, script=WRITER)
        self.cluster.kubectl("-n", NAMESPACE, "rollout", "restart", "daemonset/ashlar-node")
        self.cluster.wait_ready()
        self.assert_wrote_on("writer")
        self.start("other", node=1)
