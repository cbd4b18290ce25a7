// Backward on CUDA: tiles of cells, whose columns fit a bounded workspace, between kernels that
// gather or scatter them and the matrix products of cuBLAS. Nothing waits for the device.
//
// Of cells that are not active the kernels read and scatter nothing; only the matrix products
// multiply their zeros, because how many cells are active is known to the device alone.
#include <ATen/Context.h>
#include <ATen/OpMathType.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <c10/cuda/CUDAGuard.h>

#include "operands.h"

namespace cascade_rpn_d2 {
namespace {

using at::Tensor;

// grad_output as (N * cells, O), zero where a cell is not active, whatever stood there.
Tensor rows_of(
    const Tensor& grad_output, const Tensor& active, at::ScalarType dtype, const Shape& shape) {
  const Tensor rows = grad_output.to(dtype).permute({0, 2, 3, 1});
  const Tensor wanted = active.defined()
      ? at::where(active.unsqueeze(3), rows, at::zeros({}, rows.options()))
      : rows;
  return wanted.reshape({-1, shape.out_channels}).contiguous();
}

}  // namespace

Gradients backward_cuda(
    const Tensor& grad_output,
    const Tensor& input,
    const TapRule& rule,
    const Tensor& weight,
    const Tensor& active,
    const Shape& shape,
    GradientMask mask) {
  const c10::cuda::CUDAGuard device(input.device());
  const auto [need_input, need_offset, need_weight] = mask;
  const auto options = input.options().dtype(at::toOpMathType(input.scalar_type()));
  const bool in_order = at::globalContext().deterministicAlgorithms();
  const int64_t depth = shape.taps() * shape.channels / shape.groups;

  // Sums over tiles are kept in the compute dtype and rounded at the end. What cuBLAS makes of a tile,
  // its columns' gradient and its share of the weight's, is of the dtype of the map.
  Tensor grad_pixels = at::zeros(
      {need_input ? shape.images : 0, shape.height, shape.width, shape.channels}, options);
  Tensor grad_weights = at::zeros(
      {need_weight ? shape.groups : 0, shape.out_channels / shape.groups, depth}, options);
  Tensor grad_offset = at::zeros(need_offset ? rule.values.sizes() : at::IntArrayRef{0}, options);

  if (shape.images * shape.cells() > 0) {
    const Tensor values = rule.values.to(options.dtype()).contiguous();
    const Placement placement{rule, values, shape};
    Operands operands(placement, active, input.permute({0, 2, 3, 1}).contiguous(), weight);
    const Tensor rows = rows_of(grad_output, active, input.scalar_type(), shape);
    operands.for_each_tile([&](const CellRange& tile) {
      if (need_weight) {
        gather_columns(tile, operands.pixels, operands.columns);
        for (int64_t group = 0; group < shape.groups; ++group) {
          grad_weights.select(0, group).add_(at::mm(
              operands.outputs_of(rows, group, tile).t(), operands.columns_of(group, tile)));
        }
      }
      if (!need_input && !need_offset) {
        return;
      }
      for (int64_t group = 0; group < shape.groups; ++group) {
        Tensor grad_columns = operands.columns_of(group, tile);
        at::mm_out(
            grad_columns, operands.outputs_of(rows, group, tile),
            operands.weights.select(0, group));
      }
      if (need_offset) {
        offset_gradients(tile, operands.columns, operands.pixels, grad_offset);
      }
      if (need_input && in_order) {
        scatter_columns_in_order(tile, operands.columns, grad_pixels);
      } else if (need_input) {
        scatter_columns(tile, operands.columns, grad_pixels);
      }
    });
  }

  Gradients gradients{
      at::empty({0}, input.options()), at::empty({0}, rule.values.options()),
      at::empty({0}, weight.options())};
  auto& [grad_input, grad_values, grad_weight] = gradients;
  if (need_input) {
    grad_input = grad_pixels.permute({0, 3, 1, 2})
                     .to(input.scalar_type())
                     .contiguous(memory_format_of(input));
  }
  if (need_offset) {
    grad_values =
        grad_offset.to(rule.values.scalar_type()).contiguous(memory_format_of(rule.values));
  }
  if (need_weight) {
    // (groups, O / groups, taps * C / groups) -> (O, C / groups, Kh, Kw)
    grad_weight =
        grad_weights
            .view({shape.out_channels, shape.kernel_height, shape.kernel_width, weight.size(1)})
            .permute({0, 3, 1, 2})
            .to(weight.scalar_type())
            .contiguous(memory_format_of(weight));
  }
  return gradients;
}

}  // namespace cascade_rpn_d2
