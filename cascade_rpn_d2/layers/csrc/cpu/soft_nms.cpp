// Soft-NMS on the CPU: groups run in parallel, and the box that is taken is compared with all boxes of
// its group at once, in a plain loop that compilers turn into vector code.
#include "../soft_nms.h"

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <vector>

#include "multiversion.h"

namespace cascade_rpn_d2 {
namespace {

using at::Tensor;

// The boxes left of a group, coordinate by coordinate, in the order given.
template <typename T>
struct Candidates {
  std::vector<T> x1, y1, x2, y2, score;
  std::vector<int64_t> index;  // among all boxes

  void add(const Box<T>& box, T its_score, int64_t i) {
    x1.push_back(box.x1);
    y1.push_back(box.y1);
    x2.push_back(box.x2);
    y2.push_back(box.y2);
    score.push_back(its_score);
    index.push_back(i);
  }

  int64_t size() const { return static_cast<int64_t>(index.size()); }

  // Drops the boxes whose score is kGone.
  void drop_gone() {
    int64_t left = 0;
    for (int64_t i = 0; i < size(); ++i) {
      x1[left] = x1[i];
      y1[left] = y1[i];
      x2[left] = x2[i];
      y2[left] = y2[i];
      score[left] = score[i];
      index[left] = index[i];
      left += score[i] != T(kGone);
    }
    for (auto* values : {&x1, &y1, &x2, &y2, &score}) {
      values->resize(left);
    }
    index.resize(left);
  }
};

template <typename T>
CRPN_INLINE void overlap_loop(
    const T* x1, const T* y1, const T* x2, const T* y2, int64_t count, const Box<T>& taken,
    T* overlap) {
  for (int64_t i = 0; i < count; ++i) {
    overlap[i] = iou(taken, Box<T>{x1[i], y1[i], x2[i], y2[i]});
  }
}

#define CRPN_DEFINE_OVERLAPS(T)                                                                    \
  CRPN_MULTIVERSION void overlaps(                                                                 \
      const T* x1, const T* y1, const T* x2, const T* y2, int64_t count, const Box<T>& taken,      \
      T* overlap) {                                                                                \
    overlap_loop(x1, y1, x2, y2, count, taken, overlap);                                           \
  }

CRPN_DEFINE_OVERLAPS(float)
CRPN_DEFINE_OVERLAPS(double)

template <typename T, typename Penalty>
void run_group(Candidates<T>& group, const Penalty& penalty, T min_score, T* decayed) {
  std::vector<T> overlap(group.size());
  while (group.size() > 0) {
    const auto best = std::max_element(group.score.begin(), group.score.end()) - group.score.begin();
    const Box<T> taken{group.x1[best], group.y1[best], group.x2[best], group.y2[best]};
    decayed[group.index[best]] = group.score[best];
    overlaps(
        group.x1.data(), group.y1.data(), group.x2.data(), group.y2.data(), group.size(), taken,
        overlap.data());
    for (int64_t i = 0; i < group.size(); ++i) {
      group.score[i] = remaining(group.score[i], penalty(overlap[i]), min_score);
    }
    group.score[best] = T(kGone);
    group.drop_gone();
  }
}

// Where each group starts, and where the last one ends.
std::vector<int64_t> bounds_of(const int64_t* groups, int64_t count) {
  std::vector<int64_t> bounds;
  for (int64_t i = 0; i < count; ++i) {
    if (i == 0 || groups[i] != groups[i - 1]) {
      bounds.push_back(i);
    }
  }
  bounds.push_back(count);
  return bounds;
}

}  // namespace

void soft_nms_cpu(
    const Tensor& boxes, const Tensor& scores, const Tensor& groups, const Tensor& order,
    const DecayRule& rule, Tensor& decayed) {
  const auto bounds = bounds_of(groups.const_data_ptr<int64_t>(), groups.size(0));
  const int64_t* index = order.const_data_ptr<int64_t>();
  AT_DISPATCH_FLOATING_TYPES(boxes.scalar_type(), "soft_nms_cpu", [&] {
    const auto* box = reinterpret_cast<const Box<scalar_t>*>(boxes.const_data_ptr<scalar_t>());
    const auto* score = scores.const_data_ptr<scalar_t>();
    auto* result = decayed.mutable_data_ptr<scalar_t>();
    const auto min_score = static_cast<scalar_t>(rule.min_score);
    with_penalty<scalar_t>(rule, [&](const auto& penalty) {
      const int64_t last = static_cast<int64_t>(bounds.size()) - 1;
      at::parallel_for(0, last, 1, [&](int64_t begin, int64_t end) {
        Candidates<scalar_t> group;
        for (int64_t g = begin; g < end; ++g) {
          for (int64_t i = bounds[g]; i < bounds[g + 1]; ++i) {
            if (score[i] >= min_score) {  // not if NaN
              group.add(box[i], score[i], index[i]);
            }
          }
          run_group(group, penalty, min_score, result);
        }
      });
    });
  });
}

}  // namespace cascade_rpn_d2
