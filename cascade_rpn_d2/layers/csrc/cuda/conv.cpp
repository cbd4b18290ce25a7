// Forward and backward on CUDA: tiles of cells, whose columns fit a bounded workspace, between kernels
// that gather or scatter them and the matrix products of cuBLAS. Everything runs on the current stream;
// nothing waits for the device.
#include <ATen/Context.h>
#include <ATen/OpMathType.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <c10/cuda/CUDAGuard.h>

#include <algorithm>

#include "columns.h"

namespace cascade_rpn_d2 {
namespace {

using at::Tensor;

// Small enough to stay in the L2 cache of a large GPU between a kernel and its matrix product.
constexpr int64_t kWorkspaceBytes = int64_t{32} << 20;

// What forward and backward share: the map and the weight as kernels and matrix products want them.
struct Operands {
  Shape shape;
  Tensor pixels;   // (N, H, W, C)
  Tensor weights;  // (groups, O / groups, taps * C / groups)
  Tensor values;   // boxes or offsets, contiguous, of the compute dtype
  Tensor columns;  // workspace (groups, cells of a tile, taps * C / groups)

  Operands(const Tensor& input, const TapRule& rule, const Tensor& weight, const Shape& shape)
      : shape(shape),
        pixels(input.permute({0, 2, 3, 1}).contiguous()),
        weights(weight.permute({0, 2, 3, 1})
                    .reshape({shape.groups, shape.out_channels / shape.groups, -1})
                    .contiguous()),
        values(rule.values.to(at::toOpMathType(input.scalar_type())).contiguous()) {
    const int64_t bytes_per_cell = shape.taps() * shape.channels * pixels.element_size();
    const int64_t tile = std::clamp<int64_t>(kWorkspaceBytes / bytes_per_cell, 1, cells());
    columns = at::empty({shape.groups, tile, weights.size(2)}, input.options());
  }

  int64_t cells() const { return shape.images * shape.cells(); }
  int64_t outputs() const { return shape.out_channels / shape.groups; }
  Tensor columns_of(int64_t group, CellRange range) const {
    return columns.select(0, group).narrow(0, 0, range.size);
  }
  // The rows of a tile and the columns of a group in (N * cells, O).
  Tensor outputs_of(const Tensor& rows, int64_t group, CellRange range) const {
    return rows.narrow(0, range.first, range.size).narrow(1, group * outputs(), outputs());
  }

  template <typename Use>
  void for_each_tile(Use&& use) const {
    for (int64_t first = 0; first < cells(); first += columns.size(1)) {
      use(CellRange{first, std::min(columns.size(1), cells() - first)});
    }
  }
};

}  // namespace

Tensor forward_cuda(
    const Tensor& input,
    const TapRule& rule,
    const Tensor& weight,
    const Tensor& bias,
    const Shape& shape) {
  const c10::cuda::CUDAGuard device(input.device());
  const auto format = memory_format_of(input);
  const int64_t cells = shape.images * shape.cells();
  Tensor rows = at::empty({cells, shape.out_channels}, input.options());
  if (cells > 0) {
    Operands operands(input, rule, weight, shape);
    const Placement placement{rule, operands.values, operands.shape};
    operands.for_each_tile([&](CellRange range) {
      gather_columns(placement, range, operands.pixels, operands.columns);
      for (int64_t group = 0; group < shape.groups; ++group) {
        Tensor out = operands.outputs_of(rows, group, range);
        const Tensor columns = operands.columns_of(group, range);
        const Tensor matrix = operands.weights.select(0, group).t();
        if (bias.defined()) {
          const Tensor added = bias.narrow(0, group * operands.outputs(), operands.outputs());
          at::addmm_out(out, added, columns, matrix);
        } else {
          at::mm_out(out, columns, matrix);
        }
      }
    });
  }
  // (N * Ho * Wo, O) -> (N, O, Ho, Wo)
  return rows.view({shape.images, shape.out_height, shape.out_width, shape.out_channels})
      .permute({0, 3, 1, 2})
      .contiguous(format);
}

Gradients backward_cuda(
    const Tensor& grad_output,
    const Tensor& input,
    const TapRule& rule,
    const Tensor& weight,
    const Shape& shape,
    GradientMask mask) {
  const c10::cuda::CUDAGuard device(input.device());
  const auto [need_input, need_offset, need_weight] = mask;
  const auto options = input.options().dtype(at::toOpMathType(input.scalar_type()));
  const bool in_order = at::globalContext().deterministicAlgorithms();
  const int64_t cells = shape.images * shape.cells();
  const int64_t depth = shape.taps() * shape.channels / shape.groups;

  // Sums are kept in the compute dtype and rounded once, at the end.
  Tensor grad_pixels = at::zeros(
      {need_input ? shape.images : 0, shape.height, shape.width, shape.channels}, options);
  Tensor grad_weights = at::zeros(
      {need_weight ? shape.groups : 0, shape.out_channels / shape.groups, depth}, options);
  Tensor grad_offset = at::zeros(need_offset ? rule.values.sizes() : at::IntArrayRef{0}, options);

  if (cells > 0) {
    Operands operands(input, rule, weight, shape);
    const Placement placement{rule, operands.values, operands.shape};
    const Tensor rows = grad_output.to(input.scalar_type())
                            .permute({0, 2, 3, 1})
                            .reshape({cells, shape.out_channels})
                            .contiguous();
    operands.for_each_tile([&](CellRange range) {
      if (need_weight) {
        gather_columns(placement, range, operands.pixels, operands.columns);
        for (int64_t group = 0; group < shape.groups; ++group) {
          grad_weights.select(0, group).add_(at::mm(
              operands.outputs_of(rows, group, range).t(), operands.columns_of(group, range)));
        }
      }
      if (!need_input && !need_offset) {
        return;
      }
      for (int64_t group = 0; group < shape.groups; ++group) {
        Tensor grad_columns = operands.columns_of(group, range);
        at::mm_out(
            grad_columns, operands.outputs_of(rows, group, range),
            operands.weights.select(0, group));
      }
      if (need_offset) {
        offset_gradients(placement, range, operands.columns, operands.pixels, grad_offset);
      }
      if (need_input && in_order) {
        scatter_columns_in_order(placement, range, operands.columns, grad_pixels);
      } else if (need_input) {
        scatter_columns(placement, range, operands.columns, grad_pixels);
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
