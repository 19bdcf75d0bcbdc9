#!/usr/bin/env python3
"""Measures Ashlar in the cluster lab and prints ratios, with the goals beside them.

  cluster_bench.py [--pods 50] [--claims 200] [--rounds 3]

1. Pods with a claim each against the same pods on emptyDir: wall time from the first request until every pod is Ready,
   the rounds taken in turns, the medians compared.
2. Claims alone (Immediate binding): until all are Bound, and from their deletion until claim, PersistentVolume and
   Volume of each are gone.
3. Resident memory of every Ashlar process, at rest and after all of this.

Beside each time stand the share of the machine's processors that was busy, and the processor time of Ashlar's own
processes: on a machine that is all busy, the time is what Kubernetes and Ashlar compute, not what anybody waits for.

The control plane's client limits are lifted in the lab, so that the driver and not they set the pace.
"""
import argparse
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))
from cluster import Cluster, claim, pod, storage_class  # noqa: E402

SPACE = "bench"


class Api:
    """The API server through `kubectl proxy`: without a process for each request."""

    def __init__(self, cluster):
        self.path = os.path.join(cluster.folder, "proxy.sock")
        self.proxy = subprocess.Popen([f"{cluster.folder}/bin/kubectl", "proxy", f"--unix-socket={self.path}"], stdout=subprocess.DEVNULL)
        cluster.until("kubectl proxy listens", lambda: os.path.exists(self.path))
        self.local = threading.local()

    def close(self):
        self.proxy.kill()
        self.proxy.wait()

    def _connection(self):
        if not hasattr(self.local, "connection"):
            connection = http.client.HTTPConnection("localhost")
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(self.path)
            connection.auto_open = False
            self.local.connection = connection
        return self.local.connection

    def request(self, method, path, body=None):
        connection = self._connection()
        connection.request(method, path, body=json.dumps(body) if body else None, headers={"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status == 429:  # a kind whose storage is only being opened
            time.sleep(1)
            return self.request(method, path, body)
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:300]}")
        return json.loads(text)

    def create(self, objects, workers=8):
        """Creates all of them, several at a time."""
        paths = {"Pod": "pods", "PersistentVolumeClaim": "persistentvolumeclaims"}
        queue, lock, errors = list(objects), threading.Lock(), []

        def work():
            try:
                while True:
                    with lock:
                        if not queue:
                            return
                        item = queue.pop(0)
                    self.request("POST", f"/api/v1/namespaces/{SPACE}/{paths[item['kind']]}", item)
            except Exception as error:  # told by the caller's thread
                errors.append(error)
        threads = [threading.Thread(target=work) for _ in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]

    def count(self, path, condition=lambda item: True):
        return sum(1 for item in self.request("GET", path + "?resourceVersion=0")["items"] if condition(item))


def wait(what, condition, seconds=600, every=0.1):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"not within {seconds} s: {what}")
        time.sleep(every)


def ready(item):
    return any(c["type"] == "Ready" and c["status"] == "True" for c in item["status"].get("conditions", []))


def gone(api):
    pods, claims = (f"/api/v1/namespaces/{SPACE}/{kind}" for kind in ("pods", "persistentvolumeclaims"))
    return not any(api.count(p) for p in (pods, claims, "/api/v1/persistentvolumes", "/apis/ashlar.dev/v1alpha1/volumes"))


def clear(api):
    for kind in ("pods", "persistentvolumeclaims"):
        api.request("DELETE", f"/api/v1/namespaces/{SPACE}/{kind}")
    wait("everything is gone", lambda: gone(api))


def pods_round(api, count, with_claims):
    """Seconds until `count` pods are Ready."""
    names = [f"p{i}" for i in range(count)]
    pods = [pod(n, [n], node=i % 2 + 1) for i, n in enumerate(names)]
    if not with_claims:
        for p in pods:
            p["spec"]["volumes"] = [{"name": v["name"], "emptyDir": {}} for v in p["spec"]["volumes"]]
    began = time.monotonic()
    api.create(([claim(n) for n in names] if with_claims else []) + pods)
    wait("all pods are Ready", lambda: api.count(f"/api/v1/namespaces/{SPACE}/pods", ready) == count)
    took = time.monotonic() - began
    clear(api)
    return took


def claims_round(api, count):
    """Seconds until `count` claims are Bound, and until they are gone."""
    path = f"/api/v1/namespaces/{SPACE}/persistentvolumeclaims"
    began = time.monotonic()
    api.create([claim(f"c{i}", storage_class="now") for i in range(count)])
    wait("all claims are Bound", lambda: api.count(path, lambda c: c["status"].get("phase") == "Bound") == count)
    bound = time.monotonic() - began
    began = time.monotonic()
    api.request("DELETE", path)
    wait("all claims are gone", lambda: gone(api))
    return bound, time.monotonic() - began


def resident(cluster):
    """The largest resident set of each program in MB."""
    largest = {}
    for process, name in cluster.processes().items():
        with open(f"/proc/{process}/status") as text:
            kib = next(int(line.split()[1]) for line in text if line.startswith("VmRSS"))
        with open(f"/proc/{process}/cmdline") as text:
            arguments = text.read().split("\0")
        if name == "ashlar-csi":
            name += " (node)" if "--mode=node" in arguments else " (controller)"
        largest[name] = max(largest.get(name, 0), kib * 1024 / 1e6)
    return largest


class Processors:
    """Processor time since it was made: of the whole machine, and of Ashlar's processes."""

    def __init__(self, cluster):
        self.cluster, self.tick = cluster, os.sysconf("SC_CLK_TCK")
        self.before, self.ours_before = self._machine(), self._ours()

    def _machine(self):
        with open("/proc/stat") as text:
            times = [int(word) / self.tick for word in text.readline().split()[1:9]]
        return sum(times), sum(times) - times[3] - times[4]  # all, busy: neither idle nor waiting for input and output

    def _ours(self):
        total = 0
        for process in self.cluster.processes():
            with open(f"/proc/{process}/stat") as text:
                fields = text.read().rpartition(")")[2].split()
            total += sum(map(int, fields[11:15])) / self.tick  # its own and that of its children, such as mkfs
        return total

    def __str__(self):
        (total, busy), ours = self._machine(), self._ours()
        share = (busy - self.before[1]) / (total - self.before[0])
        return f"processors {share:.0%} busy, Ashlar's processes {ours - self.ours_before:.1f} s"


def line(what, value, goal):
    print(f"{what:<58} {value:>12}   goal {goal}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pods", type=int, default=50)
    parser.add_argument("--claims", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    cluster = Cluster()
    api = None
    try:
        cluster.install()
        cluster.example("pool.yaml")
        cluster.kubectl("wait", "--for=condition=Ready", "pool/default", "--timeout=60s")
        cluster.apply(storage_class("now", binding="Immediate"))
        cluster.kubectl("create", "namespace", SPACE)
        api = Api(cluster)
        at_rest = resident(cluster)
        pods_round(api, 4, True)  # warm: images unpacked, connections made
        plain, carved = [], []
        for _ in range(args.rounds):
            plain.append(pods_round(api, args.pods, False))
            used = Processors(cluster)
            carved.append(pods_round(api, args.pods, True))
            print(f"  a round with claims, and its end: {used}", flush=True)
        base, ours = statistics.median(plain), statistics.median(carved)
        line(f"{args.pods} pods on emptyDir, s", f"{base:.2f}", "-")
        line(f"{args.pods} pods with a claim each, s", f"{ours:.2f}", "-")
        line("ratio", f"{ours / base:.2f}", "<= 1.1")
        used = Processors(cluster)
        rounds = [claims_round(api, args.claims) for _ in range(args.rounds)]
        print(f"  {args.rounds} rounds of {args.claims} claims: {used}", flush=True)
        line(f"{args.claims} claims alone: all Bound, s", f"{statistics.median(r[0] for r in rounds):.2f}", "<= 5")
        line(f"{args.claims} claims alone: all gone, s", f"{statistics.median(r[1] for r in rounds):.2f}", "<= 5")
        after = resident(cluster)
        for name in sorted(after):
            goal = "<= 25" if name == "ashlar-node-agent" else "-"
            line(f"resident memory of {name}, MB: at rest, after", f"{at_rest[name]:.1f}, {after[name]:.1f}", goal)
    except BaseException:
        cluster.collect_logs()
        raise
    finally:
        if api:
            api.close()
        cluster.close()


main()
