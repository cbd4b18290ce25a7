// Loads of fragments from shared memory.
//
// nvcc keeps the address space of the pointer for half, but forgets it for bfloat16 and TF32, whose
// fragments it then collects with one generic load for every register. With its address space
// written out the same instruction reads shared memory, and bfloat16 by whole matrices.
#pragma once

#include <mma.h>

#include <cstdint>

namespace cascade_rpn_d2 {

// from: a row-major matrix in shared memory, its rows `stride` elements apart.
template <typename Fragment, typename Memory>
__device__ void load_shared(Fragment& fragment, const Memory* from, unsigned stride) {
  nvcuda::wmma::load_matrix_sync(fragment, from, stride);
}

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
// A fragment of these dtypes is four registers.
#define CRPN_LOAD_SHARED(use, depth, element, memory, instruction)                                 \
  __device__ inline void load_shared(                                                              \
      nvcuda::wmma::fragment<use, 16, 16, depth, element, nvcuda::wmma::row_major>& fragment,      \
      const memory* from, unsigned stride) {                                                       \
    uint32_t* to = reinterpret_cast<uint32_t*>(fragment.x);                                        \
    asm volatile(instruction " {%0, %1, %2, %3}, [%4], %5;"                                        \
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])                              \
                 : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(from))), "r"(stride)         \
                 : "memory");                                                                      \
  }
CRPN_LOAD_SHARED(
    nvcuda::wmma::matrix_a, 16, __nv_bfloat16, __nv_bfloat16,
    "wmma.load.a.sync.aligned.row.m16n16k16.shared.bf16")
CRPN_LOAD_SHARED(
    nvcuda::wmma::matrix_b, 16, __nv_bfloat16, __nv_bfloat16,
    "wmma.load.b.sync.aligned.row.m16n16k16.shared.bf16")
CRPN_LOAD_SHARED(
    nvcuda::wmma::matrix_a, 8, nvcuda::wmma::precision::tf32, float,
    "wmma.load.a.sync.aligned.row.m16n16k8.shared.tf32")
CRPN_LOAD_SHARED(
    nvcuda::wmma::matrix_b, 8, nvcuda::wmma::precision::tf32, float,
    "wmma.load.b.sync.aligned.row.m16n16k8.shared.tf32")
#undef CRPN_LOAD_SHARED
#endif

}  // namespace cascade_rpn_d2
