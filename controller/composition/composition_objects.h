// What is made for a Composition: Volumes and what shows them to pods, ResourceClaims, and the
// ConfigMap with hosts and ranks. Pure.
//
//   Composition ──owns──► ResourceClaim of a member   (its GPUs, each by its name)
//               ──owns──► PersistentVolumeClaim of a volume ──► PersistentVolume ──► Volume
//               ──owns──► ConfigMap
//               ──owns──► PodGroup of a scheduler of gangs  (gang_scheduler.h)
//
// Volumes and PersistentVolumes have no namespace and thus no owner: they bear the uid of the
// Composition as a label, and its finalizer holds it until they are gone.
#pragma once

#include <string>
#include <vector>

#include "ashlar/v1alpha1/composition.pb.h"
#include "lib/base/json.h"

namespace ashlar::controller {

// On everything that is made: the uid of the Composition, and NAMESPACE/NAME of it.
inline constexpr char kCompositionUidLabel[] = "ashlar.dev/composition-uid";
inline constexpr char kCompositionAnnotation[] = "ashlar.dev/composition";

// Name of the member's ResourceClaim, and the host name that its pod is to have.
std::string HostOf(const std::string& composition, const v1alpha1::ComposedMember& member);

// Each is whole: apiVersion, kind, metadata and spec. The status of the Composition has the
// members.
Json VolumeOf(const v1alpha1::Composition& object, const v1alpha1::ComposedMember& member,
              const v1alpha1::ComposedVolume& volume);
Json PersistentVolumeOf(const v1alpha1::Composition& object, const v1alpha1::ComposedMember& member,
                        const v1alpha1::ComposedVolume& volume);
Json VolumeClaimOf(const v1alpha1::Composition& object, const v1alpha1::ComposedMember& member,
                   const v1alpha1::ComposedVolume& volume);
// Of a member with GPUs.
Json ResourceClaimOf(const v1alpha1::Composition& object, const v1alpha1::ComposedMember& member);

// metadata of what the Composition owns.
Json MetadataOfOwned(const v1alpha1::Composition& object, const std::string& name);

// As pods take it (envFrom, or files): by the conventions of MPI, torchrun and Horovod.
Json ConfigMapOf(const v1alpha1::Composition& object);

}  // namespace ashlar::controller
