// A deck as it was read: named things and their places in the file, before anything is numbered for computing.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "elements.h"
#include "error.h"

namespace fem {

struct DeckElement {
  std::int64_t id;
  ElementType type;
  std::vector<std::int64_t> nodes;
  Where where;
};

struct DeckMaterial {
  double young = 0, poisson = 0;  // *ELASTIC
  double density = 0;             // *DENSITY, 0 when not given
  bool elastic = false;
  Where where;
};

struct DeckSection {
  std::string elset, material;
  Where where;
};

// dof is 0, 1, 2 for x, y, z everywhere in this program (1, 2, 3 in the deck).
struct DeckBoundary {
  std::int64_t node;
  int dof;
  double value;
  Where where;
};

struct DeckForce {
  std::int64_t node;
  int dof;
  double value;
  Where where;
};

enum class LoadKind : std::int32_t { Pressure, Gravity, Centrifugal };

// values: Pressure {p}; Gravity {g, direction (3)}; Centrifugal {omega squared, point (3), axis (3)}.
struct DeckLoad {
  std::int64_t element;
  LoadKind kind;
  int face;  // Pressure: 0 is P1
  std::array<double, 7> values;
  Where where;
};

struct Deck {
  std::string path;
  std::map<std::int64_t, Vec3> nodes;
  std::vector<DeckElement> elements;
  std::unordered_map<std::int64_t, std::size_t> elementIndex;
  std::map<std::string, std::vector<std::int64_t>> nsets, elsets;
  std::map<std::string, DeckMaterial> materials;
  std::vector<DeckSection> sections;
  std::vector<DeckBoundary> boundaries;
  std::vector<DeckForce> forces;
  std::vector<DeckLoad> loads;
};

// Reads the deck at `path`. Throws Error with file, line and remedy on anything it cannot honour.
Deck readDeck(const std::string& path);

}  // namespace fem
