// What the CPU and the CUDA side of an operator are both handed: sizes and the rule that places taps.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <tuple>
#include <utility>

#include "sampling.h"

namespace cascade_rpn_d2 {

struct Shape {
  int64_t images, channels, height, width;
  int64_t out_channels, out_height, out_width;
  int64_t kernel_height, kernel_width;
  int64_t groups;         // of channels of the weight
  int64_t offset_groups;  // of channels that share positions

  CRPN_HOST_DEVICE int64_t pixels() const { return height * width; }
  CRPN_HOST_DEVICE int64_t cells() const { return out_height * out_width; }
  CRPN_HOST_DEVICE int64_t taps() const { return kernel_height * kernel_width; }
};

// The rule that places taps, before its policy is chosen. `values` holds the boxes or the offsets.
struct TapRule {
  enum class Kind { kBoxes, kOffsets } kind;
  at::Tensor values;
  double box_stride = 1, center_offset = 0;                    // kBoxes
  std::array<int64_t, 2> stride{}, padding{}, dilation{};      // kOffsets, (y, x)
};

// Calls use(policy); `values` are those of the rule, contiguous and of dtype T.
template <typename T, typename Use>
void with_policy(const TapRule& rule, const at::Tensor& values, const Shape& shape, Use&& use) {
  const T* data = values.const_data_ptr<T>();
  if (rule.kind == TapRule::Kind::kBoxes) {
    std::forward<Use>(use)(BoxTaps<T>{
        data,
        shape.cells(),
        static_cast<int>(shape.kernel_height),
        static_cast<T>(rule.box_stride),
        static_cast<T>(rule.center_offset)});
  } else {
    std::forward<Use>(use)(OffsetTaps<T>{
        data,
        shape.offset_groups,
        shape.cells(),
        shape.out_width,
        static_cast<int>(shape.kernel_height),
        static_cast<int>(shape.kernel_width),
        rule.stride[0],
        rule.stride[1],
        rule.padding[0],
        rule.padding[1],
        rule.dilation[0],
        rule.dilation[1]});
  }
}

// channels_last for a map laid out so, else contiguous: the layout of what is returned for `map`.
inline at::MemoryFormat memory_format_of(const at::Tensor& map) {
  return !map.is_contiguous() && map.is_contiguous(at::MemoryFormat::ChannelsLast)
      ? at::MemoryFormat::ChannelsLast
      : at::MemoryFormat::Contiguous;
}

// Gradients of input, of the rule's values and of the weight; one not asked for has no elements.
using Gradients = std::tuple<at::Tensor, at::Tensor, at::Tensor>;
using GradientMask = std::array<bool, 3>;

at::Tensor forward_cpu(
    const at::Tensor& input,
    const TapRule& rule,
    const at::Tensor& weight,
    const at::Tensor& bias,    // undefined for none
    const at::Tensor& active,  // undefined for all, else (N, Ho, Wo) bool: the rest is zero
    const Shape& shape);
Gradients backward_cpu(
    const at::Tensor& grad_output,
    const at::Tensor& input,
    const TapRule& rule,
    const at::Tensor& weight,
    const at::Tensor& active,
    const Shape& shape,
    GradientMask mask);

at::Tensor forward_cuda(
    const at::Tensor& input,
    const TapRule& rule,
    const at::Tensor& weight,
    const at::Tensor& bias,
    const at::Tensor& active,
    const Shape& shape);
Gradients backward_cuda(
    const at::Tensor& grad_output,
    const at::Tensor& input,
    const TapRule& rule,
    const at::Tensor& weight,
    const at::Tensor& active,
    const Shape& shape,
    GradientMask mask);

}  // namespace cascade_rpn_d2
