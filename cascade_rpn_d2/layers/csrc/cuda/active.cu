#include "active.h"

#include <ATen/ops/cumsum.h>
#include <ATen/ops/empty_like.h>

#include "launch.cuh"

namespace cascade_rpn_d2 {
namespace {

constexpr int kListThreads = 256;

__global__ void list_kernel(
    int64_t all, const bool* active, const int64_t* ranks, int64_t* cells) {
  const int64_t step = int64_t{gridDim.x} * kListThreads;
  for (int64_t cell = int64_t{blockIdx.x} * kListThreads + threadIdx.x; cell < all; cell += step) {
    if (active[cell]) {
      cells[ranks[cell] - 1] = cell;
    }
  }
}

}  // namespace

ActiveCells::ActiveCells(const at::Tensor& active, int64_t all) : all_(all) {
  if (!active.defined() || all == 0) {
    return;
  }
  ranks_ = at::cumsum(active.view({-1}), 0);
  cells_ = at::empty_like(ranks_);
  launch(
      list_kernel, blocks_for(all, kListThreads), kListThreads, 0, all,
      active.const_data_ptr<bool>(), ranks_.const_data_ptr<int64_t>(),
      cells_.mutable_data_ptr<int64_t>());
}

CellList ActiveCells::list() const {
  if (!ranks_.defined()) {
    return {all_, nullptr, nullptr};
  }
  return {all_, cells_.const_data_ptr<int64_t>(), ranks_.const_data_ptr<int64_t>() + all_ - 1};
}

}  // namespace cascade_rpn_d2
