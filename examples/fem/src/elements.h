// The element library: what differs between C3D4, C3D8, C3D10, C3D20 and C3D20R.
//
// Node numbering and face numbers are those of Abaqus and CalculiX (CalculiX manual, "Element types"):
// corners first, then the middle of each edge. Natural coordinates:
//   tetrahedra   r,s,t >= 0, r+s+t <= 1; corner 1 at the origin, 2, 3, 4 at r, s, t = 1
//   hexahedra    r,s,t in [-1,1]; corner 1 at (-1,-1,-1), then counter-clockwise seen from +t, then the upper four
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace fem {

using Vec3 = std::array<double, 3>;

enum class ElementType : std::int32_t { C3D4, C3D8, C3D10, C3D20, C3D20R };
inline constexpr int kElementTypes = 5;
inline constexpr int kMaxNodes = 20;     // nodes of the largest element
inline constexpr int kMaxFaceNodes = 8;  // nodes of the largest face

struct QuadraturePoint {
  Vec3 at;        // natural coordinates (faces use the first two)
  double weight;  // weights sum to the reference volume (1/6, 8) or area (1/2, 4)
};

struct ElementKind {
  ElementType type;
  std::string_view name;
  int nodes;
  int corners;
  int faces;
  int faceCorners;
  int vtkCell;                                  // VTK cell type; its node order is the same as ours
  std::span<const QuadraturePoint> points;      // stiffness and body loads
  std::span<const QuadraturePoint> facePoints;  // pressure
};

const ElementKind& kindOf(ElementType type);
std::optional<ElementType> elementTypeNamed(std::string_view name);

// Shape functions N[a] and their natural derivatives dN[a] = (dN/dr, dN/ds, dN/dt) for all nodes of `type` at `at`.
struct Shape {
  std::array<double, kMaxNodes> n;
  std::array<Vec3, kMaxNodes> dn;
};
void evaluate(ElementType type, const Vec3& at, Shape& out);

// Natural coordinates of every node of `type`.
std::span<const Vec3> nodePositions(ElementType type);

// Local node numbers of face `face` (0 = P1): corners in an order whose normal points INTO the element, then the
// nodes in the middle of the face's edges, the first one between the first two corners.
std::span<const std::int32_t> faceNodes(ElementType type, int face);

// Shape functions of a face with 3, 4, 6 or 8 nodes at (r, s), and their derivatives with respect to r and s.
struct FaceShape {
  std::array<double, kMaxFaceNodes> n;
  std::array<std::array<double, 2>, kMaxFaceNodes> dn;
};
void evaluateFace(int faceNodeCount, double r, double s, FaceShape& out);

// Corner pair of the edge that mid-edge node `node` (>= corners) lies on.
std::array<std::int32_t, 2> edgeOf(ElementType type, int node);

// Weights that carry values from the integration points to the nodes: node a gets sum over p of w[a * points + p] *
// v[p]. As in CalculiX: the polynomial through the points (2x2x2: trilinear, 4 points: linear, 1 point: constant), at
// 27 points the least-squares fit of the element's own shape functions; where the points carry no more than the corners
// can hold, mid-edge nodes get the mean of their two corners.
std::span<const double> extrapolation(ElementType type);

}  // namespace fem
