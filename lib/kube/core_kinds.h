// The kinds of Kubernetes itself that the product reads or writes.
#pragma once

#include "lib/api/kind_info.h"

namespace ashlar::kube {

inline const api::KindInfo kNode{"", "v1", "Node", "nodes", false};
inline const api::KindInfo kNamespace{"", "v1", "Namespace", "namespaces", false};
inline const api::KindInfo kPod{"", "v1", "Pod", "pods", true};
inline const api::KindInfo kSecret{"", "v1", "Secret", "secrets", true};
inline const api::KindInfo kConfigMap{"", "v1", "ConfigMap", "configmaps", true};
inline const api::KindInfo kPersistentVolume{"", "v1", "PersistentVolume", "persistentvolumes",
                                             false};
inline const api::KindInfo kPersistentVolumeClaim{"", "v1", "PersistentVolumeClaim",
                                                  "persistentvolumeclaims", true};
inline const api::KindInfo kEvent{"", "v1", "Event", "events", true};
inline const api::KindInfo kLease{"coordination.k8s.io", "v1", "Lease", "leases", true};
inline const api::KindInfo kCsiNode{"storage.k8s.io", "v1", "CSINode", "csinodes", false};
inline const api::KindInfo kStorageClass{"storage.k8s.io", "v1", "StorageClass", "storageclasses",
                                         false};
inline const api::KindInfo kCustomResourceDefinition{
    "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", false};

}  // namespace ashlar::kube
