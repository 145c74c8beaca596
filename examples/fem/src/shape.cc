// Shape functions (Hughes, "The Finite Element Method", chapter 3 and its appendix on triangles and tetrahedra).
#include "elements.h"

namespace fem {
namespace {

void tet(int nodes, const Vec3& at, Shape& out) {
  // Volume coordinates and their derivatives.
  const double l[4] = {1 - at[0] - at[1] - at[2], at[0], at[1], at[2]};
  constexpr double g[4][3] = {{-1, -1, -1}, {1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
  for (int a = 0; a < 4; ++a) {
    out.n[a] = nodes == 4 ? l[a] : l[a] * (2 * l[a] - 1);
    for (int d = 0; d < 3; ++d) out.dn[a][d] = nodes == 4 ? g[a][d] : (4 * l[a] - 1) * g[a][d];
  }
  for (int a = 4; a < nodes; ++a) {
    const auto [i, j] = edgeOf(ElementType::C3D10, a);
    out.n[a] = 4 * l[i] * l[j];
    for (int d = 0; d < 3; ++d) out.dn[a][d] = 4 * (l[i] * g[j][d] + l[j] * g[i][d]);
  }
}

void hex8(const Vec3& at, Shape& out) {
  const auto nodes = nodePositions(ElementType::C3D8);
  for (int a = 0; a < 8; ++a) {
    const double f[3] = {1 + nodes[a][0] * at[0], 1 + nodes[a][1] * at[1], 1 + nodes[a][2] * at[2]};
    out.n[a] = f[0] * f[1] * f[2] / 8;
    out.dn[a] = {nodes[a][0] * f[1] * f[2] / 8, nodes[a][1] * f[0] * f[2] / 8, nodes[a][2] * f[0] * f[1] / 8};
  }
}

// 20-node serendipity brick.
void hex20(const Vec3& at, Shape& out) {
  const auto nodes = nodePositions(ElementType::C3D20);
  for (int a = 0; a < 8; ++a) {
    double f[3], sum = -2;
    for (int d = 0; d < 3; ++d) {
      f[d] = 1 + nodes[a][d] * at[d];
      sum += nodes[a][d] * at[d];
    }
    out.n[a] = f[0] * f[1] * f[2] * sum / 8;
    for (int d = 0; d < 3; ++d) {
      const double others = f[(d + 1) % 3] * f[(d + 2) % 3];
      out.dn[a][d] = nodes[a][d] * others * (sum + f[d]) / 8;
    }
  }
  for (int a = 8; a < 20; ++a) {
    // Along its edge's direction (coordinate 0) the function is a parabola, across it is linear.
    double f[3], df[3];
    for (int d = 0; d < 3; ++d) {
      const double c = nodes[a][d];
      f[d] = c == 0 ? 1 - at[d] * at[d] : 1 + c * at[d];
      df[d] = c == 0 ? -2 * at[d] : c;
    }
    out.n[a] = f[0] * f[1] * f[2] / 4;
    out.dn[a] = {df[0] * f[1] * f[2] / 4, f[0] * df[1] * f[2] / 4, f[0] * f[1] * df[2] / 4};
  }
}

void triangleFace(int nodes, double r, double s, FaceShape& out) {
  const double l[3] = {1 - r - s, r, s};
  constexpr double g[3][2] = {{-1, -1}, {1, 0}, {0, 1}};
  for (int a = 0; a < 3; ++a) {
    out.n[a] = nodes == 3 ? l[a] : l[a] * (2 * l[a] - 1);
    for (int d = 0; d < 2; ++d) out.dn[a][d] = nodes == 3 ? g[a][d] : (4 * l[a] - 1) * g[a][d];
  }
  for (int a = 3; a < nodes; ++a) {
    const int i = a - 3, j = (i + 1) % 3;
    out.n[a] = 4 * l[i] * l[j];
    for (int d = 0; d < 2; ++d) out.dn[a][d] = 4 * (l[i] * g[j][d] + l[j] * g[i][d]);
  }
}

void squareFace(int nodes, double r, double s, FaceShape& out) {
  constexpr double c[8][2] = {{-1, -1}, {1, -1}, {1, 1}, {-1, 1}, {0, -1}, {1, 0}, {0, 1}, {-1, 0}};
  for (int a = 0; a < 4; ++a) {
    const double fr = 1 + c[a][0] * r, fs = 1 + c[a][1] * s;
    if (nodes == 4) {
      out.n[a] = fr * fs / 4;
      out.dn[a] = {c[a][0] * fs / 4, c[a][1] * fr / 4};
    } else {
      const double sum = c[a][0] * r + c[a][1] * s - 1;
      out.n[a] = fr * fs * sum / 4;
      out.dn[a] = {c[a][0] * fs * (sum + fr) / 4, c[a][1] * fr * (sum + fs) / 4};
    }
  }
  for (int a = 4; a < nodes; ++a) {
    const double fr = c[a][0] == 0 ? 1 - r * r : 1 + c[a][0] * r, dr = c[a][0] == 0 ? -2 * r : c[a][0];
    const double fs = c[a][1] == 0 ? 1 - s * s : 1 + c[a][1] * s, ds = c[a][1] == 0 ? -2 * s : c[a][1];
    out.n[a] = fr * fs / 2;
    out.dn[a] = {dr * fs / 2, fr * ds / 2};
  }
}

}  // namespace

void evaluate(ElementType type, const Vec3& at, Shape& out) {
  switch (type) {
    case ElementType::C3D4:
      return tet(4, at, out);
    case ElementType::C3D10:
      return tet(10, at, out);
    case ElementType::C3D8:
      return hex8(at, out);
    case ElementType::C3D20:
    case ElementType::C3D20R:
      return hex20(at, out);
  }
}

void evaluateFace(int faceNodeCount, double r, double s, FaceShape& out) {
  if (faceNodeCount == 3 || faceNodeCount == 6)
    triangleFace(faceNodeCount, r, s, out);
  else
    squareFace(faceNodeCount, r, s, out);
}

}  // namespace fem
