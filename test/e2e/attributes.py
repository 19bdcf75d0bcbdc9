"""VolumeAttributesClasses: limits of volumes, changed under load."""
import json

from case import Case, WRITER
from cluster import MI, claim, pod


class Attributes(Case):
    def measure(self, name, how, block, seconds=2):
        """Direct I/O of the pod on /data/file, as fio has it: (operations, MiB) per second."""
        report = json.loads(self.shell(name, f"fio --name=pod --filename=/data/file --rw={how} --bs={block} --direct=1 --ioengine=libaio "
                                             f"--iodepth=8 --runtime={seconds} --time_based --output-format=json"))
        side = report["jobs"][0]["write" if how.endswith("write") else "read"]
        return side["iops"], side["bw_bytes"] / MI

    def change_class(self, name, to):
        self.cluster.kubectl("-n", self.space, "patch", "pvc", name, "--type=merge", "-p", '{"spec": {"volumeAttributesClassName": "%s"}}' % to)
        self.cluster.until(f"claim {name} has class {to}", lambda: self.cluster.get("pvc", name, "-n", self.space)["status"].get("currentVolumeAttributesClassName") == to)

    def test_limits_change_under_a_pod_that_writes(self):
        self.cluster.example("volumeattributesclass.yaml")
        self.start("busy", size="256Mi", node=1, script=WRITER)
        self.shell("busy", "dd if=/dev/zero of=/data/file bs=1M count=96 conv=fsync 2>/dev/null")
        iops = lambda: self.measure("busy", "randread", "4k")[0]
        rates = lambda: (self.measure("busy", "read", "256k")[1], self.measure("busy", "write", "256k")[1])
        measured = {"none": (iops(), *rates())}
        for to, most in (("ashlar-bronze", (500, 8, 4)), ("ashlar-silver", (None, 24, 12))):
            self.change_class("busy", to)
            measured[to] = (iops() if most[0] else None, *rates())
            for limit, rate in zip(most, measured[to]):
                if limit:
                    self.assertLess(rate, 1.2 * limit, measured)
                    self.assertGreater(rate, 0.5 * limit, measured)
        self.change_class("busy", "ashlar-gold")
        measured["ashlar-gold"] = (iops(), *rates())
        print("      by class: 4k random reads, MiB read, MiB written, each per second: " +
              "; ".join(f"{to} " + ", ".join("-" if rate is None else f"{rate:.0f}" for rate in measured[to]) for to in measured), flush=True)
        for without in ("none", "ashlar-gold"):
            self.assertGreater(measured[without][0], 1.5 * 500, f"this machine is slower than the limits: {measured}")
            self.assertGreater(measured[without][1], 1.5 * 24, f"this machine is slower than the limits: {measured}")
        self.assert_wrote_on("busy")
        volume = self.cluster.get("volumes.ashlar.dev", self.volume_of("busy"))
        self.assertNotIn("limits", volume["status"])
        self.assertEqual(volume["status"]["trim"], "Daily")

    def test_a_claim_is_born_with_its_limits_and_a_wrong_class_says_what_is_accepted(self):
        self.cluster.example("volumeattributesclass.yaml")
        born = claim("born")
        born["spec"]["volumeAttributesClassName"] = "ashlar-bronze"
        self.apply(born, pod("born", ["born"], node=2))
        self.running("born")
        self.shell("born", "dd if=/dev/zero of=/data/file bs=1M count=8 conv=fsync 2>/dev/null")
        self.assertLess(self.measure("born", "read", "256k")[1], 1.2 * 8)
        conditions = {c["type"]: c for c in self.cluster.get("volumes.ashlar.dev", self.volume_of("born"))["status"]["conditions"]}
        self.assertEqual(conditions["Applied"]["status"], "True", conditions)
        self.cluster.apply({"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttributesClass", "metadata": {"name": "wrong"},
                       "driverName": "csi.ashlar.dev", "parameters": {"readIops": "plenty"}})
        self.cluster.kubectl("-n", self.space, "patch", "pvc", "born", "--type=merge", "-p", '{"spec": {"volumeAttributesClassName": "wrong"}}')
        self.wait_event("PersistentVolumeClaim", "born", "readIops", "plenty", "whole number")
        self.change_class("born", "ashlar-silver")  # and the way back is open
        self.cluster.kubectl("delete", "volumeattributesclass", "wrong")
