// The order in which cells are visited. Usually that of memory, as a cell samples the map around itself.
// Boxes that lie anywhere make every tile sample all of the map, which then comes from memory instead of
// a cache; so the cells of such boxes are visited by where they sample.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <utility>
#include <vector>

#include "../problem.h"

namespace cascade_rpn_d2 {

// The pixel of the map nearest to the middle tap of a cell, (y, x), roughly; the first for NaN.
template <typename T, typename Policy>
std::pair<int64_t, int64_t> middle_of(
    const Policy& policy, const Shape& shape, int64_t image, int64_t cell) {
  const Position<T> position = policy(
      image, 0, cell, static_cast<int>(shape.kernel_height / 2),
      static_cast<int>(shape.kernel_width / 2));
  // In whole numbers, as T(size - 1) may be the size itself: float has no odd number above 2^24.
  const auto pixel = [](T coordinate, int64_t size) -> int64_t {
    if (!(coordinate > T(0))) {
      return 0;
    }
    return coordinate < T(size) ? std::min(static_cast<int64_t>(coordinate), size - 1) : size - 1;
  };
  return {pixel(position.y, shape.height), pixel(position.x, shape.width)};
}

// Whether many cells sample far from where they are themselves, judged by some of them.
template <typename T, typename Policy>
bool cells_stray(const Policy& policy, const Shape& shape) {
  constexpr int64_t kSamples = 512, kNear = 16;  // pixels up or down, on average
  const int64_t all = shape.images * shape.cells();
  const int64_t step = std::max<int64_t>(all / kSamples, 1);
  int64_t distance = 0, samples = 0;
  for (int64_t i = 0; i < all; i += step, ++samples) {
    const int64_t cell = i % shape.cells();
    const int64_t home = cell / shape.out_width * shape.height / shape.out_height;
    distance += std::abs(middle_of<T>(policy, shape, i / shape.cells(), cell).first - home);
  }
  return distance > kNear * samples;
}

// The cells of every image (N, Ho * Wo) by the patch of the map that their middle taps lie in.
template <typename T, typename Policy>
std::vector<int64_t> by_place(const Policy& policy, const Shape& shape) {
  constexpr int64_t kPatch = 8;  // pixels
  const int64_t patches_x = (shape.width + kPatch - 1) / kPatch;
  const int64_t patches = patches_x * ((shape.height + kPatch - 1) / kPatch);
  std::vector<int64_t> order(shape.images * shape.cells()), patch_of(shape.cells());
  for (int64_t image = 0; image < shape.images; ++image) {
    std::vector<int64_t> next(patches + 1, 0);  // where the next cell of a patch goes
    for (int64_t cell = 0; cell < shape.cells(); ++cell) {
      const auto [y, x] = middle_of<T>(policy, shape, image, cell);
      patch_of[cell] = y / kPatch * patches_x + x / kPatch;
      ++next[patch_of[cell] + 1];
    }
    std::partial_sum(next.begin(), next.end(), next.begin());
    for (int64_t cell = 0; cell < shape.cells(); ++cell) {
      order[image * shape.cells() + next[patch_of[cell]]++] = cell;
    }
  }
  return order;
}

}  // namespace cascade_rpn_d2
