// Non-maximum suppression of boxes that are sorted already, group by group, without leaving the device.
#pragma once

#include <ATen/core/Tensor.h>

#include <cmath>
#include <limits>

namespace cascade_rpn_d2 {

// The largest T that is not above the threshold: what exceeds the one exceeds the other.
template <typename T>
T exact_threshold(double threshold) {
  const T rounded = static_cast<T>(threshold);
  return static_cast<double>(rounded) > threshold
      ? std::nextafter(rounded, -std::numeric_limits<T>::infinity())
      : rounded;
}

// boxes (groups, boxes, 4) of float or double, valid (groups, boxes) bool, both contiguous -> bool.
at::Tensor nms_cpu(const at::Tensor& boxes, const at::Tensor& valid, double iou_threshold);
at::Tensor nms_cuda(const at::Tensor& boxes, const at::Tensor& valid, double iou_threshold);

}  // namespace cascade_rpn_d2
