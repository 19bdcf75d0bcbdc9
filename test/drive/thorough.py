#!/usr/bin/env python3
"""What ./test.sh drive has no time for, to be run after a change of a backend: csi-sanity on the backends that keep the contract
of backends there, and that whole contract on striped and mirrored volumes, also in one. All, or one:
test/drive/thorough.py [EverySanity.test_lvm_thick]"""
from case import Case, PROGRAMS  # first: it says where the lab is
from lvm import LvmContract
import sanity
import summary


class EverySanity(Case):
    scene = "sanity"
    programs = [*PROGRAMS, *sanity.PROGRAMS]

    def passes(self, backend, pool, more_than, **options):
        instance = sanity.Sanity(self.guest, pool)
        self.addCleanup(instance.end)
        failed, (passed, failures, _) = instance.run(backend, **options)
        self.assertEqual((failed, failures), ("", 0), self.guest.run(f"grep -A15 -F '[FAILED]' {sanity.WORK}/sanity-*.log || true"))
        self.assertGreater(passed, more_than)
        self.assertEqual(instance.left(), [])

    def test_directories_of_xfs(self):
        self.guest.run("d=$(drive XFS0); mkfs.xfs -q $d && mkdir /mnt/quota && mount -o prjquota $d /mnt/quota && mkdir /mnt/quota/pool")
        self.passes("DirectoryXfs", {"backend": "Directory", "directory": {"path": "/mnt/quota/pool"}}, 70,
                    kinds=("mount",), filesystem="xfs", volume_mib=300, grown_mib=320)

    def test_prepared_namespaces(self):
        self.passes("Namespace", {"backend": "Namespace", "devices": {"serials": ["SPACES"]}}, 140, volume_mib=64)

    def test_lvm_thick(self):
        self.passes("LVMThick", {"backend": "LVM", "devices": {"serials": ["LVM0", "LVM1"]}}, 140)


class EveryLvmContract(LvmContract):
    test_full_volumes_keep_the_contract_of_backends = test_thin_volumes_keep_the_contract_of_backends = None
    test_striped_and_mirrored_volumes_keep_it_too = test_what_is_told_of_room_is_true_and_growing_is_safe = None

    def test_striped_volumes(self):
        self.suite("Lvm/*/Striped")

    def test_mirrored_volumes(self):
        self.suite("Lvm/*/Mirrored")

    def test_striped_mirrors(self):
        self.suite("Lvm/*/StripedMirror", "LVM0,LVM1,LVM2,LVM3")


# Else it would run as imported, too.
del LvmContract

if __name__ == "__main__":
    summary.run()
