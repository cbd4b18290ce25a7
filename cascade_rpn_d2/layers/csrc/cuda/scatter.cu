// What writes the gradient of the map: as the taps come, or in a fixed order.
#include <ATen/Dispatch.h>
#include <ATen/OpMathType.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/sort.h>

#include <type_traits>

#include "channels.cuh"
#include "columns.h"
#include "placed_tap.cuh"

namespace cascade_rpn_d2 {
namespace {

using at::Tensor;

constexpr int kAtomicChannels = 4;   // the most that one atomic addition takes: a float4
constexpr int kAtomicVectors = 900;  // the first architecture that has it

// Adds share * grads to the sums of neighbouring channels.
template <typename T, typename Scalar>
__device__ void add_atomically(T* sums, T share, const Channels<Scalar, 1>& grads) {
  atomicAdd(sums, share * static_cast<T>(grads.values[0]));
}

template <typename Scalar>
__device__ void add_atomically(
    float* sums, float share, const Channels<Scalar, kAtomicChannels>& grads) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
  atomicAdd(
      reinterpret_cast<float4*>(sums),
      make_float4(
          share * static_cast<float>(grads.values[0]), share * static_cast<float>(grads.values[1]),
          share * static_cast<float>(grads.values[2]),
          share * static_cast<float>(grads.values[3])));
#endif
}

template <int Count, typename T, typename Scalar>
__global__ void scatter_kernel(TapGrid<T> grid, const Scalar* grad_columns, T* grad_pixels) {
  const Shape& shape = grid.shape;
  for_each_tap(grid, [&](const PlacedTap<T>& placed, int64_t) {
    if (!placed.active) {
      return;
    }
    for_each_channel<Count>(shape, placed, [&](int channel) {
      const auto grads = load_channels<Count>(grad_columns + column_of(shape, placed, channel));
#pragma unroll
      for (int corner = 0; corner < 4; ++corner) {
        const int64_t pixel = placed.corners.pixel[corner];
        if (pixel >= 0) {
          add_atomically(
              grad_pixels + pixel * shape.channels + channel, placed.corners.share[corner], grads);
        }
      }
    });
  });
}

// keys[item][corner] = the pixel of the batch that the corner falls on, or one past the last pixel.
template <typename T>
__global__ void keys_kernel(TapGrid<T> grid, int64_t* keys) {
  const int64_t none = grid.shape.images * grid.shape.pixels();
  const int64_t step = int64_t{gridDim.x} * kTapThreads;
  for (int64_t item = int64_t{blockIdx.x} * kTapThreads + threadIdx.x; item < grid.items;
       item += step) {
    const PlacedTap<T> placed = place_tap(grid, item);
    for (int corner = 0; corner < 4; ++corner) {
      const int64_t pixel = placed.corners.pixel[corner];
      keys[item * 4 + corner] = pixel >= 0 ? pixel : none;
    }
  }
}

// A warp owns a pixel of the batch and adds up what falls on it, in the order of the sorted keys.
template <typename T, typename Scalar>
__global__ void collect_kernel(
    TapGrid<T> grid, const int64_t* keys, const int64_t* order, const Scalar* grad_columns,
    T* grad_pixels) {
  const Shape& shape = grid.shape;
  const int64_t pixels = shape.images * shape.pixels();
  const int64_t key_count = grid.items * 4;
  const int64_t step = int64_t{gridDim.x} * kWarpsPerBlock;
  for (int64_t pixel = int64_t{blockIdx.x} * kWarpsPerBlock + threadIdx.x / kLanes; pixel < pixels;
       pixel += step) {
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
      const PlacedTap<T> placed = place_tap(grid, order[k] / 4);
      const T share = placed.corners.share[order[k] % 4];
      for_each_channel<1>(shape, placed, [&](int channel) {
        const Scalar grad = grad_columns[column_of(shape, placed, channel)];
        grad_pixels[pixel * shape.channels + channel] += share * static_cast<T>(grad);
      });
    }
  }
}

// Hopper adds a float4 at once. Before it, lanes that add to neighbouring floats fill the L2's
// sectors.
template <typename Scalar>
bool adds_vectors(const Shape& shape, const float* grad_pixels, const Scalar* grad_columns) {
  return columns_in_vectors(shape, grad_pixels, grad_columns, kAtomicChannels) &&
      compiled_for(scatter_kernel<kAtomicChannels, float, Scalar>) >= kAtomicVectors;
}

template <typename T, typename Scalar>
void scatter(const TapGrid<T>& grid, const Scalar* grad_columns, T* grad_pixels) {
  if constexpr (std::is_same_v<T, float>) {
    if (adds_vectors(grid.shape, grad_pixels, grad_columns)) {
      return launch_over_taps(
          scatter_kernel<kAtomicChannels, T, Scalar>, grid, grad_columns, grad_pixels);
    }
  }
  launch_over_taps(scatter_kernel<1, T, Scalar>, grid, grad_columns, grad_pixels);
}

}  // namespace

void scatter_columns(const CellRange& tile, const Tensor& grad_columns, Tensor& grad_pixels) {
  AT_DISPATCH_FLOATING_TYPES_AND2(
      at::kHalf, at::kBFloat16, grad_columns.scalar_type(), "scatter_columns", [&] {
        using T = at::opmath_type<scalar_t>;
        const TapGrid<T> grid = tap_grid<T>(tile);
        scatter(
            grid, grad_columns.const_data_ptr<scalar_t>(), grad_pixels.mutable_data_ptr<T>());
      });
}

void scatter_columns_in_order(const CellRange& tile, const Tensor& grad_columns, Tensor& grad_pixels) {
  AT_DISPATCH_FLOATING_TYPES_AND2(
      at::kHalf, at::kBFloat16, grad_columns.scalar_type(), "scatter_columns_in_order", [&] {
        using T = at::opmath_type<scalar_t>;
        const TapGrid<T> grid = tap_grid<T>(tile);
        Tensor keys = at::empty({grid.items * 4}, grad_pixels.options().dtype(at::kLong));
        launch(
            keys_kernel<T>, blocks_for(grid.items, kTapThreads), kTapThreads, 0, grid,
            keys.mutable_data_ptr<int64_t>());
        const auto [sorted, order] =
            at::sort(keys, /*stable=*/true, /*dim=*/0, /*descending=*/false);
        const int64_t pixels = grid.shape.images * grid.shape.pixels();
        launch(
            collect_kernel<T, scalar_t>, blocks_for(pixels, kWarpsPerBlock), kTapThreads, 0, grid,
            sorted.const_data_ptr<int64_t>(), order.const_data_ptr<int64_t>(),
            grad_columns.const_data_ptr<scalar_t>(), grad_pixels.mutable_data_ptr<T>());
      });
}

}  // namespace cascade_rpn_d2
