// The operands of the fused kernel on their way into shared memory: samples of the map, and
// weights.
#pragma once

#include <cuda_pipeline.h>

#include "active.h"
#include "channels.cuh"
#include "placement.cuh"

namespace cascade_rpn_d2 {

// A convolution as the fused kernel is handed it.
template <typename Scalar, typename Compute>
struct FusedProblem {
  AnyTaps<Compute> taps;
  Shape shape;
  CellList cells;
  const Scalar* pixels;   // (N, H, W, C)
  const Scalar* weights;  // (groups, taps, C / groups, weight_stride), zero beyond the outputs
  const Scalar* bias;     // (O) or null
  Scalar* output;         // (N, O, Ho, Wo) or, channels_last, (N, Ho, Wo, O)
  int64_t weight_stride;  // O / groups, rounded up to whole vectors
  bool channels_last;
  bool vectors;  // whether the map can be read in whole vectors
};

// Where a tap of a cell samples: pixels of the batch, -1 for none, and their bilinear weights.
template <typename Compute>
struct alignas(16) PlacedCorners {
  int32_t pixel[4];
  Compute share[4];
};

struct TileRow {
  int64_t image, cell;
  int64_t output;  // of the cell's first channel; -1 for a row beyond the cells
};

constexpr int kTapsAtOnce = 9;  // whose corners are kept; a larger kernel places them in batches

template <typename Math>
struct alignas(128) FusedMemory {
  using Scalar = typename Math::Scalar;
  // Twice, for one is filled while the other is multiplied.
  alignas(128) Scalar columns[2][Math::kCells * Math::kColumnStride];
  alignas(128) Scalar weights[2][Math::kDepth * Math::kWeightStride];
  alignas(128) PlacedCorners<typename Math::Compute> corners[kTapsAtOnce * Math::kCells];
  TileRow rows[Math::kCells];
};

// Channels [begin, end) of the map, in one group of the weight and one group of offsets.
struct ChannelRun {
  int begin, end;
};

// One step along the depth of the product: Math::kDepth channels of a run, for one tap.
struct Step {
  int tap;      // of the kernel
  int slot;     // of the taps whose corners are kept
  int channel;  // of the map, the first
};

template <typename Math>
__device__ void place_rows(
    const FusedProblem<typename Math::Scalar, typename Math::Compute>& problem, int64_t first,
    int64_t cells, FusedMemory<Math>& memory) {
  const Shape& shape = problem.shape;
  for (int row = threadIdx.x; row < Math::kCells; row += Math::kThreads) {
    TileRow placed{0, 0, -1};
    if (first + row < cells) {
      const int64_t cell = problem.cells[first + row];
      placed.image = cell / shape.cells();
      placed.cell = cell - placed.image * shape.cells();
      placed.output = problem.channels_last
          ? cell * shape.out_channels
          : placed.image * shape.out_channels * shape.cells() + placed.cell;
    }
    memory.rows[row] = placed;
  }
}

// The corners of taps [first_tap, first_tap + count), tap-major.
template <typename Math>
__device__ void place_corners(
    const FusedProblem<typename Math::Scalar, typename Math::Compute>& problem, int offset_group,
    int first_tap, int count, FusedMemory<Math>& memory) {
  using Compute = typename Math::Compute;
  const Shape& shape = problem.shape;
  const int kernel_width = static_cast<int>(shape.kernel_width);
  for (int i = threadIdx.x; i < count * Math::kCells; i += Math::kThreads) {
    const TileRow row = memory.rows[i % Math::kCells];
    const int tap = first_tap + i / Math::kCells;
    Position<Compute> position{Compute(-1), Compute(-1)};  // outside
    if (row.output >= 0) {
      position = problem.taps(
          row.image, offset_group, row.cell, tap / kernel_width, tap % kernel_width);
    }
    const Corners<Compute> corners = corners_of(position, shape.height, shape.width);
    const int64_t first_pixel = row.image * shape.pixels();
    PlacedCorners<Compute> placed;
    for (int corner = 0; corner < 4; ++corner) {
      placed.pixel[corner] = corners.pixel[corner] >= 0
          ? static_cast<int32_t>(first_pixel + corners.pixel[corner])
          : -1;
      placed.share[corner] = corners.share[corner];
    }
    memory.corners[i] = placed;
  }
}

// A thread's share of the columns of a step. What it reads is held in registers while the step
// before is multiplied, and only then blended and stored, so that the product hides the way to
// memory.
template <typename Math>
class Sampler {
  using Scalar = typename Math::Scalar;
  using Compute = typename Math::Compute;
  using Memory = FusedMemory<Math>;
  using Vector = PackedChannels<Scalar>;
  static constexpr int kVector = Vector::kCount;
  static constexpr int kVectorsPerRow = Math::kDepth / kVector;
  static constexpr int kVectors = Math::kCells * kVectorsPerRow / Math::kThreads;
  static_assert(kVectors * Math::kThreads == Math::kCells * kVectorsPerRow);

 public:
  __device__ void load(
      const FusedProblem<Scalar, Compute>& problem, const ChannelRun& run, const Step& step,
      const Memory& memory) {
    // Asked here and not at each load, which would then have to be waited for.
    if (problem.vectors) {
      load_by(problem, run, step, memory, [](const Scalar* from, int) { return Vector(from); });
    } else {
      load_by(problem, run, step, memory, [](const Scalar* from, int channels) {
        return Vector(from, channels);
      });
    }
  }

  __device__ void store(const Step& step, const Memory& memory, Scalar* columns) const {
#pragma unroll
    for (int i = 0; i < kVectors; ++i) {
      const auto corners = memory.corners[step.slot * Math::kCells + row_of(i)];
      Channels<Scalar, kVector> samples;
#pragma unroll
      for (int c = 0; c < kVector; ++c) {
        Compute sample = 0;
#pragma unroll
        for (int corner = 0; corner < 4; ++corner) {
          sample += corners.share[corner] * static_cast<Compute>(vectors_[i][corner][c]);
        }
        samples.values[c] = static_cast<Scalar>(sample);
      }
      store_channels(columns + row_of(i) * Math::kColumnStride + part_of(i) * kVector, samples);
    }
  }

 private:
  // Neighbouring threads take neighbouring vectors of a pixel.
  static __device__ int row_of(int i) {
    return (threadIdx.x + i * Math::kThreads) / kVectorsPerRow;
  }
  static __device__ int part_of(int i) { return threadIdx.x % kVectorsPerRow; }
  static_assert(Math::kThreads % kVectorsPerRow == 0);

  // read(from, channels): a vector of the map; so many of its channels belong to the run.
  template <typename Read>
  __device__ void load_by(
      const FusedProblem<Scalar, Compute>& problem, const ChannelRun& run, const Step& step,
      const Memory& memory, Read&& read) {
    const int channels = static_cast<int>(problem.shape.channels);
#pragma unroll
    for (int i = 0; i < kVectors; ++i) {
      const auto& corners = memory.corners[step.slot * Math::kCells + row_of(i)];
      const int channel = step.channel + part_of(i) * kVector;
#pragma unroll
      for (int corner = 0; corner < 4; ++corner) {
        const int pixel = corners.pixel[corner];
        const Scalar* from = problem.pixels + (int64_t{pixel} * channels + channel);
        const bool inside = pixel >= 0 && channel < run.end;
        vectors_[i][corner] = inside ? read(from, run.end - channel) : Vector{};
      }
    }
  }

  Vector vectors_[kVectors][4];
};

// Begins to copy the weights of a step; rows beyond the run and outputs beyond the group are zero.
template <typename Math>
__device__ void copy_weights(
    const FusedProblem<typename Math::Scalar, typename Math::Compute>& problem, int group,
    int first_output, const ChannelRun& run, const Step& step, typename Math::Scalar* to) {
  using Scalar = typename Math::Scalar;
  constexpr int kVector = kVectorChannels<Scalar>;
  constexpr int kVectorsPerRow = Math::kOutputs / kVector;
  constexpr int kRowsAtOnce = Math::kThreads / kVectorsPerRow;
  static_assert(Math::kThreads % kVectorsPerRow == 0 && Math::kDepth % kRowsAtOnce == 0);
  const int row = threadIdx.x / kVectorsPerRow, output = threadIdx.x % kVectorsPerRow * kVector;
  const int rows = first_output + output < problem.weight_stride ? run.end - step.channel : 0;
  const int64_t per_group = problem.shape.channels / problem.shape.groups;
  // The row of the step's first channel: channels are counted from the group's first.
  const int64_t first_row =
      (group * problem.shape.taps() + step.tap) * per_group + step.channel - group * per_group;
  const Scalar* from =
      problem.weights + (first_row + row) * problem.weight_stride + first_output + output;
  to += row * Math::kWeightStride + output;
#pragma unroll
  for (int i = 0; i < Math::kDepth; i += kRowsAtOnce) {
    const bool inside = row + i < rows;
    __pipeline_memcpy_async(
        to + i * Math::kWeightStride, inside ? from + i * problem.weight_stride : problem.weights,
        kVectorBytes, inside ? 0 : kVectorBytes);
  }
  __pipeline_commit();
}

}  // namespace cascade_rpn_d2
