#!/usr/bin/env python3
"""The Helm chart, linted and rendered without a cluster. What only a cluster can show is in test/e2e."""
import base64
import json
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "test"))
import summary  # noqa: E402

CHART = os.path.join(ROOT, "charts/ashlar")
BIN = os.path.join(os.environ.get("ASHLAR_CACHE", os.path.expanduser("~/.cache/ashlar")), "cluster/bin")
NAMESPACE = "storage"


def run(*argv, stdin=None):
    return subprocess.run(argv, input=stdin, capture_output=True, text=True, env={**os.environ, "KUBECONFIG": "/dev/null"})


def template(*settings):
    argv = [BIN + "/helm", "template", "ashlar", CHART, "--namespace", NAMESPACE]
    for setting in settings:
        argv += ["--set-json" if "={" in setting or "=[" in setting else "--set", setting]
    return run(*argv)


def render(*settings):
    """The objects that the chart makes."""
    text = template(*settings)
    if text.returncode:
        raise AssertionError(text.stderr)
    # kubectl turns YAML into JSON and refuses what no kind of Kubernetes has; the label is not looked at.
    answer = run(BIN + "/kubectl", "label", "--local", "-f", "-", "read=yes", "-o", "json", stdin=text.stdout)
    if answer.returncode:
        raise AssertionError(answer.stderr)
    decoder, objects, rest = json.JSONDecoder(), [], answer.stdout.strip()
    while rest:
        value, end = decoder.raw_decode(rest)
        objects += value["items"] if value["kind"] == "List" else [value]
        rest = rest[end:].strip()
    return objects


def pick(objects, kind, suffix=""):
    found = [o for o in objects if o["kind"] == kind and o["metadata"]["name"].endswith(suffix)]
    if len(found) != 1:
        raise AssertionError(f"{len(found)} objects of kind {kind} with a name that ends with {suffix!r}")
    return found[0]


def pod_of(workload):
    return workload["spec"]["template"]["spec"]


def container(pod, name):
    return next(c for c in pod["containers"] if c["name"] == name)


class Rendering(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.objects = render()
        cls.controller = pod_of(pick(cls.objects, "Deployment"))
        cls.node = pod_of(pick(cls.objects, "DaemonSet"))

    def test_lint_finds_nothing(self):
        answer = run(BIN + "/helm", "lint", "--strict", CHART)
        self.assertEqual(answer.returncode, 0, answer.stdout + answer.stderr)

    def test_everything_namespaced_is_in_the_release_namespace(self):
        cluster_wide = {"CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding", "StorageClass", "CSIDriver",
                        "DeviceClass"}
        for o in self.objects:
            if o["kind"] not in cluster_wide:
                self.assertEqual(o["metadata"].get("namespace"), NAMESPACE, o["metadata"]["name"])

    def test_devices_are_offered_with_no_right_to_change_a_claim(self):
        self.assertEqual({o["metadata"]["name"] for o in self.objects if o["kind"] == "DeviceClass"},
                         {"nvme.ashlar.dev", "volume.nvme.ashlar.dev", "gpu.ashlar.dev"})
        self.assertIn("--dra=true", container(self.controller, "ashlar-controller")["args"])
        rules = [r for r in pick(self.objects, "ClusterRole")["rules"] if r["apiGroups"] == ["resource.k8s.io"]]
        changed = {resource for r in rules for resource in r["resources"] if set(r["verbs"]) - {"get", "list", "watch"}}
        self.assertEqual(changed, {"resourceslices", "resourceclaims", "resourceclaims/status", "resourceclaims/driver"})
        # What a server of 1.36 asks for besides, for the status of each driver's devices; an older one knows no such verb.
        (of_driver,) = [r for r in rules if r["resources"] == ["resourceclaims/driver"]]
        self.assertEqual((of_driver["verbs"], of_driver["resourceNames"]), (["arbitrary-node:update"], ["nvme.ashlar.dev", "gpu.ashlar.dev"]))
        objects = render("dra.enabled=false")
        self.assertFalse([o for o in objects if o["kind"] == "DeviceClass"])
        self.assertFalse([r for r in pick(objects, "ClusterRole")["rules"] if r["apiGroups"] == ["resource.k8s.io"]])
        self.assertIn("--dra=false", container(pod_of(pick(objects, "Deployment")), "ashlar-controller")["args"])

    def test_zone_and_region_come_from_the_node_unless_they_are_set(self):
        args = container(self.node, "ashlar-csi")["args"]
        self.assertIn("--topology=topology.kubernetes.io/zone=$(ZONE)", args)
        self.assertIn("--topology=topology.kubernetes.io/region=$(REGION)", args)
        self.assertNotIn("--volume-mount-group", args)
        env = {e["name"]: e["valueFrom"]["fieldRef"]["fieldPath"] for e in container(self.node, "ashlar-csi")["env"]}
        self.assertEqual(env, {"ZONE": "metadata.labels['topology.kubernetes.io/zone']",
                               "REGION": "metadata.labels['topology.kubernetes.io/region']"})
        objects = render('node.topology={"topology.kubernetes.io/zone": "b", "rack": "7"}', "csiDriver.volumeMountGroup=true")
        args = container(pod_of(pick(objects, "DaemonSet")), "ashlar-csi")["args"]
        self.assertEqual([a for a in args if a.startswith("--topology")],
                         ["--topology=topology.kubernetes.io/region=$(REGION)", "--topology=rack=7",
                          "--topology=topology.kubernetes.io/zone=b"])
        self.assertIn("--volume-mount-group", args)

    def test_only_the_agent_is_privileged(self):
        for pod in (self.controller, self.node, pick(self.objects, "Pod")["spec"]):
            for c in pod["containers"]:
                security = c["securityContext"]
                self.assertTrue(security["readOnlyRootFilesystem"], c["name"])
                if c["name"] == "ashlar-node-agent":
                    self.assertTrue(security["privileged"])
                else:
                    self.assertFalse(security.get("privileged", False), c["name"])
                    self.assertFalse(security["allowPrivilegeEscalation"], c["name"])
                    self.assertEqual(security["capabilities"], {"drop": ["ALL"]}, c["name"])
            self.assertFalse(pod.get("hostNetwork") or pod.get("hostPID") or pod.get("hostIPC"))

    def test_nothing_on_a_node_holds_credentials_of_the_cluster(self):
        self.assertIs(self.node["automountServiceAccountToken"], False)
        account = self.node["serviceAccountName"]
        self.assertIs(pick(self.objects, "ServiceAccount", account)["automountServiceAccountToken"], False)
        for o in self.objects:
            for subject in o.get("subjects", []):
                self.assertNotEqual(subject["name"], account)

    def test_the_csi_node_service_sees_only_its_sockets(self):
        mounts = {m["mountPath"] for m in container(self.node, "ashlar-csi")["volumeMounts"]}
        self.assertEqual(mounts, {"/run/ashlar", "/csi", "/registration"})

    def test_rights_are_named_one_by_one(self):
        for o in self.objects:
            for rule in o.get("rules", []):
                self.assertNotIn("*", rule["apiGroups"] + rule["resources"] + rule["verbs"])
                self.assertNotIn("secrets", rule["resources"])

    def test_the_agent_alone_reaches_the_control_groups_of_the_node(self):
        agent = container(self.node, "ashlar-node-agent")
        self.assertIn("--cgroup-root=/host/cgroup", agent["args"])
        self.assertEqual([m for m in agent["volumeMounts"] if m["name"] == "cgroup"], [{"name": "cgroup", "mountPath": "/host/cgroup"}])
        self.assertIn({"name": "cgroup", "hostPath": {"path": "/sys/fs/cgroup", "type": "Directory"}}, self.node["volumes"])
        self.assertNotIn("cgroup", [v["name"] for v in self.controller["volumes"]])

    def test_the_agent_serves_claims_unless_that_is_switched_off(self):
        agent = container(self.node, "ashlar-node-agent")
        self.assertIn("--kubelet-dir=/var/lib/kubelet", agent["args"])
        self.assertIn("--cdi-dir=/var/run/cdi", agent["args"])
        self.assertIn({"name": "cdi", "mountPath": "/var/run/cdi"}, agent["volumeMounts"])
        self.assertIn({"name": "cdi", "hostPath": {"path": "/var/run/cdi", "type": "DirectoryOrCreate"}}, self.node["volumes"])
        moved = pod_of(pick(render("kubeletDir=/var/lib/k0s/kubelet", "dra.cdiDir=/etc/cdi"), "DaemonSet"))
        self.assertIn("--kubelet-dir=/var/lib/k0s/kubelet", container(moved, "ashlar-node-agent")["args"])
        self.assertIn("--cdi-dir=/etc/cdi", container(moved, "ashlar-node-agent")["args"])
        off = pod_of(pick(render("dra.enabled=false"), "DaemonSet"))
        self.assertFalse([a for a in container(off, "ashlar-node-agent")["args"] if a.startswith(("--kubelet-dir", "--cdi-dir"))])
        self.assertNotIn("cdi", [v["name"] for v in off["volumes"]])

    def test_gpus_are_looked_for_where_their_driver_is_said_to_be(self):
        agent = container(self.node, "ashlar-node-agent")
        self.assertFalse([a for a in agent["args"] if a.startswith("--nvml-library")])
        self.assertNotIn("driver-root", [v["name"] for v in self.node["volumes"]])
        for root in ("/", "/run/nvidia/driver"):
            node = pod_of(pick(render(f"gpu.driverRoot={root}"), "DaemonSet"))
            agent = container(node, "ashlar-node-agent")
            self.assertIn("--nvml-library=/driver-root/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1", agent["args"])
            self.assertIn({"name": "driver-root", "mountPath": "/driver-root", "readOnly": True, "mountPropagation": "HostToContainer"}, agent["volumeMounts"])
            self.assertIn({"name": "driver-root", "hostPath": {"path": root, "type": "DirectoryOrCreate"}}, node["volumes"])
        self.assertNotEqual(template("gpu.driverRoot=run/nvidia").returncode, 0)

    def test_the_agent_gets_more_flags_and_variables(self):
        agent = container(pod_of(pick(render('node.extraArgs=["--one=1"]', 'node.extraEnv=[{"name": "TWO", "value": "2"}]'), "DaemonSet")), "ashlar-node-agent")
        self.assertEqual(agent["args"][-1], "--one=1")
        self.assertIn({"name": "TWO", "value": "2"}, agent["env"])

    def test_the_sidecars_may_read_attribute_classes(self):
        readable = {r for o in self.objects if o["kind"] == "ClusterRole" for rule in o["rules"]
                    if {"get", "list", "watch"} <= set(rule["verbs"]) for r in rule["resources"]}
        self.assertIn("volumeattributesclasses", readable)

    def test_mounts_of_the_agent_reach_the_node(self):
        mounts = {m["mountPath"]: m.get("mountPropagation") for m in container(self.node, "ashlar-node-agent")["volumeMounts"]}
        self.assertEqual(mounts["/var/lib/kubelet"], "Bidirectional")
        self.assertEqual(mounts["/var/lib/ashlar"], "Bidirectional")

    def test_controller_and_agents_find_each_other(self):
        workload = pick(self.objects, "DaemonSet")
        labels = workload["spec"]["template"]["metadata"]["labels"]
        self.assertEqual(labels["app.kubernetes.io/component"], "node-agent")
        ports = {p["name"]: p["containerPort"] for p in container(self.node, "ashlar-node-agent")["ports"]}
        self.assertEqual(ports["agent"], 9500)
        self.assertIn(f"--namespace={NAMESPACE}", container(self.controller, "ashlar-controller")["args"])

    def test_the_provisioner_reports_capacity_and_is_not_throttled(self):
        args = container(self.controller, "csi-provisioner")["args"]
        for wanted in ("--enable-capacity", "--extra-create-metadata", "--strict-topology", "--leader-election",
                       "--feature-gates=Topology=true", "--capacity-ownerref-level=2", "--worker-threads=100",
                       "--kube-api-qps=200", "--kube-api-capacity-qps=200"):
            self.assertIn(wanted, args)

    def test_the_driver_is_described_to_the_scheduler(self):
        spec = pick(self.objects, "CSIDriver", "csi.ashlar.dev")["spec"]
        self.assertTrue(spec["storageCapacity"])
        self.assertFalse(spec["attachRequired"])
        self.assertEqual(spec["fsGroupPolicy"], "File")
        # Without the pod's facts the kubelet does not say which volumes are inline ones.
        self.assertEqual((spec["volumeLifecycleModes"], spec["podInfoOnMount"]), (["Persistent", "Ephemeral"], True))

    def test_selectors_match_their_pods(self):
        for kind in ("Deployment", "DaemonSet"):
            spec = pick(self.objects, kind)["spec"]
            self.assertLessEqual(spec["selector"]["matchLabels"].items(), spec["template"]["metadata"]["labels"].items())
        budget = pick(self.objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"]
        self.assertLessEqual(budget.items(), pick(self.objects, "Deployment")["spec"]["template"]["metadata"]["labels"].items())

    def test_crds_are_those_of_the_repository_and_stay_on_uninstall(self):
        crds = [o for o in self.objects if o["kind"] == "CustomResourceDefinition"]
        self.assertEqual(len(crds), len(os.listdir(os.path.join(ROOT, "deploy/crds"))))
        for crd in crds:
            self.assertEqual(crd["metadata"]["annotations"]["helm.sh/resource-policy"], "keep")


class Settings(unittest.TestCase):
    def test_crds_may_be_left_out_or_be_removed_with_the_release(self):
        self.assertFalse([o for o in render("crds.install=false") if o["kind"] == "CustomResourceDefinition"])
        for o in render("crds.keep=false"):
            if o["kind"] == "CustomResourceDefinition":
                self.assertNotIn("helm.sh/resource-policy", o["metadata"].get("annotations", {}))

    def test_another_kubelet_folder_is_used_everywhere(self):
        text = template("kubeletDir=/var/lib/k0s/kubelet").stdout
        self.assertNotIn("/var/lib/kubelet", text)
        self.assertIn("--publish-root=/var/lib/k0s/kubelet\n", text)
        self.assertIn("--kubelet-endpoint=/var/lib/k0s/kubelet/plugins/csi.ashlar.dev/csi.sock", text)

    def test_further_directories_reach_the_agent_under_their_own_path(self):
        pod = pod_of(pick(render('node.directories=["/mnt/nvme0"]'), "DaemonSet"))
        self.assertIn("/mnt/nvme0", [m["mountPath"] for m in container(pod, "ashlar-node-agent")["volumeMounts"]])
        self.assertIn("/mnt/nvme0", [v["hostPath"]["path"] for v in pod["volumes"] if "hostPath" in v])
        allowed = [a for a in container(pod, "ashlar-node-agent")["args"] if a.startswith("--pool-directory=")]
        self.assertEqual(allowed, ["--pool-directory=/var/lib/ashlar", "--pool-directory=/mnt/nvme0"])

    def test_a_limit_of_volumes_reaches_the_agent(self):
        args = lambda *settings: container(pod_of(pick(render(*settings), "DaemonSet")), "ashlar-node-agent")["args"]
        self.assertIn("--max-volumes=2000000", args("node.maxVolumes=2000000"))
        self.assertNotIn("--max-volumes", " ".join(args()))

    def test_one_replica_has_no_disruption_budget(self):
        self.assertFalse([o for o in render("controller.replicas=1") if o["kind"] == "PodDisruptionBudget"])

    def test_names_of_another_release_hold_together(self):
        objects = render("fullnameOverride=other")
        self.assertEqual(pod_of(pick(objects, "Deployment"))["serviceAccountName"], "other-controller")
        pick(objects, "ServiceAccount", "other-controller")
        pick(objects, "Secret", "other-node-agent-tls")

    def test_a_storage_class_has_what_its_entry_says(self):
        objects = render('storageClasses=[{"name":"fast","pool":"nvme","fsType":"xfs","default":true,'
                         '"allowVolumeExpansion":false,"reclaimPolicy":"Retain","mountOptions":["noatime"]}]')
        made = pick(objects, "StorageClass", "fast")
        self.assertEqual(made["parameters"], {"pool": "nvme", "csi.storage.k8s.io/fstype": "xfs"})
        self.assertEqual(made["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"], "true")
        self.assertIs(made["allowVolumeExpansion"], False)
        self.assertEqual((made["reclaimPolicy"], made["mountOptions"]), ("Retain", ["noatime"]))
        self.assertEqual(made["volumeBindingMode"], "WaitForFirstConsumer")

    def test_maps_given_by_the_admin_arrive(self):
        objects = render('controller.podLabels={"team":"storage"}', 'node.podAnnotations={"note":"x"}',
                         'node.nodeSelector={"disk":"nvme"}', 'provisioner.extraArgs=["--v=5"]')
        self.assertEqual(pick(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]["team"], "storage")
        self.assertEqual(pick(objects, "DaemonSet")["spec"]["template"]["metadata"]["annotations"]["note"], "x")
        self.assertEqual(pod_of(pick(objects, "DaemonSet"))["nodeSelector"], {"disk": "nvme"})
        self.assertIn("--v=5", container(pod_of(pick(objects, "Deployment")), "csi-provisioner")["args"])

    def test_a_pod_monitor_scrapes_ports_that_exist(self):
        text = template("metrics.podMonitor.enabled=true").stdout
        monitor = text[text.index("kind: PodMonitor"):].split("---")[0]
        objects = render()
        ports = {p["name"] for kind in ("Deployment", "DaemonSet") for c in pod_of(pick(objects, kind))["containers"]
                 for p in c.get("ports", [])}
        for port in ("ops", "csi-ops", "provisioner", "resizer"):
            self.assertIn(f"port: {port},", monitor)
            self.assertIn(port, ports)

    def test_snapshot_metadata_gives_the_driver_the_certificate_and_sidecars_its_socket(self):
        def csi(*settings):
            pod = pod_of(pick(render(*settings), "Deployment"))
            return pod, container(pod, "ashlar-csi")
        _, without = csi()
        self.assertNotIn("--agent-tls-dir=/etc/ashlar/tls", without["args"])
        self.assertNotIn("tls", [m["name"] for m in without["volumeMounts"]])
        pod, with_it = csi("snapshotter.metadata=true", 'controller.extraContainers=[{"name":"mine","image":"x"}]')
        self.assertIn("--agent-tls-dir=/etc/ashlar/tls", with_it["args"])
        self.assertIn({"name": "tls", "mountPath": "/etc/ashlar/tls", "readOnly": True}, with_it["volumeMounts"])
        self.assertEqual(container(pod, "mine")["image"], "x")

    def test_misspelt_and_wrong_values_are_refused(self):
        for setting, named in (("controler.replicas=3", "controler"), ("controller.replicas=none", "replicas"),
                               ("logLevel=loud", "logLevel"), ("kubeletDir=var/lib/kubelet", "kubeletDir"),
                               ("tls.mode=none", "mode"), ("node.maxVolumes=-1", "maxVolumes"), ('storageClasses=[{"name":"x"}]', "pool"),
                               ('storageClasses=[{"name":"x","pool":"p","fsType":"ntfs"}]', "fsType")):
            answer = template(setting)
            self.assertNotEqual(answer.returncode, 0, setting)
            self.assertIn(named, answer.stderr, setting)


class Certificates(unittest.TestCase):
    def files(self, objects, suffix):
        return {k: base64.b64decode(v).decode() for k, v in pick(objects, "Secret", suffix)["data"].items()}

    def openssl(self, *argv, stdin=None):
        answer = run("openssl", *argv, stdin=stdin)
        self.assertEqual(answer.returncode, 0, answer.stderr)
        return answer.stdout

    def test_both_bear_their_name_and_come_from_one_ca_whose_key_is_forgotten(self):
        objects = render()
        secrets = {name: self.files(objects, f"{name}-tls") for name in ("controller", "node-agent")}
        self.assertEqual(secrets["controller"]["ca.crt"], secrets["node-agent"]["ca.crt"])
        self.assertNotEqual(secrets["controller"]["tls.key"], secrets["node-agent"]["tls.key"])
        for name, files in secrets.items():
            self.assertEqual(set(files), {"ca.crt", "tls.crt", "tls.key"})
            with tempfile.NamedTemporaryFile("w", suffix=".crt") as ca:
                ca.write(files["ca.crt"])
                ca.flush()
                self.assertIn("OK", self.openssl("verify", "-CAfile", ca.name, stdin=files["tls.crt"]))
            names = self.openssl("x509", "-noout", "-ext", "subjectAltName,extendedKeyUsage", stdin=files["tls.crt"])
            self.assertIn(f"DNS:ashlar-{name}", names)
            self.assertEqual(names.count("DNS:"), 1)
            self.assertIn("TLS Web Server Authentication, TLS Web Client Authentication", names)
            ca_public = self.openssl("x509", "-noout", "-pubkey", stdin=files["ca.crt"])
            self.assertNotEqual(self.openssl("pkey", "-pubout", stdin=files["tls.key"]), ca_public)

    def test_existing_secrets_are_used_and_none_is_made(self):
        objects = render("tls.mode=existing", "tls.controllerSecret=mine-c", "tls.nodeAgentSecret=mine-n")
        self.assertFalse([o for o in objects if o["kind"] == "Secret"])
        for kind, secret in (("Deployment", "mine-c"), ("DaemonSet", "mine-n")):
            volumes = {v["name"]: v for v in pod_of(pick(objects, kind))["volumes"]}
            self.assertEqual(volumes["tls"]["secret"]["secretName"], secret)

    def test_cert_manager_makes_them_when_asked(self):
        text = template("tls.mode=certManager").stdout
        self.assertNotIn("kind: Secret", text)
        self.assertIn("dnsNames: [ashlar-controller]", text)
        self.assertIn("dnsNames: [ashlar-node-agent]", text)
        self.assertIn("selfSigned: {}", text)
        mine = template("tls.mode=certManager", 'tls.certManager.issuerRef={"kind":"ClusterIssuer","name":"corp"}').stdout
        self.assertIn("name: corp", mine)
        self.assertNotIn("selfSigned", mine)


if __name__ == "__main__":
    summary.run()
