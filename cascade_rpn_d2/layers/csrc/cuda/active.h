// The active cells of a batch as a list on the device, in order.
//
// The host never learns how many they are: a kernel is launched for all cells, reads the count, and
// the blocks beyond it return at once. So a masked call neither waits for the device nor forbids a
// graph.
#pragma once

#include <ATen/core/Tensor.h>

#include "../sampling.h"

namespace cascade_rpn_d2 {

// What kernels see of the list; both pointers are null when every cell is active.
struct CellList {
  int64_t all;           // cells of the batch
  const int64_t* cells;  // the first *count are the active ones
  const int64_t* count;

  CRPN_HOST_DEVICE int64_t size() const { return count ? *count : all; }
  CRPN_HOST_DEVICE int64_t operator[](int64_t i) const { return cells ? cells[i] : i; }
};

class ActiveCells {
 public:
  // active: (N, Ho, Wo) bool, contiguous, or undefined for all of `all` cells.
  ActiveCells(const at::Tensor& active, int64_t all);
  CellList list() const;

 private:
  int64_t all_;
  at::Tensor cells_;  // (all) int64
  at::Tensor ranks_;  // (all) int64: how many are active up to and including a cell
};

}  // namespace cascade_rpn_d2
