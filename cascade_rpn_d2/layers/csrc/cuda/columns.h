// The kernels, seen from the host: between a channels-last map and the columns of a tile of cells.
//
// A tile is a run of cells counted over the whole batch: [first, first + size). Its columns are
// (groups, >= size, taps, C / groups), in the dtype of the map.
#pragma once

#include "../problem.h"

namespace cascade_rpn_d2 {

struct CellRange {
  int64_t first, size;
};

// What all kernels need to know where the taps lie; `values` are contiguous, of the compute dtype.
struct Placement {
  const TapRule& rule;
  const at::Tensor& values;
  const Shape& shape;
};

// columns = samples of pixels (N, H, W, C).
void gather_columns(
    const Placement& placement, CellRange range, const at::Tensor& pixels, at::Tensor& columns);

// grad_pixels (N, H, W, C), of the compute dtype, += the samples' gradients, atomically.
void scatter_columns(
    const Placement& placement, CellRange range, const at::Tensor& grad_columns,
    at::Tensor& grad_pixels);

// The same in a fixed order of summation, by sorting what falls on each pixel; slower.
void scatter_columns_in_order(
    const Placement& placement, CellRange range, const at::Tensor& grad_columns,
    at::Tensor& grad_pixels);

// grad_offset (N, G, taps, 2, cells), of the compute dtype, for the cells of the tile.
void offset_gradients(
    const Placement& placement, CellRange range, const at::Tensor& grad_columns,
    const at::Tensor& pixels, at::Tensor& grad_offset);

}  // namespace cascade_rpn_d2
