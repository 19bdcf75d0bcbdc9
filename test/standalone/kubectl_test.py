#!/usr/bin/env python3
"""kubectl_test.py SERVE_API KUBECTL...: what people do with kubectl, done with each of these against the embedded API."""
import json
import os
import subprocess
import sys
import tempfile
import time

POOL = """
apiVersion: ashlar.dev/v1alpha1
kind: Pool
metadata: {name: p1}
spec: {directory: {path: /var/lib/x}}
"""


def pool(spec, name="p1"):
    return json.dumps({"apiVersion": "ashlar.dev/v1alpha1", "kind": "Pool", "metadata": {"name": name}, "spec": spec})


class Kubectl:
    def __init__(self, program, kubeconfig, home):
        self.program = program
        self.env = dict(os.environ, KUBECONFIG=kubeconfig, HOME=home)
        self.minor = int(json.loads(self("version", "--client", "-o", "json"))["clientVersion"]["minor"].rstrip("+"))

    def run(self, *args, stdin="", env=None, timeout=60):
        return subprocess.run([self.program, *args], input=stdin, text=True, capture_output=True, timeout=timeout,
                              env=dict(self.env, **(env or {})))

    def __call__(self, *args, **more):
        done = self.run(*args, **more)
        assert done.returncode == 0, f"kubectl {' '.join(args)}: {done.stdout}{done.stderr}"
        return done.stdout

    def refused(self, *args, says, **more):
        done = self.run(*args, **more)
        assert done.returncode != 0, f"kubectl {' '.join(args)} was not refused: {done.stdout}"
        for text in says:
            assert text in done.stderr, f"kubectl {' '.join(args)}: no {text!r} in {done.stderr}"

    def field(self, path, *what):
        return self("get", *what, "-o", f"jsonpath={{{path}}}")

    def set_status(self, name, ready):
        status = {"conditions": [{"type": "Ready", "status": ready, "reason": "Test", "message": "by the test",
                                  "lastTransitionTime": "2026-01-01T00:00:00Z"}]}
        if self.minor >= 24:
            self("patch", "pool", name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status}))
        else:  # kubectl has no way to write a status yet
            whole = json.loads(self("get", "pool", name, "-o", "json"))
            whole["status"] = status
            self("replace", "--raw", f"/apis/ashlar.dev/v1alpha1/pools/{name}/status", "-f", "-", stdin=json.dumps(whole))


def test_discovery_names_the_kinds(k):
    names = k("api-resources")
    for word in ("pools", "apool", "volumes", "nodeinventories", "customresourcedefinitions", "leases", "configmaps"):
        assert word in names, names
    assert "ashlar.dev/v1alpha1" in k("api-versions")
    k("version")


def test_apply_changes_and_keeps(k):
    assert "created" in k("apply", "-f", "-", stdin=POOL)
    assert "unchanged" in k("apply", "-f", "-", stdin=POOL)
    assert "configured" in k("apply", "-f", "-", stdin=pool({"directory": {"path": "/var/lib/x"}, "reserve": "1Gi"}))
    assert k.field(".spec.reserve", "pool", "p1") == "1Gi"
    k("apply", "-f", "-", stdin=POOL)
    assert k.field(".spec.reserve", "pool", "p1") == "", "a field that the manifest drops goes"
    assert k.field(".spec.placement", "pool", "p1") == "MostFree", "the default is there"


def test_get_prints_tables_yaml_and_paths(k):
    k("apply", "-f", "-", stdin=POOL)
    assert k("get", "pools").split()[:4] == ["NAME", "READY", "BACKEND", "NODES"]
    assert "REASON" in k("get", "pools", "-o", "wide")
    assert "kind: Pool" in k("get", "pool", "p1", "-o", "yaml")
    assert k("get", "pools", "-o", "name").strip() == "pool.ashlar.dev/p1"
    assert k.field(".spec.directory.path", "apool", "p1") == "/var/lib/x"
    k.refused("get", "pool", "absent", says=['pools.ashlar.dev "absent" not found'])
    assert "Overprovision Percent" in k("describe", "pool", "p1")
    k("get", "namespaces,nodes,pods,events,leases,configmaps", "-A")


def test_bad_input_is_refused_with_the_reason(k):
    k.refused("create", "-f", "-", stdin=pool({"directory": {"path": "/x"}, "devices": {"serials": ["a"]}}, "bad"),
              says=["exactly one of spec.directory and spec.devices must be set"])
    k.refused("create", "-f", "-", stdin=pool({"directory": {"path": "/x"}, "siez": 1}, "bad"), says=["siez"])
    k.refused("create", "--validate=false", "-f", "-", stdin=pool({"directory": {"path": 7}}, "bad"),
              says=["spec.directory.path", "must be of type string"])
    k.refused("create", "-f", "-", stdin=pool({"directory": {"path": "/x"}}, "No_Name"), says=["metadata.name"])
    k("apply", "-f", "-", stdin=POOL)
    k.refused("patch", "pool", "p1", "--type=merge", "-p", '{"spec":{"directory":{"path":"/other"}}}',
              says=["spec.directory.path"])
    k.refused("get", "pools", "-l", "a in (", says=["label selector"])
    k.refused("get", "pools", "--field-selector", "spec.nosuch=1", says=["field label not supported"])


def test_create_replace_delete(k):
    k("create", "-f", "-", stdin=POOL)
    k.refused("create", "-f", "-", stdin=POOL, says=["already exists"])
    k("replace", "-f", "-", stdin=pool({"directory": {"path": "/var/lib/x"}, "reserve": "2Gi"}))
    stale = json.loads(k("get", "pool", "p1", "-o", "json"))
    k("label", "pool", "p1", "a=b")
    k.refused("replace", "-f", "-", stdin=json.dumps(stale), says=["the object has been modified"])
    assert "deleted" in k("delete", "pool", "p1")
    k.refused("get", "pool", "p1", says=["not found"])


def test_server_side_apply_owns_fields(k):
    k("apply", "--server-side", "-f", "-", stdin=pool({"directory": {"path": "/var/lib/x"}, "reserve": "1Gi"}))
    other = pool({"reserve": "2Gi"})
    k.refused("apply", "--server-side", "--field-manager=other", "-f", "-", stdin=other,
              says=['conflict with "kubectl"', ".spec.reserve"])
    k("apply", "--server-side", "--field-manager=other", "--force-conflicts", "-f", "-", stdin=other)
    assert k.field(".spec.reserve", "pool", "p1") == "2Gi"
    k("apply", "--server-side", "--field-manager=other", "-f", "-", stdin=pool({}))
    assert k.field(".spec.reserve", "pool", "p1") == "", "what the only owner drops goes"
    assert k.field(".spec.directory.path", "pool", "p1") == "/var/lib/x"


def test_dry_run_changes_nothing(k):
    k("apply", "-f", "-", stdin=POOL)
    version = k.field(".metadata.resourceVersion", "pool", "p1")
    k("label", "pool", "p1", "dry=run", "--dry-run=server")
    assert k.field(".metadata.resourceVersion", "pool", "p1") == version


def test_patches_labels_and_annotations(k):
    k("apply", "-f", "-", stdin=POOL)
    k("patch", "pool", "p1", "--type=merge", "-p", '{"spec":{"reserve":"3Gi"}}')
    k("patch", "pool", "p1", "--type=json", "-p", '[{"op":"replace","path":"/spec/reserve","value":"4Gi"}]')
    assert k.field(".spec.reserve", "pool", "p1") == "4Gi"
    k.refused("patch", "pool", "p1", "--type=json", "-p", '[{"op":"remove","path":"/spec/absent"}]', says=["absent"])
    k("label", "pool", "p1", "tier=fast")
    k("annotate", "pool", "p1", "example.com/x=y")
    assert "p1" in k("get", "pools", "-l", "tier in (fast,slow)")
    assert "p1" not in k("get", "pools", "-l", "tier!=fast")
    k("label", "pool", "p1", "tier-")
    assert "p1" not in k("get", "pools", "-l", "tier")


def test_edit_saves_what_the_editor_wrote(k):
    k("apply", "-f", "-", stdin=pool({"directory": {"path": "/var/lib/x"}, "reserve": "5Gi"}))
    k("edit", "pool", "p1", env={"KUBE_EDITOR": "sed -i s/5Gi/6Gi/"})
    assert k.field(".spec.reserve", "pool", "p1") == "6Gi"
    assert k.field(".metadata.generation", "pool", "p1") == "2", "the spec has changed once"


def test_wait_sees_a_condition_and_status_changes_no_generation(k):
    k("apply", "-f", "-", stdin=POOL)
    waiting = subprocess.Popen([k.program, "wait", "--for=condition=Ready", "pool/p1", "--timeout=30s"], env=k.env,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    k.set_status("p1", "True")
    assert waiting.wait(timeout=30) == 0, waiting.stdout.read()
    assert k.field(".metadata.generation", "pool", "p1") == "1"
    assert k("get", "pools").splitlines()[1].split()[:2] == ["p1", "True"]
    k("apply", "-f", "-", stdin=pool({"directory": {"path": "/var/lib/x"}, "reserve": "1Gi"}))
    assert k.field(".status.conditions[0].status", "pool", "p1") == "True", "a write of the spec keeps the status"


def test_delete_waits_for_finalizers(k):
    k("apply", "-f", "-", stdin=POOL)
    k("patch", "pool", "p1", "--type=merge", "-p", '{"metadata":{"finalizers":["example.com/hold"]}}')
    deleting = subprocess.Popen([k.program, "delete", "pool", "p1"], env=k.env, stdout=subprocess.PIPE, text=True)
    deadline = time.time() + 20
    while not k.field(".metadata.deletionTimestamp", "pool", "p1"):
        assert time.time() < deadline
    assert deleting.poll() is None, "it waits"
    k("patch", "pool", "p1", "--type=json", "-p", '[{"op":"remove","path":"/metadata/finalizers"}]')
    assert deleting.wait(timeout=20) == 0
    k.refused("get", "pool", "p1", says=["not found"])


def test_watch_prints_changes(k):
    k("apply", "-f", "-", stdin=POOL)
    watching = subprocess.Popen([k.program, "get", "pools", "-w", "--no-headers"], env=k.env, stdout=subprocess.PIPE, text=True)
    try:
        assert watching.stdout.readline().startswith("p1")
        k.set_status("p1", "False")
        assert watching.stdout.readline().split()[:2] == ["p1", "False"]
    finally:
        watching.kill()
        watching.wait()


def test_explain_goes_into_fields(k):
    assert "A Pool is storage" in k("explain", "pool")
    assert "serials" in k("explain", "pool.spec.devices")
    assert "Serial numbers" in k("explain", "pool.spec.devices.serials")
    assert "provisioning" in k("explain", "pool", "--recursive")
    assert "Labels" in k("explain", "pool.metadata.labels") or "Texts" in k("explain", "pool.metadata.labels")


def test_built_in_kinds_and_namespaces(k):
    k("create", "namespace", "space")
    k("-n", "space", "create", "configmap", "c1", "--from-literal=a=b")
    k("-n", "space", "create", "secret", "generic", "s1", "--from-literal=x=y")
    assert k("-n", "space", "get", "secret", "s1", "-o", "jsonpath={.data.x}") == "eQ=="
    for data in ({"a": "1"}, {"b": "2"}):
        k("-n", "space", "apply", "-f", "-", stdin=json.dumps(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c2"}, "data": data}))
    assert json.loads(k("-n", "space", "get", "configmap", "c2", "-o", "jsonpath={.data}")) == {"b": "2"}
    k.refused("-n", "nowhere", "create", "configmap", "c", says=['namespaces "nowhere" not found'])
    k("delete", "namespace", "space")
    k.refused("get", "namespace", "space", says=["not found"])
    assert "c1" not in k("get", "configmaps", "-A")


def test_a_definition_adds_a_kind(k):
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "size": {"type": "integer", "minimum": 1, "default": 3}}}}}
    crd = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "boxes.example.com"},
           "spec": {"group": "example.com", "scope": "Namespaced", "names": {"kind": "Box", "plural": "boxes"},
                    "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}]}}
    k("apply", "-f", "-", stdin=json.dumps(crd))
    k("wait", "--for=condition=Established", "crd/boxes.example.com", "--timeout=20s")
    box = {"apiVersion": "example.com/v1", "kind": "Box", "metadata": {"name": "b"}, "spec": {}}
    k("apply", "-f", "-", stdin=json.dumps(box))
    assert k.field(".spec.size", "box", "b") == "3"
    k.refused("apply", "-f", "-", stdin=json.dumps(dict(box, spec={"size": 0})), says=["spec.size"])
    k("delete", "crd", "boxes.example.com")
    k.refused("get", "boxes", says=["boxes"])


def test_owners_take_their_dependents_along(k):
    k("create", "configmap", "owner")
    uid = k.field(".metadata.uid", "configmap", "owner")
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
    k("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "ConfigMap",
                                            "metadata": {"name": "owned", "ownerReferences": [owner]}}))
    k("delete", "configmap", "owner")
    deadline = time.time() + 20
    while k.run("get", "configmap", "owned").returncode == 0:
        assert time.time() < deadline, "the dependent stays"


def test_the_plugin_draws_where_devices_are(k):
    programs = {"PATH": f"{os.path.dirname(os.path.abspath(sys.argv[1]))}:{os.environ['PATH']}"}
    assert "no agent has told of a node yet" in k("ashlar", "topology", env=programs)
    k("apply", "-f", "-", stdin=json.dumps({"apiVersion": "ashlar.dev/v1alpha1", "kind": "NodeInventory", "metadata": {"name": "n1"}}))
    whole = json.loads(k("get", "nodeinventory", "n1", "-o", "json"))
    whole["status"] = {
        "domains": [{"name": "pci0000:16", "kind": "PCIeRoot", "parent": "numa-0"}, {"name": "numa-0", "kind": "NUMANode"}],
        "drives": [{"id": "d", "device": "/dev/nvme0n1", "transport": "nvme", "serial": "S1", "size": "64Gi", "state": "Free",
                    "paths": [{"pcieRoot": "pci0000:16", "numaNode": 0, "pci": ["0000:16:01.0", "0000:17:00.0"]}]}]}
    k("replace", "--raw", "/apis/ashlar.dev/v1alpha1/nodeinventories/n1/status", "-f", "-", stdin=json.dumps(whole))
    drawn = k("ashlar", "topology", "n1", env=programs)
    assert drawn.split("\n")[1:4] == ["└─ NUMA node 0", "   └─ root pci0000:16", "      └─ NVMe  0000:17:00.0  nvme0n1  S1  64Gi  free"], drawn
    k.refused("ashlar", "topology", "n2", env=programs, says=["no agent has told of n2; there are: n1"])
    k("delete", "nodeinventory", "n1")


def serve(program, directory):
    process = subprocess.Popen([program, directory], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().startswith("https://"), "the server does not start"
    return process


def clear(k):
    k("delete", "pools", "--all")
    for name in k("get", "configmaps", "-o", "name").split():
        k.run("delete", name)


def main():
    passed, failed, skipped = 0, [], 0
    tests = [(name, test) for name, test in sorted(globals().items()) if name.startswith("test_")]
    for program in sys.argv[2:]:
        if not os.access(program, os.X_OK):
            if os.environ.get("CI") == "true":
                print(f"FAILED: {program} is not there")
                failed += [name for name, _ in tests]
            else:
                print(f"skipped: {program} is not there")
                skipped += len(tests)
            continue
        with tempfile.TemporaryDirectory() as work:
            server = serve(sys.argv[1], work + "/data")
            try:
                k = Kubectl(program, work + "/data/kubeconfig", work)
                for name, test in tests:
                    try:
                        clear(k)
                        test(k)
                        passed += 1
                        print(f"passed: 1.{k.minor} {name}", flush=True)
                    except (AssertionError, subprocess.TimeoutExpired, ValueError, IndexError, KeyError) as error:
                        failed.append(name)
                        print(f"FAILED: 1.{k.minor} {name}: {error}", flush=True)
            finally:
                server.terminate()
                server.wait(timeout=20)
    print(f"{passed} passed, {len(failed)} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
