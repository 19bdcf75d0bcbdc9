"""Gangs and their volumes: all of them or none. The cluster has no GPUs here: gangs with GPUs are in gpus.py."""
import json
import os
import subprocess
import tempfile

from case import Case
from cluster import MI, ROOT, quantity

KIND = "compositions.ashlar.dev"
# Definitions of schedulers of gangs: Go modules with the sums of the Go checksum database, and the file in them.
DEFINITIONS = {
    "podgroups.scheduling.x-k8s.io": ("sigs.k8s.io/scheduler-plugins@v0.32.7", "h1:fGr4JKraaTe6it4PIqUlXStfctFKYxJgYkDsiU6699o=",
                                      "config/crd/bases/scheduling.x-k8s.io_podgroups.yaml"),
    "podgroups.scheduling.run.ai": ("github.com/NVIDIA/KAI-scheduler@v0.12.0", "h1:3rhB0TdbJYNgOiZ6E0cAa+VJnr4srhoigJI/PkY85vI=",
                                    "deployments/kai-scheduler/crds/scheduling.run.ai_podgroups.yaml"),
}


def file_of_module(module, expected, file):
    go = os.path.join(subprocess.run([f"{ROOT}/test/lab/cluster/build.sh", "--go"], check=True, capture_output=True, text=True).stdout.strip(), "go")
    with tempfile.TemporaryDirectory() as empty:
        told = subprocess.run([go, "mod", "download", "-json", module], cwd=empty, capture_output=True, text=True,
                              env={**os.environ, "GOFLAGS": "-mod=mod", "GO111MODULE": "on"})
    if told.returncode:
        raise RuntimeError(f"cannot fetch the Go module {module}: {told.stderr}{told.stdout}")
    got = json.loads(told.stdout)
    if got["Sum"] != expected:
        raise RuntimeError(f"Go module {module} has sum {got['Sum']}, pinned is {expected}")
    return os.path.join(got["Dir"], file)


def composition(name, replicas, size, ttl=600, **spec):
    member = {"name": "worker", "replicas": replicas, "volumes": [{"name": "data", "size": size, "pool": "gang"}]}
    return {"apiVersion": "ashlar.dev/v1alpha1", "kind": "Composition", "metadata": {"name": name},
            "spec": {"subdomain": "gang", "members": [member], "reservation": {"ttlSeconds": ttl}, **spec}}


def worker(gang, index):
    """The pod of a member. Nothing but its claim says where it runs."""
    name = f"{gang}-worker-{index}"
    rank = {"name": "PET_NODE_RANK", "valueFrom": {"configMapKeyRef": {"name": f"{gang}-gang", "key": f"worker-{index}.rank"}}}
    container = {"name": "main", "image": "busybox:1.36", "env": [rank], "envFrom": [{"configMapRef": {"name": f"{gang}-gang"}}],
                 "command": ["sh", "-c", "echo $PET_NODE_RANK of $PET_NNODES, first $PET_MASTER_ADDR > /data/me; exec sleep 1000000"],
                 "volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"terminationGracePeriodSeconds": 1, "automountServiceAccountToken": False, "hostname": name, "subdomain": "gang",
                     "containers": [container],
                     "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": f"{name}-data"}}]}}


class Compositions(Case):
    @classmethod
    def setUpClass(cls):
        for name, source in DEFINITIONS.items():
            cls.cluster.kubectl("apply", "-f", file_of_module(*source))
            cls.addClassCleanup(cls.cluster.kubectl, "delete", "crd", name, "--timeout=60s")
            cls.cluster.kubectl("wait", "--for=condition=Established", f"crd/{name}", "--timeout=60s")

    def setUp(self):
        super().setUp()
        self.cluster.apply({"apiVersion": "ashlar.dev/v1alpha1", "kind": "Pool", "metadata": {"name": "gang"},
                            "spec": {"directory": {"path": "/var/lib/ashlar/pools/gang", "capacity": "1Gi"}}})
        self.cluster.until("both nodes have the pool", lambda: len(self.free()) == 2)

    def tearDown(self):
        self.cluster.kubectl("-n", self.space, "delete", "pods", "--all", "--timeout=90s")
        self.cluster.kubectl("-n", self.space, "delete", KIND, "--all", "--timeout=90s")
        super().tearDown()
        self.cluster.kubectl("delete", "pool", "gang", "--timeout=90s")

    def free(self):
        nodes = self.cluster.get("pool", "gang").get("status", {}).get("nodes", [])
        return {n["node"]: quantity(n["allocatable"]) for n in nodes if n.get("allocatable")}

    def condition(self, name, kind):
        found = self.cluster.get(KIND, name, "-n", self.space).get("status", {}).get("conditions", [])
        return next((c for c in found if c["type"] == kind), {"status": "", "reason": "", "message": ""})

    def await_condition(self, name, kind, status, reason):
        try:
            self.cluster.until(f"{name} is {kind}={status}",
                               lambda: (c := self.condition(name, kind))["status"] == status and c["reason"] == reason)
        except AssertionError as why:
            raise AssertionError(f"{why}: {self.cluster.get(KIND, name, '-n', self.space).get('status')}") from None

    def made(self):
        of_gangs = lambda kind: [o["metadata"]["name"] for o in self.cluster.get(kind, "-A", "-l", "ashlar.dev/composition-uid")["items"]]
        return [name for kind in ("pvc", "pv", "volumes.ashlar.dev", "configmaps", "resourceclaims", *DEFINITIONS) for name in of_gangs(kind)]

    def test_four_members_on_two_nodes_run_where_their_bytes_are(self):
        self.apply(composition("train", 4, "400Mi", gangScheduler="Coscheduling"), composition("small", 1, "32Mi", gangScheduler="KAI", queue="gpus"),
                   composition("other", 1, "32Mi", gangScheduler="Volcano"))
        self.await_condition("train", "Ready", "True", "Ready")
        self.expect_told()
        members = self.cluster.get(KIND, "train", "-n", self.space)["status"]["members"]
        self.assertEqual([m["node"] for m in members], ["node-1", "node-1", "node-2", "node-2"])
        self.assertEqual([m["rank"] for m in members], [0, 1, 2, 3])
        self.apply(*[worker("train", i) for i in range(4)])
        self.running(*[f"train-worker-{i}" for i in range(4)])
        for i, member in enumerate(members):
            pod = self.cluster.get("pod", f"train-worker-{i}", "-n", self.space)
            self.assertEqual(pod["spec"]["nodeName"], member["node"])
            told = lambda i=i: self.shell(f"train-worker-{i}", "cat /data/me").strip()
            self.cluster.until("the pod knows its rank", lambda: told() == f"{i} of 4, first train-worker-0.gang")
        self.await_condition("train", "Ready", "True", "InUse")
        self.cluster.kubectl("-n", self.space, "delete", "pods", "--all", "--timeout=90s")
        self.cluster.kubectl("-n", self.space, "delete", KIND, "--all", "--timeout=90s")
        self.assertEqual(self.made(), [])
        self.assertEqual(self.cluster.leftovers(), {})

    def expect_told(self):
        """The API server took what is for the schedulers that are installed."""
        for name, kind, members in (("train", "podgroups.scheduling.x-k8s.io", 4), ("small", "podgroups.scheduling.run.ai", 1)):
            self.await_condition(name, "SchedulerTold", "True", "Told")
            group = self.cluster.get(kind, name, "-n", self.space)
            self.assertEqual(group["spec"]["minMember"], members)
            self.assertEqual(group["metadata"]["ownerReferences"][0]["name"], name)
        self.assertEqual(group["spec"]["queue"], "gpus")
        self.await_condition("other", "SchedulerTold", "False", "NotInstalled")

    def test_one_that_cannot_fit_is_refused_and_says_what_would(self):
        self.apply(composition("huge", 5, "400Mi"))
        self.await_condition("huge", "Ready", "False", "NoRoom")
        said = lambda: self.condition("huge", "Ready")["message"]
        expected = lambda: ("4 of 5 members fit. Node node-1 and 1 alike, after 2 of worker: data: 400Mi of pool gang: no drive has so "
                            f"much left; largest data that fits: {min(self.free().values()) // MI - 800}Mi.")
        try:  # the agents tell of a new pool one after the other
            self.cluster.until("the refusal is that, word for word", lambda: said() == expected())
        except AssertionError as why:
            raise AssertionError(f"{why}: {said()}") from None
        self.assertEqual(self.made(), [])

    def test_an_expired_reservation_frees_everything(self):
        self.apply(composition("idle", 4, "400Mi", ttl=5))
        self.await_condition("idle", "Released", "True", "Expired")
        self.assertEqual(self.made(), [])
        self.cluster.until("the bytes are back", lambda: not self.cluster.leftovers())
