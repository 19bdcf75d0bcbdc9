# Sourced by run.sh: everything in the one process of `ashlar standalone`.

kubectl() { "$cache/kubectl" --kubeconfig "$work/data/kubeconfig" "$@"; }

start_ashlar() {
  background standalone "$bin/ashlar" standalone --data-dir "$work/data" --listen 127.0.0.1:0 --publish-root "$work" \
    --ops-address 127.0.0.1:0 --agent-ops-address 127.0.0.1:0 --log-level debug
  await 60 "standalone answers" kubectl get --raw /readyz
  await 30 "standalone serves CSI" test -S "$work/data/csi.sock"
  endpoint=unix://$work/data/csi.sock
}
