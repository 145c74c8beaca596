// Whole solutions: the patch test in one domain, and many domains in many threads against one.
#include <barrier>
#include <mutex>
#include <thread>

#include "cg.h"
#include "options.h"
#include "results.h"
#include "support.h"

namespace fem {
namespace {

// Domains in threads of this process, ordered only by sum(), as with DMI.
class SharedExchange {
 public:
  SharedExchange(int count, std::size_t nodes) : barrier_(count), partial_(count), published_(3 * nodes) {}

  class Port {
   public:
    Port(SharedExchange& shared, const Domain& domain, int index) : shared_(shared), domain_(domain), index_(index) {}
    void publish(const double* v) {
      for (std::int32_t i = 0; i < domain_.owned; ++i)
        for (int d = 0; d < 3; ++d) shared_.published_[3 * domain_.global[i] + d] = v[3 * i + d];
    }
    void fetch(double* v) {
      for (std::size_t i = 0; i < domain_.ghosts(); ++i)
        for (int d = 0; d < 3; ++d) v[3 * i + d] = shared_.published_[3 * domain_.global[domain_.owned + i] + d];
    }
    double sum(double v) {
      shared_.partial_[index_] = v;
      shared_.barrier_.arrive_and_wait();
      double total = 0;
      for (const double p : shared_.partial_) total += p;
      shared_.barrier_.arrive_and_wait();
      return total;
    }
    void pause() {}

   private:
    SharedExchange& shared_;
    const Domain& domain_;
    int index_;
  };

 private:
  std::barrier<> barrier_;
  std::vector<double> partial_, published_;
};

struct Answer {
  std::vector<double> u;
  std::vector<Stress> stress;
  CgResult first;  // thread 0's
};

Answer solveWith(const Mesh& mesh, int count, PreconditionerKind kind = PreconditionerKind::Jacobi) {
  const auto domains = makeDomains(mesh, partitionNodes(mesh, count), count);
  SharedExchange shared(count, mesh.x.size());
  Answer answer{std::vector<double>(3 * mesh.x.size()), std::vector<Stress>(mesh.x.size()), {}};
  CgOptions options;
  options.tolerance = 1e-12;
  options.maxIterations = 5000;
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i)
    threads.emplace_back([&, i] {
      const auto domain = unpack(pack(domains[i]));
      const auto system = assemble(domain);
      SharedExchange::Port port(shared, domain, i);
      const auto m = makePreconditioner(kind, system.k);
      const auto solved = solve(domain, system, *m, options, port, [](int, double) {});
      const auto stress = averageStress(domain, domain.owned, solved.u.data());
      for (std::int32_t n = 0; n < domain.owned; ++n) {
        for (int d = 0; d < 3; ++d) answer.u[3 * domain.global[n] + d] = solved.u[3 * n + d];
        answer.stress[domain.global[n]] = stress[n];
      }
      if (i == 0) answer.first = solved;
    });
  for (auto& t : threads) t.join();
  return answer;
}

Mesh loadedBlock(ElementType type) {
  auto mesh = crookedBlock(type);
  for (std::int32_t n = 0; n < static_cast<std::int32_t>(mesh.x.size()); ++n)
    if (mesh.x[n][0] < 0.3)
      for (int d = 0; d < 3; ++d) mesh.fixed.push_back({n, d, d == 1 ? 0.002 : 0});
  const auto last = static_cast<std::int32_t>(mesh.elements.size()) - 1;
  mesh.loads.push_back({last, LoadKind::Pressure, 1, 0, {120}});
  for (std::int32_t e = 0; e <= last; ++e) mesh.loads.push_back({e, LoadKind::Gravity, 0, 0, {30, 0, 0.6, -0.8}});
  mesh.forces.push_back({static_cast<std::int32_t>(mesh.x.size()) - 1, 2, -50});
  return mesh;
}

double largest(const std::vector<double>& v) {
  double m = 0;
  for (const double x : v) m = std::max(m, std::abs(x));
  return m;
}

}  // namespace

class Solve : public testing::TestWithParam<ElementType> {};
INSTANTIATE_TEST_SUITE_P(All, Solve, testing::ValuesIn(kAllTypes), nameOf);

// Irons' patch test: a linear field prescribed on the surface is the solution inside, its stress is constant.
TEST_P(Solve, PassesThePatchTest) {
  auto mesh = crookedBlock(GetParam());
  int inside = 0;
  for (std::int32_t n = 0; n < static_cast<std::int32_t>(mesh.x.size()); ++n) {
    if (!onBlockSurface(mesh, n)) {
      ++inside;
      continue;
    }
    for (int d = 0; d < 3; ++d) mesh.fixed.push_back({n, d, linearField(mesh.x[n])[d]});
  }
  ASSERT_GT(inside, 0);
  const auto answer = solveWith(mesh, 1);
  EXPECT_TRUE(answer.first.converged);
  const double lambda = mesh.materials[0].lambda, mu = mesh.materials[0].mu, trace = 2e-3 + 1.5e-3 - 1e-3;
  const Stress expected{lambda * trace + 2 * mu * 2e-3,
                        lambda * trace + 2 * mu * 1.5e-3,
                        lambda * trace - 2 * mu * 1e-3,
                        mu * (-1e-3 + 5e-4),
                        mu * (4e-4 + 7e-4),
                        mu * (-3e-4 - 6e-4)};
  for (std::size_t n = 0; n < mesh.x.size(); ++n) {
    for (int d = 0; d < 3; ++d) EXPECT_NEAR(answer.u[3 * n + d], linearField(mesh.x[n])[d], 1e-12);
    for (int c = 0; c < 6; ++c) EXPECT_NEAR(answer.stress[n][c], expected[c], 1e-6);
  }
}

TEST_P(Solve, GivesTheSameAnswerInManyDomains) {
  const auto mesh = loadedBlock(GetParam());
  const auto one = solveWith(mesh, 1);
  ASSERT_TRUE(one.first.converged);
  for (const int count : {2, 5}) {
    const auto many = solveWith(mesh, count);
    ASSERT_TRUE(many.first.converged);
    for (std::size_t i = 0; i < one.u.size(); ++i) EXPECT_NEAR(many.u[i], one.u[i], 1e-9 * largest(one.u));
    for (std::size_t n = 0; n < one.stress.size(); ++n)
      for (int c = 0; c < 6; ++c)
        EXPECT_NEAR(many.stress[n][c], one.stress[n][c], 1e-6 * vonMises(one.stress[n]) + 1e-5);
  }
}

TEST_P(Solve, IsTheSameBitForBitWhenRunAgain) {
  const auto mesh = loadedBlock(GetParam());
  EXPECT_EQ(solveWith(mesh, 4).u, solveWith(mesh, 4).u);
}

TEST_P(Solve, NeedsFewerIterationsWithIncompleteCholesky) {
  const auto mesh = loadedBlock(GetParam());
  const auto jacobi = solveWith(mesh, 1), cholesky = solveWith(mesh, 1, PreconditionerKind::Cholesky);
  ASSERT_TRUE(cholesky.first.converged);
  EXPECT_LT(cholesky.first.iterations, jacobi.first.iterations);
  for (std::size_t i = 0; i < jacobi.u.size(); ++i) EXPECT_NEAR(cholesky.u[i], jacobi.u[i], 1e-9 * largest(jacobi.u));
}

TEST_P(Solve, PrescribedDisplacementsComeOutExactly) {
  const auto mesh = loadedBlock(GetParam());
  const auto answer = solveWith(mesh, 3);
  for (const auto& f : mesh.fixed) EXPECT_EQ(answer.u[3 * f.node + f.dof], f.value);
}

TEST(SolveOnce, WithEverythingPrescribedThereIsNothingToIterate) {
  auto mesh = crookedBlock(ElementType::C3D8);
  for (std::int32_t n = 0; n < static_cast<std::int32_t>(mesh.x.size()); ++n)
    for (int d = 0; d < 3; ++d) mesh.fixed.push_back({n, d, linearField(mesh.x[n])[d]});
  const auto answer = solveWith(mesh, 2);
  EXPECT_TRUE(answer.first.converged);
  EXPECT_EQ(answer.first.iterations, 0);
  EXPECT_EQ(answer.u[0], linearField(mesh.x[0])[0]);
}

TEST(SolveOnce, AStructureThatIsNotHeldIsCalledIndefiniteOrDoesNotConverge) {
  auto mesh = crookedBlock(ElementType::C3D8);
  mesh.forces.push_back({0, 0, 1.0});
  const auto answer = solveWith(mesh, 2);
  EXPECT_FALSE(answer.first.converged);
}

TEST(Partition, OwnsEveryNodeOnceAndLeavesNobodyWithoutWork) {
  const auto mesh = crookedBlock(ElementType::C3D20);
  for (const int count : {1, 2, 7, 16, static_cast<int>(mesh.x.size())}) {
    const auto domains = makeDomains(mesh, partitionNodes(mesh, count), count);
    std::vector<int> owners(mesh.x.size(), 0);
    for (const auto& d : domains) {
      EXPECT_GT(d.owned, 0);
      for (std::int32_t i = 0; i < d.owned; ++i) ++owners[d.global[i]];
    }
    for (const int n : owners) EXPECT_EQ(n, 1);
  }
  EXPECT_THROW(partitionNodes(mesh, static_cast<int>(mesh.x.size()) + 1), Error);
}

TEST(Unpack, RefusesBytesThatEndTooEarly) {
  const auto bytes = pack(makeDomains(crookedBlock(ElementType::C3D4), std::vector<std::int32_t>(27, 0), 1)[0]);
  EXPECT_THROW(unpack(std::span(bytes).first(bytes.size() - 1)), Error);
  EXPECT_THROW(unpack(std::span(bytes).first(3)), Error);
}

}  // namespace fem
