// What every CUDA kernel needs to know of where the taps lie.
#pragma once

#include "../problem.h"

namespace cascade_rpn_d2 {

struct Placement {
  const TapRule& rule;
  const at::Tensor& values;  // of the rule, contiguous and of the compute dtype
  const Shape& shape;
};

}  // namespace cascade_rpn_d2
