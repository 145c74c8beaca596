// The rows of K u = f that one domain owns: 3x3 blocks in compressed rows, columns over owned and ghost nodes.
#pragma once

#include <span>
#include <vector>

#include "domain.h"

namespace fem {

struct BlockMatrix {
  std::vector<std::int64_t> start;   // rows + 1
  std::vector<std::int32_t> column;  // ascending in each row
  std::vector<double> value;         // 9 per block, row by row

  std::int32_t rows() const { return static_cast<std::int32_t>(start.size()) - 1; }
  std::int64_t find(std::int32_t row, std::int32_t col) const;  // index of the block, which must exist
};

struct System {
  BlockMatrix k;
  std::vector<double> f;   // 3 per owned node; prescribed displacements in their own rows
  std::vector<double> u0;  // the prescribed displacements, else 0: 3 per owned node
};

// Assembles the domain's rows. Prescribed displacements are eliminated from the rows and columns of the others, so that
// the matrix over all domains stays symmetric positive definite; their own rows become u = value.
System assemble(const Domain& domain);

// y = K x; x has 3 numbers per local node (ghosts included), y 3 per owned node.
void multiply(const BlockMatrix& k, std::span<const double> x, std::span<double> y);

}  // namespace fem
