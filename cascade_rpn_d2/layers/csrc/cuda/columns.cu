#include "columns.h"

#include <ATen/Dispatch.h>
#include <ATen/OpMathType.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/sort.h>

#include "launch.cuh"

namespace cascade_rpn_d2 {
namespace {

using at::Tensor;

// A tap of a cell, for one group of offsets: what a warp works on.
struct Tap {
  int64_t image, cell, row;  // row: of the tile
  int64_t offset_group;
  int y, x;
  int64_t index;  // y * kernel_width + x
};

CRPN_HOST_DEVICE Tap tap_at(int64_t item, const Shape& shape, int64_t first_cell) {
  Tap tap;
  const int64_t taps = shape.taps();
  tap.index = item % taps;
  tap.y = static_cast<int>(tap.index / shape.kernel_width);
  tap.x = static_cast<int>(tap.index % shape.kernel_width);
  tap.offset_group = item / taps % shape.offset_groups;
  tap.row = item / taps / shape.offset_groups;
  tap.image = (first_cell + tap.row) / shape.cells();
  tap.cell = (first_cell + tap.row) % shape.cells();
  return tap;
}

template <typename Policy>
CRPN_HOST_DEVICE auto corners_of_tap(const Policy& policy, const Tap& tap, const Shape& shape) {
  return corners_of(
      policy(tap.image, tap.offset_group, tap.cell, tap.y, tap.x), shape.height, shape.width);
}

// Where in the columns a channel of the map lies for a tap; `rows` is how many the columns can hold.
CRPN_HOST_DEVICE int64_t column_index(
    const Shape& shape, int64_t rows, int64_t row, int64_t tap, int64_t channel) {
  const int64_t per_group = shape.channels / shape.groups;
  const int64_t group = channel / per_group;
  return ((group * rows + row) * shape.taps() + tap) * per_group + channel - group * per_group;
}

template <typename T, typename Scalar, typename Policy>
__global__ void gather_kernel(
    int64_t items, Policy policy, Shape shape, int64_t first_cell, int64_t rows,
    const Scalar* pixels, Scalar* columns) {
  const int64_t channels = shape.channels / shape.offset_groups;
  for (int64_t item = first_item(); item < items; item += item_step()) {
    const Tap tap = tap_at(item, shape, first_cell);
    const Corners<T> corners = corners_of_tap(policy, tap, shape);
    const Scalar* map = pixels + tap.image * shape.pixels() * shape.channels;
    const int64_t begin = tap.offset_group * channels;
    for (int64_t c = begin + lane(); c < begin + channels; c += kLanes) {
      T sample = 0;
      for (int corner = 0; corner < 4; ++corner) {
        if (corners.pixel[corner] >= 0) {
          sample += corners.share[corner] *
              static_cast<T>(map[corners.pixel[corner] * shape.channels + c]);
        }
      }
      columns[column_index(shape, rows, tap.row, tap.index, c)] = static_cast<Scalar>(sample);
    }
  }
}

template <typename T, typename Scalar, typename Policy>
__global__ void scatter_kernel(
    int64_t items, Policy policy, Shape shape, int64_t first_cell, int64_t rows,
    const Scalar* grad_columns, T* grad_pixels) {
  const int64_t channels = shape.channels / shape.offset_groups;
  for (int64_t item = first_item(); item < items; item += item_step()) {
    const Tap tap = tap_at(item, shape, first_cell);
    const Corners<T> corners = corners_of_tap(policy, tap, shape);
    T* map = grad_pixels + tap.image * shape.pixels() * shape.channels;
    const int64_t begin = tap.offset_group * channels;
    for (int64_t c = begin + lane(); c < begin + channels; c += kLanes) {
      const T grad = static_cast<T>(
          grad_columns[column_index(shape, rows, tap.row, tap.index, c)]);
      for (int corner = 0; corner < 4; ++corner) {
        if (corners.pixel[corner] >= 0) {
          atomicAdd(
              &map[corners.pixel[corner] * shape.channels + c], corners.share[corner] * grad);
        }
      }
    }
  }
}

// keys[item][corner] = the pixel of the batch that the corner falls on, or one past the last pixel.
template <typename Policy>
__global__ void keys_kernel(
    int64_t items, Policy policy, Shape shape, int64_t first_cell, int64_t* keys) {
  for (int64_t item = first_item(); item < items; item += item_step()) {
    const Tap tap = tap_at(item, shape, first_cell);
    const auto corners = corners_of_tap(policy, tap, shape);
    for (int corner = lane(); corner < 4; corner += kLanes) {
      const int64_t pixel = corners.pixel[corner];
      keys[item * 4 + corner] =
          pixel >= 0 ? tap.image * shape.pixels() + pixel : shape.images * shape.pixels();
    }
  }
}

// A warp owns a pixel of the batch and adds up what falls on it, in the order of the sorted keys.
template <typename T, typename Scalar, typename Policy>
__global__ void collect_kernel(
    int64_t pixels, Policy policy, Shape shape, int64_t first_cell, int64_t rows, int64_t key_count,
    const int64_t* keys, const int64_t* order, const Scalar* grad_columns, T* grad_pixels) {
  const int64_t channels = shape.channels / shape.offset_groups;
  for (int64_t pixel = first_item(); pixel < pixels; pixel += item_step()) {
    int64_t low = 0, high = key_count;  // the first key that is not below the pixel
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (keys[middle] < pixel) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    for (int64_t k = low; k < key_count && keys[k] == pixel; ++k) {
      const Tap tap = tap_at(order[k] / 4, shape, first_cell);
      const T share = corners_of_tap(policy, tap, shape).share[order[k] % 4];
      const int64_t begin = tap.offset_group * channels;
      for (int64_t c = begin + lane(); c < begin + channels; c += kLanes) {
        const int64_t index = column_index(shape, rows, tap.row, tap.index, c);
        grad_pixels[pixel * shape.channels + c] += share * static_cast<T>(grad_columns[index]);
      }
    }
  }
}

template <typename T, typename Scalar, typename Policy>
__global__ void offset_kernel(
    int64_t items, Policy policy, Shape shape, int64_t first_cell, int64_t rows,
    const Scalar* grad_columns, const Scalar* pixels, T* grad_offset) {
  const int64_t channels = shape.channels / shape.offset_groups;
  for (int64_t item = first_item(); item < items; item += item_step()) {
    const Tap tap = tap_at(item, shape, first_cell);
    const Corners<T> corners = corners_of_tap(policy, tap, shape);
    const Scalar* map = pixels + tap.image * shape.pixels() * shape.channels;
    const int64_t begin = tap.offset_group * channels;
    T values[4] = {0, 0, 0, 0};  // at each corner, the sum over channels of gradient * pixel
    for (int64_t c = begin + lane(); c < begin + channels; c += kLanes) {
      const T grad = static_cast<T>(
          grad_columns[column_index(shape, rows, tap.row, tap.index, c)]);
      for (int corner = 0; corner < 4; ++corner) {
        if (corners.pixel[corner] >= 0) {
          values[corner] +=
              grad * static_cast<T>(map[corners.pixel[corner] * shape.channels + c]);
        }
      }
    }
    for (int corner = 0; corner < 4; ++corner) {
      values[corner] = sum_over_lanes(values[corner]);
    }
    if (lane() == 0) {
      const Position<T> gradient = slope(corners, values);
      const int64_t group = tap.image * shape.offset_groups + tap.offset_group;
      T* out = grad_offset + (group * shape.taps() + tap.index) * 2 * shape.cells() + tap.cell;
      out[0] = gradient.y;
      out[shape.cells()] = gradient.x;
    }
  }
}

int64_t items_of(const Shape& shape, CellRange range) {
  return range.size * shape.offset_groups * shape.taps();
}

// Calls use(Scalar{}, T{}, policy) with the dtype of the map, its compute dtype and the policy.
template <typename Use>
void with_types(at::ScalarType dtype, const Placement& placement, Use&& use) {
  AT_DISPATCH_FLOATING_TYPES_AND2(
      at::ScalarType::Half, at::ScalarType::BFloat16, dtype, "sampled_conv2d_cuda", [&] {
        using T = at::opmath_type<scalar_t>;
        with_policy<T>(placement.rule, placement.values, placement.shape, [&](const auto& policy) {
          use(scalar_t{}, T{}, policy);
        });
      });
}

}  // namespace

void gather_columns(
    const Placement& placement, CellRange range, const Tensor& pixels, Tensor& columns) {
  with_types(pixels.scalar_type(), placement, [&](auto scalar, auto compute, const auto& policy) {
    using Scalar = decltype(scalar);
    using T = decltype(compute);
    using Policy = std::decay_t<decltype(policy)>;
    launch(
        gather_kernel<T, Scalar, Policy>, items_of(placement.shape, range), policy, placement.shape,
        range.first, columns.size(1), pixels.const_data_ptr<Scalar>(),
        columns.mutable_data_ptr<Scalar>());
  });
}

void scatter_columns(
    const Placement& placement, CellRange range, const Tensor& grad_columns, Tensor& grad_pixels) {
  const auto dtype = grad_columns.scalar_type();
  with_types(dtype, placement, [&](auto scalar, auto compute, const auto& policy) {
    using Scalar = decltype(scalar);
    using T = decltype(compute);
    using Policy = std::decay_t<decltype(policy)>;
    launch(
        scatter_kernel<T, Scalar, Policy>, items_of(placement.shape, range), policy,
        placement.shape, range.first, grad_columns.size(1), grad_columns.const_data_ptr<Scalar>(),
        grad_pixels.mutable_data_ptr<T>());
  });
}

void scatter_columns_in_order(
    const Placement& placement, CellRange range, const Tensor& grad_columns, Tensor& grad_pixels) {
  const Shape& shape = placement.shape;
  const int64_t items = items_of(shape, range);
  Tensor keys = at::empty({items * 4}, grad_pixels.options().dtype(at::kLong));
  const auto dtype = grad_columns.scalar_type();
  with_types(dtype, placement, [&](auto scalar, auto compute, const auto& policy) {
    using Scalar = decltype(scalar);
    using T = decltype(compute);
    using Policy = std::decay_t<decltype(policy)>;
    launch(
        keys_kernel<Policy>, items, policy, shape, range.first, keys.mutable_data_ptr<int64_t>());
    const auto [sorted, order] = at::sort(keys, /*stable=*/true, /*dim=*/0, /*descending=*/false);
    launch(
        collect_kernel<T, Scalar, Policy>, shape.images * shape.pixels(), policy, shape,
        range.first, grad_columns.size(1), keys.numel(), sorted.const_data_ptr<int64_t>(),
        order.const_data_ptr<int64_t>(), grad_columns.const_data_ptr<Scalar>(),
        grad_pixels.mutable_data_ptr<T>());
  });
}

void offset_gradients(
    const Placement& placement, CellRange range, const Tensor& grad_columns, const Tensor& pixels,
    Tensor& grad_offset) {
  with_types(pixels.scalar_type(), placement, [&](auto scalar, auto compute, const auto& policy) {
    using Scalar = decltype(scalar);
    using T = decltype(compute);
    using Policy = std::decay_t<decltype(policy)>;
    launch(
        offset_kernel<T, Scalar, Policy>, items_of(placement.shape, range), policy,
        placement.shape, range.first, grad_columns.size(1), grad_columns.const_data_ptr<Scalar>(),
        pixels.const_data_ptr<Scalar>(), grad_offset.mutable_data_ptr<T>());
  });
}

}  // namespace cascade_rpn_d2
