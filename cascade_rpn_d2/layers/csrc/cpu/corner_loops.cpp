#include "corner_loops.h"

#include <algorithm>

#include "multiversion.h"

namespace cascade_rpn_d2 {
namespace {

// A sum that is kept in this many parts lets compilers use vectors without reordering anything.
constexpr int64_t kLanes = 16;

// Corners lie anywhere in the map: asked for ahead of time, they arrive while another sample is summed.
constexpr int64_t kAhead = 1;

template <typename T>
CRPN_INLINE void fetch(const Corners<T>& corners, const T* pixels, int64_t stride, int64_t channels) {
#if defined(__GNUC__)
  constexpr int64_t kLine = 64 / sizeof(T);
  for (int corner = 0; corner < 4; ++corner) {
    if (corners.pixel[corner] >= 0) {
      const T* pixel = pixels + corners.pixel[corner] * stride;
      for (int64_t c = 0; c < channels; c += kLine) {
        __builtin_prefetch(pixel + c);
      }
    }
  }
#endif
}

template <typename T>
CRPN_INLINE void gather_loop(
    const Corners<T>* corners,
    int64_t count,
    const T* pixels,
    int64_t stride,
    int64_t channels,
    T* columns) {
  for (int64_t i = 0; i < count; ++i) {
    const int64_t* pixel = corners[i].pixel;
    const T* share = corners[i].share;
    T* __restrict out = columns + i * channels;
    if (i + kAhead < count) {
      fetch(corners[i + kAhead], pixels, stride, channels);
    }
    if (pixel[0] >= 0 && pixel[1] >= 0 && pixel[2] >= 0 && pixel[3] >= 0) {
      const T* p0 = pixels + pixel[0] * stride;
      const T* p1 = pixels + pixel[1] * stride;
      const T* p2 = pixels + pixel[2] * stride;
      const T* p3 = pixels + pixel[3] * stride;
      for (int64_t c = 0; c < channels; ++c) {
        out[c] = share[0] * p0[c] + share[1] * p1[c] + share[2] * p2[c] + share[3] * p3[c];
      }
      continue;
    }
    std::fill_n(out, channels, T(0));
    for (int corner = 0; corner < 4; ++corner) {
      if (pixel[corner] >= 0) {
        const T* p = pixels + pixel[corner] * stride;
        for (int64_t c = 0; c < channels; ++c) {
          out[c] += share[corner] * p[c];
        }
      }
    }
  }
}

template <typename T>
CRPN_INLINE void scatter_loop(
    const Corners<T>* corners,
    int64_t count,
    const T* grad_columns,
    int64_t stride,
    int64_t channels,
    T* grad_pixels) {
  for (int64_t i = 0; i < count; ++i) {
    const T* __restrict grad = grad_columns + i * channels;
    for (int corner = 0; corner < 4; ++corner) {
      const int64_t pixel = corners[i].pixel[corner];
      if (pixel >= 0) {
        const T share = corners[i].share[corner];
        T* __restrict out = grad_pixels + pixel * stride;
        for (int64_t c = 0; c < channels; ++c) {
          out[c] += share * grad[c];
        }
      }
    }
  }
}

template <typename T>
CRPN_INLINE T dot(const T* a, const T* b, int64_t channels) {
  T parts[kLanes] = {};
  int64_t c = 0;
  for (; c + kLanes <= channels; c += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      parts[lane] += a[c + lane] * b[c + lane];
    }
  }
  T sum = 0;
  for (; c < channels; ++c) {
    sum += a[c] * b[c];
  }
  for (int64_t lane = 0; lane < kLanes; ++lane) {
    sum += parts[lane];
  }
  return sum;
}

template <typename T>
CRPN_INLINE void slopes_loop(
    const Corners<T>* corners,
    int64_t count,
    const T* grad_columns,
    const T* pixels,
    int64_t stride,
    int64_t channels,
    Position<T>* slopes) {
  for (int64_t i = 0; i < count; ++i) {
    T values[4];
    for (int corner = 0; corner < 4; ++corner) {
      const int64_t pixel = corners[i].pixel[corner];
      values[corner] =
          pixel >= 0 ? dot(grad_columns + i * channels, pixels + pixel * stride, channels) : T(0);
    }
    slopes[i] = slope(corners[i], values);
  }
}

}  // namespace

#define CRPN_DEFINE_LOOPS(T)                                                                       \
  CRPN_MULTIVERSION void gather(                                                                   \
      const Corners<T>* corners, int64_t count, const T* pixels, int64_t stride, int64_t channels, \
      T* columns) {                                                                                \
    gather_loop(corners, count, pixels, stride, channels, columns);                                \
  }                                                                                                \
  CRPN_MULTIVERSION void scatter(                                                                  \
      const Corners<T>* corners, int64_t count, const T* grad_columns, int64_t stride,             \
      int64_t channels, T* grad_pixels) {                                                          \
    scatter_loop(corners, count, grad_columns, stride, channels, grad_pixels);                     \
  }                                                                                                \
  CRPN_MULTIVERSION void slopes(                                                                   \
      const Corners<T>* corners, int64_t count, const T* grad_columns, const T* pixels,            \
      int64_t stride, int64_t channels, Position<T>* slopes) {                                     \
    slopes_loop(corners, count, grad_columns, pixels, stride, channels, slopes);                   \
  }

CRPN_DEFINE_LOOPS(float)
CRPN_DEFINE_LOOPS(double)

}  // namespace cascade_rpn_d2
