// Backward on the CPU. The gradient of the map is a scatter, which would race between tiles; so it is
// the channels that run in parallel: a task owns some blocks of channels, walks over all tiles in order,
// and alone writes its channels of every gradient. No atomics, no private copies of a map, and the
// same sums whatever the timing of the threads.
#include <ATen/Dispatch.h>
#include <ATen/OpMathType.h>
#include <ATen/Parallel.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>

#include "corner_loops.h"
#include "layout.h"

namespace cascade_rpn_d2 {
namespace {

using at::Tensor;

// With 9 taps and 256 outputs, a block's columns, weight and gradient of the weight take 0.7 MB.
constexpr int64_t kTileCells = 128;
constexpr int64_t kPlaneStride = kTileCells + 16;  // no power of 2: planes would share cache sets
constexpr int64_t kMaxBlockChannels = 32;
constexpr int64_t kMinBlockChannels = 16;

struct Problem {
  const Shape& shape;
  GradientMask mask;
  Tiling tiling;
  std::vector<Block> blocks;
  std::vector<int64_t> rank;  // of a block among those of its offset group
  Tensor grad_rows;     // (rows of the tiling, O)
  Tensor weight;        // (O, Kh, Kw, C / groups)
  Tensor pixels;        // (N, pixels, C)
  Tensor grad_pixels;   // (N, pixels, C), if asked for
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

// Working memory of a task.
template <typename T>
struct Workspace {
  Scratch<Corners<T>> corners;
  Scratch<T> columns;
  Scratch<T> rows, planes;  // a tile's gradient of the output: (cells, O) and (O, kPlaneStride)
  Scratch<Position<T>> slopes;

  Workspace(const Shape& shape, bool need_offset)
      : corners(kTileCells * shape.taps()),
        columns(kTileCells * shape.taps() * kMaxBlockChannels),
        rows(kTileCells * shape.out_channels),
        planes(kPlaneStride * shape.out_channels),
        slopes(need_offset ? kTileCells * shape.taps() : 0) {}
};

// The gradient of a tile's outputs as both products want it, for tile.rows() cells: those beyond the
// tile are zero, so that the products have few sizes.
template <typename T>
Matrix<const T> lay_out(const Problem& problem, const Tile& tile, Workspace<T>& workspace) {
  const int64_t outputs = problem.shape.out_channels;
  Matrix<const T> rows{problem.grad_rows.const_data_ptr<T>() + tile.row * outputs, outputs};
  if (tile.count != tile.rows()) {
    T* end = std::copy_n(rows.data, tile.count * outputs, workspace.rows.data());
    std::fill(end, workspace.rows.data() + tile.rows() * outputs, T(0));
    rows.data = workspace.rows.data();
  }
  if (problem.mask[2]) {
    turn(rows, tile.rows(), outputs, Matrix<T>{workspace.planes.data(), kPlaneStride});
  }
  return rows;
}

template <typename T>
void run_tile(
    const Problem& problem, const Tile& tile, size_t b, Matrix<const T> grad_rows, const T* weight,
    T* grad_weight, Workspace<T>& workspace) {
  const Shape& shape = problem.shape;
  const Block& block = problem.blocks[b];
  const auto [need_input, need_offset, need_weight] = problem.mask;
  const int64_t taps = shape.taps(), depth = taps * block.channels(), count = tile.count * taps;
  const int64_t outputs = shape.out_channels / shape.groups, first_output = block.group * outputs;
  const int64_t map = tile.image * shape.pixels() * shape.channels + block.begin;
  const T* pixels = problem.pixels.const_data_ptr<T>() + map;
  const Corners<T>* corners = workspace.corners.data();
  T* columns = workspace.columns.data();

  if (need_weight) {  // grad_weight += grad_output^T columns
    const T* planes = workspace.planes.data() + first_output * kPlaneStride;
    gather(corners, count, pixels, shape.channels, block.channels(), columns);
    std::fill(columns + tile.count * depth, columns + tile.rows() * depth, T(0));
    multiply(
        outputs, depth, tile.rows(), Matrix<const T>{planes, kPlaneStride},
        Matrix<const T>{columns, depth}, Matrix<T>{grad_weight, depth}, /*add=*/true);
  }
  if (!need_input && !need_offset) {
    return;
  }
  // gradient of the columns = grad_output weight
  multiply(
      tile.rows(), depth, outputs, Matrix<const T>{grad_rows.data + first_output, grad_rows.stride},
      Matrix<const T>{weight, depth}, Matrix<T>{columns, depth}, /*add=*/false);
  if (need_input) {
    T* grad_pixels = problem.grad_pixels.mutable_data_ptr<T>() + map;
    scatter(corners, count, columns, shape.channels, block.channels(), grad_pixels);
  }
  if (need_offset) {
    slopes(
        corners, count, columns, pixels, shape.channels, block.channels(),
        workspace.slopes.data());
    const int64_t group = tile.image * shape.offset_groups + block.offset_group;
    T* grad_offset = problem.grad_offsets.mutable_data_ptr<T>() +
        problem.rank[b] * problem.grad_offsets.stride(0) + group * taps * 2 * shape.cells();
    for (int64_t i = 0; i < count; ++i) {
      T* out = grad_offset + i % taps * 2 * shape.cells() + tile.cells[i / taps];
      out[0] += workspace.slopes.data()[i].y;
      out[shape.cells()] += workspace.slopes.data()[i].x;
    }
  }
}

template <typename T, typename Policy>
void run(const Problem& problem, const Policy& policy) {
  const Shape& shape = problem.shape;
  const bool need_weight = problem.mask[2];
  const int64_t count = static_cast<int64_t>(problem.blocks.size());
  std::vector<Tensor> weights, grad_weights;
  for (const Block& block : problem.blocks) {
    weights.push_back(part_of(problem.weight, block, shape).contiguous());
    grad_weights.push_back(
        at::zeros(need_weight ? weights.back().sizes() : at::IntArrayRef{0},
                  problem.weight.options()));
  }
  const int64_t work = problem.tiling.rows() * shape.taps() * shape.channels / count *
      shape.out_channels / shape.groups;
  at::parallel_for(0, count, grain_of(work), [&](int64_t begin, int64_t end) {
    at::AutoDispatchBelowADInplaceOrView plain_tensors;
    Workspace<T> workspace(shape, problem.mask[1]);
    for (int64_t index = 0; index < problem.tiling.size(); ++index) {
      const Tile& tile = problem.tiling[index];
      const Matrix<const T> grad_rows = lay_out(problem, tile, workspace);
      int64_t placed = -1;
      for (int64_t b = begin; b < end; ++b) {
        if (problem.blocks[b].offset_group != placed) {
          placed = problem.blocks[b].offset_group;
          place_taps(policy, tile, placed, shape, workspace.corners.data());
        }
        run_tile<T>(
            problem, tile, b, grad_rows, weights[b].template const_data_ptr<T>(),
            need_weight ? grad_weights[b].template mutable_data_ptr<T>() : nullptr, workspace);
      }
    }
  });
  for (int64_t b = 0; need_weight && b < count; ++b) {
    part_of(problem.grad_weight, problem.blocks[b], shape).copy_(grad_weights[b]);
  }
}

// The gradient of the output at the cells of the tiling: (rows, O).
template <typename T>
Tensor rows_of(const Tensor& grad_output, const Tensor& active) {
  const int64_t outputs = grad_output.size(1);
  if (!active.defined()) {
    return pixels_of<T>(grad_output).view({-1, outputs});
  }
  return grad_output.permute({0, 2, 3, 1})
      .reshape({-1, outputs})
      .index_select(0, active.view({-1}).nonzero().view({-1}))
      .to(c10::CppTypeToScalarType<T>::value);
}

}  // namespace

Gradients backward_cpu(
    const Tensor& grad_output,
    const Tensor& input,
    const TapRule& rule,
    const Tensor& weight,
    const Tensor& active,
    const Shape& shape,
    GradientMask mask) {
  const auto dtype = at::toOpMathType(input.scalar_type());
  const auto options = input.options().dtype(dtype);
  const auto [need_input, need_offset, need_weight] = mask;
  const int64_t threads = at::get_num_threads();
  const int64_t of_thread = (shape.channels + threads - 1) / threads;
  const int64_t block_channels =
      std::clamp((of_thread + 7) / 8 * 8, kMinBlockChannels, kMaxBlockChannels);

  Problem problem{
      shape, mask, Tiling(shape, active, kTileCells, /*threads=*/1),
      blocks_of(shape, 0, shape.channels, block_channels)};
  std::vector<int64_t> blocks_of_group(shape.offset_groups, 0);
  for (const Block& block : problem.blocks) {
    problem.rank.push_back(blocks_of_group[block.offset_group]++);
  }
  const int64_t parts = *std::max_element(blocks_of_group.begin(), blocks_of_group.end());
  problem.weight = weight.to(dtype).permute({0, 2, 3, 1});
  if (need_input) {
    problem.grad_pixels = at::zeros({shape.images, shape.pixels(), shape.channels}, options);
  }
  if (need_weight) {
    problem.grad_weight = at::zeros(problem.weight.sizes(), options);
  }
  if (need_offset) {
    problem.grad_offsets = at::zeros(
        {parts, shape.images, shape.offset_groups, shape.taps(), 2, shape.cells()}, options);
  }

  Gradients gradients{
      at::empty({0}, input.options()), at::empty({0}, rule.values.options()),
      at::empty({0}, weight.options())};
  auto& [grad_input, grad_values, grad_weight] = gradients;
  AT_DISPATCH_FLOATING_TYPES(dtype, "sampled_conv2d_backward_cpu", [&] {
    if (problem.tiling.rows() > 0) {
      problem.pixels = pixels_of<scalar_t>(input);
      problem.grad_rows = rows_of<scalar_t>(grad_output, active);
      const Tensor values = rule.values.to(dtype).contiguous();
      with_policy<scalar_t>(
          rule, values, shape, [&](const auto& policy) { run<scalar_t>(problem, policy); });
    }
    if (need_input) {
      const Tensor map = memory_format_of(input) == at::MemoryFormat::ChannelsLast
          ? problem.grad_pixels.transpose(1, 2)
          : planes_of<scalar_t>(problem.grad_pixels);
      grad_input = map.view(input.sizes()).to(input.scalar_type());
    }
  });
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
