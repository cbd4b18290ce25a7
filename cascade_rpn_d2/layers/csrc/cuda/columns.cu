// What reads the map: columns, and the gradient of the offsets.
#include "columns.h"

#include <ATen/Dispatch.h>
#include <ATen/OpMathType.h>

#include <type_traits>

#include "channels.cuh"
#include "placed_tap.cuh"

namespace cascade_rpn_d2 {
namespace {

using at::Tensor;

// A whole vector of channels, or a single one.
template <int Count, typename Scalar>
using Loaded = std::conditional_t<
    Count == kVectorChannels<Scalar>, PackedChannels<Scalar>, Channels<Scalar, Count>>;

template <int Count, typename Scalar>
__device__ Loaded<Count, Scalar> load(const Scalar* from) {
  if constexpr (Count == kVectorChannels<Scalar>) {
    return PackedChannels<Scalar>(from);
  } else {
    return load_channels<Count>(from);
  }
}

// The four corners' channels; zeros where there is no pixel.
template <int Count, typename T, typename Scalar>
__device__ void load_corners(
    const Corners<T>& corners, const Scalar* pixels, const Shape& shape, int channel,
    Loaded<Count, Scalar> values[4]) {
#pragma unroll
  for (int corner = 0; corner < 4; ++corner) {
    const int64_t pixel = corners.pixel[corner];
    const Scalar* from = pixels + pixel * shape.channels + channel;
    values[corner] = pixel >= 0 ? load<Count>(from) : Loaded<Count, Scalar>{};
  }
}

template <int Count, typename T, typename Scalar>
__global__ void gather_kernel(TapGrid<T> grid, const Scalar* pixels, Scalar* columns) {
  for_each_tap(grid, [&](const PlacedTap<T>& placed, int64_t) {
    for_each_channel<Count>(grid.shape, placed, [&](int channel) {
      Loaded<Count, Scalar> values[4];
      Channels<Scalar, Count> samples;
      load_corners<Count>(placed.corners, pixels, grid.shape, channel, values);
#pragma unroll
      for (int i = 0; i < Count; ++i) {
        T sample = 0;
        for (int corner = 0; corner < 4; ++corner) {
          sample += placed.corners.share[corner] * static_cast<T>(values[corner][i]);
        }
        samples.values[i] = static_cast<Scalar>(sample);
      }
      store_channels(columns + column_of(grid.shape, placed, channel), samples);
    });
  });
}

template <int Count, typename T, typename Scalar>
__global__ void offset_kernel(
    TapGrid<T> grid, const Scalar* grad_columns, const Scalar* pixels, T* grad_offset) {
  const Shape& shape = grid.shape;
  for_each_tap(grid, [&](const PlacedTap<T>& placed, int64_t) {
    if (!placed.active) {
      return;
    }
    T sums[4] = {0, 0, 0, 0};  // at each corner, the sum over channels of gradient * pixel
    for_each_channel<Count>(shape, placed, [&](int channel) {
      Loaded<Count, Scalar> values[4];
      load_corners<Count>(placed.corners, pixels, shape, channel, values);
      const auto grads = load<Count>(grad_columns + column_of(shape, placed, channel));
#pragma unroll
      for (int i = 0; i < Count; ++i) {
        for (int corner = 0; corner < 4; ++corner) {
          sums[corner] +=
              static_cast<T>(grads[i]) * static_cast<T>(values[corner][i]);
        }
      }
    });
    for (int corner = 0; corner < 4; ++corner) {
      // Where there is no pixel there is no value either, not even that of a gradient of infinity.
      const T sum = sum_over_lanes(sums[corner]);
      sums[corner] = placed.corners.pixel[corner] >= 0 ? sum : T(0);
    }
    if (lane() == 0) {
      const Position<T> gradient = slope(placed.corners, sums);
      const int64_t group = placed.image * shape.offset_groups + placed.offset_group;
      T* out = grad_offset + (group * shape.taps() + placed.tap) * 2 * shape.cells() + placed.cell;
      out[0] = gradient.y;
      out[shape.cells()] = gradient.x;
    }
  });
}

}  // namespace

void gather_columns(const CellRange& tile, const Tensor& pixels, Tensor& columns) {
  AT_DISPATCH_FLOATING_TYPES_AND2(
      at::kHalf, at::kBFloat16, pixels.scalar_type(), "gather_columns", [&] {
        using T = at::opmath_type<scalar_t>;
        constexpr int kVector = kVectorChannels<scalar_t>;
        const TapGrid<T> grid = tap_grid<T>(tile);
        const scalar_t* from = pixels.const_data_ptr<scalar_t>();
        scalar_t* to = columns.mutable_data_ptr<scalar_t>();
        if (columns_in_vectors(grid.shape, from, to, kVector)) {
          launch_over_taps(gather_kernel<kVector, T, scalar_t>, grid, from, to);
        } else {
          launch_over_taps(gather_kernel<1, T, scalar_t>, grid, from, to);
        }
      });
}

void offset_gradients(
    const CellRange& tile, const Tensor& grad_columns, const Tensor& pixels, Tensor& grad_offset) {
  AT_DISPATCH_FLOATING_TYPES_AND2(
      at::kHalf, at::kBFloat16, pixels.scalar_type(), "offset_gradients", [&] {
        using T = at::opmath_type<scalar_t>;
        constexpr int kVector = kVectorChannels<scalar_t>;
        const TapGrid<T> grid = tap_grid<T>(tile);
        const scalar_t* grads = grad_columns.const_data_ptr<scalar_t>();
        const scalar_t* from = pixels.const_data_ptr<scalar_t>();
        T* to = grad_offset.mutable_data_ptr<T>();
        if (columns_in_vectors(grid.shape, from, grads, kVector)) {
          launch_over_taps(offset_kernel<kVector, T, scalar_t>, grid, grads, from, to);
        } else {
          launch_over_taps(offset_kernel<1, T, scalar_t>, grid, grads, from, to);
        }
      });
}

}  // namespace cascade_rpn_d2
