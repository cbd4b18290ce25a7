// Maps, weights and results between the layouts that callers use and those that the loops work on:
// a map with its channels next to each other, (pixels, channels); the weight of a block as a matrix with
// its outputs next to each other, (taps, channels, outputs); a tile's results row by row,
// (cells, outputs).
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include "matrix.h"
#include "tiles.h"

namespace cascade_rpn_d2 {

// out[column][row] = matrix[row][column]. Strips of 16 rows: what is read are few streams, and what is
// written are whole cache lines.
template <typename T>
void turn(Matrix<const T> matrix, int64_t rows, int64_t columns, Matrix<T> out) {
  constexpr int64_t kStrip = 16;
  for (int64_t first = 0; first < rows; first += kStrip) {
    const int64_t size = std::min(kStrip, rows - first);
    const T* __restrict from = matrix.data + first * matrix.stride;
    for (int64_t column = 0; column < columns; ++column) {
      T* __restrict to = out.data + column * out.stride + first;
      if (size == kStrip) {  // a fixed size, which compilers unroll
        for (int64_t i = 0; i < kStrip; ++i) {
          to[i] = from[i * matrix.stride + column];
        }
      } else {
        for (int64_t i = 0; i < size; ++i) {
          to[i] = from[i * matrix.stride + column];
        }
      }
    }
  }
}

// Whether a map (N, C, H, W) lies in memory as (N, pixels, C), in T.
template <typename T>
bool lies_by_pixel(const at::Tensor& map) {
  return map.scalar_type() == c10::CppTypeToScalarType<T>::value &&
      memory_format_of(map) == at::MemoryFormat::ChannelsLast;
}

// A map (N, C, H, W), or a part of its images and channels, as (N, pixels, C) in `out`.
template <typename T>
void copy_by_pixel(const at::Tensor& map, T* out) {
  const int64_t images = map.size(0), channels = map.size(1), pixels = map.size(2) * map.size(3);
  const auto dtype = c10::CppTypeToScalarType<T>::value;
  const bool planes = map.stride(3) == 1 && map.stride(2) == map.size(3) && map.stride(1) == pixels;
  if (map.scalar_type() != dtype || !planes) {
    at::from_blob(out, {images, map.size(2), map.size(3), channels}, at::TensorOptions(dtype))
        .copy_(map.permute({0, 2, 3, 1}));
    return;
  }
  const T* from = map.const_data_ptr<T>();
  const int64_t stretch = std::clamp<int64_t>(pixels / (4 * at::get_num_threads()), 64, 1024);
  const int64_t stretches = (pixels + stretch - 1) / stretch;
  at::parallel_for(0, images * stretches, 1, [&](int64_t task, int64_t tasks) {
    for (; task < tasks; ++task) {
      const int64_t image = task / stretches, pixel = task % stretches * stretch;
      turn(
          Matrix<const T>{from + image * map.stride(0) + pixel, pixels}, channels,
          std::min(stretch, pixels - pixel),
          Matrix<T>{out + (image * pixels + pixel) * channels, channels});
    }
  });
}

// A whole map (N, C, H, W) as (N, pixels, C); no copy is made where it lies so already.
template <typename T>
at::Tensor pixels_of(const at::Tensor& map) {
  const std::array<int64_t, 3> size{map.size(0), map.size(2) * map.size(3), map.size(1)};
  if (lies_by_pixel<T>(map)) {
    return map.permute({0, 2, 3, 1}).view(size);
  }
  at::Tensor out = at::empty(size, map.options().dtype(c10::CppTypeToScalarType<T>::value));
  copy_by_pixel(map, out.mutable_data_ptr<T>());
  return out;
}

// The map (images, channels, pixels) of rows (images, pixels, channels), contiguous.
template <typename T>
at::Tensor planes_of(const at::Tensor& rows) {
  const int64_t images = rows.size(0), pixels = rows.size(1), channels = rows.size(2);
  at::Tensor out = at::empty({images, channels, pixels}, rows.options());
  const T* from = rows.const_data_ptr<T>();
  T* to = out.mutable_data_ptr<T>();
  constexpr int64_t kStretch = 64;  // pixels of a task; their rows fit the nearest cache
  const int64_t stretches = (pixels + kStretch - 1) / kStretch;
  at::parallel_for(0, images * stretches, 16, [&](int64_t task, int64_t tasks) {
    for (; task < tasks; ++task) {
      const int64_t image = task / stretches, pixel = task % stretches * kStretch;
      turn(
          Matrix<const T>{from + (image * pixels + pixel) * channels, channels},
          std::min(kStretch, pixels - pixel), channels,
          Matrix<T>{to + image * channels * pixels + pixel, pixels});
    }
  });
  return out;
}

// The weight (O, C / groups, Kh, Kw) of a block, in either memory format, as
// (taps, block channels, O / groups) in `out`.
template <typename T>
void copy_by_output(const at::Tensor& weight, const Block& block, const Shape& shape, T* out) {
  const int64_t outputs = shape.out_channels / shape.groups, per_group = shape.channels / shape.groups;
  const int64_t taps = shape.taps(), channels = block.channels(), depth = taps * per_group;
  const int64_t begin = block.begin - block.group * per_group;
  const bool taps_first = !weight.is_contiguous();  // (O, Kh, Kw, C / groups) in memory
  const T* from = weight.const_data_ptr<T>() + block.group * outputs * depth;
  constexpr int64_t kStrip = 16;  // outputs of a task
  at::parallel_for(0, (outputs + kStrip - 1) / kStrip, 1, [&](int64_t strip, int64_t end) {
    for (; strip < end; ++strip) {
      const int64_t first = strip * kStrip, count = std::min(kStrip, outputs - first);
      const T* rows = from + first * depth;
      if (taps_first) {
        for (int64_t tap = 0; tap < taps; ++tap) {
          turn(
              Matrix<const T>{rows + tap * per_group + begin, depth}, count, channels,
              Matrix<T>{out + tap * channels * outputs + first, outputs});
        }
      } else {
        for (int64_t c = 0; c < channels; ++c) {
          turn(
              Matrix<const T>{rows + (begin + c) * taps, depth}, count, taps,
              Matrix<T>{out + c * outputs + first, channels * outputs});
        }
      }
    }
  });
}

// The results of a batch, (N, O, Ho, Wo) in either memory format.
template <typename T>
struct Results {
  T* data;
  bool channels_last;
  int64_t cells, channels;

  T* image(int64_t number) const { return data + number * cells * channels; }
  // Where the results of a tile lie row by row, if they do; data is null if they do not.
  Matrix<T> rows(const Tile& tile, int64_t first_channel, bool dense) const {
    const bool as_is = channels_last && dense && tile.count == tile.rows();
    return {
        as_is ? image(tile.image) + tile.cells[0] * channels + first_channel : nullptr, channels};
  }

  // Writes the rows (cells, outputs) of a tile, or adds them when Add.
  template <bool Add>
  void store(
      Matrix<const T> rows, const Tile& tile, int64_t first_channel, int64_t outputs,
      bool dense) const {
    T* out = image(tile.image);
    if (channels_last) {
      for (int64_t i = 0; i < tile.count; ++i) {
        T* to = out + tile.cells[i] * channels + first_channel;
        const T* from = rows.data + i * rows.stride;
        for (int64_t o = 0; o < outputs; ++o) {
          to[o] = (Add ? to[o] : T(0)) + from[o];
        }
      }
      return;
    }
    const T* from = rows.data;
    for (int64_t o = 0; o < outputs; ++o) {
      T* to = out + (first_channel + o) * cells;
      if (dense) {
        T* __restrict run = to + tile.cells[0];
        for (int64_t i = 0; i < tile.count; ++i) {
          run[i] = (Add ? run[i] : T(0)) + from[i * rows.stride + o];
        }
      } else {
        for (int64_t i = 0; i < tile.count; ++i) {
          T& result = to[tile.cells[i]];
          result = (Add ? result : T(0)) + from[i * rows.stride + o];
        }
      }
    }
  }
};

}  // namespace cascade_rpn_d2
