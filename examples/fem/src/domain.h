// What one thread computes: the rows of the nodes it owns. It holds every element that touches an owned node, so it
// assembles its rows and averages its nodal stresses without asking anybody; the elements along a border are computed
// on both sides. The other nodes of those elements are its ghosts: their values come from their owners.
#pragma once

#include <cstdint>
#include <vector>

#include "model.h"

namespace fem {

struct Domain : Mesh {
  std::int32_t owned = 0;            // local nodes [0, owned) are owned, the rest are ghosts; both ascend globally
  std::vector<std::int64_t> global;  // node of the model, by local node

  std::size_t ghosts() const { return global.size() - static_cast<std::size_t>(owned); }
};

// Owner of every node among `count` domains, none of them empty: METIS on the graph of the stiffness matrix, weighted
// by the blocks in a row, from a fixed seed. Throws Error when there are fewer nodes than domains.
std::vector<std::int32_t> partitionNodes(const Mesh& mesh, int count);

std::vector<Domain> makeDomains(const Mesh& mesh, const std::vector<std::int32_t>& owner, int count);

// A domain as bytes, to travel through global memory between instances of one program.
std::vector<std::byte> pack(const Domain& domain);
Domain unpack(std::span<const std::byte> bytes);

}  // namespace fem
