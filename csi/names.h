// The names by which the driver is known.
#pragma once

namespace ashlar::csi_driver {

inline constexpr char kDriverName[] = "csi.ashlar.dev";
inline constexpr char kTopologyKey[] = "topology.ashlar.dev/node";  // its value is a node's name

}  // namespace ashlar::csi_driver
