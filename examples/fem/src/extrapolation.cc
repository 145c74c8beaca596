// From integration points to nodes, the way CalculiX does it, so that nodal stresses can be compared one by one.
#include <Eigen/Dense>

#include "elements.h"

namespace fem {
namespace {

using Matrix = Eigen::MatrixXd;

// Values of the `basis` element's shape functions at the given points, one row per point.
Matrix basisAt(ElementType basis, const std::vector<Vec3>& points) {
  const int n = kindOf(basis).nodes;
  Matrix rows(points.size(), n);
  Shape shape;
  for (std::size_t p = 0; p < points.size(); ++p) {
    evaluate(basis, points[p], shape);
    for (int a = 0; a < n; ++a) rows(p, a) = shape.n[a];
  }
  return rows;
}

std::vector<double> compute(ElementType type) {
  const auto& kind = kindOf(type);
  const int points = static_cast<int>(kind.points.size());
  Matrix nodal = Matrix::Zero(kind.nodes, points);
  if (points == 1) {
    nodal.setOnes();
  } else {
    std::vector<Vec3> at;
    for (const auto& p : kind.points) at.push_back(p.at);
    // The basis whose nodal values are fitted to the points: as many unknowns as corners, or all 20 nodes.
    const bool full = points == 27;
    const ElementType basis = full ? ElementType::C3D20 : kind.corners == 4 ? ElementType::C3D4 : ElementType::C3D8;
    const Matrix fit = basisAt(basis, at).completeOrthogonalDecomposition().pseudoInverse();
    nodal.topRows(fit.rows()) = fit;
    if (!full)
      for (int a = kind.corners; a < kind.nodes; ++a) {
        const auto [i, j] = edgeOf(type, a);
        nodal.row(a) = 0.5 * (nodal.row(i) + nodal.row(j));
      }
  }
  std::vector<double> out;
  for (int a = 0; a < kind.nodes; ++a)
    for (int p = 0; p < points; ++p) out.push_back(nodal(a, p));
  return out;
}

}  // namespace

std::span<const double> extrapolation(ElementType type) {
  static const std::vector<double> tables[kElementTypes] = {compute(ElementType::C3D4), compute(ElementType::C3D8),
                                                            compute(ElementType::C3D10), compute(ElementType::C3D20),
                                                            compute(ElementType::C3D20R)};
  return tables[static_cast<int>(type)];
}

}  // namespace fem
