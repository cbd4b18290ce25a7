// Sampling and product in one kernel: an implicit GEMM whose left operand, the columns, exists only
// in shared memory.
//
// A block computes a tile of cells x outputs of one group. It walks along the depth (runs of
// channels, taps, kDepth channels at a time): while one step's tiles are multiplied, the next
// step's pixels are on their way into registers and its weights on their way into the other half of
// shared memory.
//
// Traffic of 256 -> 256 channels, 3x3, bfloat16, in the widest tile (128 cells x 256 outputs), per
// cell:
//   operations      2 * 9 * 256 * 256 = 1.18 MFLOP
//   pixels read     9 taps * 4 corners * 512 B = 18 KB, each once, as no other block has the cell;
//                   neighbouring cells share corners, so a good part comes from L1
//   weights read    1.18 MB / 128 cells = 9 KB, from L2
//   shared memory   4.6 KB of columns and 9 KB of weights written, and by warps of 64 x 64 18 KB of
//                   each read
//   output          512 B; columns in global memory: none (im2col writes and reads 4.6 KB + 4.6 KB)
#pragma once

#include "fused_tile.cuh"
#include "launch.cuh"

namespace cascade_rpn_d2 {

#ifdef __CUDA_ARCH__
constexpr int kCompiledFor = __CUDA_ARCH__;
#else
constexpr int kCompiledFor = 1 << 20;  // the host declares everything
#endif

// Adds to the sums what the taps [first_tap, first_tap + taps) of a run of channels give.
template <typename Math>
__device__ void add_run(
    const FusedProblem<typename Math::Scalar, typename Math::Compute>& problem, int group,
    int first_output, const ChannelRun& run, int first_tap, int taps, FusedMemory<Math>& memory,
    typename Math::Sums& sums) {
  Sampler<Math> sampler;
  Step step{first_tap, 0, run.begin};
  const auto advance = [&] {
    step.channel += Math::kDepth;
    if (step.channel >= run.end) {
      step = {step.tap + 1, step.slot + 1, run.begin};
    }
  };
  const auto begin_step = [&](int half) {
    copy_weights<Math>(problem, group, first_output, run, step, memory.weights[half]);
    sampler.load(problem, run, step, memory);
  };
  const auto end_step = [&](int half) {
    sampler.store(step, memory, memory.columns[half]);
    __pipeline_wait_prior(0);
  };
  begin_step(0);
  end_step(0);
  __syncthreads();
  for (int half = 0;; half ^= 1) {
    advance();
    const bool more = step.slot < taps;
    if (more) {
      begin_step(half ^ 1);
    }
    sums.add_product(memory.columns[half], memory.weights[half]);
    if (more) {
      end_step(half ^ 1);
    }
    __syncthreads();
    if (!more) {
      return;
    }
  }
}

template <typename Math>
__device__ void write_tile(
    const FusedProblem<typename Math::Scalar, typename Math::Compute>& problem, int group,
    int first_output, FusedMemory<Math>& memory, typename Math::Sums& sums) {
  using Scalar = typename Math::Scalar;
  using Compute = typename Math::Compute;
  static_assert(Math::kPatchBytes <= sizeof(memory.columns));
  const int outputs = static_cast<int>(problem.shape.out_channels / problem.shape.groups);
  const int64_t stride = problem.channels_last ? 1 : problem.shape.cells();
  // The columns have been read; their memory serves to turn the sums.
  sums.for_each(memory.columns, !problem.channels_last, [&](int row, int column, Compute sum) {
    const int64_t cell = memory.rows[row].output;
    if (cell < 0 || first_output + column >= outputs) {
      return;
    }
    const int64_t output = int64_t{group} * outputs + first_output + column;
    if (problem.bias != nullptr) {
      sum += static_cast<Compute>(problem.bias[output]);
    }
    problem.output[cell + output * stride] = static_cast<Scalar>(sum);
  });
}

// Block (x, y, z): the x-th tile of cells, the y-th of outputs, group z of the weight. Compiled for
// an architecture that lacks what Math needs it is empty, and the host does not choose it. A thread
// may have all the registers that one block on a multiprocessor leaves it.
template <typename Math>
__global__ void __launch_bounds__(Math::kThreads, 1)
    fused_kernel(FusedProblem<typename Math::Scalar, typename Math::Compute> problem) {
  if constexpr (kCompiledFor >= Math::kArchitecture) {
    const int64_t cells = problem.cells.size();
    const int64_t first = int64_t{blockIdx.x} * Math::kCells;
    if (first >= cells) {
      return;
    }
    auto& memory = shared_as<FusedMemory<Math>>();
    const Shape& shape = problem.shape;
    const int group = blockIdx.z;
    const int first_output = blockIdx.y * Math::kOutputs;
    const int per_group = static_cast<int>(shape.channels / shape.groups);
    const int per_offset_group = static_cast<int>(shape.channels / shape.offset_groups);
    const int all_taps = static_cast<int>(shape.taps());

    typename Math::Sums sums;
    place_rows<Math>(problem, first, cells, memory);
    for (int begin = group * per_group; begin < (group + 1) * per_group;) {
      const int offset_group = begin / per_offset_group;
      const int end = min((group + 1) * per_group, (offset_group + 1) * per_offset_group);
      for (int tap = 0; tap < all_taps; tap += kTapsAtOnce) {
        const int taps = min(kTapsAtOnce, all_taps - tap);
        __syncthreads();
        place_corners<Math>(problem, offset_group, tap, taps, memory);
        __syncthreads();
        add_run<Math>(
            problem, group, first_output, {begin, end}, tap, taps, memory, sums);
      }
      begin = end;
    }
    write_tile<Math>(problem, group, first_output, memory, sums);
  }
}

}  // namespace cascade_rpn_d2
