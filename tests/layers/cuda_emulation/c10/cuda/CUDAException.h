#pragma once

#include <c10/util/Exception.h>

#define C10_CUDA_CHECK(call) TORCH_CHECK((call) == cudaSuccess, #call " failed")
#define C10_CUDA_KERNEL_LAUNCH_CHECK()
