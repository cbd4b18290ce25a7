// Backward on the CPU. The gradient of the map is a scatter, which would race between tiles; so it is
// the channels that run in parallel: a task owns a block of channels, walks over all tiles in order,
// and alone writes its channels of every gradient. No atomics, no private copies of a map, and the
// same sums whatever the timing of the threads.
#include <ATen/Dispatch.h>
#include <ATen/OpMathType.h>
#include <ATen/Parallel.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>

#include "tiles.h"

namespace cascade_rpn_d2 {
namespace {

using at::Tensor;

constexpr int64_t kTileCells = 128;
// Blocks wide enough for an efficient GEMM, narrow enough to occupy the threads.
constexpr int64_t kMinBlockChannels = 16;
constexpr int64_t kMaxBlockChannels = 64;

struct Problem {
  const Shape& shape;
  GradientMask mask;
  std::vector<Block> blocks;
  std::vector<int64_t> rank;  // of a block among those of its offset group
  OutputLayout layout;
  Tensor grad_output;   // as the layout says
  Tensor weight;        // (O, Kh, Kw, C / groups)
  Tensor pixels;        // (N, H, W, C)
  Tensor grad_pixels;   // (N, H, W, C), if asked for
  Tensor grad_weight;   // (O, Kh, Kw, C / groups), if asked for
  Tensor grad_offsets;  // (blocks of an offset group, N, G, taps, 2, cells): parts, if asked for
};

// The part of (O, Kh, Kw, C / groups) that meets a block: (O / groups, Kh, Kw, block channels).
Tensor part_of(const Tensor& weight, const Block& block, const Shape& shape) {
  const int64_t outputs = shape.out_channels / shape.groups;
  const int64_t per_group = shape.channels / shape.groups;
  return weight.narrow(0, block.group * outputs, outputs)
      .narrow(3, block.begin - block.group * per_group, block.channels());
}

template <typename T, typename Policy>
void run_block(
    const Problem& problem, const Policy& policy, size_t b, Matrix<T> weight,
    Matrix<T> grad_weight) {
  const Shape& shape = problem.shape;
  const Block& block = problem.blocks[b];
  const auto [need_input, need_offset, need_weight] = problem.mask;
  const int64_t taps = shape.taps();
  const int64_t depth = taps * block.channels();
  const int64_t outputs = shape.out_channels / shape.groups;
  const int64_t stride = shape.channels;
  T* grad_output = const_cast<T*>(problem.grad_output.const_data_ptr<T>());
  const T* pixels = problem.pixels.const_data_ptr<T>() + block.begin;
  T* grad_pixels =
      need_input ? problem.grad_pixels.mutable_data_ptr<T>() + block.begin : nullptr;
  T* grad_offset = nullptr;
  if (need_offset) {
    grad_offset = problem.grad_offsets.mutable_data_ptr<T>() +
        problem.rank[b] * problem.grad_offsets.stride(0);
  }

  Scratch<Corners<T>> corners(kTileCells * taps);
  Scratch<T> columns(kTileCells * depth);
  Scratch<Position<T>> gradient_of_positions(need_offset ? kTileCells * taps : 0);
  const int64_t tiles = shape.images * tiles_per_image(shape, kTileCells);
  for (int64_t index = 0; index < tiles; ++index) {
    const Tile tile = tile_at(index, shape, kTileCells);
    const int64_t count = tile.cells() * taps;
    const int64_t map = tile.image * shape.pixels() * stride;
    const Matrix<T> grad = problem.layout.at(grad_output, tile, block.group * outputs, outputs);
    const Matrix<T> column_matrix = row_major(columns.data(), tile.cells(), depth);
    place_taps(policy, tile, block.offset_group, shape, corners.data());

    if (need_weight) {  // grad_weight += grad_output^T columns
      gather(corners.data(), count, pixels + map, stride, block.channels(), columns.data());
      multiply(grad.transposed(), column_matrix, grad_weight, /*add=*/true);
    }
    if (!need_input && !need_offset) {
      continue;
    }
    // gradient of the columns = grad_output weight
    multiply(grad, weight, column_matrix, /*add=*/false);
    if (need_input) {
      scatter(
          corners.data(), count, columns.data(), stride, block.channels(), grad_pixels + map);
    }
    if (need_offset) {
      slopes(
          corners.data(), count, columns.data(), pixels + map, stride, block.channels(),
          gradient_of_positions.data());
      const int64_t group = tile.image * shape.offset_groups + block.offset_group;
      for (int64_t i = 0; i < count; ++i) {
        const int64_t cell = tile.begin + i / taps, tap = i % taps;
        T* out = grad_offset + (group * taps + tap) * 2 * shape.cells() + cell;
        out[0] += gradient_of_positions.data()[i].y;
        out[shape.cells()] += gradient_of_positions.data()[i].x;
      }
    }
  }
}

template <typename T, typename Policy>
void run(const Problem& problem, const Policy& policy) {
  const bool need_weight = problem.mask[2];
  std::vector<Tensor> weights, grad_weights;
  for (const Block& block : problem.blocks) {
    weights.push_back(part_of(problem.weight, block, problem.shape).contiguous());
    grad_weights.push_back(
        at::zeros(need_weight ? weights.back().sizes() : at::IntArrayRef{0},
                  problem.weight.options()));
  }
  const int64_t blocks = static_cast<int64_t>(problem.blocks.size());
  const Shape& shape = problem.shape;
  const int64_t work = shape.images * shape.cells() * shape.taps() * shape.channels / blocks *
      shape.out_channels / shape.groups;
  at::parallel_for(0, blocks, grain_of(work), [&](int64_t begin, int64_t end) {
    at::AutoDispatchBelowADInplaceOrView plain_tensors;
    for (int64_t b = begin; b < end; ++b) {
      const int64_t outputs = weights[b].size(0), depth = weights[b].numel() / outputs;
      run_block<T>(
          problem, policy, b, row_major(weights[b].mutable_data_ptr<T>(), outputs, depth),
          row_major(grad_weights[b].mutable_data_ptr<T>(), outputs, depth));
    }
  });
  for (size_t b = 0; need_weight && b < problem.blocks.size(); ++b) {
    part_of(problem.grad_weight, problem.blocks[b], problem.shape).copy_(grad_weights[b]);
  }
}

}  // namespace

Gradients backward_cpu(
    const Tensor& grad_output,
    const Tensor& input,
    const TapRule& rule,
    const Tensor& weight,
    const Shape& shape,
    GradientMask mask) {
  const auto dtype = at::toOpMathType(input.scalar_type());
  const auto options = input.options().dtype(dtype);
  const auto [need_input, need_offset, need_weight] = mask;
  const auto format = memory_format_of(grad_output);
  const int64_t threads = at::get_num_threads();
  const int64_t block_channels = std::clamp(
      (shape.channels + threads - 1) / threads, kMinBlockChannels, kMaxBlockChannels);

  Problem problem{shape, mask, blocks_of(shape, block_channels)};
  std::vector<int64_t> blocks_of_group(shape.offset_groups, 0);
  for (const Block& block : problem.blocks) {
    problem.rank.push_back(blocks_of_group[block.offset_group]++);
  }
  const int64_t parts = *std::max_element(blocks_of_group.begin(), blocks_of_group.end());
  problem.layout = {format == at::MemoryFormat::ChannelsLast, shape.cells(), shape.out_channels};
  problem.grad_output = grad_output.to(dtype).contiguous(format);
  problem.weight = weight.to(dtype).permute({0, 2, 3, 1});
  problem.pixels = input.to(dtype).permute({0, 2, 3, 1}).contiguous();
  if (need_input) {
    problem.grad_pixels = at::zeros(problem.pixels.sizes(), options);
  }
  if (need_weight) {
    problem.grad_weight = at::zeros(problem.weight.sizes(), options);
  }
  if (need_offset) {
    problem.grad_offsets = at::zeros(
        {parts, shape.images, shape.offset_groups, shape.taps(), 2, shape.cells()}, options);
  }
  if (grad_output.numel() > 0) {
    const Tensor values = rule.values.to(dtype).contiguous();
    AT_DISPATCH_FLOATING_TYPES(dtype, "sampled_conv2d_backward_cpu", [&] {
      with_policy<scalar_t>(
          rule, values, shape, [&](const auto& policy) { run<scalar_t>(problem, policy); });
    });
  }

  Gradients gradients{
      at::empty({0}, input.options()), at::empty({0}, rule.values.options()),
      at::empty({0}, weight.options())};
  auto& [grad_input, grad_values, grad_weight] = gradients;
  if (need_input) {
    grad_input = problem.grad_pixels.permute({0, 3, 1, 2})
                     .to(input.scalar_type())
                     .contiguous(memory_format_of(input));
  }
  if (need_offset) {
    grad_values = problem.grad_offsets.sum(0)
                      .view(rule.values.sizes())
                      .to(rule.values.scalar_type())
                      .contiguous(memory_format_of(rule.values));
  }
  if (need_weight) {
    grad_weight = problem.grad_weight.permute({0, 3, 1, 2})
                      .to(weight.scalar_type())
                      .contiguous(memory_format_of(weight));
  }
  return gradients;
}

}  // namespace cascade_rpn_d2
