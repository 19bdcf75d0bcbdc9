"""What the tests of the cluster suite have in common: one cluster for all of them, and steps."""
import contextlib
import os
import sys
import traceback
import unittest

from cluster import PATIENCE, Cluster, Refused, claim, pod, storage_class

# Numbered lines, each written through to the medium; ends with an error if any write fails.
WRITER = """i=0; while :; do i=$((i+1)); read up rest < /proc/uptime
echo "$i $up" >> /data/log && dd if=/dev/zero of=/data/block bs=4k count=1 conv=fsync 2>/dev/null || { echo "write $i failed"; exit 1; }
usleep 50000; done"""
# A tree of files with one digest over all of them.
FILL = "mkdir -p /data/tree; for i in $(seq 50); do dd if=/dev/urandom of=/data/tree/$i bs=37k count=$((i % 5 + 1)) 2>/dev/null; done; sync"
DIGEST = "cd /data/tree && sha256sum * | sha256sum"

# Each node is a zone.
ZONES = {1: "left", 2: "right"}


@contextlib.contextmanager
def lab():
    """The cluster of all tests, with Ashlar installed. One that does not come up counts as one failure."""
    if os.geteuid() != 0:
        raise RuntimeError("the cluster test must be run as root: its nodes are namespaces of this machine")
    try:
        Case.cluster = Cluster()
        install(Case.cluster)
    except BaseException as why:
        Case.failures.append("lab")
        close()
        if not isinstance(why, Exception):
            raise
        traceback.print_exc(file=sys.stdout)
        print("0 passed, 1 failed, 0 skipped")
        sys.exit(1)
    try:
        yield
    finally:
        close()


def install(cluster):
    for node in cluster.nodes:
        cluster.kubectl("label", "node", f"node-{node}", f"topology.kubernetes.io/zone={ZONES[node]}")
    cluster.install()
    cluster.example("pool.yaml")
    cluster.kubectl("wait", "--for=condition=Ready", "pool/default", "--timeout=60s")
    cluster.apply(storage_class("now", binding="Immediate"))


def close():
    if Case.cluster is None:  # it has collected its logs and is gone
        return
    if Case.failures:
        Case.cluster.collect_logs()
    if os.environ.get("ASHLAR_E2E_KEEP"):
        print(f"the lab is left running in {Case.cluster.folder}")
    else:
        Case.cluster.close()


def may_grow_mounted_ext4():
    """Whether this machine leaves root CAP_SYS_RESOURCE, which the kernel asks for before it grows a mounted ext4."""
    with open("/proc/self/status") as text:
        bounds = next(int(line.split()[1], 16) for line in text if line.startswith("CapBnd"))
    return bool(bounds >> 24 & 1)


class Case(unittest.TestCase):
    """A namespace of its own for each test, which leaves nothing on any node."""

    cluster = None  # of all classes, see lab()
    failures = []
    counter = 0

    def setUp(self):
        Case.counter += 1
        self.space = f"test-{Case.counter}"
        self.cluster.kubectl("create", "namespace", self.space)

    def tearDown(self):
        outcome = self._outcome.result
        broken = any(test is self for test, _ in outcome.failures + outcome.errors)
        if broken:
            self.failures.append(self.id())
            self.cluster.collect_logs()
        self.cluster.kubectl("-n", self.space, "delete", "pods,pvc,volumegroupsnapshots,volumesnapshots", "--all", "--timeout=180s", timeout=200)
        self.cluster.kubectl("delete", "namespace", self.space, "--wait=false")
        try:
            self.cluster.until("nothing is left on the nodes", lambda: not self.cluster.leftovers(), seconds=60)
        except AssertionError:
            self.failures.append(self.id())
            raise AssertionError(f"left on the nodes: {self.cluster.leftovers()}") from None

    # Steps.

    def apply(self, *objects):
        self.cluster.apply(*objects, namespace=self.space)

    def shell(self, name, script):
        return self.cluster.shell(name, script, namespace=self.space)

    def delete(self, what):
        self.cluster.kubectl("-n", self.space, "delete", what, "--timeout=90s")

    def events(self, kind, name):
        found = self.cluster.get("events", "-n", self.space, "--field-selector", f"involvedObject.kind={kind},involvedObject.name={name}")
        return "\n".join(f"{e['reason']}: {e['message']}" for e in found["items"])

    def wait_event(self, kind, name, *parts):
        """Waits for an event that says each of the parts."""
        def told():
            return any(all(p.lower() in line.lower() for p in parts) for line in self.events(kind, name).splitlines())
        try:
            self.cluster.until(f"an event of {kind} {name} with {parts}", told)
        except AssertionError as missing:
            raise AssertionError(f"{missing}; its events: {self.events(kind, name)}") from None

    def running(self, *names, seconds=120):
        for name in names:
            try:
                self.cluster.kubectl("-n", self.space, "wait", "--for=condition=Ready", f"pod/{name}", f"--timeout={seconds * PATIENCE:.0f}s", timeout=seconds + 10)
            except Refused as refused:
                claims = self.cluster.get("pvc", "-n", self.space)["items"]
                told = [self.events("Pod", name)] + [self.events("PersistentVolumeClaim", c["metadata"]["name"]) for c in claims]
                raise AssertionError(f"{refused}\n" + "\n".join(told)) from None

    def start(self, name, size="64Mi", node=None, script="exec sleep 1000000", **more):
        """A claim and a pod of the same name, running."""
        fields = {k: more.pop(k) for k in ("storage_class", "access", "mode") if k in more}
        self.apply(claim(name, size, **fields), pod(name, [name], node=node, script=script, **more))
        self.running(name)

    def volume_of(self, claim_name):
        bound = self.cluster.get("pvc", claim_name, "-n", self.space)["spec"]["volumeName"]
        return self.cluster.get("pv", bound)["spec"]["csi"]["volumeHandle"]

    def assert_wrote_on(self, name, longest=8.0):
        """The pod of WRITER never failed, never restarted, and never waited longer than this for a write."""
        state = self.cluster.get("pod", name, "-n", self.space)["status"]["containerStatuses"][0]
        self.assertEqual(state["restartCount"], 0, self.cluster.kubectl("-n", self.space, "logs", name))
        self.assertIn("running", state["state"])
        lines = [line.split() for line in self.shell(name, "cat /data/log").splitlines()]
        self.assertEqual([int(n) for n, _ in lines], list(range(1, len(lines) + 1)))
        times = [float(t) for _, t in lines]
        gap = max((b - a for a, b in zip(times, times[1:])), default=0)
        self.assertLess(gap, longest * PATIENCE, f"a write waited {gap} s")
        return len(lines)
