# Sourced by run.sh: Ashlar on a bare Kubernetes API (etcd and kube-apiserver on loopback), with the real controller, node
# agent and CSI driver as programs. There is no kubelet: a Pod object says where the agent is, as its DaemonSet would.

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

certificate() { # NAME: $work/tls/NAME with ca.crt, tls.crt and tls.key
  local dir=$work/tls/$1
  mkdir -p "$dir"
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$dir/tls.key" -subj "/CN=$1" -out "$dir/csr" 2>/dev/null
  openssl x509 -req -in "$dir/csr" -CA "$work/tls/ca.crt" -CAkey "$work/tls/ca.key" -days 2 -out "$dir/tls.crt" \
    -extfile <(echo "subjectAltName=DNS:$1") 2>/dev/null
  cp "$work/tls/ca.crt" "$dir/"
}

start_api() {
  local etcd_port peer_port api_port token
  etcd_port=$(free_port) peer_port=$(free_port) api_port=$(free_port) token=$(openssl rand -hex 16)
  background etcd "$cache/etcd" --data-dir "$work/etcd" --listen-client-urls "http://127.0.0.1:$etcd_port" \
    --advertise-client-urls "http://127.0.0.1:$etcd_port" --listen-peer-urls "http://127.0.0.1:$peer_port" \
    --initial-advertise-peer-urls "http://127.0.0.1:$peer_port" --initial-cluster "default=http://127.0.0.1:$peer_port"
  openssl genrsa -out "$work/sa.key" 2048 2>/dev/null
  echo "$token,admin,admin,\"system:masters\"" >"$work/tokens.csv"
  background kube-apiserver "$cache/kube-apiserver" --etcd-servers "http://127.0.0.1:$etcd_port" \
    --bind-address 127.0.0.1 --secure-port "$api_port" --cert-dir "$work/apiserver" \
    --token-auth-file "$work/tokens.csv" --authorization-mode RBAC --disable-admission-plugins ServiceAccount \
    --service-account-key-file "$work/sa.key" --service-account-signing-key-file "$work/sa.key" \
    --service-account-issuer https://kubernetes.default.svc --service-cluster-ip-range 10.96.0.0/16
  cat >"$work/kubeconfig" <<Y
apiVersion: v1
kind: Config
clusters: [{name: lab, cluster: {server: "https://127.0.0.1:$api_port", insecure-skip-tls-verify: true}}]
users: [{name: lab, user: {token: $token}}]
contexts: [{name: lab, context: {cluster: lab, user: lab}}]
current-context: lab
Y
  await 60 "kube-apiserver answers" kubectl get --raw /readyz
  kubectl apply -f "$root/deploy/crds" >/dev/null
  kubectl wait --for condition=Established --timeout 30s crd --all >/dev/null
}

kubectl() { "$cache/kubectl" --kubeconfig "$work/kubeconfig" "$@"; }

start_agent() {
  local agent_port
  agent_port=$(free_port)
  background agent "$bin/ashlar-node-agent" --node-name sanity-node --state-dir "$work/state" \
    --listen "127.0.0.1:$agent_port" --tls-dir "$work/tls/ashlar-node-agent" --mount-socket "$work/mount.sock" \
    --publish-root "$work" --ops-address "" --log-level debug
  kubectl create namespace ashlar >/dev/null
  kubectl apply -f - >/dev/null <<Y
{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "sanity-node", "labels": {"kubernetes.io/hostname": "sanity-node"}}}
Y
  kubectl apply -f - >/dev/null <<Y
{"apiVersion": "v1", "kind": "Pod",
 "metadata": {"name": "agent", "namespace": "ashlar", "labels": {"app.kubernetes.io/component": "node-agent"}},
 "spec": {"nodeName": "sanity-node", "containers": [{"name": "agent", "image": "ashlar",
          "ports": [{"name": "agent", "containerPort": $agent_port}]}]}}
Y
  kubectl -n ashlar patch pod agent --subresource status --type merge -p '{"status": {"phase": "Running",
    "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}], "conditions": [{"type": "Ready", "status": "True"}]}}' >/dev/null
}

start_ashlar() {
  mkdir -p "$work/tls"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/tls/ca.key" -subj /CN=sanity \
    -days 2 -out "$work/tls/ca.crt" 2>/dev/null
  certificate ashlar-controller
  certificate ashlar-node-agent
  start_api
  start_agent
  background controller "$bin/ashlar-controller" --kubeconfig "$work/kubeconfig" --namespace ashlar \
    --tls-dir "$work/tls/ashlar-controller" --ops-address "" --log-level debug
  background csi "$bin/ashlar-csi" --mode all --endpoint "unix://$work/csi.sock" --kubeconfig "$work/kubeconfig" \
    --agent-socket "$work/mount.sock" --ops-address "" --log-level debug
  endpoint=unix://$work/csi.sock
}
