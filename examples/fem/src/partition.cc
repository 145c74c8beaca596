#include <metis.h>

#include <algorithm>

#include "domain.h"

namespace fem {
namespace {

// Neighbours of every node: the nodes it shares an element with.
struct Graph {
  std::vector<idx_t> start{0}, neighbour, weight;
};

Graph nodalGraph(const Mesh& mesh) {
  std::vector<std::vector<std::int32_t>> elements(mesh.x.size());
  for (std::size_t e = 0; e < mesh.elements.size(); ++e)
    for (const auto n : mesh.nodesOf(mesh.elements[e])) elements[n].push_back(static_cast<std::int32_t>(e));
  Graph g;
  std::vector<std::int32_t> row;
  for (std::size_t n = 0; n < mesh.x.size(); ++n) {
    row.clear();
    for (const auto e : elements[n])
      for (const auto m : mesh.nodesOf(mesh.elements[e]))
        if (m != static_cast<std::int32_t>(n)) row.push_back(m);
    std::sort(row.begin(), row.end());
    row.erase(std::unique(row.begin(), row.end()), row.end());
    g.neighbour.insert(g.neighbour.end(), row.begin(), row.end());
    g.start.push_back(static_cast<idx_t>(g.neighbour.size()));
    g.weight.push_back(static_cast<idx_t>(row.size() + 1));
  }
  return g;
}

}  // namespace

std::vector<std::int32_t> partitionNodes(const Mesh& mesh, int count) {
  const auto nodes = static_cast<idx_t>(mesh.x.size());
  if (count > nodes)
    throw Error("the mesh has " + std::to_string(nodes) + " nodes, too few for " + std::to_string(count) +
                " threads; run with fewer threads");
  std::vector<std::int32_t> owner(mesh.x.size(), 0);
  if (count == 1) return owner;
  auto graph = nodalGraph(mesh);
  std::vector<idx_t> part(mesh.x.size());
  idx_t options[METIS_NOPTIONS], vertices = nodes, constraints = 1, parts = count, cut = 0;
  METIS_SetDefaultOptions(options);
  options[METIS_OPTION_SEED] = 1;
  const int status =
      METIS_PartGraphKway(&vertices, &constraints, graph.start.data(), graph.neighbour.data(), graph.weight.data(),
                          nullptr, nullptr, &parts, nullptr, nullptr, options, &cut, part.data());
  if (status != METIS_OK) throw Error("METIS could not partition the mesh; run with fewer threads");
  std::vector<idx_t> sizes(static_cast<std::size_t>(count), 0);
  for (const auto p : part) ++sizes[p];
  if (std::find(sizes.begin(), sizes.end(), 0) == sizes.end()) {
    std::copy(part.begin(), part.end(), owner.begin());
  } else {
    // METIS leaves parts empty in tiny meshes; equal runs of nodes do for those.
    for (std::size_t n = 0; n < owner.size(); ++n)
      owner[n] = static_cast<std::int32_t>(n * static_cast<std::size_t>(count) / owner.size());
  }
  return owner;
}

}  // namespace fem
