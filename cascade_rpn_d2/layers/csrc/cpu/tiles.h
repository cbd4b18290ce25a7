// How the CPU cuts a convolution: cells into tiles, channels into blocks. A block lies in one group of
// the weight and one group of offsets, so it is one GEMM with one set of positions; a tile's columns
// for one block (tile cells, taps, block channels) stay in the cache between their gather and the GEMM.
#pragma once

#include <ATen/Context.h>
#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "../problem.h"

namespace cascade_rpn_d2 {

// Tiles are multiplied as if they had a multiple of so many cells: a GEMM kernel is compiled for every
// number of rows, and masks would ask for all of them.
constexpr int64_t kRowStep = 8;

struct Block {
  int64_t begin, end;  // channels of the input
  int64_t group;       // of the weight
  int64_t offset_group;

  int64_t channels() const { return end - begin; }
};

// Channels [begin, end) as blocks of at most `limit`, in order and of even size.
inline std::vector<Block> blocks_of(
    const Shape& shape, int64_t begin, int64_t end, int64_t limit) {
  const int64_t per_group = shape.channels / shape.groups;
  const int64_t per_offset_group = shape.channels / shape.offset_groups;
  std::vector<Block> blocks;
  while (begin < end) {
    const int64_t group = begin / per_group, offset_group = begin / per_offset_group;
    const int64_t room =
        std::min({end, (group + 1) * per_group, (offset_group + 1) * per_offset_group}) - begin;
    const int64_t parts = (room + limit - 1) / limit;
    const int64_t size = std::min(room, ((room + parts - 1) / parts + 7) / 8 * 8);
    blocks.push_back({begin, begin + size, group, offset_group});
    begin += size;
  }
  return blocks;
}

// Cells of one image, in order.
struct Tile {
  int64_t image;
  int64_t row;           // of its first cell, among all the cells that are evaluated
  const int64_t* cells;  // numbers of the cells in the image's output map
  int64_t count;

  // The rows that matrices of this tile have.
  int64_t rows() const { return (count + kRowStep - 1) / kRowStep * kRowStep; }
};

// All cells of a batch, or the active ones (N, Ho, Wo), as tiles of at most `limit` cells that keep
// `threads` busy evenly. `order`: the cells of every image (N, Ho * Wo) in the order to visit them, or
// nothing for that of memory.
class Tiling {
 public:
  Tiling(
      const Shape& shape, const at::Tensor& active, int64_t limit, int64_t threads,
      const std::vector<int64_t>& order = {})
      : dense_(!active.defined() && order.empty()) {
    std::vector<int64_t> rows{0};  // before every image
    if (dense_) {
      cells_.resize(shape.cells());  // every image has the same
      std::iota(cells_.begin(), cells_.end(), 0);
    }
    const bool* is_active = active.defined() ? active.const_data_ptr<bool>() : nullptr;
    for (int64_t image = 0; image < shape.images; ++image) {
      const int64_t first = image * shape.cells();
      for (int64_t i = 0; !dense_ && i < shape.cells(); ++i) {
        const int64_t cell = order.empty() ? i : order[first + i];
        if (is_active == nullptr || is_active[first + cell]) {
          cells_.push_back(cell);
        }
      }
      rows.push_back(dense_ ? rows.back() + shape.cells() : static_cast<int64_t>(cells_.size()));
    }
    rows_ = rows.back();
    const int64_t tile_cells = even_tile(rows_, limit, threads);
    for (int64_t image = 0; image < shape.images; ++image) {
      first_tile_.push_back(size());
      for (int64_t row = rows[image]; row < rows[image + 1]; row += tile_cells) {
        const int64_t* cells = cells_.data() + row - (dense_ ? rows[image] : 0);
        tiles_.push_back({image, row, cells, std::min(tile_cells, rows[image + 1] - row)});
      }
    }
    first_tile_.push_back(size());
  }

  Tiling(const Tiling&) = delete;  // tiles point to the cells
  int64_t size() const { return static_cast<int64_t>(tiles_.size()); }
  int64_t rows() const { return rows_; }  // cells in all tiles
  // Tiles [begin, end) of the images [first, last).
  std::pair<int64_t, int64_t> of_images(int64_t first, int64_t last) const {
    return {first_tile_[first], first_tile_[last]};
  }
  const Tile& operator[](int64_t index) const { return tiles_[index]; }
  // Whether all cells are evaluated in the order of memory: those of a tile then follow each other.
  bool is_dense() const { return dense_; }

 private:
  static int64_t even_tile(int64_t cells, int64_t limit, int64_t threads) {
    const int64_t tiles = (cells + limit - 1) / limit;
    const int64_t even = std::max<int64_t>(1, (tiles + threads - 1) / threads * threads);
    const int64_t size = (cells + even - 1) / even;
    return std::clamp<int64_t>((size + kRowStep - 1) / kRowStep * kRowStep, kRowStep, limit);
  }

  bool dense_;
  int64_t rows_;
  std::vector<int64_t> cells_;
  std::vector<Tile> tiles_;
  std::vector<int64_t> first_tile_;  // of every image
};

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
  const int kernel_height = static_cast<int>(shape.kernel_height);
  const int kernel_width = static_cast<int>(shape.kernel_width);
  std::vector<Neighbours<T>> columns(kernel_width);
  for (int64_t i = 0; i < tile.count; ++i) {
    const int64_t cell = tile.cells[i];
    if constexpr (Policy::kIsGrid) {
      for (int tap_x = 0; tap_x < kernel_width; ++tap_x) {
        columns[tap_x] = neighbours_of(policy.x(tile.image, cell, tap_x), shape.width);
      }
    }
    for (int tap_y = 0; tap_y < kernel_height; ++tap_y) {
      if constexpr (Policy::kIsGrid) {
        const auto row = neighbours_of(policy.y(tile.image, cell, tap_y), shape.height);
        for (int tap_x = 0; tap_x < kernel_width; ++tap_x) {
          *corners++ = corners_of(row, columns[tap_x], shape.width);
        }
      } else {
        for (int tap_x = 0; tap_x < kernel_width; ++tap_x) {
          *corners++ = corners_of(
              policy(tile.image, offset_group, cell, tap_y, tap_x), shape.height, shape.width);
        }
      }
    }
  }
}

// Aligned working memory of one thread: uninitialised, or of NaN where torch fills its own so.
template <typename T>
class Scratch {
 public:
  explicit Scratch(int64_t size)
      : memory_(c10::GetCPUAllocator()->allocate(static_cast<size_t>(size) * sizeof(T))) {
    const auto& context = at::globalContext();
    if (size > 0 && context.deterministicAlgorithms() &&
        context.deterministicFillUninitializedMemory()) {
      std::memset(memory_.get(), 0xff, static_cast<size_t>(size) * sizeof(T));
    }
  }
  T* data() { return static_cast<T*>(memory_.get()); }

 private:
  c10::DataPtr memory_;
};

}  // namespace cascade_rpn_d2
