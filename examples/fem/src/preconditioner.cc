#include "preconditioner.h"

#include <Eigen/Dense>

namespace fem {
namespace {

using Block = Eigen::Matrix<double, 3, 3, Eigen::RowMajor>;
using BlockRef = Eigen::Map<const Block>;
using Vector = Eigen::Map<const Eigen::Vector3d>;

// The three numbers of node i.
Eigen::Map<Eigen::Vector3d> of(std::span<double> z, std::size_t i) { return Eigen::Map<Eigen::Vector3d>(&z[3 * i]); }

class BlockJacobi final : public Preconditioner {
 public:
  explicit BlockJacobi(const BlockMatrix& k) {
    for (std::int32_t row = 0; row < k.rows(); ++row)
      inverse_.push_back(BlockRef(&k.value[9 * k.find(row, row)]).inverse());
  }
  void apply(std::span<const double> r, std::span<double> z) const override {
    for (std::size_t i = 0; i < inverse_.size(); ++i) of(z, i) = inverse_[i] * Vector(&r[3 * i]);
  }

 private:
  std::vector<Block> inverse_;
};

// A ~ (D + L) D^-1 (D + L)^T with block-diagonal D and L in the pattern of A's strictly lower part.
class BlockCholesky final : public Preconditioner {
 public:
  explicit BlockCholesky(const BlockMatrix& k) {
    double shift = 0;
    while (!factorise(k, shift)) shift = shift == 0 ? 1e-3 : 2 * shift;
  }

  void apply(std::span<const double> r, std::span<double> z) const override {
    const std::size_t rows = inverse_.size();
    for (std::size_t i = 0; i < rows; ++i) {
      Eigen::Vector3d s = Vector(&r[3 * i]);
      for (auto at = start_[i]; at < start_[i + 1]; ++at) s.noalias() -= lower_[at] * Vector(&z[3 * column_[at]]);
      of(z, i) = inverse_[i] * s;
    }
    // (D + L)^T z' = D z; L is kept by rows, so each finished z'_i is subtracted from the rows above it.
    for (std::size_t i = rows; i-- > 0;) {
      const Eigen::Vector3d zi = Vector(&z[3 * i]);
      for (auto at = start_[i]; at < start_[i + 1]; ++at) {
        const auto j = column_[at];
        of(z, j).noalias() -= inverse_[j] * (lower_[at].transpose() * zi);
      }
    }
  }

 private:
  bool factorise(const BlockMatrix& k, double shift) {
    start_.assign(1, 0);
    column_.clear(), lower_.clear(), inverse_.clear();
    std::vector<std::int64_t> position(static_cast<std::size_t>(k.rows()), -1);  // of column j in the current row
    for (std::int32_t i = 0; i < k.rows(); ++i) {
      Block diagonal = Block::Zero();
      const auto first = static_cast<std::int64_t>(column_.size());
      for (auto at = k.start[i]; at < k.start[i + 1]; ++at) {
        const auto j = k.column[at];
        if (j < i) {
          position[j] = static_cast<std::int64_t>(column_.size());
          column_.push_back(j);
          lower_.push_back(BlockRef(&k.value[9 * at]));
        } else if (j == i) {
          diagonal = BlockRef(&k.value[9 * at]);
        }
      }
      diagonal.diagonal() *= 1 + shift;
      for (auto at = first; at < static_cast<std::int64_t>(column_.size()); ++at) {
        const auto j = column_[at];
        // L_ij -= sum over m < j of L_im D_m^-1 L_jm^T, for the m that both rows hold.
        for (auto other = start_[j]; other < start_[j + 1]; ++other) {
          const auto m = column_[other];
          if (position[m] >= first)
            lower_[at].noalias() -= lower_[position[m]] * inverse_[m] * lower_[other].transpose();
        }
      }
      for (auto at = first; at < static_cast<std::int64_t>(column_.size()); ++at)
        diagonal.noalias() -= lower_[at] * inverse_[column_[at]] * lower_[at].transpose();
      diagonal = (0.5 * (diagonal + diagonal.transpose())).eval();
      Eigen::LLT<Eigen::Matrix3d> check(diagonal);
      if (check.info() != Eigen::Success) return false;
      // A pivot that lost nearly all of its size is as bad as a negative one.
      const BlockRef original(&k.value[9 * k.find(i, i)]);
      if (diagonal.trace() < 1e-3 * original.trace()) return false;
      inverse_.push_back(diagonal.inverse());
      start_.push_back(static_cast<std::int64_t>(column_.size()));
    }
    return true;
  }

  std::vector<std::int64_t> start_;
  std::vector<std::int32_t> column_;
  std::vector<Block> lower_;
  std::vector<Block> inverse_;  // D^-1
};

}  // namespace

std::unique_ptr<Preconditioner> blockJacobi(const BlockMatrix& k) { return std::make_unique<BlockJacobi>(k); }
std::unique_ptr<Preconditioner> blockCholesky(const BlockMatrix& k) { return std::make_unique<BlockCholesky>(k); }

}  // namespace fem
