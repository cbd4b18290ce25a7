// Soft-NMS (Bodla et al. 2017): the best box of a group keeps its score, those of the others decay by how
// much they overlap it, and so on with the best of the rest. One set of formulas for host and device.
#pragma once

#include <ATen/core/Tensor.h>

#include <cmath>
#include <utility>

#include "host_device.h"
#include "nms.h"

namespace cascade_rpn_d2 {

// The running score of a box that was taken or discarded; those of the others are not negative.
constexpr int kGone = -1;

template <typename T>
struct alignas(4 * sizeof(T)) Box {
  T x1, y1, x2, y2;

  CRPN_HOST_DEVICE T area() const { return (x2 - x1) * (y2 - y1); }
};

// Intersection over union; NaN where a coordinate is, and where neither box has an area.
template <typename T>
CRPN_HOST_DEVICE T iou(const Box<T>& a, const Box<T>& b) {
  const T width = (a.x2 < b.x2 ? a.x2 : b.x2) - (a.x1 > b.x1 ? a.x1 : b.x1);
  const T height = (a.y2 < b.y2 ? a.y2 : b.y2) - (a.y1 > b.y1 ? a.y1 : b.y1);
  const T intersection = (width > T(0) ? width : T(0)) * (height > T(0) ? height : T(0));
  return intersection / (a.area() + b.area() - intersection);
}

// A penalty is what a score is multiplied by; an IoU that is NaN costs nothing.
template <typename T>
struct LinearPenalty {
  T threshold;

  CRPN_HOST_DEVICE T operator()(T iou) const { return iou > threshold ? T(1) - iou : T(1); }
};

template <typename T>
struct GaussianPenalty {
  T sigma;

  CRPN_HOST_DEVICE T operator()(T iou) const {
    return iou > T(0) ? std::exp(-iou * iou / sigma) : T(1);
  }
};

// What is left of a score, or kGone.
template <typename T>
CRPN_HOST_DEVICE T remaining(T score, T penalty, T min_score) {
  const T decayed = score * penalty;
  return decayed >= min_score ? decayed : T(kGone);  // not if NaN: of infinity times zero
}

// The rule of decay, before its dtype and its penalty are chosen.
struct DecayRule {
  bool gaussian;
  double iou_threshold;  // of the linear penalty
  double sigma;          // of the Gaussian one
  double min_score;      // what falls below is discarded
};

// Calls use(penalty).
template <typename T, typename Use>
void with_penalty(const DecayRule& rule, Use&& use) {
  if (rule.gaussian) {
    std::forward<Use>(use)(GaussianPenalty<T>{static_cast<T>(rule.sigma)});
  } else {
    std::forward<Use>(use)(LinearPenalty<T>{exact_threshold<T>(rule.iou_threshold)});
  }
}

// boxes (R, 4) and scores (R,) of float or double, both sorted so that groups (R,) ascend, contiguous.
// Writes the final score of box i to decayed[order[i]] if it is kept, else nothing.
void soft_nms_cpu(
    const at::Tensor& boxes,
    const at::Tensor& scores,
    const at::Tensor& groups,
    const at::Tensor& order,
    const DecayRule& rule,
    at::Tensor& decayed);
void soft_nms_cuda(
    const at::Tensor& boxes,
    const at::Tensor& scores,
    const at::Tensor& groups,
    const at::Tensor& order,
    const DecayRule& rule,
    at::Tensor& decayed);

}  // namespace cascade_rpn_d2
