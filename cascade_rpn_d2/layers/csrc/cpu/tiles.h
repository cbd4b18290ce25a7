// How the CPU cuts a convolution: cells into tiles, channels into blocks. A block lies in one group of
// the weight and one group of offsets, so it is one GEMM with one set of positions; a tile's columns
// for one block (tile cells, taps, block channels) stay in the cache between their gather and the GEMM.
#pragma once

#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <vector>

#include "../problem.h"
#include "corner_loops.h"
#include "matrix.h"

namespace cascade_rpn_d2 {

struct Block {
  int64_t begin, end;  // channels of the input
  int64_t group;       // of the weight
  int64_t offset_group;

  int64_t channels() const { return end - begin; }
};

// Blocks of at most `limit` channels that cover the input's channels in order.
inline std::vector<Block> blocks_of(const Shape& shape, int64_t limit) {
  const int64_t per_group = shape.channels / shape.groups;
  const int64_t per_offset_group = shape.channels / shape.offset_groups;
  std::vector<Block> blocks;
  for (int64_t begin = 0; begin < shape.channels;) {
    const int64_t group = begin / per_group, offset_group = begin / per_offset_group;
    const int64_t end = std::min(
        {begin + limit, (group + 1) * per_group, (offset_group + 1) * per_offset_group});
    blocks.push_back({begin, end, group, offset_group});
    begin = end;
  }
  return blocks;
}

struct Tile {
  int64_t image, begin, end;  // cells of the image's output map

  int64_t cells() const { return end - begin; }
};

inline int64_t tiles_per_image(const Shape& shape, int64_t tile_cells) {
  return (shape.cells() + tile_cells - 1) / tile_cells;
}

inline Tile tile_at(int64_t index, const Shape& shape, int64_t tile_cells) {
  const int64_t per_image = tiles_per_image(shape, tile_cells);
  const int64_t begin = (index % per_image) * tile_cells;
  return {index / per_image, begin, std::min(begin + tile_cells, shape.cells())};
}

// How many items of that many multiply-adds are worth a thread of their own.
inline int64_t grain_of(int64_t multiply_adds) {
  constexpr int64_t kWorthAThread = int64_t{1} << 20;
  return std::max<int64_t>(1, kWorthAThread / std::max<int64_t>(1, multiply_adds));
}

// Corners of every tap of a tile's cells, cell-major: (tile cells, taps).
template <typename T, typename Policy>
void place_taps(
    const Policy& policy, const Tile& tile, int64_t offset_group, const Shape& shape,
    Corners<T>* corners) {
  for (int64_t cell = tile.begin; cell < tile.end; ++cell) {
    for (int tap_y = 0; tap_y < shape.kernel_height; ++tap_y) {
      for (int tap_x = 0; tap_x < shape.kernel_width; ++tap_x) {
        *corners++ = corners_of(
            policy(tile.image, offset_group, cell, tap_y, tap_x), shape.height, shape.width);
      }
    }
  }
}

// Uninitialised, aligned working memory of one thread.
template <typename T>
class Scratch {
 public:
  explicit Scratch(int64_t size)
      : memory_(c10::GetCPUAllocator()->allocate(static_cast<size_t>(size) * sizeof(T))) {}
  T* data() { return static_cast<T*>(memory_.get()); }

 private:
  c10::DataPtr memory_;
};

// One image's outputs for the cells of a tile, as a matrix (cells x outputs) in either memory format.
struct OutputLayout {
  bool channels_last;
  int64_t cells, channels;

  template <typename T>
  Matrix<T> at(T* data, const Tile& tile, int64_t first_channel, int64_t count) const {
    T* image = data + tile.image * cells * channels;
    return channels_last
        ? Matrix<T>{image + tile.begin * channels + first_channel, tile.cells(), count, channels, 1}
        : Matrix<T>{image + first_channel * cells + tile.begin, tile.cells(), count, 1, cells};
  }
};

}  // namespace cascade_rpn_d2
