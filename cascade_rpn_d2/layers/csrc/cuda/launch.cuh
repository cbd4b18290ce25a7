// How kernels are launched: on the current stream of the current device, with their errors checked.
#pragma once

#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <utility>

namespace cascade_rpn_d2 {

constexpr int kLanes = 32;
constexpr int64_t kMaxBlocks = int64_t{1} << 20;  // beyond, a block takes several items

// Sum over the lanes of a warp, known to all of them; all must take part.
template <typename T>
__device__ inline T sum_over_lanes(T value) {
  for (int distance = kLanes / 2; distance > 0; distance /= 2) {
    value += __shfl_xor_sync(0xffffffffu, value, distance);
  }
  return value;
}

// The dynamic shared memory of the block, as what it is meant to hold.
template <typename T>
__device__ inline T& shared_as() {
  extern __shared__ __align__(128) uint4 shared_memory[];
  return *reinterpret_cast<T*>(shared_memory);
}

// Runs kernel(arguments...) with so many bytes of dynamic shared memory. More than 48 KB have to be
// asked for; asking is a host-side note on the function, so it is allowed in the capture of a
// graph.
template <typename... Parameters, typename... Arguments>
void launch(
    void (*kernel)(Parameters...), dim3 blocks, int threads, size_t shared_bytes,
    Arguments&&... arguments) {
  constexpr size_t kGrantedUnasked = size_t{48} << 10;
  if (shared_bytes > kGrantedUnasked) {
    C10_CUDA_CHECK(cudaFuncSetAttribute(
        reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
        static_cast<int>(shared_bytes)));
  }
  cudaLaunchConfig_t config{};
  config.gridDim = blocks;
  config.blockDim = dim3(threads);
  config.dynamicSmemBytes = shared_bytes;
  config.stream = c10::cuda::getCurrentCUDAStream();
  C10_CUDA_CHECK(cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...));
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

// A number that describes the current device, such as how many multiprocessors it has.
inline int device_attribute(cudaDeviceAttr attribute) {
  int device = 0, value = 0;
  C10_CUDA_CHECK(cudaGetDevice(&device));
  C10_CUDA_CHECK(cudaDeviceGetAttribute(&value, attribute, device));
  return value;
}

// The architecture, such as 900, whose __CUDA_ARCH__ the kernel saw when the code was compiled that
// this device runs. It may be older than the device: what is compiled for 8.0 runs on 9.0.
template <typename... Parameters>
int compiled_for(void (*kernel)(Parameters...)) {
  cudaFuncAttributes attributes{};
  C10_CUDA_CHECK(cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(kernel)));
  return attributes.ptxVersion * 10;
}

// Blocks for so many items; no more than a kernel that strides over its items needs.
inline dim3 blocks_for(int64_t items, int64_t per_block) {
  return dim3(static_cast<unsigned>(
      std::min<int64_t>((items + per_block - 1) / per_block, kMaxBlocks)));
}

}  // namespace cascade_rpn_d2
