// Forward on CUDA: the fused kernel where it is the fastest way or where only some cells are
// wanted, else columns in a bounded workspace and the matrix products of cuBLAS. Everything runs on
// the current stream; nothing waits for the device.
#include <ATen/OpMathType.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <c10/cuda/CUDAGuard.h>

#include "active.h"
#include "fused.h"
#include "operands.h"

namespace cascade_rpn_d2 {
namespace {

using at::Tensor;

// Every cell, by columns; (N, O, Ho, Wo) in channels-last order. It is no view of the rows that the
// products write: autograd lets no view that an operator returns be changed in place.
Tensor over_columns(
    const Placement& placement, const Tensor& pixels, const Tensor& weight, const Tensor& bias) {
  const Shape& shape = placement.shape;
  const Tensor every_cell;
  Operands operands(placement, every_cell, pixels, weight);
  Tensor output = at::empty(
      {shape.images, shape.out_channels, shape.out_height, shape.out_width},
      pixels.options().memory_format(at::MemoryFormat::ChannelsLast));
  const Tensor rows =
      output.permute({0, 2, 3, 1}).view({operands.cells(), shape.out_channels});
  operands.for_each_tile([&](const CellRange& tile) {
    gather_columns(tile, operands.pixels, operands.columns);
    for (int64_t group = 0; group < shape.groups; ++group) {
      Tensor out = operands.outputs_of(rows, group, tile);
      const Tensor columns = operands.columns_of(group, tile);
      const Tensor matrix = operands.weights.select(0, group).t();
      if (bias.defined()) {
        const Tensor added = bias.narrow(0, group * operands.outputs(), operands.outputs());
        at::addmm_out(out, added, columns, matrix);
      } else {
        at::mm_out(out, columns, matrix);
      }
    }
  });
  return output;
}

}  // namespace

Tensor forward_cuda(
    const Tensor& input,
    const TapRule& rule,
    const Tensor& weight,
    const Tensor& bias,
    const Tensor& active,
    const Shape& shape) {
  const c10::cuda::CUDAGuard device(input.device());
  const auto format = memory_format_of(input);
  const int64_t cells = shape.images * shape.cells();
  const std::array<int64_t, 4> sizes{
      shape.images, shape.out_channels, shape.out_height, shape.out_width};
  if (cells == 0) {
    return at::empty(sizes, input.options().memory_format(format));
  }
  const Tensor values = rule.values.to(at::toOpMathType(input.scalar_type())).contiguous();
  const Placement placement{rule, values, shape};
  const Tensor pixels = input.permute({0, 2, 3, 1}).contiguous();
  const bool fused = active.defined() ? fused_is_possible(shape)
                                      : fused_is_fastest(input.scalar_type(), shape);
  if (fused) {
    Tensor output = at::empty(sizes, input.options().memory_format(format));
    if (active.defined()) {
      output.zero_();
    }
    const ActiveCells active_cells(active, cells);
    fused_forward(placement, active_cells.list(), pixels, weight, bias, output);
    return output;
  }
  Tensor output = over_columns(placement, pixels, weight, bias);
  if (active.defined()) {
    output = at::where(active.unsqueeze(1), output, at::zeros({}, input.options()));
  }
  return output.contiguous(format);
}

}  // namespace cascade_rpn_d2
