# How csi-sanity is called, for run.sh and for guests of the drive lab, whose shell is dash. Sourced with these set:
#   csi_sanity   the program           endpoint     of the CSI driver; a pool "sanity" is there
#   work         an empty folder       backend      of the pool
#   filesystem   of mounted volumes    volume_mib   size of volumes, which grow to grown_mib
# sanity KIND: runs it with volumes of this access type, mount or block, and writes junit-KIND.xml and sanity-KIND.log into
# the folder. Prints the names of failed tests; status 1 only if it could not run.
sanity() {
  printf 'pool: sanity\ncsi.storage.k8s.io/fstype: %s\n' "$filesystem" >"$work/parameters.yaml"
  printf 'trim: Daily\n' >"$work/mutable.yaml"
  # Directories have no limits of I/O.
  case $backend in Directory*) ;; *) printf 'readIops: "5k"\nwriteBytesPerSecond: 500Mi\n' >>"$work/mutable.yaml" ;; esac
  # The test that is left out compares a received message with a sent one by reflect.DeepEqual, which sees that only one of
  # them has a cached size: a driver that tells where a snapshot can be used cannot pass. csi/snapshots_test.cc tests the same.
  sanity_skip="creating a snapshot with accessibility requirements"
  # These are not copied.
  case $backend in DirectoryXfs | LVMThick | Namespace | Partition | WholeDrive) sanity_skip="$sanity_skip|napshot|source volume" ;; esac
  "$csi_sanity" --csi.endpoint "$endpoint" --csi.mountdir "$work/mnt-$1" --csi.stagingdir "$work/staging-$1" \
    --csi.testvolumeparameters "$work/parameters.yaml" --csi.testvolumeaccesstype "$1" \
    --csi.testvolumemutableparameters "$work/mutable.yaml" --ginkgo.no-color --ginkgo.skip "$sanity_skip" \
    --csi.testvolumesize $((volume_mib << 20)) --csi.testvolumeexpandsize $((grown_mib << 20)) \
    --ginkgo.junit-report "$work/junit-$1.xml" >"$work/sanity-$1.log" 2>&1 || true
  [ -s "$work/junit-$1.xml" ] || { tail -n 30 "$work/sanity-$1.log"; return 1; }
  grep -E '^\s*\[(FAIL|PANICKED!|TIMEDOUT|INTERRUPTED)\]' "$work/sanity-$1.log" | sort -u || true
}
