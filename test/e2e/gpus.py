"""GPUs in the cluster: parts of them beside bytes of a drive in one claim, GPUPartitions, and what is wrong with a device."""
import concurrent.futures
import json
import time

from case import Case
from cluster import MI, pod
from gpu_tree import NVIDIA_CAPS, SETTINGS, GpuNode

GPU, NVME = "gpu.ashlar.dev", "nvme.ashlar.dev"
XID, RECOVERY = 0x8, 0x8000  # nvmlEventType*
PART = f'device.attributes["{GPU}"].type == "mig" && device.attributes["{GPU}"].profile == "1g.10gb"'
# 7 of 1g.10gb are a whole GPU.
PER_GPU = 7


def template(name, gpu_selector):
    """One part of a GPU and bytes of a drive at the same PCI root."""
    config = {"apiVersion": "ashlar.dev/v1alpha1", "kind": "VolumeConfig", "path": "/scratch"}
    return {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate", "metadata": {"name": name}, "spec": {"spec": {"devices": {
        "requests": [{"name": "gpu", "exactly": {"deviceClassName": GPU, "selectors": [{"cel": {"expression": gpu_selector}}]}},
                     {"name": "data", "exactly": {"deviceClassName": NVME, "capacity": {"requests": {"storage": "96Mi"}}}}],
        "constraints": [{"requests": ["gpu", "data"], "matchAttribute": "resource.kubernetes.io/pcieRoot"}],
        "config": [{"requests": ["data"], "opaque": {"driver": NVME, "parameters": config}}]}}}}


def claim_of_part(name, gpu):
    return {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": {"name": name}, "spec": {"devices": {"requests": [
        {"name": "gpu", "exactly": {"deviceClassName": GPU, "selectors": [{"cel": {"expression": f'{PART} && device.attributes["{GPU}"].parentUUID == "{gpu}"'}}]}}]}}}


def user_of(name, claims, **more):
    """A pod with claims: names of its own to {"resourceClaimName": ...} or {"resourceClaimTemplateName": ...}."""
    made = pod(name, **more)
    made["spec"]["resourceClaims"] = [{"name": key, **claim} for key, claim in claims.items()]
    made["spec"]["containers"][0]["resources"] = {"claims": [{"name": key} for key in claims]}
    return made


def partition(name, node):
    return {"apiVersion": "ashlar.dev/v1alpha1", "kind": "GPUPartition", "metadata": {"name": name}, "spec": {
        "profile": "1g.10gb", "nodeSelector": {"matchLabels": {"kubernetes.io/hostname": f"node-{node}"}}}}


class Gpus(Case):
    @classmethod
    def setUpClass(cls):
        cluster = cls.cluster
        cls.trees = {node: GpuNode(cluster, node) for node in cluster.nodes}
        for tree in cls.trees.values():
            cls.addClassCleanup(tree.remove)
        cls.addClassCleanup(cluster.install)  # without GPUs
        cluster.install(*SETTINGS)
        for node in cluster.nodes:
            cls.own(f"node-{node}", "Manage")
            cls.addClassCleanup(cls.own, f"node-{node}", "Observe")
        cluster.apply({"apiVersion": "ashlar.dev/v1alpha1", "kind": "Pool", "metadata": {"name": "beside"},
                       "spec": {"devices": {"paths": [tree.drive for tree in cls.trees.values()]}}})
        cls.addClassCleanup(cluster.kubectl, "delete", "pool/beside", "--timeout=60s")
        cluster.kubectl("wait", "--for=condition=Ready", "pool/beside", "--timeout=60s")
        cluster.until("GPUs and drives of both nodes are offered", lambda: all(
            cls.devices(GPU, node) and cls.devices(NVME, node) for node in cluster.nodes))

    @classmethod
    def own(cls, node, ownership):
        cls.cluster.kubectl("patch", "nodeinventory", node, "--type=merge", "-p", '{"spec": {"gpuOwnership": "%s"}}' % ownership)

    @classmethod
    def slices(cls, driver, node):
        return [s["spec"] for s in cls.cluster.get("resourceslices")["items"] if (s["spec"]["driver"], s["spec"]["pool"]["name"]) == (driver, f"node-{node}")]

    @classmethod
    def devices(cls, driver, node):
        """{name: device} of what is offered."""
        return {d["name"]: d for s in cls.slices(driver, node) for d in s.get("devices", [])}

    @classmethod
    def offered(cls):
        """All that is offered on both nodes: devices with their capacities, and the counters that parts share."""
        return {(driver, node): (cls.devices(driver, node), [s.get("sharedCounters") for s in cls.slices(driver, node)])
                for driver in (GPU, NVME) for node in cls.trees}

    def taints(self, driver, node, within=""):
        """{key: value} of the taints of the node's devices whose name has the words; each of them has all."""
        found = [{t["key"]: t.get("value", "") for t in device.get("taints", [])} for name, device in self.devices(driver, node).items() if within in name]
        return found[0] if found and all(taints == found[0] for taints in found) else {"devices": found}

    def leftovers(self):
        return [f"node-{node}: {left}" for node, tree in self.trees.items() for left in tree.leftovers()]

    def expect_nothing(self):
        self.cluster.until("nothing is left of claims", lambda: not self.leftovers() and not self.cluster.leftovers())
        self.assertEqual(self.cluster.get("resourceclaims", "-n", self.space)["items"], [])
        self.assertEqual(self.cluster.get("volumes.ashlar.dev")["items"], [])

    def tearDown(self):
        self.cluster.kubectl("-n", self.space, "delete", "pods,gpupartitions,compositions,resourceclaims,resourceclaimtemplates", "--all", "--timeout=120s", timeout=150)
        super().tearDown()

    def test_the_tree_is_told_and_devices_have_their_places_in_it(self):
        for node, tree in self.trees.items():
            status = self.cluster.get("nodeinventory", f"node-{node}")["status"]
            self.assertEqual({g["uuid"]: (g["pcieRoot"], g.get("pcieSwitch")) for g in status["gpus"]},
                             {tree.far: ("pci0000:80", None), tree.near: ("pci0000:40", "0000:41:00.0")})
            (drive,) = self.devices(NVME, node).values()
            self.assertEqual(drive["attributes"]["resource.kubernetes.io/pcieRoot"], {"string": "pci0000:40"})
            self.assertEqual(drive["attributes"]["ashlar.dev/pcieSwitch"], {"string": "0000:41:00.0"})
            self.assertEqual(drive["attributes"]["drive"], {"string": tree.drive})

    def test_a_pod_gets_a_part_of_a_gpu_and_bytes_of_a_drive_at_its_root(self):
        before = self.offered()
        self.apply(template("near", PART), user_of("user", {"both": {"resourceClaimTemplateName": "near"}}))
        self.running("user")
        (claim,) = self.cluster.get("resourceclaims", "-n", self.space)["items"]
        got = {r["request"]: r for r in claim["status"]["allocation"]["devices"]["results"]}
        self.assertEqual({r: d["driver"] for r, d in got.items()}, {"gpu": GPU, "data": NVME})
        node = int(self.cluster.get("pod", "user", "-n", self.space)["spec"]["nodeName"].split("-")[1])
        tree = self.trees[node]
        # The scheduler meets the far GPU first; the drive is at the near one's root.
        self.assertEqual(self.devices(GPU, node)[got["gpu"]["device"]]["attributes"]["parentUUID"], {"string": tree.near})
        far, near = tree.gpus()
        self.assertEqual(far["mig"]["instances"], [])
        (instance,) = near["mig"]["instances"]
        self.assertEqual(self.shell("user", "echo $NVIDIA_VISIBLE_DEVICES").strip(), instance["compute"][0]["uuid"])
        # What CDI tells the runtime: nodes of the GPU, of all GPUs, and the two that let programs use the instance.
        first = 2 * (15 + instance["id"]) + 3
        wanted = {"/dev/nvidia1": (195, 1), "/dev/nvidiactl": (195, 255),
                  **{f"/dev/nvidia-caps/nvidia-cap{n}": (NVIDIA_CAPS, n) for n in (first, first + 1)}}
        seen = self.shell("user", "find /dev -name 'nvidia*' -type c | while read f; do echo $f $(stat -c '%t %T' $f); done")
        self.assertEqual({line.split()[0]: tuple(int(n, 16) for n in line.split()[1:]) for line in seen.splitlines()}, wanted)
        self.assertEqual(self.shell("user", "echo $ASHLAR_VOLUME_DATA").strip(), "/scratch")
        self.shell("user", "dd if=/dev/urandom of=/scratch/file bs=1M count=8 2>/dev/null; sync")
        size = int(self.shell("user", "df -k /scratch | tail -1 | awk '{print $2}'")) * 1024
        self.assertTrue(70 * MI < size <= 96 * MI, size)
        (volume,) = self.cluster.get("volumes.ashlar.dev")["items"]
        self.assertEqual((volume["spec"]["drive"], volume["spec"]["nodeName"]), (tree.drive, f"node-{node}"))
        self.assertTrue(tree.leftovers())
        # There is no drive at the root of the far GPU of any node.
        self.apply(template("far", f"{PART} && device.attributes[\"{GPU}\"].parentUUID in {[t.far for t in self.trees.values()]}"),
                   user_of("nowhere", {"both": {"resourceClaimTemplateName": "far"}}))
        self.wait_event("Pod", "nowhere", "FailedScheduling", "cannot allocate all claims")
        self.delete("pod/nowhere")
        self.delete("pod/user")
        self.cluster.until("the claims went with their pods", lambda: not self.cluster.get("resourceclaims", "-n", self.space)["items"])
        self.expect_nothing()
        self.cluster.until("as much is offered as before", lambda: self.offered() == before)

    def test_a_gang_gets_parts_and_bytes_near_them_on_both_nodes(self):
        kind = "compositions.ashlar.dev"
        # Two of the volumes are more than a drive has.
        member = {"name": "worker", "replicas": 2, "gpus": [{"name": "gpu", "profile": "1g.10gb"}],
                  "volumes": [{"name": "data", "size": "1200Mi", "pool": "beside"}], "constraints": [{"requests": ["gpu", "data"], "level": "Switch"}]}
        self.apply({"apiVersion": "ashlar.dev/v1alpha1", "kind": "Composition", "metadata": {"name": "gang"}, "spec": {"members": [member]}})
        self.cluster.kubectl("-n", self.space, "wait", "--for=condition=Ready", f"{kind}/gang", "--timeout=120s", timeout=150)
        members = self.cluster.get(kind, "gang", "-n", self.space)["status"]["members"]
        self.assertEqual([m["node"] for m in members], ["node-1", "node-2"])
        pods = []
        for m, tree in zip(members, self.trees.values()):
            self.assertEqual((m["gpus"][0]["gpu"], m["volumes"][0]["drive"], m["achievedLevels"]), (tree.near, tree.drive, ["Switch"]))
            made = pod(f"gang-{m['name']}", [m["volumes"][0]["claimName"]])
            made["spec"]["resourceClaims"] = [{"name": "gpu", "resourceClaimName": m["resourceClaimName"]}]
            made["spec"]["containers"][0]["resources"] = {"claims": [{"name": "gpu"}]}
            pods.append(made)
        self.apply(*pods)
        self.running(*[made["metadata"]["name"] for made in pods])
        for m, tree in zip(members, self.trees.values()):
            (instance,) = tree.instances()
            name = f"gang-{m['name']}"
            self.assertEqual(self.cluster.get("pod", name, "-n", self.space)["spec"]["nodeName"], m["node"])
            self.assertEqual(self.shell(name, "echo $NVIDIA_VISIBLE_DEVICES").strip(), instance["compute"][0]["uuid"])
            size = int(self.shell(name, "echo gang > /data/file; df -k /data | tail -1 | awk '{print $2}'")) * 1024
            self.assertTrue(1000 * MI < size <= 1200 * MI, size)
        self.expect_degraded_and_healed(kind, members[0])
        for made in pods:
            self.delete(f"pod/{made['metadata']['name']}")
        self.delete(f"{kind}/gang")
        self.expect_nothing()
        self.assertEqual(self.cluster.get("pvc,configmaps", "-n", self.space, "-l", "ashlar.dev/composition-uid")["items"], [])
        self.assertEqual(self.cluster.get("pv", "-l", "ashlar.dev/composition-uid")["items"], [])

    def expect_degraded_and_healed(self, kind, member):
        tree = self.trees[int(member["node"].split("-")[1])]
        said = lambda: next((c["status"], c.get("message", "")) for c in self.cluster.get(kind, "gang", "-n", self.space)["status"]["conditions"] if c["type"] == "Degraded")
        where = f"{member['name']} on node {member['node']}: GPU {tree.near}: "
        tree.change("event", 1, XID, 79)
        self.cluster.until("the XID makes the gang degraded", lambda: said() == ("True", where + "XID 79"))
        tree.change("gpu", 1, '{"recovery": 1}')
        tree.change("event", 1, RECOVERY)
        self.cluster.until("so does the driver's wish", lambda: said() == ("True", where + "it needs Reset"))
        tree.change("gpu", 1, '{"recovery": 0}')
        tree.change("event", 1, RECOVERY)
        self.cluster.until("the gang is healed", lambda: said() == ("False", ""))

    def test_two_hundred_partitions_leave_nothing(self):
        """The first wave fills all GPUs and is used by pods; the others are promised places, and go unused. That parts are made and
        removed 200 times is shown by partition_crash_test."""
        total, wave, began = 200, 0, time.monotonic()
        while total > 0:
            made = {node: [f"part-{wave}-{node}-{i}" for i in range(min(2 * PER_GPU, total // 2))] for node in self.trees}
            total -= sum(map(len, made.values()))
            self.apply(*[partition(name, node) for node, names in made.items() for name in names])
            self.allocated()
            if wave == 0:
                self.use(made)
            self.cluster.kubectl("-n", self.space, "delete", "pods,gpupartitions", "--all", "--timeout=120s", timeout=150)
            self.cluster.until("no part is left", lambda: not any(tree.instances() for tree in self.trees.values()))
            wave += 1
        print(f"      200 GPUPartitions in {wave} waves, {time.monotonic() - began:.0f} s")
        self.cluster.until("the claims went with them", lambda: not self.cluster.get("resourceclaims", "-n", self.space)["items"])
        self.expect_nothing()

    def allocated(self):
        self.cluster.kubectl("-n", self.space, "wait", "--for=condition=Allocated", "gpupartitions", "--all", "--timeout=120s", timeout=150)

    def use(self, made):
        """A pod on each node uses all parts that it has."""
        self.apply(*[user_of(f"user-{node}", {name: {"resourceClaimName": name} for name in names}, node=node) for node, names in made.items()])
        self.running(*[f"user-{node}" for node in made])
        for node, names in made.items():
            instances = self.trees[node].instances()
            self.assertEqual(len(instances), len(names))
            visible = {i["compute"][0]["uuid"] for i in instances}
            self.assertIn(self.shell(f"user-{node}", "echo $NVIDIA_VISIBLE_DEVICES").strip(), visible)
            # The variable is of one claim; what the container toolkit reads besides it is of all.
            self.assertEqual(set(self.shell(f"user-{node}", "ls /var/run/nvidia-container-devices").split()), visible)

    # A change, as records of the agent and the driver tell which step of it is under way: the driver's call that then hangs, and
    # (the GPU is divided, phase of the record, instances, compute instances).
    MAKING = [("nvmlDeviceSetMigMode", (0, None, 0, 0)),
              ("nvmlDeviceCreateGpuInstanceWithPlacement", (1, "making", 0, 0)),
              ("nvmlGpuInstanceCreateComputeInstance", (1, "makingCompute", 1, 0))]
    REMOVING = [("nvmlComputeInstanceDestroy", (1, "removing", 1, 1)),
                ("nvmlGpuInstanceDestroy", (1, "removing", 1, 0)),
                ("nvmlDeviceSetMigMode", (1, None, 0, 0))]

    def step(self, tree):
        """Where the change of the near GPU is; None: nothing is recorded."""
        script = "for f in /var/lib/ashlar/journal/gpu-partitions/*.json; do tr -d '\\0\\n' <$f; echo; done 2>/dev/null; true"
        records = [json.loads(line) for line in self.cluster.on_node(tree.node, "bash", "-c", script).split("\n") if line.strip()]
        if not records:
            return None
        mig = tree.gpus()[1]["mig"]
        phases = [record["phase"] for record in records if "phase" in record]
        return (int(mig["current"]), *(phases or [None]), len(mig["instances"]), sum(len(i["compute"]) for i in mig["instances"]))

    def kill_at(self, tree, user, call, step):
        tree.change("set", json.dumps({"hang": [call]}))

        def reached():
            # The kubelet tries again when something of the pod changes, and not only after ten seconds. In the end the pod is gone.
            if self.cluster.find("pod", user, "-n", self.space):
                self.cluster.kubectl("-n", self.space, "annotate", "--overwrite", f"pod/{user}", f"tried={time.monotonic()}")
            return self.step(tree) == step
        self.cluster.until(f"the change is in {call}, {step}", reached, every=0.5)
        self.cluster.kill("ashlar-node-agent", tree.node)

    def change_with_kills(self, node, making, removing):
        tree, user = self.trees[node], f"user-{node}"
        self.cluster.until("nothing is left of changes before", lambda: self.step(tree) is None)
        if making:
            tree.change("set", json.dumps({"hang": [making[0][0]]}))
        self.apply(claim_of_part(f"part-{node}", tree.near), user_of(user, {"gpu": {"resourceClaimName": f"part-{node}"}}, node=node))
        for call, step in making:
            self.kill_at(tree, user, call, step)
        tree.change("set", '{"hang": []}')
        self.running(user)
        (instance,) = tree.instances()
        self.assertEqual(self.shell(user, "echo $NVIDIA_VISIBLE_DEVICES").strip(), instance["compute"][0]["uuid"])
        if removing:
            tree.change("set", json.dumps({"hang": [removing[0][0]]}))
        self.cluster.kubectl("-n", self.space, "delete", f"pod/{user}", "--wait=false")
        for call, step in removing:
            self.kill_at(tree, user, call, step)
        tree.change("set", '{"hang": []}')
        self.cluster.kubectl("-n", self.space, "wait", "--for=delete", f"pod/{user}", "--timeout=120s", timeout=150)
        self.delete(f"resourceclaim/part-{node}")

    def test_agents_that_are_killed_in_each_step_of_a_change_leave_nothing(self):
        """On one node while a part is made, on the other while one is removed."""
        began = time.monotonic()
        try:
            with concurrent.futures.ThreadPoolExecutor() as nodes:
                for change in [nodes.submit(self.change_with_kills, 1, self.MAKING, []), nodes.submit(self.change_with_kills, 2, [], self.REMOVING)]:
                    change.result()
        finally:
            for tree in self.trees.values():
                tree.change("set", '{"hang": []}')
        print(f"      killed in {len(self.MAKING + self.REMOVING)} steps, {time.monotonic() - began:.0f} s")
        self.expect_nothing()

    def test_a_gpu_with_an_xid_is_tainted_until_it_has_recovered(self):
        tree = self.trees[1]
        near = tree.near.lower()[4:17]  # gpu-UUID and mig-UUID-… have the first words of it
        self.assertEqual(self.taints(GPU, 1), {})
        tree.change("event", 1, XID, 79)
        self.cluster.until("the XID is a taint", lambda: self.taints(GPU, 1, near) == {"ashlar.dev/gpu-xid": "79"})
        tree.change("gpu", 1, '{"recovery": 1}')
        tree.change("event", 1, RECOVERY)
        self.cluster.until("the driver's wish is a taint", lambda: self.taints(GPU, 1, near) == {"ashlar.dev/gpu-recovery": "Reset"})
        self.assertEqual(self.taints(GPU, 1, tree.far.lower()[4:17]), {})
        # Claims get nothing of it.
        self.apply(claim_of_part("one", tree.near), user_of("waits", {"gpu": {"resourceClaimName": "one"}}))
        self.wait_event("Pod", "waits", "FailedScheduling", "cannot allocate all claims")
        tree.change("gpu", 1, '{"recovery": 0}')
        tree.change("event", 1, RECOVERY)
        self.cluster.until("the taint is gone", lambda: self.taints(GPU, 1, near) == {})
        self.running("waits")

    def test_a_drive_that_is_pulled_is_tainted_until_it_is_back(self):
        tree = self.trees[2]
        before = self.devices(NVME, 2)
        tree.pull()
        self.cluster.until("the missing drive is tainted", lambda: self.taints(NVME, 2) == {"ashlar.dev/drive-missing": ""})
        self.assertEqual(self.taints(NVME, 1), {})
        told = lambda: {c["type"]: c["status"] for c in self.cluster.get("pool", "beside")["status"]["conditions"]}
        self.cluster.until("the pool says so", lambda: told()["Ready"] == "False")
        tree.plug()
        self.cluster.until("the taint is gone", lambda: self.devices(NVME, 2) == before)
        self.cluster.until("the pool is ready again", lambda: told()["Ready"] == "True")
        self.apply(template("near", PART), user_of("user", {"both": {"resourceClaimTemplateName": "near"}}, node=2))
        self.running("user")
        self.delete("pod/user")
