"""csi-sanity against `ashlar standalone` in a guest, called as test/csi_sanity/run.sh calls it on this machine."""
import json
import os
import re
import shlex

from case import BIN, TEST  # first: it says where the lab is
import count
import summary

CSI_SANITY = os.path.join(os.environ.get("ASHLAR_CACHE") or os.path.expanduser("~/.cache/ashlar"), "cluster/bin/csi-sanity")
PROGRAMS = [f"{BIN}/ashlar", CSI_SANITY, "/usr/bin/curl"]
WORK = "/run/sanity"
# The one process is API, controller, agent and CSI driver.
START = f"""mkdir {WORK} && ashlar standalone --data-dir {WORK}/data --listen 127.0.0.1:0 --publish-root {WORK} --node-name guest \\
  --ops-address 127.0.0.1:0 --agent-ops-address 127.0.0.1:0 --log-level debug </dev/null >{WORK}/standalone.log 2>&1 &"""
STOP = f"kill $(pidof ashlar); while pidof ashlar >/dev/null; do sleep 0.1; done; rm -rf {WORK}"
KINDS = ("volumes", "snapshots", "snapshotgroups")


class Sanity:
    """An instance with a pool "sanity". Raises AssertionError with the end of its log."""

    def __init__(self, guest, pool):
        self._guest = guest
        guest.run(START)
        try:
            guest.until("the CSI driver serves", lambda: guest.status(f"test -S {WORK}/data/csi.sock")[0] == 0, 60)
            config = guest.run(f"cat {WORK}/data/kubeconfig")
            self._server, self._token = (re.search(rf'{key}: *"?([^"\s]+)', config)[1] for key in ("server", "token"))
            self.api("POST", "pools", {"apiVersion": "ashlar.dev/v1alpha1", "kind": "Pool", "metadata": {"name": "sanity"}, "spec": pool})
            ready = lambda: [c["status"] for c in self.api("GET", "pools/sanity").get("status", {}).get("conditions", []) if c["type"] == "Ready"]
            guest.until("the pool is ready", lambda: ready() == ["True"], 60)
        except AssertionError as failure:
            raise AssertionError(f"{failure}\n{guest.status(f'tail -n 20 {WORK}/standalone.log')[1].decode()}") from None

    def api(self, method, path, body=None):
        data = f"--header 'Content-Type: application/json' --data {shlex.quote(json.dumps(body))}" if body else ""
        return self._guest.json(f"curl --silent --show-error --fail-with-body --insecure --header 'Authorization: Bearer {self._token}' "
                                f"--request {method} {data} {self._server}/apis/ashlar.dev/v1alpha1/{path}")

    def run(self, backend, kinds=("mount", "block"), filesystem="ext4", volume_mib=32, grown_mib=64, seconds=1200):
        """Names of failed tests; (passed, failed, skipped), which the suite's numbers have from now on."""
        with open(f"{TEST}/csi_sanity/sanity.sh", encoding="utf-8") as script:
            self._guest.run(f"cat >{WORK}/sanity.sh <<'SANITY'\n{script.read()}SANITY")
        failed, reports = "", []
        for kind in kinds:
            failed += self._guest.run(f"set -e; csi_sanity=csi-sanity work={WORK} endpoint=unix://{WORK}/data/csi.sock backend={backend} "
                                      f"filesystem={filesystem} volume_mib={volume_mib} grown_mib={grown_mib}; . {WORK}/sanity.sh; sanity {kind}", seconds)
            reports.append(self._guest.run(f"cat {WORK}/junit-{kind}.xml"))
        counts = count.counts(reports)
        print(count.line(backend, *counts), flush=True)
        summary.count_also(*counts)
        return failed, counts

    def left(self):
        """What is left of volumes and snapshots: objects and mounts."""
        objects = [item["metadata"]["name"] for kind in KINDS for item in self.api("GET", kind)["items"]]
        return objects + self._guest.run(f"awk 'index($5, \"{WORK}/\") == 1 {{print $5}}' /proc/self/mountinfo").split()

    def end(self):
        """The pool's object goes; its drives keep what lies on them."""
        self.api("DELETE", "pools/sanity")
        gone = lambda: not self.api("GET", "pools")["items"]
        self._guest.until("the pool is gone", gone, 60)
        self._guest.run(STOP)
