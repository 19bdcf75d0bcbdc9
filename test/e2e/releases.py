"""Upgrades, certificates, and an installation that goes and comes back."""
import base64

from case import Case, WRITER
from cluster import NAMESPACE


class Releases(Case):
    def secrets(self):
        return {name: self.cluster.get("secret", f"ashlar-{name}-tls", "-n", NAMESPACE)["data"] for name in ("controller", "node-agent")}

    def test_helm_test_passes(self):
        self.assertIn("Succeeded", self.cluster.helm("test", "ashlar", "-n", NAMESPACE, "--timeout=3m"))

    def test_an_upgrade_keeps_certificates_and_disturbs_no_pod(self):
        self.start("writer", node=2, script=WRITER)
        before = self.secrets()
        self.cluster.install("logLevel=debug")
        self.assertEqual(self.secrets(), before)
        self.assert_wrote_on("writer")
        self.start("other", node=2)
        self.cluster.install()

    def test_deleted_certificates_are_made_anew_and_taken_up_without_a_restart(self):
        before, processes = self.secrets(), set(self.cluster.processes())
        self.cluster.kubectl("-n", NAMESPACE, "delete", "secret", "ashlar-controller-tls", "ashlar-node-agent-tls")
        self.cluster.install()
        self.assertNotEqual(self.secrets()["controller"]["ca.crt"], before["controller"]["ca.crt"])
        # The kubelet brings new secrets into pods within a minute or two.
        mounted = lambda: all(self.file_of(p, "/etc/ashlar/tls/ca.crt") == self.secrets()["controller"]["ca.crt"]
                              for p, name in self.cluster.processes().items() if name != "ashlar-csi")
        self.cluster.until("every pod has the new files", mounted, seconds=180, every=2)
        self.start("other", node=1)
        self.start("another", node=2)
        self.assertEqual(set(self.cluster.processes()), processes)

    @staticmethod
    def file_of(process, path):
        with open(f"/proc/{process}/root{path}", "rb") as data:
            return base64.b64encode(data.read()).decode()

    def test_uninstalling_leaves_data_and_pods_and_the_next_install_finds_them(self):
        self.start("writer", node=1, script=WRITER)
        volume = self.volume_of("writer")
        self.cluster.helm("uninstall", "ashlar", "-n", NAMESPACE, "--wait", "--timeout=3m")
        self.cluster.until("no Ashlar process is left", lambda: not self.cluster.processes())
        self.assertTrue(self.cluster.find("volumes.ashlar.dev", volume))
        self.assert_wrote_on("writer")
        self.cluster.install()
        self.assert_wrote_on("writer")
        carved = [c["status"] for c in self.cluster.get("volumes.ashlar.dev", volume)["status"]["conditions"] if c["type"] == "Carved"]
        self.assertEqual(carved, ["True"])
        self.start("other", node=1)
