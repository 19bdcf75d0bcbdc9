// Every kind of the API with its codec: what those include who read or write objects.
#pragma once

#include "ashlar/k8s/meta.codec.h"
#include "ashlar/v1alpha1/node_inventory.codec.h"
#include "ashlar/v1alpha1/pool.codec.h"
#include "ashlar/v1alpha1/snapshot.codec.h"
#include "ashlar/v1alpha1/volume.codec.h"
#include "lib/api/codec.h"
