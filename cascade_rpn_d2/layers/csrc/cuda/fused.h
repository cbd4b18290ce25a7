// The fused kernel, seen from the host.
#pragma once

#include "active.h"
#include "placement.h"

namespace cascade_rpn_d2 {

// Whether the fused kernel is the way to evaluate every cell: where tensor cores take the dtype,
// and groups are wide enough for them. Elsewhere the products of cuBLAS are faster.
bool fused_is_fastest(at::ScalarType dtype, const Shape& shape);

// Whether the fused kernel can evaluate such a convolution at all: its indices of pixels have 32
// bits.
bool fused_is_possible(const Shape& shape);

// output (N, O, Ho, Wo), contiguous or channels-last, at the cells of the list; other cells are
// left.
//   pixels: (N, H, W, C); weight: (O, C / groups, Kh, Kw); bias: (O) or undefined.
void fused_forward(
    const Placement& placement, const CellList& cells, const at::Tensor& pixels,
    const at::Tensor& weight, const at::Tensor& bias, at::Tensor& output);

}  // namespace cascade_rpn_d2
