#!/bin/bash
# Starts a real Kubernetes of N nodes on this machine and waits until every node is Ready.
#
#   up.sh DIR [NODES]     DIR must not hold a lab; NODES is 1 to 9, 2 if not given
#
# Afterwards DIR/bin/kubectl and DIR/bin/helm talk to it, DIR/bin/on-node K COMMAND... runs a command inside node K, and
# down.sh DIR removes all of it. LAB_IMAGES: a folder of image archives that every node imports at its start.
# LAB_DISK_GIB: size of the XFS filesystem at /var/lib/ashlar of each node (default 40; sparse, so bytes count as they
# are written).
#
# The control plane and every node have network namespaces of their own, joined by a bridge inside the lab: nothing of
# it is seen on the machine's own network, and labs do not meet. Every node has its own mount namespace with the usual
# paths. See README.md for why things are as they are.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/names.sh"
[ $# -ge 1 ] || { echo "usage: up.sh DIR [NODES]" >&2; exit 2; }
D=$(lab_dir "$1"); N=${2:-2}; ID=$(lab_id "$D")

missing=()
[ "$(id -u)" = 0 ] || { echo "cluster lab: must be run as root (namespaces, mounts, cgroups)" >&2; exit 1; }
for need in ip:iproute2 iptables:iptables runc:runc conntrack:conntrack unshare:util-linux mkfs.xfs:xfsprogs openssl:openssl gcc:gcc python3:python3; do
  PATH=$PATH:/usr/sbin:/sbin command -v "${need%%:*}" >/dev/null || missing+=("${need#*:}")
done
[ -x /bin/busybox ] || missing+=(busybox-static)
[ -x /usr/lib/cni/bridge ] || missing+=(containernetworking-plugins)
[ ${#missing[@]} = 0 ] || { echo "cluster lab: missing Debian packages: ${missing[*]} (deploy/install-packages.sh lab installs them)" >&2; exit 1; }
[ "$N" -ge 1 ] && [ "$N" -le 9 ] || { echo "cluster lab: NODES is $N, must be 1 to 9" >&2; exit 2; }
B=$("$here/build.sh")
for path in "$D" "$B"; do
  case $path in /run/*|/var/lib/*|/var/log/*) echo "cluster lab: $path must not lie in /run, /var/lib or /var/log: nodes have their own" >&2; exit 2 ;; esac
done
[ ! -e "$D/pid" ] || { echo "cluster lab: $D holds a lab already; down.sh $D removes it" >&2; exit 1; }
mkdir -p "$D"/{etcd,pki,log,pid,bin,images}; cd "$D"
export PATH=$B:/usr/sbin:/sbin:$PATH

# Images that every node needs: the sandbox of pods, and busybox for test pods.
"$here/images.sh" "$D/images"
[ -z "${LAB_IMAGES:-}" ] || ln -sf "$(realpath "$LAB_IMAGES")"/*.tar "$D/images/"

# Who may ask the API server what. Tokens are of this lab only and vanish with it.
openssl genrsa -out pki/sa.key 2048 2>/dev/null
token() { openssl rand -hex 16; }
: >pki/tokens.csv; chmod 600 pki/tokens.csv
account() { # kubeconfig name, user, groups
  local secret; secret=$(token)
  echo "$secret,$2,$1,\"$3\"" >>pki/tokens.csv
  cat >pki/"$1".conf <<Y
apiVersion: v1
kind: Config
clusters: [{name: lab, cluster: {server: "https://$API:6443", insecure-skip-tls-verify: true}}]
users: [{name: lab, user: {token: $secret}}]
contexts: [{name: lab, context: {cluster: lab, user: lab}}]
current-context: lab
Y
}
account admin admin system:masters
account controller-manager system:kube-controller-manager system:masters
account scheduler system:kube-scheduler ""
account snapshot-controller snapshot-controller system:masters
for k in $(seq "$N"); do account "kubelet-$k" "system:node:node-$k" system:nodes; done

cat >bin/kubectl <<Y
#!/bin/bash
exec nsenter --net=/run/netns/$ID $B/kubectl --kubeconfig $D/pki/admin.conf "\$@"
Y
cat >bin/helm <<Y
#!/bin/bash
export HELM_CACHE_HOME=$D/helm/cache HELM_CONFIG_HOME=$D/helm/config HELM_DATA_HOME=$D/helm/data
exec nsenter --net=/run/netns/$ID $B/helm --kubeconfig $D/pki/admin.conf "\$@"
Y
cat >bin/on-node <<Y
#!/bin/bash
k=\$1; shift
export PATH=$B:/usr/sbin:/sbin:\$PATH
exec nsenter --net=/run/netns/$ID-\$k --mount=/proc/\$(cat $D/pid/node-\$k)/ns/mnt "\$@"
Y
chmod +x bin/*

# The lab's network: a bridge in a namespace of its own, where the control plane lives too.
ip netns add "$ID"
ip -n "$ID" link set lo up
ip -n "$ID" link add lab0 type bridge
ip -n "$ID" addr add $API/24 dev lab0
ip -n "$ID" link set lab0 up
ip netns exec "$ID" sysctl -qw net.ipv4.ip_forward=1

spawn() { # name, command...: in the lab's network namespace
  local name=$1; shift
  setsid nsenter --net="/run/netns/$ID" "$@" >"log/$name.log" 2>&1 </dev/null 9>&- &
  echo $! >"pid/$name"
}
spawn etcd etcd --data-dir etcd --unsafe-no-fsync --listen-client-urls http://127.0.0.1:2379 \
  --advertise-client-urls http://127.0.0.1:2379 --listen-peer-urls http://127.0.0.1:2380
spawn kube-apiserver kube-apiserver --etcd-servers=http://127.0.0.1:2379 --cert-dir=pki/api --secure-port=6443 \
  --bind-address=$API --advertise-address=$API --token-auth-file=pki/tokens.csv --authorization-mode=Node,RBAC \
  --allow-privileged --service-cluster-ip-range=10.96.0.0/16 --kubelet-preferred-address-types=InternalIP \
  --service-account-issuer=https://kubernetes.default.svc --service-account-signing-key-file=pki/sa.key \
  --service-account-key-file=pki/sa.key
wait_for() { # seconds, what, command...
  local end=$((SECONDS + $1)) what=$2; shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || { echo "cluster lab: $what within the time given; see $D/log" >&2; exit 1; }
    sleep 0.2
  done
}
wait_for 120 "the API server did not become ready" bin/kubectl --request-timeout=1s get --raw /readyz
# The control plane's own request limits are lifted: at 20 requests a second it, and not the driver, would set the pace.
spawn kube-controller-manager kube-controller-manager --kubeconfig=pki/controller-manager.conf \
  --service-account-private-key-file=pki/sa.key --root-ca-file=pki/api/apiserver.crt \
  --use-service-account-credentials --leader-elect=false --kube-api-qps=500 --kube-api-burst=1000
spawn kube-scheduler kube-scheduler --kubeconfig=pki/scheduler.conf --leader-elect=false \
  --kube-api-qps=500 --kube-api-burst=1000
# Snapshots are no part of Kubernetes: kinds and a controller of their own.
bin/kubectl create -f "$B/snapshot-crds" >log/snapshot-crds.log
spawn snapshot-controller snapshot-controller --kubeconfig=pki/snapshot-controller.conf \
  --feature-gates=CSIVolumeGroupSnapshot=true --retry-interval-start=100ms --kube-api-qps=500 --kube-api-burst=1000

for k in $(seq "$N"); do
  ip netns add "$ID-$k"
  ip -n "$ID" link add "node$k" type veth peer name eth0 netns "$ID-$k"
  ip -n "$ID" link set "node$k" master lab0 up
  ip -n "$ID" route add "$(pod_net "$k")/24" via "$(node_ip "$k")"
  setsid nsenter --net="/run/netns/$ID-$k" unshare --mount --propagation private \
    "$here/node.sh" "$D" "$k" "$ID" "$B" >"log/node-$k.log" 2>&1 </dev/null &
  echo $! >"pid/node-$k"
done
for k in $(seq "$N"); do
  wait_for 120 "node-$k did not register" bin/kubectl --request-timeout=1s get node "node-$k"
  bin/kubectl wait --for=condition=Ready --timeout=120s "node/node-$k" >/dev/null
done
echo "cluster lab: $N nodes Ready in ${SECONDS} s; $D/bin/kubectl get nodes"
