// Warp matrices on the CPU. The first lane of a warp holds and computes a whole matrix; the other
// lanes' copies are never read, as CUDA says nothing of which lane holds what.
#pragma once

#include <c10/util/Exception.h>

#include "cuda_runtime.h"

namespace nvcuda::wmma {

struct matrix_a {};
struct matrix_b {};
struct accumulator {};
struct row_major {};
enum layout_t { mem_row_major };
namespace precision {
struct tf32 {};
}  // namespace precision

template <typename Use, int M, int N, int K, typename T, typename Layout = void>
struct fragment;
template <int M, int N, int K, typename T>
struct fragment<matrix_a, M, N, K, T, row_major> {
  static constexpr int kRows = M, kColumns = K, num_elements = M * K;
  float x[num_elements];
};
template <int M, int N, int K, typename T>
struct fragment<matrix_b, M, N, K, T, row_major> {
  static constexpr int kRows = K, kColumns = N, num_elements = K * N;
  float x[num_elements];
};
template <int M, int N, int K>
struct fragment<accumulator, M, N, K, float> {
  static constexpr int kRows = M, kColumns = N, num_elements = M * N;
  float x[num_elements];
};

inline bool holds_matrix() {
  return threadIdx.x % emulation::kLanes == 0;
}

// What CUDA asks of the memory of a matrix.
template <typename T>
void check_memory(const T* memory, unsigned stride) {
  TORCH_CHECK(
      reinterpret_cast<uintptr_t>(memory) % 32 == 0, "a matrix must be aligned to 32 bytes");
  TORCH_CHECK(stride * sizeof(T) % 16 == 0, "rows must be a multiple of 16 bytes apart");
}

template <typename Fragment>
void fill_fragment(Fragment& fragment, float value) {
  std::fill_n(fragment.x, fragment.num_elements, value);
}

template <typename Fragment, typename T>
void load_matrix_sync(Fragment& fragment, const T* memory, unsigned stride) {
  check_memory(memory, stride);
  for (int i = 0; holds_matrix() && i < fragment.num_elements; ++i) {
    fragment.x[i] = memory[i / fragment.kColumns * stride + i % fragment.kColumns];
  }
}

template <typename Fragment>
void store_matrix_sync(float* memory, const Fragment& fragment, unsigned stride, layout_t) {
  check_memory(memory, stride);
  for (int i = 0; holds_matrix() && i < fragment.num_elements; ++i) {
    memory[i / fragment.kColumns * stride + i % fragment.kColumns] = fragment.x[i];
  }
}

template <typename Sum, typename Left, typename Right>
void mma_sync(Sum& result, const Left& left, const Right& right, const Sum& sum) {
  if (!holds_matrix()) {
    return;
  }
  result = sum;
  for (int i = 0; i < Left::kRows; ++i) {
    for (int k = 0; k < Left::kColumns; ++k) {
      for (int j = 0; j < Right::kColumns; ++j) {
        result.x[i * Right::kColumns + j] +=
            left.x[i * Left::kColumns + k] * right.x[k * Right::kColumns + j];
      }
    }
  }
}

// To ten bits after the first, to the nearest; ties away from zero.
inline float __float_to_tf32(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  if (std::isfinite(value)) {
    bits = (bits + 0x1000u) & ~0x1fffu;
  }
  std::memcpy(&value, &bits, sizeof(bits));
  return value;
}

}  // namespace nvcuda::wmma
