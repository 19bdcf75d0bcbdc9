"""A lab cluster with Ashlar's chart, as tests and benchmarks use it."""
import contextlib
import glob
import json
import os
import shutil
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LAB = os.path.join(ROOT, "test/lab/cluster")
EXAMPLES = os.path.join(ROOT, "deploy/examples")
CHART = os.path.join(ROOT, "charts/ashlar")
NAMESPACE = "ashlar-system"
PROGRAMS = ("ashlar-controller", "ashlar-csi", "ashlar-node-agent")
# The machine of a test may be slow and shared: limits say "broken", not "slower than we like".
PATIENCE = float(os.environ.get("ASHLAR_E2E_PATIENCE", "1"))

MI = 1 << 20
GI = 1 << 30


class Refused(Exception):
    """A command ended with a status that is not 0; the text is what it wrote to standard error."""


def quantity(text):
    """Bytes of a Kubernetes quantity."""
    units = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
    number = str(text).rstrip("kMGTi")
    return int(float(number) * units[str(text)[len(number):]])


class Cluster:
    """Two nodes, the images imported, the chart installed. close() removes everything, whatever state it is in."""

    def __init__(self, nodes=2):
        self.nodes = list(range(1, nodes + 1))
        self.folder = tempfile.mkdtemp(prefix=f"ashlab-{os.getpid()}-", dir="/var/tmp")
        self._remove_abandoned()
        try:
            self._start()
        except BaseException:
            self.collect_logs()
            self.close()
            raise

    @staticmethod
    def _remove_abandoned():
        """Labs whose owner was killed; the owner's process id is in the folder's name."""
        for folder in glob.glob("/var/tmp/ashlab-[0-9]*-*"):
            owner = folder.split("-")[1]
            if owner.isdigit() and not os.path.exists(f"/proc/{owner}"):
                subprocess.run([f"{LAB}/down.sh", folder], check=False)

    def _start(self):
        parts = self.run(f"{LAB}/build.sh", timeout=3600).strip()
        images = os.environ.get("ASHLAR_E2E_IMAGES", os.path.join(ROOT, "build/images-lab"))
        programs = os.environ.get("ASHLAR_E2E_PROGRAMS", os.path.join(ROOT, "build/release/bin"))
        print(self.run(f"{ROOT}/deploy/images/build.sh", "--programs", programs, "--out", images, "--lab", parts, timeout=600), end="")
        environment = {**os.environ, "LAB_IMAGES": images}
        print(self.run(f"{LAB}/up.sh", self.folder, str(len(self.nodes)), env=environment, timeout=600), end="", flush=True)

    def close(self):
        subprocess.run([f"{LAB}/down.sh", self.folder], check=True)

    # Commands.

    def run(self, *argv, stdin=None, timeout=300, env=None):
        try:
            answer = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=timeout * PATIENCE, env=env)
        except subprocess.TimeoutExpired as late:
            raise AssertionError(f"{' '.join(argv[:6])}… did not end within {late.timeout:.0f} s") from None
        if answer.returncode:
            raise Refused(f"{' '.join(argv[:8])}: {answer.stderr.strip()} {answer.stdout.strip()}")
        return answer.stdout

    def kubectl(self, *argv, stdin=None, timeout=120):
        return self.run(f"{self.folder}/bin/kubectl", *argv, stdin=stdin, timeout=timeout)

    def helm(self, *argv, timeout=300):
        return self.run(f"{self.folder}/bin/helm", *argv, timeout=timeout)

    def on_node(self, node, *argv, timeout=60):
        return self.run(f"{self.folder}/bin/on-node", str(node), *argv, timeout=timeout)

    def get(self, *argv):
        return json.loads(self.kubectl("get", *argv, "-o", "json"))

    def find(self, *argv):
        """The object, or None if there is none of this name."""
        text = self.kubectl("get", *argv, "-o", "json", "--ignore-not-found")
        return json.loads(text) if text.strip() else None

    def apply(self, *objects, namespace="default"):
        manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self.kubectl("-n", namespace, "apply", "-f", "-", stdin=manifest)

    def example(self, name, namespace="default"):
        self.kubectl("-n", namespace, "apply", "-f", os.path.join(EXAMPLES, name))

    def shell(self, pod, script, namespace="default"):
        return self.kubectl("-n", namespace, "exec", pod, "--", "sh", "-c", script)

    def until(self, what, condition, seconds=90, every=0.3):
        """Waits for a true value of condition() and returns it; what it returned last is told if it never is."""
        end, last = time.monotonic() + seconds * PATIENCE, None
        while True:
            try:
                last = condition()
                if last:
                    return last
            except Refused as refused:
                last = refused
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds * PATIENCE:.0f} s: {what}; last seen: {last}")
            time.sleep(every)

    # The chart.

    def install(self, *settings):
        arguments = ["upgrade", "--install", "ashlar", CHART, "-n", NAMESPACE, "--create-namespace",
                     "--set", "provisioner.image=localhost/csi-provisioner:lab", "--set", "resizer.image=localhost/csi-resizer:lab",
                     "--set", "snapshotter.enabled=true", "--set", "snapshotter.image=localhost/csi-snapshotter:lab"]
        for setting in settings:
            arguments += ["--set", setting]
        self.helm(*arguments)
        self.wait_ready()

    def wait_ready(self):
        for workload in ("deployment/ashlar-controller", "daemonset/ashlar-node"):
            self.kubectl("-n", NAMESPACE, "rollout", "status", workload, "--timeout=180s", timeout=200)
        self.until("the CSI driver is registered on every node", lambda: all(
            any(d["name"] == "csi.ashlar.dev" for d in (n["spec"].get("drivers") or [])) for n in self.get("csinodes")["items"]))

    def pods(self, component):
        return self.get("pods", "-n", NAMESPACE, "-l", f"app.kubernetes.io/component={component}")["items"]

    def metrics(self, pod, port):
        """The series of one program as {line without value: value}."""
        text = self.kubectl("get", "--raw", f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}:{port}/proxy/metrics")
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line and line[0] != "#"}

    # What is on the nodes, seen from outside.

    def processes(self):
        """{process id: program name} of every Ashlar process of this lab."""
        found = {}
        for folder in glob.glob("/sys/fs/cgroup/pids/" + self._id() + "-*") + glob.glob("/sys/fs/cgroup/" + self._id() + "-*"):
            for path in glob.glob(folder + "/**/cgroup.procs", recursive=True):
                # Groups and processes come and go while this looks.
                try:
                    with open(path) as ids:
                        members = ids.read().split()
                except OSError:
                    continue
                for process in members:
                    try:
                        name = os.path.basename(os.readlink(f"/proc/{process}/exe"))
                    except OSError:
                        continue
                    if name in PROGRAMS:
                        found[int(process)] = name
        return found

    def kill(self, program, node=None):
        """With -9, on one node or on all."""
        for process, name in self.processes().items():
            # What a dead process started may be gone already.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                with open(f"/proc/{process}/cgroup") as text:
                    here = node is None or f"/{self._id()}-{node}/" in text.read()
                if here and name == program:
                    os.kill(process, 9)

    def _id(self):
        return self.run("bash", "-c", f". {LAB}/names.sh; lab_id {self.folder}").strip()

    def loops(self, node):
        """Loop devices on files of the node's volume filesystem (never the one that carries it)."""
        carrier = self.run("losetup", "-n", "-O", "NAME", "-j", f"{self.folder}/node-{node}/disk.img").split()[0]
        with open(f"/sys/block/{os.path.basename(carrier)}/dev") as text:
            device = text.read().strip()
        rows = self.run("losetup", "-n", "-l", "-O", "NAME,BACK-MAJ:MIN").splitlines()
        return sorted(row.split()[0] for row in rows if row.split()[1:] == [device])

    def mounts(self, node):
        """Mount points of volumes on the node: whatever a loop device of a volume carries, and what the CSI driver published."""
        devices = set(self.loops(node))
        found = []
        for line in self.on_node(node, "cat", "/proc/self/mountinfo").splitlines():
            before, after = line.split(" - ")
            point, source = before.split()[4], after.split()[1]
            if source in devices or "csi.ashlar.dev" in point or "kubernetes.io~csi" in point or "volumeDevices" in point:
                found.append(point)
        return sorted(found)

    def images(self, node):
        """Files of the agent's medium that hold the bytes of volumes."""
        return self.files(node, "-size", "+1023k")

    def records(self, node):
        """What the agent keeps of volumes and claims beside their bytes, and what is half made."""
        return self.files(node, "(", "-path", "*/volumes/*", "-o", "-path", "*/attributes/*", "-o", "-path", "*/journal/claims/*",
                          "-o", "-name", "*.partial", ")", "-size", "-1024k")

    def files(self, node, *which):
        listing = self.on_node(node, "find", "/var/lib/ashlar", "-type", "f", *which, "-printf", "%p %s\n")
        return sorted(line for line in listing.splitlines() if line)

    def leftovers(self):
        """What any node holds of volumes: empty when all were deleted."""
        return {f"node-{n} {kind}": things for n in self.nodes
                for kind, things in (("loops", self.loops(n)), ("mounts", self.mounts(n)), ("files", self.images(n)), ("records", self.records(n))) if things}

    # After a failure.

    def collect_logs(self):
        target = os.path.join(ROOT, "build/cluster-logs")
        shutil.rmtree(target, ignore_errors=True)
        os.makedirs(target)
        for folder, name in [(f"{self.folder}/log", "lab")] + [(f"{self.folder}/node-{n}/log/pods", f"pods-node-{n}") for n in self.nodes]:
            if os.path.isdir(folder):
                shutil.copytree(folder, os.path.join(target, name), symlinks=True)
        looks = {"objects.yaml": ["get", "pools,volumes.ashlar.dev,snapshots.ashlar.dev,snapshotgroups,volumesnapshots,volumesnapshotcontents,volumegroupsnapshots,volumegroupsnapshotcontents,nodeinventories,pvc,pv,csistoragecapacities,csinodes,storageclasses,leases", "-A", "-o", "yaml"],
                 "pods.txt": ["get", "pods", "-A", "-o", "wide"], "pods.yaml": ["get", "pods", "-A", "-o", "yaml"],
                 "events.txt": ["get", "events", "-A", "--sort-by=.lastTimestamp"]}
        for name, argv in looks.items():
            try:
                text = self.kubectl(*argv, timeout=30)
            except (Refused, AssertionError) as why:
                text = str(why)
            with open(os.path.join(target, name), "w") as out:
                out.write(text)
        with open(os.path.join(target, "loops.txt"), "w") as out:
            out.write(subprocess.run(["losetup", "-l"], capture_output=True, text=True).stdout)
        print(f"logs of the cluster are in {target}", flush=True)


def claim(name, size="64Mi", storage_class="ashlar", mode="Filesystem", access="ReadWriteOnce", annotations=None):
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "annotations": annotations or {}},
            "spec": {"storageClassName": storage_class, "accessModes": [access], "volumeMode": mode,
                     "resources": {"requests": {"storage": size}}}}


def storage_class(name, binding="WaitForFirstConsumer", **parameters):
    parameters = {"pool": "default", **{k.replace("fstype", "csi.storage.k8s.io/fstype"): v for k, v in parameters.items()}}
    return {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name}, "provisioner": "csi.ashlar.dev",
            "parameters": parameters, "volumeBindingMode": binding, "allowVolumeExpansion": True}


def pod(name, claims=(), node=None, script="exec sleep 1000000", block=False, security=None, read_only=False):
    """A pod with each claim at /data (further ones at /data1, /data2…), or as /dev/data if block. read_only asks the CSI driver for
    it: volumeMounts[].readOnly would be a matter of the container runtime alone."""
    path = lambda i: ("/dev/data" if block else "/data") + (str(i) if i else "")
    container = {"name": "main", "image": "busybox:1.36", "command": ["sh", "-c", script]}
    if block:
        container["volumeDevices"] = [{"name": c, "devicePath": path(i)} for i, c in enumerate(claims)]
    else:
        container["volumeMounts"] = [{"name": c, "mountPath": path(i)} for i, c in enumerate(claims)]
    spec = {"terminationGracePeriodSeconds": 1, "automountServiceAccountToken": False, "containers": [container],
            "volumes": [{"name": c, "persistentVolumeClaim": {"claimName": c, "readOnly": read_only}} for c in claims]}
    if node:
        spec["nodeSelector"] = {"kubernetes.io/hostname": f"node-{node}"}
    if security:
        spec["securityContext"] = security
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
