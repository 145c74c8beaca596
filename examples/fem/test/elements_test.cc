#include "support.h"

namespace fem {

class Elements : public testing::TestWithParam<ElementType> {};
INSTANTIATE_TEST_SUITE_P(All, Elements, testing::ValuesIn(kAllTypes), nameOf);

TEST_P(Elements, ShapeFunctionsAreOneAtTheirNodeAndZeroAtTheOthers) {
  const auto nodes = nodePositions(GetParam());
  Shape s;
  for (std::size_t a = 0; a < nodes.size(); ++a) {
    evaluate(GetParam(), nodes[a], s);
    for (std::size_t b = 0; b < nodes.size(); ++b) EXPECT_NEAR(s.n[b], a == b ? 1 : 0, 1e-14);
  }
}

TEST_P(Elements, ShapeFunctionsAddUpToOneAndDerivativesAgreeWithDifferences) {
  const int nodes = kindOf(GetParam()).nodes;
  const Vec3 at{0.21, 0.13, 0.34};
  Shape s, plus, minus;
  evaluate(GetParam(), at, s);
  double sum = 0;
  for (int a = 0; a < nodes; ++a) sum += s.n[a];
  EXPECT_NEAR(sum, 1, 1e-14);
  for (int d = 0; d < 3; ++d) {
    Vec3 p = at, m = at;
    p[d] += 1e-5, m[d] -= 1e-5;
    evaluate(GetParam(), p, plus);
    evaluate(GetParam(), m, minus);
    for (int a = 0; a < nodes; ++a) EXPECT_NEAR(s.dn[a][d], (plus.n[a] - minus.n[a]) / 2e-5, 1e-8);
  }
}

TEST_P(Elements, QuadratureHasTheReferenceVolumeAndArea) {
  const auto& kind = kindOf(GetParam());
  double volume = 0, area = 0;
  for (const auto& p : kind.points) volume += p.weight;
  for (const auto& p : kind.facePoints) area += p.weight;
  EXPECT_NEAR(volume, kind.corners == 4 ? 1.0 / 6 : 8, 1e-14);
  EXPECT_NEAR(area, kind.corners == 4 ? 0.5 : 4, 1e-14);
}

TEST_P(Elements, FacesListTheirMiddlesInOrderAndPointInwards) {
  const auto& kind = kindOf(GetParam());
  const auto x = nodePositions(GetParam());
  Vec3 centre{};
  for (int a = 0; a < kind.corners; ++a)
    for (int d = 0; d < 3; ++d) centre[d] += x[a][d] / kind.corners;
  for (int f = 0; f < kind.faces; ++f) {
    const auto face = faceNodes(GetParam(), f);
    const std::size_t corners = static_cast<std::size_t>(kind.faceCorners);
    ASSERT_EQ(face.size(), kind.nodes > kind.corners ? 2 * corners : corners);
    for (std::size_t i = corners; i < face.size(); ++i)
      for (int d = 0; d < 3; ++d)
        EXPECT_DOUBLE_EQ(x[face[i]][d], (x[face[i - corners]][d] + x[face[(i - corners + 1) % corners]][d]) / 2);
    Vec3 u, v, in;
    for (int d = 0; d < 3; ++d) {
      u[d] = x[face[1]][d] - x[face[0]][d];
      v[d] = x[face[corners - 1]][d] - x[face[0]][d];
      in[d] = centre[d] - x[face[0]][d];
    }
    const double triple =
        in[0] * (u[1] * v[2] - u[2] * v[1]) + in[1] * (u[2] * v[0] - u[0] * v[2]) + in[2] * (u[0] * v[1] - u[1] * v[0]);
    EXPECT_GT(triple, 0) << "face P" << f + 1;
  }
}

TEST_P(Elements, ExtrapolationKeepsALinearFieldOnTheWayToTheNodes) {
  const auto& kind = kindOf(GetParam());
  const auto weights = extrapolation(GetParam());
  const auto field = [&](const Vec3& p) { return kind.points.size() == 1 ? 5.0 : 5 + 2 * p[0] - p[1] + 3 * p[2]; };
  for (int a = 0; a < kind.nodes; ++a) {
    double value = 0;
    for (std::size_t p = 0; p < kind.points.size(); ++p)
      value += weights[a * kind.points.size() + p] * field(kind.points[p].at);
    EXPECT_NEAR(value, field(nodePositions(GetParam())[a]), 1e-12);
  }
}

TEST_P(Elements, StiffnessIsSymmetricAndKnowsNoForceOfARigidMotion) {
  const auto mesh = crookedBlock(GetParam());
  std::vector<double> k;
  for (const auto& element : mesh.elements) {
    const auto e = nodesOf(mesh, element);
    ASSERT_TRUE(hasPositiveVolume(e));
    stiffness(e, mesh.materials[0], k);
    const int size = 3 * kindOf(GetParam()).nodes;
    for (int mode = 0; mode < 6; ++mode) {
      std::vector<double> u(static_cast<std::size_t>(size), 0);
      for (int a = 0; a < size / 3; ++a) {
        if (mode < 3) {
          u[3 * a + mode] = 1;
        } else {  // rotation about axis mode - 3
          const int i = (mode - 3 + 1) % 3, j = (mode - 3 + 2) % 3;
          u[3 * a + i] = -e.x[a][j];
          u[3 * a + j] = e.x[a][i];
        }
      }
      for (int r = 0; r < size; ++r) {
        double f = 0;
        for (int c = 0; c < size; ++c) f += k[r * size + c] * u[c];
        EXPECT_NEAR(f, 0, 1e-8 * mesh.materials[0].lambda);
      }
    }
    for (int r = 0; r < size; ++r)
      for (int c = 0; c < r; ++c) EXPECT_NEAR(k[r * size + c], k[c * size + r], 1e-9 * mesh.materials[0].lambda);
  }
}

TEST_P(Elements, BodyLoadsWeighWhatTheVolumeWeighsAndEqualPressureCancels) {
  const auto mesh = crookedBlock(GetParam());
  double weight = 0, volume = 0;
  for (const auto& element : mesh.elements) {
    const auto e = nodesOf(mesh, element);
    std::vector<Gradients> points;
    gradients(e, points);
    for (const auto& p : points) volume += p.volume;
    double f[3 * kMaxNodes]{}, squeezed[3 * kMaxNodes]{};
    addLoad(e, mesh.materials[0], {0, LoadKind::Gravity, 0, 0, {10, 0, 0, -1}}, f);
    for (int a = 0; a < kindOf(e.type).nodes; ++a) weight -= f[3 * a + 2];
    for (int face = 0; face < kindOf(e.type).faces; ++face)
      addLoad(e, mesh.materials[0], {0, LoadKind::Pressure, face, 0, {3}}, squeezed);
    for (int d = 0; d < 3; ++d) {
      double sum = 0;
      for (int a = 0; a < kindOf(e.type).nodes; ++a) sum += squeezed[3 * a + d];
      EXPECT_NEAR(sum, 0, 1e-12);
    }
  }
  EXPECT_NEAR(weight, 2.0 * 10 * volume, 1e-10);
}

TEST(VonMises, OfUniaxialTensionIsTheTensionAndOfPureShearSqrtThreeTimesTheShear) {
  EXPECT_DOUBLE_EQ(vonMises({7, 0, 0, 0, 0, 0}), 7);
  EXPECT_DOUBLE_EQ(vonMises({-4, -4, -4, 0, 0, 0}), 0);
  EXPECT_DOUBLE_EQ(vonMises({0, 0, 0, 0, 2, 0}), 2 * std::sqrt(3.0));
}

}  // namespace fem
