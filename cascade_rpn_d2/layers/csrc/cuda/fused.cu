// Chooses the tile of the fused kernel and launches it.
#include "fused.h"

#include <ATen/Context.h>
#include <ATen/Dispatch.h>
#include <ATen/ops/constant_pad_nd.h>

#include <algorithm>
#include <limits>
#include <type_traits>

#include "fused_kernel.cuh"
#include "scalar_math.cuh"
#include "tensor_math.cuh"

namespace cascade_rpn_d2 {
namespace {

using at::Tensor;

// 128 cells x 256 outputs: the fewest reads of pixels and weights per product, for maps with a tile
// for every multiprocessor. The smaller ones spread a small map over more of the GPU.
template <typename Scalar>
using WideMath = TensorMath<Scalar, 2, 4, 4, 4, 64>;
template <typename Scalar>
using MiddleMath = TensorMath<Scalar, 2, 4, 2, 2, 128>;  // 64 x 128
template <typename Scalar>
using NarrowMath = TensorMath<Scalar, 2, 2, 1, 2, 128>;  // 32 x 64

// Below so many channels or outputs in a run, most of a fragment would be padding.
constexpr int64_t kFewestChannels = 8;

int64_t blocks_along(int64_t size, int64_t tile) {
  return (size + tile - 1) / tile;
}

// What torch.backends.cuda.matmul.fp32_precision says. torch 2.9 names backends and precisions by
// strings, later releases by enumerators; so their types are taken from the function that is asked.
template <typename Precision, typename Backend, typename Op>
bool is_tf32(Precision (at::Context::*precision_of)(Backend, Op) const) {
  const at::Context& context = at::globalContext();
  if constexpr (std::is_enum_v<Backend>) {
    return (context.*precision_of)(Backend::CUDA, Op::MATMUL) == Precision::TF32;
  } else {
    return (context.*precision_of)("cuda", "matmul") == "tf32";
  }
}

bool tf32_allowed() {
  return is_tf32(&at::Context::float32Precision);
}

template <typename Scalar>
bool tensor_cores_take() {
  using Math = NarrowMath<Scalar>;
  return compiled_for(fused_kernel<Math>) >= Math::kArchitecture;
}

bool tensor_cores_take(at::ScalarType dtype) {
  switch (dtype) {
    case at::kHalf:
      return tensor_cores_take<c10::Half>();
    case at::kBFloat16:
      return tensor_cores_take<c10::BFloat16>();
    case at::kFloat:
      return tf32_allowed() && tensor_cores_take<float>();
    default:
      return false;
  }
}

bool wide_enough(const Shape& shape) {
  const int64_t run = shape.channels / std::max(shape.groups, shape.offset_groups);
  return run >= kFewestChannels && shape.out_channels / shape.groups >= kFewestChannels;
}

template <typename Math>
dim3 tiles_of(const Shape& shape) {
  return dim3(
      static_cast<unsigned>(blocks_along(shape.images * shape.cells(), Math::kCells)),
      static_cast<unsigned>(blocks_along(shape.out_channels / shape.groups, Math::kOutputs)),
      static_cast<unsigned>(shape.groups));
}

// What a mask is taken to leave of the cells, for the choice of a tile: the device alone knows.
constexpr int64_t kActivePart = 4;

// Whether the tile leaves few multiprocessors idle, and its shared memory is to be had.
template <typename Math>
bool fills_the_gpu(const Shape& shape, bool masked) {
  const int64_t multiprocessors = device_attribute(cudaDevAttrMultiProcessorCount);
  const size_t shared_bytes = device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin);
  const dim3 grid = tiles_of<Math>(shape);
  const int64_t tiles = int64_t{grid.x} * grid.y * grid.z / (masked ? kActivePart : 1);
  const bool half_empty = shape.out_channels / shape.groups * 2 <= Math::kOutputs;
  return !half_empty && sizeof(FusedMemory<Math>) <= shared_bytes &&
      tiles * 4 >= multiprocessors * 3;
}

template <typename Math>
void run(const FusedProblem<typename Math::Scalar, typename Math::Compute>& problem) {
  launch(
      fused_kernel<Math>, tiles_of<Math>(problem.shape), Math::kThreads, sizeof(FusedMemory<Math>),
      problem);
}

// The tiles of the last resort have to fit the shared memory of every GPU; Turing has the least.
template <typename Math>
constexpr bool kFitsEverywhere = sizeof(FusedMemory<Math>) <= size_t{64} << 10;

template <typename Scalar, typename Compute>
void run_best(const FusedProblem<Scalar, Compute>& problem, bool tensor_cores) {
  const Shape& shape = problem.shape;
  const bool masked = problem.cells.count != nullptr;
  if constexpr (!std::is_same_v<Scalar, double>) {
    if (tensor_cores && fills_the_gpu<WideMath<Scalar>>(shape, masked)) {
      return run<WideMath<Scalar>>(problem);
    }
    if (tensor_cores && fills_the_gpu<MiddleMath<Scalar>>(shape, masked)) {
      return run<MiddleMath<Scalar>>(problem);
    }
    static_assert(kFitsEverywhere<NarrowMath<Scalar>>);
    if (tensor_cores) {
      return run<NarrowMath<Scalar>>(problem);
    }
  }
  static_assert(kFitsEverywhere<ScalarMath<Scalar>>);
  run<ScalarMath<Scalar>>(problem);
}

// (O, C / groups, Kh, Kw) -> (groups, taps, C / groups, O / groups rounded up to whole vectors)
Tensor packed(const Tensor& weight, const Shape& shape, int vector_channels) {
  const int64_t outputs = shape.out_channels / shape.groups;
  const int64_t padding = blocks_along(outputs, vector_channels) * vector_channels - outputs;
  const Tensor turned =
      weight.reshape({shape.groups, outputs, weight.size(1), shape.taps()}).permute({0, 3, 2, 1});
  return (padding ? at::constant_pad_nd(turned, {0, padding}) : turned).contiguous();
}

}  // namespace

bool fused_is_fastest(at::ScalarType dtype, const Shape& shape) {
  return fused_is_possible(shape) && tensor_cores_take(dtype) && wide_enough(shape);
}

bool fused_is_possible(const Shape& shape) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  constexpr int64_t kMostGroups = 65535;  // and tiles of outputs: what the y and z of a grid hold
  return shape.images * shape.pixels() <= kMost && shape.images * shape.cells() <= kMost &&
      shape.groups <= kMostGroups && shape.out_channels <= kMostGroups;
}

void fused_forward(
    const Placement& placement, const CellList& cells, const Tensor& pixels, const Tensor& weight,
    const Tensor& bias, Tensor& output) {
  const Shape& shape = placement.shape;
  const auto dtype = pixels.scalar_type();
  const bool tensor_cores = tensor_cores_take(dtype) && wide_enough(shape);
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, dtype, "fused_forward", [&] {
    using Compute = at::opmath_type<scalar_t>;
    constexpr int kVector = kVectorChannels<scalar_t>;
    const Tensor weights = packed(weight, shape, kVector);
    const Tensor added = bias.defined() ? bias.contiguous() : Tensor();
    const scalar_t* map = pixels.const_data_ptr<scalar_t>();
    run_best<scalar_t, Compute>(
        {AnyTaps<Compute>(placement),
         shape,
         cells,
         map,
         weights.const_data_ptr<scalar_t>(),
         added.defined() ? added.const_data_ptr<scalar_t>() : nullptr,
         output.mutable_data_ptr<scalar_t>(),
         weights.size(3),
         memory_format_of(output) == at::MemoryFormat::ChannelsLast,
         in_vectors(map, shape.channels / shape.offset_groups, kVector) &&
             in_vectors(map, shape.channels / shape.groups, kVector)},
        tensor_cores);
  });
}

}  // namespace cascade_rpn_d2
