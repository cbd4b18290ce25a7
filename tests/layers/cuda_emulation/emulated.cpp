// All CUDA sources and the operators above them as one file of C++, for tensors of the CPU. The
// operators are registered as emulated_cuda, beside those of the library under test.
#include "cuda_runtime.h"

#include <torch/library.h>

#define cascade_rpn_d2 emulated_cuda
#define forward_cpu forward_cuda
#define backward_cpu backward_cuda
#define nms_cpu nms_cuda
#define soft_nms_cpu soft_nms_cuda

namespace cascade_rpn_d2 {
alignas(128) uint4 shared_memory[emulation::kSharedBytes / sizeof(uint4)];
}  // namespace cascade_rpn_d2

#include "../../../cascade_rpn_d2/layers/csrc/cuda/active.cu"
#include "../../../cascade_rpn_d2/layers/csrc/cuda/backward.cpp"
#include "../../../cascade_rpn_d2/layers/csrc/cuda/columns.cu"
#include "../../../cascade_rpn_d2/layers/csrc/cuda/forward.cpp"
#include "../../../cascade_rpn_d2/layers/csrc/cuda/fused.cu"
#include "../../../cascade_rpn_d2/layers/csrc/cuda/nms.cu"
#include "../../../cascade_rpn_d2/layers/csrc/cuda/scatter.cu"
#include "../../../cascade_rpn_d2/layers/csrc/cuda/soft_nms.cu"
#include "../../../cascade_rpn_d2/layers/csrc/ops.cpp"
#include "fibers.cpp"

void* emulation::dynamic_shared_memory() {
  return cascade_rpn_d2::shared_memory;
}

// The GPU that the kernels believe to run on.
TORCH_LIBRARY_FRAGMENT(emulated_cuda, m) {
  m.def("set_device(int major, int multiprocessors) -> ()", [](int64_t major, int64_t count) {
    emulation::architecture = static_cast<int>(major) * 10;
    emulation::device[cudaDevAttrMaxSharedMemoryPerBlockOptin] =
        major == 7 ? 64 << 10 : major == 8 ? 99 << 10 : 227 << 10;
    emulation::device[cudaDevAttrMultiProcessorCount] = static_cast<int>(count);
  });
}
