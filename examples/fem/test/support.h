// Shared by the tests: decks from text, a block mesh of any element type with none of its elements a parallelepiped.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>

#include "domain.h"
#include "element_math.h"

namespace fem {

// A file that is removed at the end of the test.
struct TemporaryDeck {
  std::string path;
  explicit TemporaryDeck(const std::string& text) {
    char name[] = "/tmp/fem-test-XXXXXX.inp";
    const int fd = mkstemps(name, 4);
    close(fd);
    path = name;
    std::ofstream(path) << text;
  }
  ~TemporaryDeck() { std::remove(path.c_str()); }
};

// The message of the Error that reading and numbering the deck throws, with the file's name replaced by "deck".
inline std::string messageOf(const std::string& text) {
  const TemporaryDeck deck(text);
  try {
    const auto model = buildModel(readDeck(deck.path));
    checkSupports(model, deck.path);
  } catch (const Error& e) {
    std::string message = e.what();
    for (auto at = message.find(deck.path); at != std::string::npos; at = message.find(deck.path))
      message.replace(at, deck.path.size(), "deck");
    return message;
  }
  return "no error";
}

inline constexpr ElementType kAllTypes[] = {ElementType::C3D4, ElementType::C3D8, ElementType::C3D10,
                                            ElementType::C3D20, ElementType::C3D20R};

inline std::string nameOf(const testing::TestParamInfo<ElementType>& info) {
  return std::string(kindOf(info.param).name);
}

// A block of 2x2x2 cells; corners inside are displaced, edges stay straight, so that linear fields lie in the space of
// every element type.
inline Mesh crookedBlock(ElementType type) {
  constexpr int n = 2;
  const auto& kind = kindOf(type);
  Mesh mesh;
  mesh.materials.push_back({121153.846, 80769.231, 2.0});
  const auto corner = [&](int i, int j, int k) {
    const double bump = (i == 1 && j == 1 && k == 1) ? 0.17 : 0;
    return Vec3{1.5 * i + bump + 0.1 * j * k, 1.1 * j - bump + 0.05 * i * i, 0.9 * k + 0.5 * bump - 0.1 * i * j};
  };
  std::map<std::array<int, 3>, std::int32_t> nodes;  // keyed by twice the corner's place, so that middles fit
  const auto node = [&](const std::array<int, 3>& a, const std::array<int, 3>& b) {
    const std::array<int, 3> key{a[0] + b[0], a[1] + b[1], a[2] + b[2]};
    const auto [it, fresh] = nodes.emplace(key, static_cast<std::int32_t>(mesh.x.size()));
    if (fresh) {
      const auto p = corner(a[0], a[1], a[2]), q = corner(b[0], b[1], b[2]);
      mesh.x.push_back({(p[0] + q[0]) / 2, (p[1] + q[1]) / 2, (p[2] + q[2]) / 2});
    }
    return it->second;
  };
  constexpr int cell[8][3] = {{0, 0, 0}, {1, 0, 0}, {1, 1, 0}, {0, 1, 0}, {0, 0, 1}, {1, 0, 1}, {1, 1, 1}, {0, 1, 1}};
  const std::vector<std::vector<int>> tets{{0, 1, 2, 6}, {0, 2, 3, 6}, {0, 3, 7, 6},
                                           {0, 7, 4, 6}, {0, 4, 5, 6}, {0, 5, 1, 6}};
  const std::vector<std::vector<int>> hexes{{0, 1, 2, 3, 4, 5, 6, 7}};
  for (int k = 0; k < n; ++k)
    for (int j = 0; j < n; ++j)
      for (int i = 0; i < n; ++i)
        for (const auto& list : kind.corners == 4 ? tets : hexes) {
          std::vector<std::array<int, 3>> at;
          for (const int c : list) at.push_back({i + cell[c][0], j + cell[c][1], k + cell[c][2]});
          mesh.elements.push_back({type, static_cast<std::int32_t>(mesh.conn.size()), 0});
          for (int a = 0; a < kind.nodes; ++a) {
            const auto [p, q] = a < kind.corners ? std::array<std::int32_t, 2>{a, a} : edgeOf(type, a);
            mesh.conn.push_back(node(at[p], at[q]));
          }
        }
  return mesh;
}

inline bool onBlockSurface(const Mesh& mesh, std::int32_t n) {
  // A face that belongs to one element only.
  std::map<std::vector<std::int32_t>, int> faces;
  std::map<std::vector<std::int32_t>, std::vector<std::int32_t>> all;
  for (const auto& e : mesh.elements)
    for (int f = 0; f < kindOf(e.type).faces; ++f) {
      std::vector<std::int32_t> list;
      for (const auto a : faceNodes(e.type, f)) list.push_back(mesh.nodesOf(e)[a]);
      auto key = list;
      std::sort(key.begin(), key.end());
      ++faces[key];
      all[key] = list;
    }
  for (const auto& [key, count] : faces)
    if (count == 1 && std::find(key.begin(), key.end(), n) != key.end()) return true;
  return false;
}

inline Vec3 linearField(const Vec3& x) {
  return {1e-3 + 2e-3 * x[0] - 1e-3 * x[1] + 4e-4 * x[2], -2e-3 + 5e-4 * x[0] + 1.5e-3 * x[1] - 3e-4 * x[2],
          7e-4 * x[0] - 6e-4 * x[1] - 1e-3 * x[2]};
}

}  // namespace fem
