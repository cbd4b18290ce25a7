// Non-maximum suppression on CUDA: one kernel finds what every box would suppress, as bits; another
// walks over the boxes of a group in order, a word of 64 boxes at a time. Nothing waits for the device.
#include "../nms.h"

#include <ATen/Dispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros_like.h>
#include <c10/cuda/CUDAGuard.h>

#include <algorithm>
#include <cstdint>

#include "launch.cuh"

namespace cascade_rpn_d2 {
namespace {

using at::Tensor;
using Word = unsigned long long;

constexpr int kBits = 64;  // boxes of a word
constexpr int kScanThreads = 128;
constexpr int64_t kMaxGroups = 65535;  // of one launch
constexpr int64_t kMaxWords = 5120;    // of one group: 40 KB of shared memory

template <typename T>
struct BoxesOfWord {
  T boxes[kBits][4];
};

template <typename T>
__device__ inline bool suppresses(const T* a, const T* b, T threshold) {
  const T width = max(min(a[2], b[2]) - max(a[0], b[0]), T(0));
  const T height = max(min(a[3], b[3]) - max(a[1], b[1]), T(0));
  const T intersection = width * height;
  const T area_a = (a[2] - a[0]) * (a[3] - a[1]), area_b = (b[2] - b[0]) * (b[3] - b[1]);
  return intersection / (area_a + area_b - intersection) > threshold;  // false if NaN
}

// overlaps[group][row][word]: which boxes of the word come after box `row` and would be suppressed by
// it. A block has 64 rows (its threads) and one word; words before the rows are left unwritten.
template <typename T>
__global__ void overlap_kernel(const T* boxes, int64_t count, T threshold, Word* overlaps) {
  BoxesOfWord<T>& columns = shared_as<BoxesOfWord<T>>();
  const int64_t word = blockIdx.x, words = gridDim.x, first_word = blockIdx.y;
  const int64_t row = first_word * kBits + threadIdx.x;
  const int64_t column = word * kBits + threadIdx.x;
  if (word < first_word) {
    return;
  }
  const T* group = boxes + int64_t{blockIdx.z} * count * 4;
  if (column < count) {
    for (int i = 0; i < 4; ++i) {
      columns.boxes[threadIdx.x][i] = group[column * 4 + i];
    }
  }
  __syncthreads();
  if (row >= count) {
    return;
  }
  Word bits = 0;
  const int size = static_cast<int>(min(count - word * kBits, int64_t{kBits}));
  for (int i = word == first_word ? threadIdx.x + 1 : 0; i < size; ++i) {
    if (suppresses(group + row * 4, columns.boxes[i], threshold)) {
      bits |= Word{1} << i;
    }
  }
  overlaps[(int64_t{blockIdx.z} * count + row) * words + word] = bits;
}

// One block a group. Shared memory has a word of the boxes just kept, and then a bit for every box
// that a kept one suppresses.
__global__ void scan_kernel(
    const bool* valid, int64_t count, int64_t words, const Word* overlaps, bool* keep) {
  Word& kept = shared_as<Word>();
  Word* removed = &kept + 1;
  valid += int64_t{blockIdx.x} * count;
  keep += int64_t{blockIdx.x} * count;
  overlaps += int64_t{blockIdx.x} * count * words;
  for (int64_t word = threadIdx.x; word < words; word += kScanThreads) {
    removed[word] = 0;
  }
  __syncthreads();
  for (int64_t word = 0; word < words; ++word) {
    const int64_t first = word * kBits;
    const int size = static_cast<int>(min(count - first, int64_t{kBits}));
    if (threadIdx.x == 0) {  // within the word, box after box
      Word gone = removed[word], chosen = 0;
      for (int i = 0; i < size; ++i) {
        if (valid[first + i] && !(gone >> i & 1)) {
          chosen |= Word{1} << i;
          gone |= overlaps[(first + i) * words + word];
        }
      }
      kept = chosen;
    }
    __syncthreads();
    const Word chosen = kept;
    for (int64_t later = word + 1 + threadIdx.x; later < words; later += kScanThreads) {
      Word gone = removed[later];
      for (int i = 0; i < size; ++i) {
        if (chosen >> i & 1) {
          gone |= overlaps[(first + i) * words + later];
        }
      }
      removed[later] = gone;
    }
    for (int i = threadIdx.x; i < size; i += kScanThreads) {
      keep[first + i] = chosen >> i & 1;
    }
    __syncthreads();  // before `kept` and `removed` change
  }
}

}  // namespace

Tensor nms_cuda(const Tensor& boxes, const Tensor& valid, double iou_threshold) {
  const c10::cuda::CUDAGuard device(boxes.device());
  Tensor keep = at::zeros_like(valid);
  const int64_t groups = valid.size(0), count = valid.size(1);
  const int64_t words = (count + kBits - 1) / kBits;
  TORCH_CHECK(
      words <= kMaxWords, "sorted_nms takes at most ", kMaxWords * kBits,
      " boxes a group on CUDA, got ", count, ".");
  for (int64_t first = 0; first < groups && count > 0; first += kMaxGroups) {
    const int64_t size = std::min(kMaxGroups, groups - first);
    Tensor overlaps = at::empty({size, count, words}, boxes.options().dtype(at::kLong));
    Word* bits = reinterpret_cast<Word*>(overlaps.mutable_data_ptr<int64_t>());
    const auto side = static_cast<unsigned>(words), depth = static_cast<unsigned>(size);
    AT_DISPATCH_FLOATING_TYPES(boxes.scalar_type(), "sorted_nms_cuda", [&] {
      launch(
          overlap_kernel<scalar_t>, dim3(side, side, depth), kBits, sizeof(BoxesOfWord<scalar_t>),
          boxes.const_data_ptr<scalar_t>() + first * count * 4, count,
          exact_threshold<scalar_t>(iou_threshold), bits);
    });
    launch(
        scan_kernel, dim3(depth), kScanThreads, (words + 1) * sizeof(Word),
        valid.const_data_ptr<bool>() + first * count, count, words, bits,
        keep.mutable_data_ptr<bool>() + first * count);
  }
  return keep;
}

}  // namespace cascade_rpn_d2
