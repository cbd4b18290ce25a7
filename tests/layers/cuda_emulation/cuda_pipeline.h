// Asynchronous copies into shared memory: nothing arrives before it is waited for.
#pragma once

#include <vector>

#include "cuda_runtime.h"

namespace emulation {

struct Copy {
  void* to;
  const void* from;
  size_t bytes, zeros;
};
inline std::vector<Copy> copies[1024];  // of each thread

}  // namespace emulation

inline void __pipeline_memcpy_async(void* to, const void* from, size_t bytes, size_t zeros) {
  emulation::copies[threadIdx.x].push_back({to, from, bytes, zeros});
}
inline void __pipeline_commit() {}
inline void __pipeline_wait_prior(size_t) {
  for (const emulation::Copy& copy : emulation::copies[threadIdx.x]) {
    std::memcpy(copy.to, copy.from, copy.bytes - copy.zeros);
    std::memset(static_cast<char*>(copy.to) + copy.bytes - copy.zeros, 0, copy.zeros);
  }
  emulation::copies[threadIdx.x].clear();
}
