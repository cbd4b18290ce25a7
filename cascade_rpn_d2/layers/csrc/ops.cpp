// The operators as torch sees them: schemas, checks that keep the kernels in bounds, autocast, and the
// empty Python module that lets `import cascade_rpn_d2._C` load all this. Shapes for torch.compile and
// gradients are registered in Python, next to the functions that users call; those also give the
// friendlier error messages.
#include <ATen/autocast_mode.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/library.h>
#include <torch/version.h>

#include <optional>
#include <string>

#include "nms.h"
#include "problem.h"
#include "soft_nms.h"

namespace cascade_rpn_d2 {
namespace {

using at::Tensor;

void check_tensors(
    const Tensor& input, const Tensor& values, const Tensor& weight, const Tensor& bias) {
  TORCH_CHECK(
      input.dim() == 4 && weight.dim() == 4 && (!bias.defined() || bias.dim() == 1),
      "input and weight must have 4 dimensions and bias 1, got input ", input.sizes(), " and weight ",
      weight.sizes(), ".");
  for (const int64_t size : {input.size(1), input.size(2), input.size(3), weight.numel()}) {
    TORCH_CHECK(
        size > 0, "input and weight must not be empty, got input ", input.sizes(), " and weight ",
        weight.sizes(), ".");
  }
  TORCH_CHECK_TYPE(
      input.scalar_type() == weight.scalar_type() &&
          (!bias.defined() || input.scalar_type() == bias.scalar_type()),
      "input, weight and bias must have one dtype, got input ", input.scalar_type(), " and weight ",
      weight.scalar_type(), ".");
  TORCH_CHECK_TYPE(
      input.is_floating_point() && values.is_floating_point(),
      "input and the boxes or offsets must be floating point, got ", input.scalar_type(), " and ",
      values.scalar_type(), ".");
  TORCH_CHECK(
      input.device() == values.device() && input.device() == weight.device() &&
          (!bias.defined() || input.device() == bias.device()),
      "input, weight, bias and the boxes or offsets must be on one device.");
  TORCH_CHECK(
      !bias.defined() || bias.size(0) == weight.size(0), "bias must have ", weight.size(0),
      " values, got ", bias.sizes(), ".");
}

Shape adaptive_shape(const Tensor& input, const Tensor& boxes, const Tensor& weight, double stride) {
  const Shape shape{
      input.size(0),  input.size(1),  input.size(2),  input.size(3),  weight.size(0), input.size(2),
      input.size(3),  weight.size(2), weight.size(3), /*groups=*/1,   /*offset_groups=*/1};
  TORCH_CHECK(
      weight.size(1) == shape.channels && weight.size(2) == weight.size(3) && weight.size(2) % 2 == 1,
      "weight must be (O, C, K, K) with K odd and the channels of the input ", input.sizes(), ", got ",
      weight.sizes(), ".");
  TORCH_CHECK(
      boxes.dim() == 3 && boxes.size(0) == shape.images && boxes.size(1) == shape.pixels() &&
          boxes.size(2) == 4,
      "boxes must be (N, H*W, 4) for the input ", input.sizes(), ", got ", boxes.sizes(), ".");
  TORCH_CHECK(stride > 0, "stride must be positive, got ", stride, ".");
  return shape;
}

TapRule box_rule(const Tensor& boxes, double stride, double center_offset) {
  TapRule rule{TapRule::Kind::kBoxes, boxes};
  rule.box_stride = stride;
  rule.center_offset = center_offset;
  return rule;
}

Shape deform_shape(
    const Tensor& input, const Tensor& offset, const Tensor& weight, const TapRule& rule) {
  std::array<int64_t, 2> out_size{};
  for (const int axis : {0, 1}) {
    TORCH_CHECK(
        rule.stride[axis] > 0 && rule.padding[axis] >= 0 && rule.dilation[axis] > 0,
        "stride and dilation must be positive and padding not negative.");
    const int64_t room = input.size(2 + axis) + 2 * rule.padding[axis] -
        rule.dilation[axis] * (weight.size(2 + axis) - 1) - 1;
    TORCH_CHECK(
        room >= 0, "input ", input.sizes(), " is too small for the kernel ", weight.sizes(), ".");
    out_size[axis] = room / rule.stride[axis] + 1;
  }
  const int64_t taps = weight.size(2) * weight.size(3);
  const int64_t channels = input.size(1);
  const int64_t groups = channels / weight.size(1);
  TORCH_CHECK(
      groups > 0 && groups * weight.size(1) == channels && weight.size(0) % groups == 0,
      "weight must be (O, C / groups, Kh, Kw) for the input ", input.sizes(), ", got ", weight.sizes(),
      ".");
  TORCH_CHECK(
      offset.dim() == 4 && offset.size(0) == input.size(0) && offset.size(2) == out_size[0] &&
          offset.size(3) == out_size[1],
      "offset must be (N, 2*G*Kh*Kw, ", out_size[0], ", ", out_size[1], ") for the input ",
      input.sizes(), ", got ", offset.sizes(), ".");
  const int64_t offset_groups = offset.size(1) / (2 * taps);
  TORCH_CHECK(
      offset_groups > 0 && offset_groups * 2 * taps == offset.size(1) && channels % offset_groups == 0,
      "offset must have 2*Kh*Kw = ", 2 * taps, " channels for each group of channels, got ",
      offset.sizes(), ".");
  return {
      input.size(0), channels,       input.size(2),  input.size(3), weight.size(0), out_size[0],
      out_size[1],   weight.size(2), weight.size(3), groups,        offset_groups};
}

TapRule offset_rule(
    const Tensor& offset, at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation) {
  TORCH_CHECK(
      stride.size() == 2 && padding.size() == 2 && dilation.size() == 2,
      "stride, padding and dilation must each be two numbers.");
  TapRule rule{TapRule::Kind::kOffsets, offset};
  rule.stride = {stride[0], stride[1]};
  rule.padding = {padding[0], padding[1]};
  rule.dilation = {dilation[0], dilation[1]};
  return rule;
}

// The cells to evaluate as the kernels want them; undefined for all.
Tensor active_cells(const std::optional<Tensor>& mask, const Tensor& input, const Shape& shape) {
  if (!mask.has_value() || !mask->defined()) {
    return {};
  }
  TORCH_CHECK(
      mask->scalar_type() == at::kBool && mask->device() == input.device() &&
          mask->sizes() == at::IntArrayRef({shape.images, shape.out_height, shape.out_width}),
      "mask must be bool, on the device of the input and (", shape.images, ", ", shape.out_height,
      ", ", shape.out_width, "), got ", mask->scalar_type(), " ", mask->sizes(), ".");
  return mask->contiguous();
}

void check_grad_output(const Tensor& grad_output, const Shape& shape) {
  TORCH_CHECK(
      grad_output.sizes() ==
          at::IntArrayRef({shape.images, shape.out_channels, shape.out_height, shape.out_width}),
      "grad_output must have the shape of the output, got ", grad_output.sizes(), ".");
}

template <auto Forward>
Tensor adaptive_conv2d(
    const Tensor& input,
    const Tensor& boxes,
    const Tensor& weight,
    const std::optional<Tensor>& bias,
    const std::optional<Tensor>& mask,
    double stride,
    double center_offset) {
  check_tensors(input, boxes, weight, bias.value_or(Tensor()));
  const Shape shape = adaptive_shape(input, boxes, weight, stride);
  const TapRule rule = box_rule(boxes, stride, center_offset);
  return Forward(
      input, rule, weight, bias.value_or(Tensor()), active_cells(mask, input, shape), shape);
}

template <auto Backward>
std::tuple<Tensor, Tensor> adaptive_conv2d_backward(
    const Tensor& grad_output,
    const Tensor& input,
    const Tensor& boxes,
    const Tensor& weight,
    const std::optional<Tensor>& mask,
    double stride,
    double center_offset,
    std::array<bool, 2> output_mask) {
  check_tensors(input, boxes, weight, Tensor());
  const Shape shape = adaptive_shape(input, boxes, weight, stride);
  check_grad_output(grad_output, shape);
  const TapRule rule = box_rule(boxes, stride, center_offset);
  auto [grad_input, grad_boxes, grad_weight] = Backward(
      grad_output, input, rule, weight, active_cells(mask, input, shape), shape,
      GradientMask{output_mask[0], false, output_mask[1]});
  return {grad_input, grad_weight};
}

template <auto Forward>
Tensor deform_conv2d(
    const Tensor& input,
    const Tensor& offset,
    const Tensor& weight,
    const std::optional<Tensor>& bias,
    const std::optional<Tensor>& mask,
    at::IntArrayRef stride,
    at::IntArrayRef padding,
    at::IntArrayRef dilation) {
  check_tensors(input, offset, weight, bias.value_or(Tensor()));
  const TapRule rule = offset_rule(offset, stride, padding, dilation);
  const Shape shape = deform_shape(input, offset, weight, rule);
  return Forward(
      input, rule, weight, bias.value_or(Tensor()), active_cells(mask, input, shape), shape);
}

template <auto Backward>
Gradients deform_conv2d_backward(
    const Tensor& grad_output,
    const Tensor& input,
    const Tensor& offset,
    const Tensor& weight,
    const std::optional<Tensor>& mask,
    at::IntArrayRef stride,
    at::IntArrayRef padding,
    at::IntArrayRef dilation,
    std::array<bool, 3> output_mask) {
  check_tensors(input, offset, weight, Tensor());
  const TapRule rule = offset_rule(offset, stride, padding, dilation);
  const Shape shape = deform_shape(input, offset, weight, rule);
  check_grad_output(grad_output, shape);
  return Backward(
      grad_output, input, rule, weight, active_cells(mask, input, shape), shape, output_mask);
}

template <auto Nms>
Tensor sorted_nms(const Tensor& boxes, const Tensor& valid, double iou_threshold) {
  TORCH_CHECK(
      boxes.dim() == 3 && boxes.size(2) == 4 && valid.sizes() == boxes.sizes().slice(0, 2) &&
          valid.device() == boxes.device(),
      "boxes must be (G, R, 4) and valid (G, R) on one device, got ", boxes.sizes(), " and ",
      valid.sizes(), ".");
  TORCH_CHECK_TYPE(valid.scalar_type() == at::kBool, "valid must be bool, got ", valid.scalar_type());
  return Nms(boxes.contiguous(), valid.contiguous(), iou_threshold);
}

template <auto SoftNms>
Tensor soft_nms(
    const Tensor& boxes,
    const Tensor& scores,
    const Tensor& groups,
    bool gaussian,
    double iou_threshold,
    double sigma,
    double min_score) {
  TORCH_CHECK(
      boxes.dim() == 2 && boxes.size(1) == 4 && scores.sizes() == boxes.sizes().slice(0, 1) &&
          groups.sizes() == scores.sizes() && scores.device() == boxes.device() &&
          groups.device() == boxes.device(),
      "boxes must be (R, 4), scores (R,) and groups (R,) on one device, got ", boxes.sizes(), ", ",
      scores.sizes(), " and ", groups.sizes(), ".");
  TORCH_CHECK_TYPE(
      scores.scalar_type() == boxes.scalar_type() && groups.scalar_type() == at::kLong,
      "boxes and scores must have one dtype and groups int64, got ", boxes.scalar_type(), ", ",
      scores.scalar_type(), " and ", groups.scalar_type(), ".");
  TORCH_CHECK(
      sigma > 0 && min_score >= 0, "sigma must be positive and min_score not negative, got ", sigma,
      " and ", min_score, ".");
  const auto [sorted, order] = at::sort(groups, /*stable=*/true, /*dim=*/0, /*descending=*/false);
  Tensor decayed = at::zeros_like(scores, at::MemoryFormat::Contiguous);
  SoftNms(
      boxes.index_select(0, order), scores.index_select(0, order), sorted, order,
      DecayRule{gaussian, iou_threshold, sigma, min_score}, decayed);
  return decayed;
}

// Under autocast the map and the weights take its dtype, as for a convolution. Boxes and offsets keep
// theirs: float16 resolves a quarter of a cell beyond cell 256, and overflows on large boxes.
template <c10::DispatchKey Key, c10::DeviceType Device, typename... Placing>
Tensor autocast(
    const char* op,
    const Tensor& input,
    const Tensor& values,
    const Tensor& weight,
    const std::optional<Tensor>& bias,
    const std::optional<Tensor>& mask,
    Placing... placing) {
  c10::impl::ExcludeDispatchKeyGuard no_autocast(Key);
  const auto dtype = at::autocast::get_autocast_dtype(Device);
  return c10::Dispatcher::singleton()
      .findSchemaOrThrow(op, "")
      .typed<Tensor(
          const Tensor&, const Tensor&, const Tensor&, const std::optional<Tensor>&,
          const std::optional<Tensor>&, Placing...)>()
      .call(
          at::autocast::cached_cast(dtype, input, Device),
          values,
          at::autocast::cached_cast(dtype, weight, Device),
          at::autocast::cached_cast(dtype, bias, Device),
          mask,
          placing...);
}

template <c10::DispatchKey Key, c10::DeviceType Device>
Tensor adaptive_conv2d_autocast(
    const Tensor& input,
    const Tensor& boxes,
    const Tensor& weight,
    const std::optional<Tensor>& bias,
    const std::optional<Tensor>& mask,
    double stride,
    double center_offset) {
  return autocast<Key, Device>(
      "cascade_rpn_d2::adaptive_conv2d", input, boxes, weight, bias, mask, stride, center_offset);
}

template <c10::DispatchKey Key, c10::DeviceType Device>
Tensor deform_conv2d_autocast(
    const Tensor& input,
    const Tensor& offset,
    const Tensor& weight,
    const std::optional<Tensor>& bias,
    const std::optional<Tensor>& mask,
    at::IntArrayRef stride,
    at::IntArrayRef padding,
    at::IntArrayRef dilation) {
  return autocast<Key, Device>(
      "cascade_rpn_d2::deform_conv2d", input, offset, weight, bias, mask, stride, padding, dilation);
}

template <auto Forward, auto Backward>
void register_kernels(torch::Library& m) {
  m.impl("adaptive_conv2d", &adaptive_conv2d<Forward>);
  m.impl("adaptive_conv2d_backward", &adaptive_conv2d_backward<Backward>);
  m.impl("deform_conv2d", &deform_conv2d<Forward>);
  m.impl("deform_conv2d_backward", &deform_conv2d_backward<Backward>);
}

template <c10::DispatchKey Key, c10::DeviceType Device>
void register_autocast(torch::Library& m) {
  m.impl("adaptive_conv2d", &adaptive_conv2d_autocast<Key, Device>);
  m.impl("deform_conv2d", &deform_conv2d_autocast<Key, Device>);
}

std::string built_for_torch() {
  return TORCH_VERSION;
}

bool built_with_cuda() {
#ifdef WITH_CUDA
  return true;
#else
  return false;
#endif
}

}  // namespace

TORCH_LIBRARY(cascade_rpn_d2, m) {
  m.def(
      "adaptive_conv2d(Tensor input, Tensor boxes, Tensor weight, Tensor? bias, Tensor? mask, "
      "float stride, float center_offset) -> Tensor");
  m.def(
      "adaptive_conv2d_backward(Tensor grad_output, Tensor input, Tensor boxes, Tensor weight, "
      "Tensor? mask, float stride, float center_offset, bool[2] output_mask) -> (Tensor, Tensor)");
  m.def(
      "deform_conv2d(Tensor input, Tensor offset, Tensor weight, Tensor? bias, Tensor? mask, "
      "int[2] stride, int[2] padding, int[2] dilation) -> Tensor");
  m.def(
      "deform_conv2d_backward(Tensor grad_output, Tensor input, Tensor offset, Tensor weight, "
      "Tensor? mask, int[2] stride, int[2] padding, int[2] dilation, bool[3] output_mask) "
      "-> (Tensor, Tensor, Tensor)");
  m.def("sorted_nms(Tensor boxes, Tensor valid, float iou_threshold) -> Tensor");
  m.def(
      "soft_nms(Tensor boxes, Tensor scores, Tensor groups, bool gaussian, float iou_threshold, "
      "float sigma, float min_score) -> Tensor");
  m.def("built_for_torch() -> str", &built_for_torch);
  m.def("built_with_cuda() -> bool", &built_with_cuda);
}

TORCH_LIBRARY_IMPL(cascade_rpn_d2, CPU, m) {
  register_kernels<&forward_cpu, &backward_cpu>(m);
  m.impl("sorted_nms", &sorted_nms<&nms_cpu>);
  m.impl("soft_nms", &soft_nms<&soft_nms_cpu>);
}

TORCH_LIBRARY_IMPL(cascade_rpn_d2, AutocastCPU, m) {
  register_autocast<c10::DispatchKey::AutocastCPU, c10::DeviceType::CPU>(m);
}

#ifdef WITH_CUDA
TORCH_LIBRARY_IMPL(cascade_rpn_d2, CUDA, m) {
  register_kernels<&forward_cuda, &backward_cuda>(m);
  m.impl("sorted_nms", &sorted_nms<&nms_cuda>);
  m.impl("soft_nms", &soft_nms<&soft_nms_cuda>);
}

TORCH_LIBRARY_IMPL(cascade_rpn_d2, AutocastCUDA, m) {
  register_autocast<c10::DispatchKey::AutocastCUDA, c10::DeviceType::CUDA>(m);
}
#endif

}  // namespace cascade_rpn_d2
