// Products of tiles on the ordinary cores, for the dtypes and GPUs that tensor cores leave out.
#pragma once

#include <ATen/OpMathType.h>

#include "channels.cuh"
#include "launch.cuh"

namespace cascade_rpn_d2 {

// A tile of 64 cells x 128 outputs; every thread holds 4 x 8 of the sums, spread over the tile so
// that the lanes of a warp read neighbouring weights.
template <typename ScalarType>
struct ScalarMath {
  using Scalar = ScalarType;
  using Compute = at::opmath_type<Scalar>;
  static constexpr int kSide = 16;  // threads per side of the tile
  static constexpr int kRows = 4, kColumns = 8;
  static constexpr int kThreads = kSide * kSide;
  static constexpr int kCells = kSide * kRows;
  static constexpr int kOutputs = kSide * kColumns;
  static constexpr int kDepth = 64 / static_cast<int>(sizeof(Scalar));
  static constexpr int kArchitecture = 0;
  static constexpr int kColumnStride = kDepth + kVectorChannels<Scalar>;
  static constexpr int kWeightStride = kOutputs + kVectorChannels<Scalar>;
  static constexpr int kPatchBytes = 0;

  class Sums {
   public:
    // += columns (kCells x kDepth) * weights (kDepth x kOutputs), both in shared memory.
    __device__ void add_product(const Scalar* columns, const Scalar* weights) {
      columns += row(0) * kColumnStride;
      weights += column(0);
#pragma unroll 4
      for (int k = 0; k < kDepth; ++k) {
        Compute left[kRows], right[kColumns];
#pragma unroll
        for (int i = 0; i < kRows; ++i) {
          left[i] = static_cast<Compute>(columns[i * kSide * kColumnStride + k]);
        }
#pragma unroll
        for (int j = 0; j < kColumns; ++j) {
          right[j] = static_cast<Compute>(weights[k * kWeightStride + j * kSide]);
        }
#pragma unroll
        for (int i = 0; i < kRows; ++i) {
#pragma unroll
          for (int j = 0; j < kColumns; ++j) {
            sums_[i][j] += left[i] * right[j];
          }
        }
      }
    }

    // Calls use(row, column, sum) for this thread's share of the tile.
    template <typename Use>
    __device__ void for_each(void* /*memory*/, bool /*along_rows*/, Use&& use) {
#pragma unroll
      for (int i = 0; i < kRows; ++i) {
#pragma unroll
        for (int j = 0; j < kColumns; ++j) {
          use(row(i), column(j), sums_[i][j]);
        }
      }
    }

   private:
    static __device__ int row(int i) { return threadIdx.x / kSide + i * kSide; }
    static __device__ int column(int j) { return threadIdx.x % kSide + j * kSide; }

    Compute sums_[kRows][kColumns] = {};
  };
};

}  // namespace cascade_rpn_d2
