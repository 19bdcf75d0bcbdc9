#!/bin/bash
# One node of the lab: runs inside its own network and mount namespaces (see up.sh) and ends as the kubelet.
#   node.sh DIR K ID BIN
# Inside, the node has the usual paths (/var/lib/kubelet, /run/containerd, /var/lib/ashlar); what is mounted there
# vanishes with it. Loop devices do not: down.sh detaches them.
set -euo pipefail
D=$1 K=$2 ID=$3 B=$4
here=$(cd "$(dirname "$0")" && pwd)
. "$here/names.sh"
R=$D/node-$K; mkdir -p "$R"/{cni,etc-cni}
export PATH=$B:/usr/sbin:/sbin:$PATH

ip link set lo up
ip addr add "$(node_ip "$K")/24" dev eth0
ip link set eth0 up
ip route add default via $API
sysctl -qw net.ipv4.ip_forward=1
for chain in PREROUTING OUTPUT; do # stands in for kube-proxy: there is one service
  iptables -t nat -A $chain -d $SERVICE_IP -p tcp --dport 443 -j DNAT --to $API:6443
done

cat >"$R/etc-cni/10-lab.conflist" <<Y
{"cniVersion": "1.0.0", "name": "lab", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false,
   "ipam": {"type": "host-local", "ranges": [[{"subnet": "$(pod_net "$K")/24"}]], "routes": [{"dst": "0.0.0.0/0"}], "dataDir": "$R/cni"}},
  {"type": "loopback"}]}
Y
cat >"$R/containerd.toml" <<Y
version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "localhost/pause:1"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["/usr/lib/cni"]
  conf_dir = "$R/etc-cni"
Y
cat >"$R/kubelet.yaml" <<Y
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
failSwapOn: false
cgroupDriver: cgroupfs
cgroupRoot: /$ID-$K
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
evictionHard: {memory.available: "1Mi", nodefs.available: "1%", imagefs.available: "1%"}
enforceNodeAllocatable: []
maxPods: 250
kubeAPIQPS: 200
kubeAPIBurst: 400
registryPullQPS: 0
syncFrequency: 10s # how soon a pod sees that its volume has grown
clusterDNS: [10.96.0.10] # nobody answers there: nothing of Ashlar may need names
serializeImagePulls: false
featureGates: {KubeletCrashLoopBackOffMax: true}
crashLoopBackOff: {maxContainerRestartPeriod: 1s} # agents are killed over and over
Y
# kubelets delete pod cgroups that they do not know: each has a root of its own. cgroup v1 wants the cpuset filled.
for c in $(awk '$3 ~ /^cgroup2?$/ {print $2}' /proc/mounts); do
  mkdir -p "$c/$ID-$K"
  grep -q " $c cgroup2 " /proc/mounts || [ ! -e "$c/cpuset.cpus" ] || for f in cpuset.cpus cpuset.mems; do cat "$c/$f" >"$c/$ID-$K/$f"; done
done

# Mounts that containers make with Bidirectional propagation need a shared tree. /run, /var/lib and /var/log are the
# node's own, so nothing lands on the machine; the logs of pods are under $R/log.
mount --make-rshared /
own() { mkdir -p "$1" "$2"; mount --bind "$1" "$2"; mount --make-rshared "$2"; } # source, target
mkdir -p "$R/run/udev" "$R/log"
[ ! -d /run/udev ] || mount --bind /run/udev "$R/run/udev"
mount --rbind "$R/run" /run
mount -t tmpfs tmpfs /var/lib
mkdir -p /run/netns; mount -t tmpfs tmpfs /run/netns # the CNI keeps its namespaces here
for m in /run /run/netns /var/lib; do mount --make-rshared $m; done
own "$R/log" /var/log
own "$R/kubelet" /var/lib/kubelet
own "$R/containerd" /var/lib/containerd
# A filesystem of its own for volumes: its bytes are known exactly, and its device tells whose loop devices are whose.
truncate -s "${LAB_DISK_GIB:-40}G" "$R/disk.img"
mkfs.xfs -q -L "ashlab-$K" "$R/disk.img"
mkdir -p /var/lib/ashlar; mount -o loop "$R/disk.img" /var/lib/ashlar; mount --make-rshared /var/lib/ashlar

containerd -c "$R/containerd.toml" >"$D/log/containerd-$K.log" 2>&1 &
for _ in $(seq 200); do [ -S /run/containerd/containerd.sock ] && break; sleep 0.05; done
"$here/import.sh" "$D/images" >"$D/log/images-$K.log" 2>&1
exec kubelet --config "$R/kubelet.yaml" --kubeconfig "$D/pki/kubelet-$K.conf" --hostname-override="node-$K" --node-ip="$(node_ip "$K")"
