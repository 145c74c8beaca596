// The deck in numbers: nodes and elements counted from 0, sections resolved, loads attached. Nodes that no element uses
// are left out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "deck.h"

namespace fem {

struct Material {
  double lambda, mu;  // Lamé's constants
  double density;
};

struct Element {
  ElementType type;
  std::int32_t first;  // its nodes are conn[first ...]
  std::int32_t material;
};

struct Fixed {  // a prescribed displacement
  std::int32_t node, dof;
  double value;
};

struct Force {  // a nodal force
  std::int32_t node, dof;
  double value;
};

struct Load {  // a distributed load on an element; `values` as in DeckLoad
  std::int32_t element;
  LoadKind kind;
  std::int32_t face;
  std::int32_t unused = 0;  // keeps the layout free of padding: loads travel through global memory as bytes
  std::array<double, 7> values;
};

// A mesh with its supports and loads: the whole structure, or the part of it one thread computes.
struct Mesh {
  std::vector<Vec3> x;
  std::vector<Element> elements;
  std::vector<std::int32_t> conn;
  std::vector<Material> materials;
  std::vector<Fixed> fixed;  // at most one per node and dof, in ascending order
  std::vector<Force> forces;
  std::vector<Load> loads;

  std::span<const std::int32_t> nodesOf(const Element& e) const {
    return {conn.data() + e.first, static_cast<std::size_t>(kindOf(e.type).nodes)};
  }
};

struct Model : Mesh {
  std::vector<std::int64_t> nodeId, elementId;  // numbers in the deck
};

// Throws Error on a missing node or material, a load on what does not exist, an element that is inside out.
Model buildModel(const Deck& deck);

// Throws Error unless the prescribed displacements suppress all six rigid-body motions of every connected part.
void checkSupports(const Model& model, const std::string& path);

}  // namespace fem
