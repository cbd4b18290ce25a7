// What the forward and the backward over columns share: the map and the weight as kernels and
// matrix products want them, and tiles of cells whose columns fit a bounded workspace.
#pragma once

#include <ATen/ops/empty.h>

#include <algorithm>

#include "columns.h"

namespace cascade_rpn_d2 {

// Small enough to stay in the L2 cache of a large GPU between a kernel and its matrix product.
constexpr int64_t kWorkspaceBytes = int64_t{32} << 20;

struct Operands {
  const Placement& placement;
  const at::Tensor& active;  // (N, Ho, Wo) bool or undefined for all
  at::Tensor pixels;         // (N, H, W, C)
  at::Tensor weights;        // (groups, O / groups, taps * C / groups)
  at::Tensor columns;        // workspace (cells of a tile, groups, taps * C / groups)

  Operands(
      const Placement& placement, const at::Tensor& active, const at::Tensor& pixels,
      const at::Tensor& weight)
      : placement(placement),
        active(active),
        pixels(pixels),
        weights(weight.permute({0, 2, 3, 1})
                    .reshape({shape().groups, outputs(), -1})
                    .contiguous()) {
    const int64_t bytes_per_cell = shape().taps() * shape().channels * pixels.element_size();
    const int64_t tile = std::clamp<int64_t>(kWorkspaceBytes / bytes_per_cell, 1, cells());
    columns = at::empty({tile, shape().groups, weights.size(2)}, pixels.options());
  }

  const Shape& shape() const { return placement.shape; }
  int64_t cells() const { return shape().images * shape().cells(); }
  int64_t outputs() const { return shape().out_channels / shape().groups; }
  at::Tensor columns_of(int64_t group, const CellRange& tile) const {
    return columns.select(1, group).narrow(0, 0, tile.size);
  }
  // The rows of a tile and the columns of a group in (N * cells, O).
  at::Tensor outputs_of(const at::Tensor& rows, int64_t group, const CellRange& tile) const {
    return rows.narrow(0, tile.first, tile.size).narrow(1, group * outputs(), outputs());
  }

  template <typename Use>
  void for_each_tile(Use&& use) const {
    for (int64_t first = 0; first < cells(); first += columns.size(0)) {
      use(CellRange{placement, active, first, std::min(columns.size(0), cells() - first)});
    }
  }
};

}  // namespace cascade_rpn_d2
