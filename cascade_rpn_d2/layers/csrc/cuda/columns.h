// Kernels between a channels-last map and the columns of a tile of cells, seen from the host.
//
// A tile is a run of cells counted over the whole batch: [first, first + size). Its columns are
// (>= size, groups, taps, C / groups), in the dtype of the map. The columns of cells that are not
// active are zero, and their gradients go nowhere.
#pragma once

#include "placement.h"

namespace cascade_rpn_d2 {

struct CellRange {
  const Placement& placement;
  const at::Tensor& active;  // (N, Ho, Wo) bool, contiguous, or undefined for all
  int64_t first, size;
};

// columns = samples of pixels (N, H, W, C).
void gather_columns(const CellRange& tile, const at::Tensor& pixels, at::Tensor& columns);

// grad_pixels (N, H, W, C), of the compute dtype, += the samples' gradients, atomically.
void scatter_columns(const CellRange& tile, const at::Tensor& grad_columns, at::Tensor& grad_pixels);

// The same in a fixed order of summation, by sorting what falls on each pixel; slower.
void scatter_columns_in_order(
    const CellRange& tile, const at::Tensor& grad_columns, at::Tensor& grad_pixels);

// grad_offset (N, G, taps, 2, cells), of the compute dtype and zero before, for the tile's cells.
void offset_gradients(
    const CellRange& tile, const at::Tensor& grad_columns, const at::Tensor& pixels,
    at::Tensor& grad_offset);

}  // namespace cascade_rpn_d2
