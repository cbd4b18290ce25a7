// Non-maximum suppression on the CPU: groups run in parallel, and a kept box is compared with all later
// ones at once, in plain loops that compilers turn into vector code.
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <vector>

#include "../nms.h"
#include "multiversion.h"

namespace cascade_rpn_d2 {
namespace {

using at::Tensor;

// The valid boxes of a group, coordinate by coordinate.
template <typename T>
struct Candidates {
  std::vector<T> x1, y1, x2, y2, area;
  std::vector<int64_t> index;       // among all boxes of the group
  std::vector<uint8_t> suppressed;

  void add(const T* box, int64_t i) {
    x1.push_back(box[0]);
    y1.push_back(box[1]);
    x2.push_back(box[2]);
    y2.push_back(box[3]);
    area.push_back((box[2] - box[0]) * (box[3] - box[1]));
    index.push_back(i);
    suppressed.push_back(0);
  }
};

template <typename T>
CRPN_INLINE void suppress_loop(
    const T* x1, const T* y1, const T* x2, const T* y2, const T* area, int64_t first, int64_t count,
    T threshold, uint8_t* suppressed) {
  const T left = x1[first], top = y1[first], right = x2[first], bottom = y2[first];
  const T size = area[first];
  for (int64_t i = first + 1; i < count; ++i) {
    const T width = std::max(std::min(right, x2[i]) - std::max(left, x1[i]), T(0));
    const T height = std::max(std::min(bottom, y2[i]) - std::max(top, y1[i]), T(0));
    const T intersection = width * height;
    suppressed[i] |= intersection / (size + area[i] - intersection) > threshold;  // not if NaN
  }
}

#define CRPN_DEFINE_SUPPRESS(T)                                                                    \
  CRPN_MULTIVERSION void suppress(                                                                 \
      const T* x1, const T* y1, const T* x2, const T* y2, const T* area, int64_t first,            \
      int64_t count, T threshold, uint8_t* suppressed) {                                           \
    suppress_loop(x1, y1, x2, y2, area, first, count, threshold, suppressed);                      \
  }

CRPN_DEFINE_SUPPRESS(float)
CRPN_DEFINE_SUPPRESS(double)

template <typename T>
void run_group(
    const T* boxes, const bool* valid, int64_t count, double iou_threshold, bool* keep) {
  const T threshold = exact_threshold<T>(iou_threshold);
  Candidates<T> candidates;
  for (int64_t i = 0; i < count; ++i) {
    if (valid[i]) {
      candidates.add(boxes + 4 * i, i);
    }
  }
  const int64_t size = static_cast<int64_t>(candidates.index.size());
  for (int64_t i = 0; i < size; ++i) {
    if (!candidates.suppressed[i]) {
      keep[candidates.index[i]] = true;
      suppress(
          candidates.x1.data(), candidates.y1.data(), candidates.x2.data(), candidates.y2.data(),
          candidates.area.data(), i, size, threshold, candidates.suppressed.data());
    }
  }
}

}  // namespace

Tensor nms_cpu(const Tensor& boxes, const Tensor& valid, double iou_threshold) {
  Tensor keep = at::zeros_like(valid);
  const int64_t count = valid.size(1);
  AT_DISPATCH_FLOATING_TYPES(boxes.scalar_type(), "sorted_nms_cpu", [&] {
    const auto* coordinates = boxes.const_data_ptr<scalar_t>();
    const bool* is_valid = valid.const_data_ptr<bool>();
    bool* kept = keep.mutable_data_ptr<bool>();
    at::parallel_for(0, valid.size(0), 1, [&](int64_t begin, int64_t end) {
      for (int64_t group = begin; group < end; ++group) {
        run_group(
            coordinates + group * count * 4, is_valid + group * count, count, iou_threshold,
            kept + group * count);
      }
    });
  });
  return keep;
}

}  // namespace cascade_rpn_d2
