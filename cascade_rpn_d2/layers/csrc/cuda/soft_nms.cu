// Soft-NMS on CUDA: one block a group. As the host does not know where groups start, there is a block for
// every box, and those whose box is not the first of its group have nothing to do. Nothing waits for the
// device, and a second run gives the same bits.
#include "../soft_nms.h"

#include <ATen/Dispatch.h>
#include <c10/cuda/CUDAGuard.h>

#include <cstdint>
#include <type_traits>

#include "launch.cuh"

namespace cascade_rpn_d2 {
namespace {

using at::Tensor;

constexpr int kThreads = 512;
constexpr int kWarps = kThreads / kLanes;
static_assert(kWarps <= kLanes);

// A box of the group and its running score.
template <typename T>
struct Contender {
  T score;
  int64_t index;
};

// The best of each warp. Turns alternate between two rows: that of the last turn may still be read.
template <typename T>
struct BestOfWarps {
  Contender<T> rows[2][kWarps];
};

// The greater score; of equal ones the first.
template <typename T>
__device__ inline Contender<T> better_of(const Contender<T>& a, const Contender<T>& b) {
  return a.score > b.score || (a.score == b.score && a.index < b.index) ? a : b;
}

// The best over the lanes of a warp, known to all of them; all must take part.
template <typename T>
__device__ inline Contender<T> best_over_lanes(Contender<T> best) {
  for (int distance = kLanes / 2; distance > 0; distance /= 2) {
    const Contender<T> other{
        __shfl_xor_sync(0xffffffffu, best.score, distance),
        __shfl_xor_sync(0xffffffffu, best.index, distance)};
    best = better_of(best, other);
  }
  return best;
}

// The best over the threads of the block, known to all of them.
template <typename T>
__device__ inline Contender<T> best_over_block(Contender<T> best, Contender<T>* row) {
  best = best_over_lanes(best);
  const int warp = threadIdx.x / kLanes, lane = threadIdx.x % kLanes;
  if (lane == 0) {
    row[warp] = best;
  }
  __syncthreads();
  return best_over_lanes(row[lane % kWarps]);
}

// Where the group that starts at `first` ends.
__device__ inline int64_t end_of_group(const int64_t* groups, int64_t first, int64_t count) {
  int64_t in = first, out = count;
  while (out - in > 1) {
    const int64_t middle = in + (out - in) / 2;
    (groups[middle] == groups[first] ? in : out) = middle;
  }
  return out;
}

// A thread keeps the running scores of every kThreads-th box of the group, and no other reads them.
template <typename T, typename Penalty>
__global__ void soft_nms_kernel(
    const Box<T>* boxes, T* scores, const int64_t* groups, const int64_t* order, int64_t count,
    Penalty penalty, T min_score, T* decayed) {
  const int64_t first = blockIdx.x;
  if (first > 0 && groups[first - 1] == groups[first]) {
    return;
  }
  const int64_t size = end_of_group(groups, first, count) - first;
  boxes += first;
  scores += first;
  order += first;

  BestOfWarps<T>& best_of_warps = shared_as<BestOfWarps<T>>();
  Contender<T> best{T(kGone), size};
  for (int64_t i = threadIdx.x; i < size; i += kThreads) {
    scores[i] = remaining(scores[i], T(1), min_score);
    best = better_of(best, {scores[i], i});
  }
  for (int turn = 0;; turn = 1 - turn) {
    best = best_over_block(best, best_of_warps.rows[turn]);
    if (best.score == T(kGone)) {
      return;
    }
    if (threadIdx.x == 0) {
      decayed[order[best.index]] = best.score;
    }
    const Box<T> taken = boxes[best.index];
    Contender<T> next{T(kGone), size};
    for (int64_t i = threadIdx.x; i < size; i += kThreads) {
      if (scores[i] == T(kGone)) {
        continue;
      }
      scores[i] = i == best.index
          ? T(kGone)
          : remaining(scores[i], penalty(iou(taken, boxes[i])), min_score);
      next = better_of(next, {scores[i], i});
    }
    best = next;
  }
}

}  // namespace

void soft_nms_cuda(
    const Tensor& boxes, const Tensor& scores, const Tensor& groups, const Tensor& order,
    const DecayRule& rule, Tensor& decayed) {
  const c10::cuda::CUDAGuard device(boxes.device());
  const int64_t count = scores.size(0);
  if (count == 0) {
    return;
  }
  Tensor running = scores.clone();
  AT_DISPATCH_FLOATING_TYPES(boxes.scalar_type(), "soft_nms_cuda", [&] {
    with_penalty<scalar_t>(rule, [&](const auto& penalty) {
      using Penalty = std::decay_t<decltype(penalty)>;
      launch(
          soft_nms_kernel<scalar_t, Penalty>, dim3(static_cast<unsigned>(count)), kThreads,
          sizeof(BestOfWarps<scalar_t>),
          reinterpret_cast<const Box<scalar_t>*>(boxes.const_data_ptr<scalar_t>()),
          running.mutable_data_ptr<scalar_t>(), groups.const_data_ptr<int64_t>(),
          order.const_data_ptr<int64_t>(), count, penalty, static_cast<scalar_t>(rule.min_score),
          decayed.mutable_data_ptr<scalar_t>());
    });
  });
}

}  // namespace cascade_rpn_d2
