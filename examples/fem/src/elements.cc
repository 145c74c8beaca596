#include "elements.h"

#include <cmath>

namespace fem {
namespace {

// Gauss-Legendre on [-1,1] in 2 and 3 points (Hughes, "The Finite Element Method", section 3.8).
const double kG2 = 1.0 / std::sqrt(3.0);
const double kG3 = std::sqrt(0.6);

std::vector<QuadraturePoint> gaussCube(int n) {
  const std::vector<double> x = n == 2 ? std::vector<double>{-kG2, kG2} : std::vector<double>{-kG3, 0.0, kG3};
  const std::vector<double> w = n == 2 ? std::vector<double>{1, 1} : std::vector<double>{5.0 / 9, 8.0 / 9, 5.0 / 9};
  std::vector<QuadraturePoint> points;
  for (int k = 0; k < n; ++k)
    for (int j = 0; j < n; ++j)
      for (int i = 0; i < n; ++i) points.push_back({{x[i], x[j], x[k]}, w[i] * w[j] * w[k]});
  return points;
}

std::vector<QuadraturePoint> gaussSquare(int n) {
  std::vector<QuadraturePoint> points;
  for (const auto& p : gaussCube(n)) {
    // The first layer of the cube rule is the square rule times the layer's own weight.
    if (static_cast<int>(points.size()) == n * n) break;
    points.push_back({{p.at[0], p.at[1], 0}, p.weight / (n == 2 ? 1.0 : 5.0 / 9)});
  }
  return points;
}

// Tetrahedra: 1 point (degree 1) and 4 points (degree 2), Zienkiewicz & Taylor vol. 1, table "Numerical integration
// formulas for tetrahedra".
std::vector<QuadraturePoint> tetRule(int n) {
  if (n == 1) return {{{0.25, 0.25, 0.25}, 1.0 / 6}};
  const double a = (5 - std::sqrt(5.0)) / 20, b = (5 + 3 * std::sqrt(5.0)) / 20;
  return {{{a, a, a}, 1.0 / 24}, {{b, a, a}, 1.0 / 24}, {{a, b, a}, 1.0 / 24}, {{a, a, b}, 1.0 / 24}};
}

std::vector<QuadraturePoint> triangleRule(int n) {
  if (n == 1) return {{{1.0 / 3, 1.0 / 3, 0}, 0.5}};
  return {{{1.0 / 6, 1.0 / 6, 0}, 1.0 / 6}, {{2.0 / 3, 1.0 / 6, 0}, 1.0 / 6}, {{1.0 / 6, 2.0 / 3, 0}, 1.0 / 6}};
}

constexpr std::array<std::array<std::int32_t, 2>, 12> kHexEdges{
    {{0, 1}, {1, 2}, {2, 3}, {3, 0}, {4, 5}, {5, 6}, {6, 7}, {7, 4}, {0, 4}, {1, 5}, {2, 6}, {3, 7}}};
constexpr std::array<std::array<std::int32_t, 2>, 6> kTetEdges{{{0, 1}, {1, 2}, {2, 0}, {0, 3}, {1, 3}, {2, 3}}};
constexpr std::array<std::array<std::int32_t, 4>, 6> kHexFaces{
    {{0, 1, 2, 3}, {4, 7, 6, 5}, {0, 4, 5, 1}, {1, 5, 6, 2}, {2, 6, 7, 3}, {3, 7, 4, 0}}};
constexpr std::array<std::array<std::int32_t, 3>, 4> kTetFaces{{{0, 1, 2}, {0, 3, 1}, {1, 3, 2}, {2, 3, 0}}};

bool isTet(ElementType type) { return type == ElementType::C3D4 || type == ElementType::C3D10; }

// Everything about one element type that is worth computing once.
struct Table {
  ElementKind kind;
  std::vector<QuadraturePoint> points, facePoints;
  std::vector<Vec3> positions;
  std::vector<std::vector<std::int32_t>> faces;

  Table(ElementType type, std::string_view name, int nodes, int vtk, std::vector<QuadraturePoint> volume,
        std::vector<QuadraturePoint> face)
      : points(std::move(volume)), facePoints(std::move(face)) {
    const bool tet = isTet(type);
    kind = {type, name, nodes, tet ? 4 : 8, tet ? 4 : 6, tet ? 3 : 4, vtk, points, facePoints};
    if (tet)
      positions = {{0, 0, 0}, {1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
    else
      positions = {{-1, -1, -1}, {1, -1, -1}, {1, 1, -1}, {-1, 1, -1}, {-1, -1, 1}, {1, -1, 1}, {1, 1, 1}, {-1, 1, 1}};
    for (int a = kind.corners; a < nodes; ++a) {
      const auto [i, j] = edgeOf(type, a);
      Vec3 mid;
      for (int d = 0; d < 3; ++d) mid[d] = 0.5 * (positions[i][d] + positions[j][d]);
      positions.push_back(mid);
    }
    for (int f = 0; f < kind.faces; ++f) {
      std::vector<std::int32_t> list;
      for (int c = 0; c < kind.faceCorners; ++c) list.push_back(tet ? kTetFaces[f][c] : kHexFaces[f][c]);
      if (nodes > kind.corners)
        for (int c = 0; c < kind.faceCorners; ++c) {
          const auto a = list[c], b = list[(c + 1) % kind.faceCorners];
          for (int m = kind.corners; m < nodes; ++m) {
            const auto [i, j] = edgeOf(type, m);
            if ((i == a && j == b) || (i == b && j == a)) list.push_back(m);
          }
        }
      faces.push_back(std::move(list));
    }
  }
  Table(const Table&) = delete;  // `kind` points into the vectors
};

const Table& table(ElementType type) {
  static const Table tables[kElementTypes] = {
      {ElementType::C3D4, "C3D4", 4, 10, tetRule(1), triangleRule(1)},
      {ElementType::C3D8, "C3D8", 8, 12, gaussCube(2), gaussSquare(2)},
      {ElementType::C3D10, "C3D10", 10, 24, tetRule(4), triangleRule(3)},
      {ElementType::C3D20, "C3D20", 20, 25, gaussCube(3), gaussSquare(3)},
      {ElementType::C3D20R, "C3D20R", 20, 25, gaussCube(2), gaussSquare(2)},
  };
  return tables[static_cast<int>(type)];
}

}  // namespace

const ElementKind& kindOf(ElementType type) { return table(type).kind; }

std::optional<ElementType> elementTypeNamed(std::string_view name) {
  for (int i = 0; i < kElementTypes; ++i)
    if (kindOf(static_cast<ElementType>(i)).name == name) return static_cast<ElementType>(i);
  return std::nullopt;
}

std::span<const Vec3> nodePositions(ElementType type) { return table(type).positions; }

std::span<const std::int32_t> faceNodes(ElementType type, int face) { return table(type).faces[face]; }

std::array<std::int32_t, 2> edgeOf(ElementType type, int node) {
  return isTet(type) ? kTetEdges[node - 4] : kHexEdges[node - 8];
}

}  // namespace fem
