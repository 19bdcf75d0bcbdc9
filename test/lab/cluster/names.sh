# Names of a lab, read by up.sh, node.sh and down.sh. The lab's folder is the first argument of each. What is global on
# the machine (network namespaces, cgroups) bears an id made from the folder, so labs do not meet.
lab_dir() { # the folder, absolute, whether it exists or not
  case $1 in /*) ;; *) set -- "$PWD/$1" ;; esac
  [ "$1" != / ] && echo "${1%/}"
}
lab_id() { echo "ashlab-$(printf %s "$1" | sha256sum | cut -c1-8)"; }
API=10.90.0.1          # of the API server, on the lab's own bridge
SERVICE_IP=10.96.0.1   # where pods look for it
node_ip() { echo "10.90.0.$((10 + $1))"; }
pod_net() { echo "10.91.$1.0"; }
