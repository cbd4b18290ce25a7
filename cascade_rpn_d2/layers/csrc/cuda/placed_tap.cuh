// How the kernels between map and columns share the work: a block places a handful of taps, one
// thread a tap, into shared memory; then its warps take them one by one, the lanes sharing a tap's
// channels, which lie next to each other in memory. All 64-bit divisions, and the choice of the
// policy, fall to the placing, once per tap; so there is no need for a second set of kernels with
// 32-bit indices.
#pragma once

#include "columns.h"
#include "launch.cuh"
#include "placement.cuh"

namespace cascade_rpn_d2 {

constexpr int kWarpsPerBlock = 8;
constexpr int kTapThreads = kWarpsPerBlock * kLanes;
constexpr int kTapsPerBlock = 64;

// The taps of a tile of cells and where their columns lie.
template <typename T>
struct TapGrid {
  AnyTaps<T> taps;
  Shape shape;
  int64_t first_cell;  // of the batch
  int64_t items;       // cells of the tile * groups of offsets * taps
  const bool* active;  // of the cells of the batch; null for all
};

// A tap of a cell for one group of offsets. `pixel` counts the pixels of the batch, -1 for none.
template <typename T>
struct PlacedTap {
  Corners<T> corners;
  int64_t image, cell, tap;
  int64_t column;  // where the tap's column lies for the first group of the weight
  int offset_group;
  bool active;
};

template <typename T>
struct PlacedTaps {
  PlacedTap<T> taps[kTapsPerBlock];
};

template <typename T>
__device__ PlacedTap<T> place_tap(const TapGrid<T>& grid, int64_t item) {
  const Shape& shape = grid.shape;
  PlacedTap<T> placed;
  const int64_t tap = item % shape.taps();
  const int64_t pair = item / shape.taps();
  const int64_t row = pair / shape.offset_groups;
  const int64_t cell = grid.first_cell + row;
  placed.tap = tap;
  placed.offset_group = static_cast<int>(pair % shape.offset_groups);
  placed.image = cell / shape.cells();
  placed.cell = cell - placed.image * shape.cells();
  placed.active = grid.active == nullptr || grid.active[cell];
  // The columns are (cells of the tile, groups, taps, C / groups).
  placed.column = row * shape.taps() * shape.channels + tap * (shape.channels / shape.groups);
  Position<T> position{T(-1), T(-1)};  // outside
  if (placed.active) {
    position = grid.taps(
        placed.image, placed.offset_group, placed.cell, static_cast<int>(tap / shape.kernel_width),
        static_cast<int>(tap % shape.kernel_width));
  }
  placed.corners = corners_of(position, shape.height, shape.width);
  for (int corner = 0; corner < 4; ++corner) {
    if (placed.corners.pixel[corner] >= 0) {
      placed.corners.pixel[corner] += placed.image * shape.pixels();
    }
  }
  return placed;
}

// Calls use(placed, item) in every lane of one warp, for every tap of the grid.
template <typename T, typename Use>
__device__ void for_each_tap(const TapGrid<T>& grid, Use&& use) {
  PlacedTap<T>* placed = shared_as<PlacedTaps<T>>().taps;
  const int64_t step = int64_t{gridDim.x} * kTapsPerBlock;
  for (int64_t first = int64_t{blockIdx.x} * kTapsPerBlock; first < grid.items; first += step) {
    const int count = static_cast<int>(
        grid.items - first < kTapsPerBlock ? grid.items - first : kTapsPerBlock);
    if (threadIdx.x < count) {
      placed[threadIdx.x] = place_tap(grid, first + threadIdx.x);
    }
    __syncthreads();
    for (int i = threadIdx.x / kLanes; i < count; i += kWarpsPerBlock) {
      use(placed[i], first + i);
    }
    __syncthreads();
  }
}

__device__ inline int lane() {
  return threadIdx.x % kLanes;
}

// Where the columns of a tap hold a channel of the map.
template <typename T>
__device__ int64_t column_of(const Shape& shape, const PlacedTap<T>& placed, int channel) {
  if (shape.groups == 1) {
    return placed.column + channel;
  }
  const int per_group = static_cast<int>(shape.channels / shape.groups);
  const int group = channel / per_group;
  return placed.column + group * (shape.taps() - 1) * per_group + channel;
}

// Calls use(channel of the map) for this lane's share of a tap's channels, Count at a time.
template <int Count, typename T, typename Use>
__device__ void for_each_channel(const Shape& shape, const PlacedTap<T>& placed, Use&& use) {
  const int channels = static_cast<int>(shape.channels / shape.offset_groups);
  const int begin = placed.offset_group * channels;
  for (int c = begin + lane() * Count; c < begin + channels; c += kLanes * Count) {
    use(c);
  }
}

// Runs kernel(grid, arguments...) over the taps of a tile.
template <typename T, typename... Parameters, typename... Arguments>
void launch_over_taps(
    void (*kernel)(TapGrid<T>, Parameters...), const TapGrid<T>& grid, Arguments... arguments) {
  if (grid.items > 0) {
    launch(
        kernel, blocks_for(grid.items, kTapsPerBlock), kTapThreads, sizeof(PlacedTaps<T>), grid,
        arguments...);
  }
}

template <typename T>
TapGrid<T> tap_grid(const CellRange& tile) {
  const Shape& shape = tile.placement.shape;
  return {
      AnyTaps<T>(tile.placement), shape, tile.first,
      tile.size * shape.offset_groups * shape.taps(),
      tile.active.defined() ? tile.active.const_data_ptr<bool>() : nullptr};
}

// Whether runs of channels within one group of the weight and of the offsets are whole vectors, so
// that columns and map can be accessed by them.
inline bool columns_in_vectors(
    const Shape& shape, const void* pixels, const void* columns, int vector_channels) {
  return in_vectors(pixels, shape.channels / shape.offset_groups, vector_channels) &&
      in_vectors(columns, shape.channels / shape.groups, vector_channels);
}

}  // namespace cascade_rpn_d2
