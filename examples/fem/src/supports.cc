// Is the structure held? Each connected part can move as a rigid body in six ways; the prescribed displacements must
// suppress all of them, or the stiffness matrix is singular.
#include <Eigen/Dense>
#include <numeric>

#include "model.h"

namespace fem {
namespace {

using Vector6 = Eigen::Matrix<double, 6, 1>;

// Union-find over nodes.
struct Parts {
  std::vector<std::int32_t> parent;
  explicit Parts(std::size_t n) : parent(n) { std::iota(parent.begin(), parent.end(), 0); }
  std::int32_t find(std::int32_t i) {
    while (parent[i] != i) i = parent[i] = parent[parent[i]];
    return i;
  }
};

const char* const kMotions[6] = {"translation in x", "translation in y", "translation in z",
                                 "rotation about x", "rotation about y", "rotation about z"};

// Names the motions of the null space by their largest component.
std::string describe(const Eigen::Matrix<double, 6, 6>& eigenvectors, const Vector6& eigenvalues, double threshold) {
  std::string names;
  for (int i = 0; i < 6; ++i) {
    if (eigenvalues[i] > threshold) continue;
    int largest = 0;
    eigenvectors.col(i).cwiseAbs().maxCoeff(&largest);
    if (names.find(kMotions[largest]) == std::string::npos)
      names += (names.empty() ? "" : ", ") + std::string(kMotions[largest]);
  }
  return names;
}

}  // namespace

void checkSupports(const Model& model, const std::string& path) {
  Parts parts(model.x.size());
  for (const auto& e : model.elements) {
    const auto nodes = model.nodesOf(e);
    for (const auto n : nodes) parts.parent[parts.find(n)] = parts.find(nodes[0]);
  }
  // Origin and size of each part, so that rotations weigh like translations.
  struct Part {
    Vec3 low{1e300, 1e300, 1e300}, high{-1e300, -1e300, -1e300};
    Eigen::Matrix<double, 6, 6> normal = Eigen::Matrix<double, 6, 6>::Zero();
    std::int64_t element = 0, elements = 0;
  };
  std::map<std::int32_t, Part> byRoot;
  for (std::size_t n = 0; n < model.x.size(); ++n) {
    auto& part = byRoot[parts.find(static_cast<std::int32_t>(n))];
    for (int d = 0; d < 3; ++d) {
      part.low[d] = std::min(part.low[d], model.x[n][d]);
      part.high[d] = std::max(part.high[d], model.x[n][d]);
    }
  }
  for (std::size_t i = 0; i < model.elements.size(); ++i) {
    auto& part = byRoot[parts.find(model.nodesOf(model.elements[i])[0])];
    if (part.elements++ == 0) part.element = model.elementId[i];
  }
  for (const auto& f : model.fixed) {
    auto& part = byRoot[parts.find(f.node)];
    double size = 0;
    Vec3 x;
    for (int d = 0; d < 3; ++d) size = std::max(size, part.high[d] - part.low[d]);
    for (int d = 0; d < 3; ++d) x[d] = (model.x[f.node][d] - 0.5 * (part.low[d] + part.high[d])) / size;
    // Displacement of this degree of freedom in each of the six unit motions.
    Vector6 row = Vector6::Zero();
    row[f.dof] = 1;
    const int i = (f.dof + 1) % 3, j = (f.dof + 2) % 3;
    row[3 + i] = x[j];
    row[3 + j] = -x[i];
    part.normal += row * row.transpose();
  }
  for (const auto& [root, part] : byRoot) {
    const Eigen::SelfAdjointEigenSolver<Eigen::Matrix<double, 6, 6>> solver(part.normal);
    const double threshold = 1e-12 * std::max(1.0, solver.eigenvalues()[5]);
    if (solver.eigenvalues()[0] > threshold) continue;
    const auto held = (solver.eigenvalues().array() > threshold).count();
    const std::string which = byRoot.size() == 1 ? "the structure"
                                                 : "the part of " + std::to_string(part.elements) +
                                                       " elements around element " + std::to_string(part.element);
    if (held == 0)
      throw Error(path + ": no *BOUNDARY holds " + which +
                  ", so its stiffness is singular; fix all six rigid-body motions");
    throw Error(path + ": " + which + " can still move freely (" +
                describe(solver.eigenvectors(), solver.eigenvalues(), threshold) +
                "), so its stiffness is singular; add *BOUNDARY conditions");
  }
}

}  // namespace fem
