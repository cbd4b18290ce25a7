// Where the taps of a sampled convolution lie, and how the map is read there. One set of formulas for
// host and device; nothing else in this library computes a position or a bilinear weight.
//
// A convolution is told where to sample by an *offset policy*: BoxTaps (the taps are spread over a box)
// or OffsetTaps (the taps of a grid are moved by offsets). A policy is a plain struct, passed by value
// to kernels, with
//     Position<T> operator()(image, group, cell, tap_y, tap_x)
// where cell counts the cells of the output map, row-major. One whose rows of taps share their y and
// whose columns share their x says so with kIsGrid, and offers y(...) and x(...) of a tap alone.
#pragma once

#include <cmath>
#include <cstdint>

#include "host_device.h"

namespace cascade_rpn_d2 {

// A point of the map, in cells; (0, 0) is the centre of the first cell.
template <typename T>
struct Position {
  T y;
  T x;
};

// Taps spread evenly over the cell's box, the outer ones on its border (Cascade RPN, section 4.1).
template <typename T>
struct BoxTaps {
  const T* boxes;  // (images, cells, 4): x1, y1, x2, y2 in pixels
  int64_t cells;
  int kernel_size;
  T stride;         // pixels per cell
  T center_offset;  // where in its cell a cell's centre lies, in cells

  static constexpr bool kIsGrid = true;

  CRPN_HOST_DEVICE T y(int64_t image, int64_t cell, int tap) const {
    const T* box = boxes + (image * cells + cell) * 4;
    return between(box[1], box[3], tap);
  }
  CRPN_HOST_DEVICE T x(int64_t image, int64_t cell, int tap) const {
    const T* box = boxes + (image * cells + cell) * 4;
    return between(box[0], box[2], tap);
  }
  CRPN_HOST_DEVICE Position<T> operator()(
      int64_t image, int64_t /*group*/, int64_t cell, int tap_y, int tap_x) const {
    return {y(image, cell, tap_y), x(image, cell, tap_x)};
  }

  CRPN_HOST_DEVICE T between(T low, T high, int tap) const {
    const T fraction = kernel_size > 1 ? T(tap) / T(kernel_size - 1) - T(0.5) : T(0);
    return (low + high) / (2 * stride) - center_offset + fraction * ((high - low) / stride);
  }
};

// Taps of an ordinary convolution, each moved by its offset.
template <typename T>
struct OffsetTaps {
  const T* offset;  // (images, groups, taps, 2, cells): dy, dx in cells
  int64_t groups;
  int64_t cells;
  int64_t out_width;
  int kernel_height, kernel_width;
  int64_t stride_y, stride_x;
  int64_t padding_y, padding_x;
  int64_t dilation_y, dilation_x;

  static constexpr bool kIsGrid = false;

  CRPN_HOST_DEVICE Position<T> operator()(
      int64_t image, int64_t group, int64_t cell, int tap_y, int tap_x) const {
    const int64_t taps = kernel_height * kernel_width;
    const int64_t tap = tap_y * kernel_width + tap_x;
    const T* moved = offset + ((image * groups + group) * taps + tap) * 2 * cells + cell;
    const int64_t row = cell / out_width;
    const int64_t column = cell - row * out_width;
    return {
        T(row * stride_y - padding_y + tap_y * dilation_y) + moved[0],
        T(column * stride_x - padding_x + tap_x * dilation_x) + moved[cells]};
  }
};

// The four pixels around a position, in the order top left, top right, bottom left, bottom right.
template <typename T>
struct Corners {
  int64_t pixel[4];  // row * width + column, or -1 where the map has no such pixel
  T share[4];        // bilinear weights; they sum to 1 when the position is inside
  T to_bottom;       // how far the position lies below the top row, in [0, 1)
  T to_right;        // and to the right of the left column
};

// One coordinate of a position: the rows or columns of pixels before and after it.
template <typename T>
struct Neighbours {
  int64_t low;  // the one before; the other is low + 1
  bool has_low, has_high;
  T to_high;  // how far the coordinate lies beyond the one before, in [0, 1)
};

// Neighbours of a coordinate; one that is NaN, <= -1 or >= the size has none.
template <typename T>
CRPN_HOST_DEVICE Neighbours<T> neighbours_of(T coordinate, int64_t size) {
  // False for NaN; the cast below is defined only after this check.
  if (!(coordinate > T(-1) && coordinate < T(size))) {
    return {0, false, false, T(0)};
  }
  const T floor = std::floor(coordinate);
  const int64_t low = static_cast<int64_t>(floor);
  return {low, low >= 0, low + 1 < size, coordinate - floor};
}

template <typename T>
CRPN_HOST_DEVICE Corners<T> corners_of(
    const Neighbours<T>& y, const Neighbours<T>& x, int64_t width) {
  const int64_t first = y.low * width + x.low;
  const T b = y.to_high, r = x.to_high;
  return {
      {y.has_low && x.has_low ? first : -1, y.has_low && x.has_high ? first + 1 : -1,
       y.has_high && x.has_low ? first + width : -1,
       y.has_high && x.has_high ? first + width + 1 : -1},
      {(1 - b) * (1 - r), (1 - b) * r, b * (1 - r), b * r},
      b,
      r};
}

// Corners of a position; a position with a coordinate outside of the map has no pixel at all.
template <typename T>
CRPN_HOST_DEVICE Corners<T> corners_of(Position<T> position, int64_t height, int64_t width) {
  return corners_of(neighbours_of(position.y, height), neighbours_of(position.x, width), width);
}

// Derivative of the sample by the position, given the values at the corners (0 where there is none).
template <typename T>
CRPN_HOST_DEVICE Position<T> slope(const Corners<T>& corners, const T values[4]) {
  const T b = corners.to_bottom, r = corners.to_right;
  return {
      (1 - r) * (values[2] - values[0]) + r * (values[3] - values[1]),
      (1 - b) * (values[1] - values[0]) + b * (values[3] - values[2])};
}

}  // namespace cascade_rpn_d2
