// Matrix products on raw, row-major memory, by what torch brings: oneDNN's batch-reduce GEMM kernel for
// float32, which is as fast as the convolutions that oneDNN makes of it (and falls back to the BLAS
// where it has no kernel for the processor); the BLAS for float64.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/native/CPUBlas.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/mm.h>

#include <cstdint>

namespace cascade_rpn_d2 {

// Rows of a matrix that lie `stride` elements apart.
template <typename T>
struct Matrix {
  T* data;
  int64_t stride;
};

// out = a b, or out += a b when `add`, with a (rows, depth), b (depth, columns), out (rows, columns).
// Runs on the calling thread within parallel_for. A kernel is compiled for every new set of sizes and
// strides and kept as long as its thread lives, so both should take few values.
inline void multiply(
    int64_t rows, int64_t columns, int64_t depth, Matrix<const float> a, Matrix<const float> b,
    Matrix<float> out, bool add) {
  at::native::cpublas::brgemm(
      rows, columns, depth, a.stride, b.stride, out.stride, add, a.data, b.data, out.data);
}

inline void multiply(
    int64_t rows, int64_t columns, int64_t depth, Matrix<const double> a, Matrix<const double> b,
    Matrix<double> out, bool add) {
  const auto view = [](const double* data, int64_t height, int64_t width, int64_t stride) {
    return at::from_blob(const_cast<double*>(data), {height, width}, {stride, 1}, at::kDouble);
  };
  at::Tensor result = view(out.data, rows, columns, out.stride);
  const at::Tensor left = view(a.data, rows, depth, a.stride);
  const at::Tensor right = view(b.data, depth, columns, b.stride);
  if (add) {
    at::addmm_out(result, result, left, right);
  } else {
    at::mm_out(result, left, right);
  }
}

}  // namespace cascade_rpn_d2
