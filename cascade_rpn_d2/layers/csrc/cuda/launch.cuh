// The one shape of launch that the kernels use: a warp takes an item (a tap of a cell, or a pixel) and
// its lanes share the item's channels, which lie next to each other in memory.
#pragma once

#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>

#include <algorithm>
#include <cstdint>

namespace cascade_rpn_d2 {

constexpr int kLanes = 32;
constexpr int kWarpsPerBlock = 8;
constexpr int64_t kMaxBlocks = int64_t{1} << 20;  // beyond, a warp takes several items

__device__ inline int64_t first_item() {
  return int64_t{blockIdx.x} * kWarpsPerBlock + threadIdx.y;
}
__device__ inline int64_t item_step() {
  return int64_t{gridDim.x} * kWarpsPerBlock;
}
__device__ inline int lane() {
  return threadIdx.x;
}

// Sum over the lanes of a warp, known to all of them; all must take part.
template <typename T>
__device__ inline T sum_over_lanes(T value) {
  for (int distance = kLanes / 2; distance > 0; distance /= 2) {
    value += __shfl_xor_sync(0xffffffffu, value, distance);
  }
  return value;
}

// Runs kernel(items, arguments...) on the current stream of the current device.
template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(int64_t, Parameters...), int64_t items, Arguments... arguments) {
  if (items == 0) {
    return;
  }
  const int64_t blocks =
      std::min<int64_t>((items + kWarpsPerBlock - 1) / kWarpsPerBlock, kMaxBlocks);
  kernel<<<static_cast<unsigned>(blocks), dim3(kLanes, kWarpsPerBlock), 0,
           c10::cuda::getCurrentCUDAStream()>>>(items, arguments...);
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

}  // namespace cascade_rpn_d2
