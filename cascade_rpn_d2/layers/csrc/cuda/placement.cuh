// Either offset policy behind one type. Kernels place a tap once for all of its channels, so
// choosing the policy as they run costs nothing and halves the number of kernels.
#pragma once

#include "placement.h"

namespace cascade_rpn_d2 {

template <typename T>
struct AnyTaps {
  bool on_boxes;
  BoxTaps<T> boxes;
  OffsetTaps<T> offsets;

  explicit AnyTaps(const Placement& placement) : on_boxes(false), boxes{}, offsets{} {
    with_policy<T>(
        placement.rule, placement.values, placement.shape,
        [this](const auto& policy) { choose(policy); });
  }
  void choose(const BoxTaps<T>& policy) {
    on_boxes = true;
    boxes = policy;
  }
  void choose(const OffsetTaps<T>& policy) { offsets = policy; }

  CRPN_HOST_DEVICE Position<T> operator()(
      int64_t image, int64_t group, int64_t cell, int tap_y, int tap_x) const {
    return on_boxes ? boxes(image, group, cell, tap_y, tap_x)
                    : offsets(image, group, cell, tap_y, tap_x);
  }
};

}  // namespace cascade_rpn_d2
