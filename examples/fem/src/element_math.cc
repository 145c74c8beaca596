#include "element_math.h"

#include <cmath>

namespace fem {
namespace {

Vec3 cross(const Vec3& a, const Vec3& b) {
  return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}

double dot(const Vec3& a, const Vec3& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

// dN/dx = J^-T dN/dr with J = dx/dr (Hughes, section 3.9).
void gradientsAt(const ElementNodes& e, const QuadraturePoint& p, Gradients& out) {
  const int nodes = kindOf(e.type).nodes;
  Shape shape;
  evaluate(e.type, p.at, shape);
  Vec3 column[3]{};  // dx/dr, dx/ds, dx/dt
  for (int a = 0; a < nodes; ++a)
    for (int i = 0; i < 3; ++i)
      for (int d = 0; d < 3; ++d) column[i][d] += shape.dn[a][i] * e.x[a][d];
  const Vec3 row[3] = {cross(column[1], column[2]), cross(column[2], column[0]), cross(column[0], column[1])};
  const double det = dot(column[0], row[0]);
  for (int a = 0; a < nodes; ++a) {
    out.n[a] = shape.n[a];
    for (int d = 0; d < 3; ++d)
      out.dx[a][d] = (shape.dn[a][0] * row[0][d] + shape.dn[a][1] * row[1][d] + shape.dn[a][2] * row[2][d]) / det;
  }
  out.volume = det * p.weight;
}

}  // namespace

void gradients(const ElementNodes& e, std::vector<Gradients>& out) {
  const auto points = kindOf(e.type).points;
  out.resize(points.size());
  for (std::size_t p = 0; p < points.size(); ++p) gradientsAt(e, points[p], out[p]);
}

ElementNodes nodesOf(const Mesh& mesh, const Element& element) {
  ElementNodes e{element.type, {}};
  const auto nodes = mesh.nodesOf(element);
  for (std::size_t a = 0; a < nodes.size(); ++a) e.x[a] = mesh.x[nodes[a]];
  return e;
}

bool hasPositiveVolume(const ElementNodes& e) {
  Gradients g;
  for (const auto& p : kindOf(e.type).points) {
    gradientsAt(e, p, g);
    if (!(g.volume > 0)) return false;
  }
  return true;
}

void stiffness(const ElementNodes& e, const Material& material, std::vector<double>& k) {
  const int nodes = kindOf(e.type).nodes, size = 3 * nodes;
  k.assign(static_cast<std::size_t>(size) * size, 0.0);
  thread_local std::vector<Gradients> points;
  gradients(e, points);
  const double lambda = material.lambda, mu = material.mu;
  // Isotropic elasticity by pairs of nodes: with g = grad N,
  //   K_ab = integral of  lambda g_a g_b^T + mu (g_b g_a^T + (g_a . g_b) I).
  for (const auto& p : points)
    for (int a = 0; a < nodes; ++a)
      for (int b = a; b < nodes; ++b) {
        const Vec3 &ga = p.dx[a], &gb = p.dx[b];
        const double shear = mu * dot(ga, gb);
        double* block = &k[static_cast<std::size_t>(3 * a) * size + 3 * b];
        for (int i = 0; i < 3; ++i)
          for (int j = 0; j < 3; ++j)
            block[i * size + j] += p.volume * (lambda * ga[i] * gb[j] + mu * gb[i] * ga[j] + (i == j ? shear : 0));
      }
  for (int r = 0; r < size; ++r)
    for (int c = 0; c < r; ++c)
      if (r / 3 != c / 3) k[static_cast<std::size_t>(r) * size + c] = k[static_cast<std::size_t>(c) * size + r];
}

void addLoad(const ElementNodes& e, const Material& material, const Load& load, double* f) {
  const auto& kind = kindOf(e.type);
  if (load.kind == LoadKind::Pressure) {
    const auto face = faceNodes(e.type, load.face);
    FaceShape shape;
    for (const auto& p : kind.facePoints) {
      evaluateFace(static_cast<int>(face.size()), p.at[0], p.at[1], shape);
      Vec3 r{}, s{};
      for (std::size_t a = 0; a < face.size(); ++a)
        for (int d = 0; d < 3; ++d) {
          r[d] += shape.dn[a][0] * e.x[face[a]][d];
          s[d] += shape.dn[a][1] * e.x[face[a]][d];
        }
      const Vec3 inward = cross(r, s);  // its length is the area per natural area
      for (std::size_t a = 0; a < face.size(); ++a)
        for (int d = 0; d < 3; ++d) f[3 * face[a] + d] += load.values[0] * p.weight * shape.n[a] * inward[d];
    }
    return;
  }
  thread_local std::vector<Gradients> points;
  gradients(e, points);
  for (const auto& p : points) {
    Vec3 acceleration{};
    if (load.kind == LoadKind::Gravity) {
      for (int d = 0; d < 3; ++d) acceleration[d] = load.values[0] * load.values[1 + d];
    } else {
      // omega^2 times the vector from the axis.
      Vec3 from{}, axis{load.values[4], load.values[5], load.values[6]};
      for (int a = 0; a < kind.nodes; ++a)
        for (int d = 0; d < 3; ++d) from[d] += p.n[a] * e.x[a][d];
      for (int d = 0; d < 3; ++d) from[d] -= load.values[1 + d];
      const double along = dot(from, axis);
      for (int d = 0; d < 3; ++d) acceleration[d] = load.values[0] * (from[d] - along * axis[d]);
    }
    for (int a = 0; a < kind.nodes; ++a)
      for (int d = 0; d < 3; ++d) f[3 * a + d] += material.density * p.volume * p.n[a] * acceleration[d];
  }
}

void nodalStress(const ElementNodes& e, const Material& material, const double* u, Stress* atNodes) {
  const int nodes = kindOf(e.type).nodes;
  thread_local std::vector<Gradients> points;
  gradients(e, points);
  const auto weights = extrapolation(e.type);
  for (int a = 0; a < nodes; ++a) atNodes[a] = {};
  for (std::size_t p = 0; p < points.size(); ++p) {
    double h[3][3]{};  // displacement gradient
    for (int a = 0; a < nodes; ++a)
      for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j) h[i][j] += u[3 * a + i] * points[p].dx[a][j];
    Stress s;
    for (int i = 0; i < 3; ++i) s[i] = material.lambda * (h[0][0] + h[1][1] + h[2][2]) + 2 * material.mu * h[i][i];
    s[3] = material.mu * (h[0][1] + h[1][0]);
    s[4] = material.mu * (h[0][2] + h[2][0]);
    s[5] = material.mu * (h[1][2] + h[2][1]);
    for (int a = 0; a < nodes; ++a)
      for (int c = 0; c < 6; ++c) atNodes[a][c] += weights[a * points.size() + p] * s[c];
  }
}

double vonMises(const Stress& s) {
  const double normal = (s[0] - s[1]) * (s[0] - s[1]) + (s[1] - s[2]) * (s[1] - s[2]) + (s[2] - s[0]) * (s[2] - s[0]);
  return std::sqrt(normal / 2 + 3 * (s[3] * s[3] + s[4] * s[4] + s[5] * s[5]));
}

}  // namespace fem
