// Forward on the CPU: every tile of cells gathers its columns into a small buffer and multiplies them
// with the weight. Tiles run in parallel and each writes its own cells.
#include <ATen/Dispatch.h>
#include <ATen/OpMathType.h>
#include <ATen/Parallel.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>

#include "corner_loops.h"
#include "layout.h"
#include "order.h"

namespace cascade_rpn_d2 {
namespace {

using at::Tensor;

// With 256 channels and 9 taps the columns of a tile take 590 kB: they are written and read once for
// every output, so that a larger cache may hold them. What has to be near are the rows of the weight that
// a product runs through, 512 of them at a time: 524 kB with 256 outputs.
constexpr int64_t kTileCells = 64;
constexpr int64_t kBlockChannels = 256;
constexpr int64_t kDepth = 512;
// A map that is not channels-last is turned over a portion of its channels at a time: so that forward
// takes no more than this, and 5 % of the output, besides the output. (Eight channels at least; and a
// result of half precision is first made in float32.)
constexpr int64_t kExtraBytes = int64_t{8} << 20;

// What is turned over at a time.
struct Portion {
  int64_t images, channels;
};

template <typename T>
Portion portion_of(const Tensor& input, const Shape& shape) {
  if (lies_by_pixel<T>(input)) {
    return {shape.images, shape.channels};  // used as it is
  }
  const int64_t outputs = shape.out_channels / shape.groups;
  const int64_t of_output = shape.images * shape.cells() * shape.out_channels * sizeof(T);
  const int64_t tiles = at::get_num_threads() * kTileCells;  // cells that are worked on at once
  const int64_t of_tiles = tiles * (shape.taps() * sizeof(Corners<T>) + outputs * sizeof(T)) +
      shape.cells() * sizeof(int64_t);
  const int64_t room = std::max<int64_t>(kExtraBytes + of_output / 20 - of_tiles, kExtraBytes / 2);
  // Of every channel: its part of the map, of the weight, and of the columns.
  const int64_t of_image = shape.pixels() * sizeof(T);
  const int64_t of_rest = shape.taps() * (outputs + tiles) * sizeof(T);
  const int64_t images =
      std::clamp<int64_t>((room / shape.channels - of_rest) / of_image, 1, shape.images);
  const int64_t most = std::max<int64_t>(room / (images * of_image + of_rest) / 8 * 8, 8);
  const int64_t portions = (shape.channels + most - 1) / most;
  return {images, ((shape.channels + portions - 1) / portions + 7) / 8 * 8};
}

// A problem in the types and layouts that the loops work on.
template <typename T, typename Policy>
struct Problem {
  const Shape& shape;
  const Policy& policy;
  Tensor weight;  // (O, C / groups, Kh, Kw)
  Tensor bias;    // (O) or undefined
  Tiling tiling;
  Results<T> results;
};

template <typename T, typename Policy>
void run_tile(
    const Problem<T, Policy>& problem, const Tile& tile, const std::vector<Block>& blocks,
    const std::vector<const T*>& matrices, Matrix<const T> pixels, Corners<T>* corners, T* columns,
    Matrix<T> scratch) {
  const Shape& shape = problem.shape;
  const bool dense = problem.tiling.is_dense();
  const int64_t outputs = shape.out_channels / shape.groups, per_group = shape.channels / shape.groups;
  int64_t placed = -1;
  for (size_t b = 0; b < blocks.size(); ++b) {
    const Block& block = blocks[b];
    if (block.offset_group != placed) {
      place_taps(problem.policy, tile, block.offset_group, shape, corners);
      placed = block.offset_group;
    }
    const int64_t depth = shape.taps() * block.channels();
    gather(
        corners, tile.count * shape.taps(), pixels.data + block.begin - blocks.front().begin,
        pixels.stride, block.channels(), columns);
    std::fill(columns + tile.count * depth, columns + tile.rows() * depth, T(0));

    // The first block of a group, here and over all portions of channels.
    const bool opens = b == 0 || blocks[b - 1].group != block.group;
    const bool begins = block.begin == block.group * per_group;
    const bool closes = b + 1 == blocks.size() || blocks[b + 1].group != block.group;
    const Matrix<T> in_place = problem.results.rows(tile, block.group * outputs, dense);
    const Matrix<T> sums = in_place.data != nullptr ? in_place : scratch;
    bool add = !opens || (in_place.data != nullptr && !begins);
    if (begins && problem.bias.defined()) {
      const T* bias = problem.bias.template const_data_ptr<T>() + block.group * outputs;
      for (int64_t row = 0; row < tile.rows(); ++row) {
        std::copy_n(bias, outputs, sums.data + row * sums.stride);
      }
      add = true;
    }
    const int64_t step = std::max<int64_t>(kDepth / block.channels(), 1) * block.channels();
    for (int64_t first = 0; first < depth; first += step) {
      multiply(
          tile.rows(), outputs, std::min(step, depth - first),
          Matrix<const T>{columns + first, depth},
          Matrix<const T>{matrices[b] + first * outputs, outputs}, sums, add || first > 0);
    }
    if (closes && in_place.data == nullptr) {
      const Matrix<const T> rows{sums.data, sums.stride};
      const bool whole = blocks.front().begin <= block.group * per_group;
      if (whole) {
        problem.results.template store<false>(rows, tile, block.group * outputs, outputs, dense);
      } else {
        problem.results.template store<true>(rows, tile, block.group * outputs, outputs, dense);
      }
    }
  }
}

template <typename T, typename Policy>
void run(const Problem<T, Policy>& problem, const Tensor& input) {
  const Shape& shape = problem.shape;
  const Tiling& tiling = problem.tiling;
  const int64_t outputs = shape.out_channels / shape.groups;
  const int64_t scratch_stride = outputs + 16;  // no power of 2, whose rows would share cache sets
  const bool as_it_is = lies_by_pixel<T>(input);
  const Portion portion = portion_of<T>(input, shape);
  Scratch<T> matrices(portion.channels * shape.taps() * outputs);
  Scratch<T> copy(as_it_is ? 0 : portion.images * shape.pixels() * portion.channels);
  for (int64_t begin = 0; begin < shape.channels; begin += portion.channels) {
    const int64_t end = std::min(begin + portion.channels, shape.channels), width = end - begin;
    const std::vector<Block> blocks = blocks_of(shape, begin, end, kBlockChannels);
    std::vector<const T*> matrix_of_block;
    int64_t widest = 0;
    for (const Block& block : blocks) {
      T* matrix = matrices.data() + (block.begin - begin) * shape.taps() * outputs;
      copy_by_output(problem.weight, block, shape, matrix);
      matrix_of_block.push_back(matrix);
      widest = std::max(widest, block.channels());
    }
    for (int64_t first = 0; first < shape.images; first += portion.images) {
      const int64_t last = std::min(first + portion.images, shape.images);
      if (!as_it_is) {
        copy_by_pixel(input.narrow(0, first, last - first).narrow(1, begin, width), copy.data());
      }
      const T* pixels = as_it_is ? input.const_data_ptr<T>() : copy.data();
      const int64_t work = kTileCells * shape.taps() * width * outputs;
      const auto [tile_begin, tile_end] = tiling.of_images(first, last);
      at::parallel_for(tile_begin, tile_end, grain_of(work), [&](int64_t index, int64_t index_end) {
        at::AutoDispatchBelowADInplaceOrView plain_tensors;
        Scratch<Corners<T>> corners(kTileCells * shape.taps());
        Scratch<T> columns(kTileCells * shape.taps() * widest);
        Scratch<T> scratch(kTileCells * scratch_stride);
        for (; index < index_end; ++index) {
          const Tile& tile = tiling[index];
          const T* map = pixels + (tile.image - first) * shape.pixels() * width;
          run_tile<T>(
              problem, tile, blocks, matrix_of_block, Matrix<const T>{map, width}, corners.data(),
              columns.data(), Matrix<T>{scratch.data(), scratch_stride});
        }
      });
    }
  }
}

}  // namespace

Tensor forward_cpu(
    const Tensor& input,
    const TapRule& rule,
    const Tensor& weight,
    const Tensor& bias,
    const Tensor& active,
    const Shape& shape) {
  // Positions, columns and sums are in float32 for the low-precision types.
  const auto dtype = at::toOpMathType(input.scalar_type());
  const auto format = memory_format_of(input);
  const std::array<int64_t, 4> size{
      shape.images, shape.out_channels, shape.out_height, shape.out_width};
  const auto options = input.options().dtype(dtype).memory_format(format);
  Tensor output = at::empty(size, options);
  if (active.defined()) {
    output.zero_();
  }
  if (output.numel() == 0) {
    return output.to(input.scalar_type());
  }
  const Tensor values = rule.values.to(dtype).contiguous();
  AT_DISPATCH_FLOATING_TYPES(dtype, "sampled_conv2d_cpu", [&] {
    with_policy<scalar_t>(rule, values, shape, [&](const auto& policy) {
      using Policy = std::decay_t<decltype(policy)>;
      // Results that lie row by row can be written in any order.
      const bool reorder = lies_by_pixel<scalar_t>(input) && cells_stray<scalar_t>(policy, shape);
      run<scalar_t>(
          Problem<scalar_t, Policy>{
              shape,
              policy,
              weight.to(dtype).contiguous(memory_format_of(weight)),
              bias.defined() ? bias.to(dtype).contiguous() : Tensor(),
              Tiling(
                  shape, active, kTileCells, at::get_num_threads(),
                  reorder ? by_place<scalar_t>(policy, shape) : std::vector<int64_t>{}),
              {output.mutable_data_ptr<scalar_t>(), format == at::MemoryFormat::ChannelsLast,
               shape.cells(), shape.out_channels}},
          input);
    });
  });
  return output.to(input.scalar_type());
}

}  // namespace cascade_rpn_d2
