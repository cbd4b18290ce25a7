// Products of tiles on tensor cores, through the portable warp-matrix API: half and bfloat16, and
// float32 rounded to TF32. Sums are float32.
#pragma once

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <mma.h>

#include <type_traits>

#include "channels.cuh"
#include "launch.cuh"
#include "shared_fragment.cuh"

namespace cascade_rpn_d2 {

// How the warp-matrix API names a dtype, in memory and in a fragment, and how deep its product is.
template <typename Scalar>
struct WarpMatrix;
template <>
struct WarpMatrix<c10::Half> {
  using Memory = __half;
  using Element = __half;
  static constexpr int kDepth = 16, kArchitecture = 700;
};
template <>
struct WarpMatrix<c10::BFloat16> {
  using Memory = __nv_bfloat16;
  using Element = __nv_bfloat16;
  static constexpr int kDepth = 16, kArchitecture = 800;
};
template <>
struct WarpMatrix<float> {
  using Memory = float;
  static constexpr int kDepth = 8, kArchitecture = 800;
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800  // the API has no such names before
  using Element = nvcuda::wmma::precision::tf32;
  static __device__ float rounded(float value) { return nvcuda::wmma::__float_to_tf32(value); }
#endif
};

// A tile of kCells x kOutputs, shared out to warps; each holds kRows x kColumns fragments of 16 x
// 16. kStepBytes: how deep a step is, in bytes of a row of columns.
template <
    typename ScalarType, int kWarpRows, int kWarpColumns, int kRows, int kColumns, int kStepBytes>
struct TensorMath {
  using Scalar = ScalarType;
  using Compute = float;
  using Matrix = WarpMatrix<Scalar>;
  static constexpr int kSide = 16;
  static constexpr int kThreads = kWarpRows * kWarpColumns * kLanes;
  static constexpr int kCells = kWarpRows * kRows * kSide;
  static constexpr int kOutputs = kWarpColumns * kColumns * kSide;
  static constexpr int kDepth = kStepBytes / static_cast<int>(sizeof(Scalar));
  static constexpr int kArchitecture = Matrix::kArchitecture;
  // Sixteen bytes between rows keep eight of them in different banks.
  static constexpr int kColumnStride = kDepth + kVectorChannels<Scalar>;
  static constexpr int kWeightStride = kOutputs + kVectorChannels<Scalar>;

  class Sums {
   public:
    __device__ Sums() {
      for_each_fragment([](auto& sum, int, int) { nvcuda::wmma::fill_fragment(sum, 0.0f); });
    }

    // += columns (kCells x kDepth) * weights (kDepth x kOutputs), both in shared memory.
    __device__ void add_product(const Scalar* columns, const Scalar* weights) {
      using namespace nvcuda::wmma;
      using Memory = typename Matrix::Memory;
      const Memory* left = reinterpret_cast<const Memory*>(columns) + first_row() * kColumnStride;
      const Memory* right = reinterpret_cast<const Memory*>(weights) + first_column();
#pragma unroll
      for (int k = 0; k < kDepth; k += Matrix::kDepth) {
        fragment<matrix_a, kSide, kSide, Matrix::kDepth, typename Matrix::Element, row_major>
            rows[kRows];
#pragma unroll
        for (int row = 0; row < kRows; ++row) {
          load_shared(rows[row], left + row * kSide * kColumnStride + k, kColumnStride);
          round(rows[row]);
        }
#pragma unroll
        for (int column = 0; column < kColumns; ++column) {
          fragment<matrix_b, kSide, kSide, Matrix::kDepth, typename Matrix::Element, row_major>
              outputs;
          load_shared(outputs, right + k * kWeightStride + column * kSide, kWeightStride);
          round(outputs);
#pragma unroll
          for (int row = 0; row < kRows; ++row) {
            mma_sync(sums_[row][column], rows[row], outputs, sums_[row][column]);
          }
        }
      }
    }

    // Calls use(row, column, sum) for this thread's share of the tile, neighbouring lanes next to
    // each other along rows or along columns. `memory` holds kPatchBytes for every warp.
    template <typename Use>
    __device__ void for_each(void* memory, bool along_rows, Use&& use) {
      float* patch = static_cast<float*>(memory) + warp() * kPatchStride * kSide;
      const int lane = threadIdx.x % kLanes;
      for_each_fragment([&](auto& sum, int row, int column) {
        nvcuda::wmma::store_matrix_sync(patch, sum, kPatchStride, nvcuda::wmma::mem_row_major);
        __syncwarp();
#pragma unroll
        for (int i = lane; i < kSide * kSide; i += kLanes) {
          const int major = i / kSide, minor = i % kSide;
          const int y = along_rows ? minor : major, x = along_rows ? major : minor;
          use(first_row() + row * kSide + y, first_column() + column * kSide + x,
              patch[y * kPatchStride + x]);
        }
        __syncwarp();
      });
    }

   private:
    static constexpr int kPatchStride = kSide + 4;  // a multiple of 16 bytes that spreads the banks

    static __device__ int warp() { return threadIdx.x / kLanes; }
    static __device__ int first_row() { return warp() / kWarpColumns * kRows * kSide; }
    static __device__ int first_column() { return warp() % kWarpColumns * kColumns * kSide; }

    template <typename Fragment>
    static __device__ void round(Fragment& fragment) {
      if constexpr (std::is_same_v<Scalar, float>) {
#pragma unroll
        for (int i = 0; i < fragment.num_elements; ++i) {
          fragment.x[i] = Matrix::rounded(fragment.x[i]);
        }
      }
    }
    template <typename Use>
    __device__ void for_each_fragment(Use&& use) {
#pragma unroll
      for (int row = 0; row < kRows; ++row) {
#pragma unroll
        for (int column = 0; column < kColumns; ++column) {
          use(sums_[row][column], row, column);
        }
      }
    }

    nvcuda::wmma::fragment<nvcuda::wmma::accumulator, kSide, kSide, Matrix::kDepth, float>
        sums_[kRows][kColumns];
  };

  static constexpr int kPatchBytes = kThreads / kLanes * kSide * (kSide + 4) * 4;
};

}  // namespace cascade_rpn_d2
