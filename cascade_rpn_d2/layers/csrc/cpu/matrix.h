// Matrix products on raw memory, by the BLAS that torch brings. It is reached through ATen because torch
// does not export its raw GEMM.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/mm.h>
#include <c10/core/ScalarType.h>

#include <cstdint>

namespace cascade_rpn_d2 {

// A strided view; one of the strides is 1, so that BLAS takes it as it is.
template <typename T>
struct Matrix {
  T* data;
  int64_t rows, columns;
  int64_t row_stride, column_stride;

  Matrix transposed() const { return {data, columns, rows, column_stride, row_stride}; }
  at::Tensor tensor() const {
    return at::from_blob(
        data, {rows, columns}, {row_stride, column_stride},
        at::TensorOptions().dtype(c10::CppTypeToScalarType<T>::value));
  }
};

template <typename T>
Matrix<T> row_major(T* data, int64_t rows, int64_t columns) {
  return {data, rows, columns, columns, 1};
}

// out = a b, or out += a b when `add`. Runs on the calling thread when called inside parallel_for.
template <typename T>
void multiply(Matrix<T> a, Matrix<T> b, Matrix<T> out, bool add) {
  at::Tensor result = out.tensor();
  if (add) {
    at::addmm_out(result, result, a.tensor(), b.tensor());
  } else {
    at::mm_out(result, a.tensor(), b.tensor());
  }
}

}  // namespace cascade_rpn_d2
