#include "system.h"

#include <algorithm>

#include "element_math.h"

namespace fem {
namespace {

BlockMatrix pattern(const Domain& domain) {
  std::vector<std::vector<std::int32_t>> rows(static_cast<std::size_t>(domain.owned));
  for (const auto& e : domain.elements) {
    const auto nodes = domain.nodesOf(e);
    for (const auto r : nodes)
      if (r < domain.owned) rows[r].insert(rows[r].end(), nodes.begin(), nodes.end());
  }
  BlockMatrix k;
  k.start.push_back(0);
  for (auto& row : rows) {
    std::sort(row.begin(), row.end());
    row.erase(std::unique(row.begin(), row.end()), row.end());
    k.column.insert(k.column.end(), row.begin(), row.end());
    k.start.push_back(static_cast<std::int64_t>(k.column.size()));
    std::vector<std::int32_t>().swap(row);
  }
  k.value.assign(9 * k.column.size(), 0.0);
  return k;
}

void addElements(const Domain& domain, System& system) {
  std::vector<double> ke;
  for (const auto& element : domain.elements) {
    const auto nodes = domain.nodesOf(element);
    stiffness(nodesOf(domain, element), domain.materials[element.material], ke);
    const std::size_t size = 3 * nodes.size();
    for (std::size_t a = 0; a < nodes.size(); ++a) {
      if (nodes[a] >= domain.owned) continue;
      for (std::size_t b = 0; b < nodes.size(); ++b) {
        double* block = &system.k.value[9 * system.k.find(nodes[a], nodes[b])];
        for (std::size_t i = 0; i < 3; ++i)
          for (std::size_t j = 0; j < 3; ++j) block[3 * i + j] += ke[(3 * a + i) * size + 3 * b + j];
      }
    }
  }
}

void addLoads(const Domain& domain, System& system) {
  for (const auto& force : domain.forces) system.f[3 * force.node + force.dof] += force.value;
  for (const auto& load : domain.loads) {
    const auto& element = domain.elements[load.element];
    double fe[3 * kMaxNodes]{};
    addLoad(nodesOf(domain, element), domain.materials[element.material], load, fe);
    const auto nodes = domain.nodesOf(element);
    for (std::size_t a = 0; a < nodes.size(); ++a)
      if (nodes[a] < domain.owned)
        for (std::size_t i = 0; i < 3; ++i) system.f[3 * nodes[a] + i] += fe[3 * a + i];
  }
}

void eliminate(const Domain& domain, System& system) {
  std::vector<char> fixed(3 * domain.x.size(), 0);
  std::vector<double> value(3 * domain.x.size(), 0.0);
  for (const auto& f : domain.fixed) {
    fixed[3 * f.node + f.dof] = 1;
    value[3 * f.node + f.dof] = f.value;
  }
  auto& k = system.k;
  for (std::int32_t row = 0; row < k.rows(); ++row)
    for (auto at = k.start[row]; at < k.start[row + 1]; ++at) {
      const auto col = k.column[at];
      double* block = &k.value[9 * at];
      for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j) {
          if (fixed[3 * col + j]) {
            system.f[3 * row + i] -= block[3 * i + j] * value[3 * col + j];
            block[3 * i + j] = 0;
          }
          if (fixed[3 * row + i]) block[3 * i + j] = row == col && i == j ? 1 : 0;
        }
    }
  for (const auto& f : domain.fixed)
    if (f.node < domain.owned) system.f[3 * f.node + f.dof] = system.u0[3 * f.node + f.dof] = f.value;
}

}  // namespace

std::int64_t BlockMatrix::find(std::int32_t row, std::int32_t col) const {
  return std::lower_bound(column.begin() + start[row], column.begin() + start[row + 1], col) - column.begin();
}

System assemble(const Domain& domain) {
  System system;
  system.k = pattern(domain);
  system.f.assign(3 * static_cast<std::size_t>(domain.owned), 0.0);
  system.u0 = system.f;
  addElements(domain, system);
  addLoads(domain, system);
  eliminate(domain, system);
  return system;
}

void multiply(const BlockMatrix& k, std::span<const double> x, std::span<double> y) {
  const double* value = k.value.data();
  for (std::int32_t row = 0; row < k.rows(); ++row) {
    double y0 = 0, y1 = 0, y2 = 0;
    for (auto at = k.start[row]; at < k.start[row + 1]; ++at) {
      const double* b = value + 9 * at;
      const double* v = &x[3 * static_cast<std::size_t>(k.column[at])];
      y0 += b[0] * v[0] + b[1] * v[1] + b[2] * v[2];
      y1 += b[3] * v[0] + b[4] * v[1] + b[5] * v[2];
      y2 += b[6] * v[0] + b[7] * v[1] + b[8] * v[2];
    }
    y[3 * row] = y0, y[3 * row + 1] = y1, y[3 * row + 2] = y2;
  }
}

}  // namespace fem
