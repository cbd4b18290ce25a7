// Forward on the CPU: every tile of cells gathers its columns into a small buffer and multiplies them
// with the weight straight into the output. Tiles run in parallel and each writes its own cells.
#include <ATen/Dispatch.h>
#include <ATen/OpMathType.h>
#include <ATen/Parallel.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>

#include "tiles.h"

namespace cascade_rpn_d2 {
namespace {

using at::Tensor;

constexpr int64_t kTileCells = 128;
constexpr int64_t kBlockChannels = 256;
// A map that is not channels-last is turned over a chunk of channels at a time, to bound the copy by
// this many bytes or 4 % of the output, whichever is more.
constexpr int64_t kChunkBytes = int64_t{5} << 20;

// Channels [begin, end) of the map in channels-last order: (images, pixels, end - begin).
struct Chunk {
  Tensor pixels;
  int64_t begin, end;
};

int64_t chunk_channels(const Tensor& input, const Shape& shape, int64_t element_size) {
  const bool usable_as_is = memory_format_of(input) == at::MemoryFormat::ChannelsLast &&
      input.element_size() == element_size;
  if (usable_as_is) {
    return shape.channels;
  }
  const int64_t per_channel = shape.images * shape.pixels() * element_size;
  const int64_t of_output = shape.images * shape.cells() * shape.out_channels * element_size / 25;
  return std::clamp<int64_t>(std::max(kChunkBytes, of_output) / per_channel, 8, shape.channels);
}

struct Problem {
  const Shape& shape;
  std::vector<Block> blocks;
  std::vector<Tensor> weights;  // per block (O / groups, taps, block channels)
  Tensor bias;
  Tensor output;
  OutputLayout layout;
};

template <typename T>
void add_bias(const T* bias, Matrix<T> out) {
  for (int64_t row = 0; row < out.rows; ++row) {
    for (int64_t column = 0; column < out.columns; ++column) {
      out.data[row * out.row_stride + column * out.column_stride] += bias[column];
    }
  }
}

// The share of the blocks that lie in the chunk [first_block, last_block) of channels.
template <typename T, typename Policy>
void run_chunk(
    const Problem& problem, const Policy& policy, const Chunk& chunk, size_t first_block,
    size_t last_block) {
  const Shape& shape = problem.shape;
  const T* pixels = chunk.pixels.const_data_ptr<T>();
  T* output = problem.output.mutable_data_ptr<T>();
  const int64_t stride = chunk.end - chunk.begin;
  const int64_t outputs = shape.out_channels / shape.groups;
  int64_t widest = 0;
  for (size_t b = first_block; b < last_block; ++b) {
    widest = std::max(widest, problem.blocks[b].channels());
  }
  const int64_t tiles = shape.images * tiles_per_image(shape, kTileCells);
  const int64_t work = kTileCells * shape.taps() * stride * shape.out_channels;
  at::parallel_for(0, tiles, grain_of(work), [&](int64_t begin, int64_t end) {
    at::AutoDispatchBelowADInplaceOrView plain_tensors;
    Scratch<Corners<T>> corners(kTileCells * shape.taps());
    Scratch<T> columns(kTileCells * shape.taps() * widest);
    for (int64_t index = begin; index < end; ++index) {
      const Tile tile = tile_at(index, shape, kTileCells);
      const T* map = pixels + tile.image * shape.pixels() * stride;
      int64_t placed = -1;
      for (size_t b = first_block; b < last_block; ++b) {
        const Block& block = problem.blocks[b];
        if (block.offset_group != placed) {
          place_taps(policy, tile, block.offset_group, shape, corners.data());
          placed = block.offset_group;
        }
        gather(
            corners.data(), tile.cells() * shape.taps(), map + block.begin - chunk.begin,
            stride, block.channels(), columns.data());
        const int64_t depth = shape.taps() * block.channels();
        const auto out = problem.layout.at(output, tile, block.group * outputs, outputs);
        const bool add = b > 0 && problem.blocks[b - 1].group == block.group;
        multiply(
            row_major(columns.data(), tile.cells(), depth),
            row_major(problem.weights[b].mutable_data_ptr<T>(), outputs, depth).transposed(), out,
            add);
      }
      if (problem.bias.defined() && last_block == problem.blocks.size()) {
        add_bias(
            problem.bias.const_data_ptr<T>(),
            problem.layout.at(output, tile, 0, shape.out_channels));
      }
    }
  });
}

template <typename T, typename Policy>
void run(const Problem& problem, const Policy& policy, const Tensor& input, int64_t chunk_size) {
  const Tensor channels_last = input.permute({0, 2, 3, 1});  // a view (N, H, W, C)
  for (size_t first = 0; first < problem.blocks.size();) {
    const int64_t begin = problem.blocks[first].begin;
    size_t last = first + 1;
    while (last < problem.blocks.size() && problem.blocks[last].end <= begin + chunk_size) {
      ++last;
    }
    const int64_t end = problem.blocks[last - 1].end;
    const Tensor pixels = channels_last.narrow(3, begin, end - begin)
                              .to(c10::CppTypeToScalarType<T>::value)
                              .contiguous();
    run_chunk<T>(problem, policy, Chunk{pixels, begin, end}, first, last);
    first = last;
  }
}

}  // namespace

Tensor forward_cpu(
    const Tensor& input,
    const TapRule& rule,
    const Tensor& weight,
    const Tensor& bias,
    const Shape& shape) {
  // Positions, columns and sums are in float32 for the low-precision types.
  const auto dtype = at::toOpMathType(input.scalar_type());
  const auto format = memory_format_of(input);
  Tensor output = at::empty(
      {shape.images, shape.out_channels, shape.out_height, shape.out_width},
      input.options().dtype(dtype).memory_format(format));
  if (output.numel() == 0) {
    return output.to(input.scalar_type());
  }
  const Tensor values = rule.values.to(dtype).contiguous();
  const Tensor taps_first = weight.to(dtype).permute({0, 2, 3, 1});  // (O, Kh, Kw, C / groups)
  const int64_t outputs = shape.out_channels / shape.groups;
  const int64_t per_group = shape.channels / shape.groups;

  AT_DISPATCH_FLOATING_TYPES(dtype, "sampled_conv2d_cpu", [&] {
    const int64_t chunk_size = chunk_channels(input, shape, sizeof(scalar_t));
    Problem problem{
        shape,
        blocks_of(shape, std::min(kBlockChannels, chunk_size)),
        {},
        bias.defined() ? bias.to(dtype).contiguous() : Tensor(),
        output,
        {format == at::MemoryFormat::ChannelsLast, shape.cells(), shape.out_channels}};
    for (const Block& block : problem.blocks) {
      problem.weights.push_back(taps_first.narrow(0, block.group * outputs, outputs)
                                    .narrow(3, block.begin - block.group * per_group, block.channels())
                                    .contiguous());
    }
    with_policy<scalar_t>(rule, values, shape, [&](const auto& policy) {
      run<scalar_t>(problem, policy, input, chunk_size);
    });
  });
  return output.to(input.scalar_type());
}

}  // namespace cascade_rpn_d2
