// The part of CUDA that the kernels use, on the CPU, so that g++ can compile them and a test run
// them.
//
// Blocks run one after the other. Each thread of a block is a fiber that runs until it waits for
// its warp or its block; fibers take turns in one order and then in the other, so that a kernel
// which forgets to wait is likely to read what has not been written yet. Shared memory holds NaN at
// first.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>
#include <utility>

#define __host__
#define __device__
#define __global__
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __launch_bounds__(...)
#define __shared__  // only ever `extern`: one block runs at a time, so the memory is a global

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
inline float4 make_float4(float x, float y, float z, float w) {
  return {x, y, z, w};
}
using std::max;
using std::min;

inline dim3 blockIdx, gridDim, threadIdx;

namespace emulation {

constexpr int kLanes = 32;
constexpr size_t kSharedBytes = size_t{227} << 10;

enum class Wait { kForWarp, kForBlock };
void wait(Wait what);                // of the fiber that runs
void* exchange();                    // 16 bytes for each lane of its warp
void run_block(int threads, const std::function<void()>& kernel);
void* dynamic_shared_memory();
// The GPU that the kernels believe to run on: its architecture, and its attributes.
inline int architecture = 90;
inline int device[] = {132, static_cast<int>(kSharedBytes)};

}  // namespace emulation

inline void __syncthreads() {
  emulation::wait(emulation::Wait::kForBlock);
}
inline void __syncwarp() {
  emulation::wait(emulation::Wait::kForWarp);
}

template <typename T>
T __shfl_xor_sync(unsigned, T value, int lane_mask) {
  char* slots = static_cast<char*>(emulation::exchange());
  const int lane = threadIdx.x % emulation::kLanes;
  std::memcpy(slots + lane * 16, &value, sizeof(T));
  __syncwarp();
  std::memcpy(&value, slots + (lane ^ lane_mask) * 16, sizeof(T));
  __syncwarp();
  return value;
}

template <typename T>
void atomicAdd(T* sum, T value) {
  *sum += value;
}
inline void atomicAdd(float4* sum, float4 value) {
  *sum = {sum->x + value.x, sum->y + value.y, sum->z + value.z, sum->w + value.w};
}

using cudaStream_t = void*;
enum cudaError_t { cudaSuccess, cudaErrorInvalidValue };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };
struct cudaFuncAttributes {
  int ptxVersion;
};
enum cudaDeviceAttr {
  cudaDevAttrMultiProcessorCount,
  cudaDevAttrMaxSharedMemoryPerBlockOptin
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
};

inline cudaError_t cudaGetDevice(int*) {
  return cudaSuccess;
}
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  *value = emulation::device[attribute];
  return cudaSuccess;
}
inline cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void*) {
  attributes->ptxVersion = emulation::architecture;
  return cudaSuccess;
}
inline cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int bytes) {
  const int granted = emulation::device[cudaDevAttrMaxSharedMemoryPerBlockOptin];
  return bytes <= granted ? cudaSuccess : cudaErrorInvalidValue;
}

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(
    const cudaLaunchConfig_t* config, void (*kernel)(Parameters...), Arguments&&... arguments) {
  const std::tuple<Parameters...> values(std::forward<Arguments>(arguments)...);
  gridDim = config->gridDim;
  for (unsigned z = 0; z < gridDim.z; ++z) {
    for (unsigned y = 0; y < gridDim.y; ++y) {
      for (unsigned x = 0; x < gridDim.x; ++x) {
        blockIdx = dim3(x, y, z);
        std::memset(emulation::dynamic_shared_memory(), 0xff, config->dynamicSmemBytes);
        emulation::run_block(config->blockDim.x, [&] { std::apply(kernel, values); });
      }
    }
  }
  return cudaSuccess;
}
