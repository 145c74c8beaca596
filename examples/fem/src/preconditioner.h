// z = M^-1 r inside one domain; ghosts are left out, so no communication.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "system.h"

namespace fem {

class Preconditioner {
 public:
  virtual ~Preconditioner() = default;
  virtual void apply(std::span<const double> r, std::span<double> z) const = 0;  // 3 numbers per owned node
};

// The inverse of each node's own 3x3 block.
std::unique_ptr<Preconditioner> blockJacobi(const BlockMatrix& k);

// Incomplete Cholesky factors of the domain's own block, without fill (block IC(0); Saad, "Iterative Methods", section
// 10.3 and 14.3 for its use per subdomain). Where a pivot is not positive definite the diagonal is enlarged and the
// factorisation starts over, so it always succeeds.
std::unique_ptr<Preconditioner> blockCholesky(const BlockMatrix& k);

}  // namespace fem
