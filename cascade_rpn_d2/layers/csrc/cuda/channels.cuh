// Neighbouring channels of a channels-last map: what one thread loads or stores at once.
#pragma once

#include "../sampling.h"

namespace cascade_rpn_d2 {

constexpr int kVectorBytes = 16;  // the widest load and store

template <typename Scalar>
constexpr int kVectorChannels = kVectorBytes / static_cast<int>(sizeof(Scalar));

template <typename Scalar, int Count>
struct alignas(Count * sizeof(Scalar)) Channels {
  Scalar values[Count];
};

template <int Count, typename Scalar>
CRPN_HOST_DEVICE Channels<Scalar, Count> load_channels(const Scalar* from) {
  return *reinterpret_cast<const Channels<Scalar, Count>*>(from);
}

template <int Count, typename Scalar>
CRPN_HOST_DEVICE void store_channels(Scalar* to, const Channels<Scalar, Count>& channels) {
  *reinterpret_cast<Channels<Scalar, Count>*>(to) = channels;
}

// Whether whole vectors of channels can be read when runs of so many channels follow each other.
inline bool in_vectors(const void* data, int64_t run, int vector_channels) {
  return reinterpret_cast<uintptr_t>(data) % kVectorBytes == 0 && run % vector_channels == 0;
}

}  // namespace cascade_rpn_d2
