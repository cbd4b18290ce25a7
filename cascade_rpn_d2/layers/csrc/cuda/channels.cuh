// Neighbouring channels of a channels-last map: what one thread loads or stores at once.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "../sampling.h"

namespace cascade_rpn_d2 {

constexpr int kVectorBytes = 16;  // the widest load and store

template <typename Scalar>
constexpr int kVectorChannels = kVectorBytes / static_cast<int>(sizeof(Scalar));

template <typename Scalar, int Count>
struct alignas(Count * sizeof(Scalar)) Channels {
  Scalar values[Count];

  CRPN_HOST_DEVICE Scalar operator[](int channel) const { return values[channel]; }
};

template <int Count, typename Scalar>
CRPN_HOST_DEVICE Channels<Scalar, Count> load_channels(const Scalar* from) {
  return *reinterpret_cast<const Channels<Scalar, Count>*>(from);
}

template <int Count, typename Scalar>
CRPN_HOST_DEVICE void store_channels(Scalar* to, const Channels<Scalar, Count>& channels) {
  *reinterpret_cast<Channels<Scalar, Count>*>(to) = channels;
}

// A vector of channels as it lies in memory. A thread does not wait for what it loads before it
// uses it, but to take a vector apart is to use it. So vectors that are asked for one after the
// other are kept whole until their channels are needed; waiting for each alone takes several times
// as long.
template <typename Scalar>
class PackedChannels {
 public:
  static constexpr int kCount = kVectorChannels<Scalar>;

  // Zeros.
  CRPN_HOST_DEVICE PackedChannels() : words_{} {}
  // All channels; `from` is aligned to whole vectors.
  CRPN_HOST_DEVICE explicit PackedChannels(const Scalar* from) {
    const uint4 vector = *reinterpret_cast<const uint4*>(from);
    words_[0] = vector.x, words_[1] = vector.y, words_[2] = vector.z, words_[3] = vector.w;
  }
  // The first `count` channels; the others are zero.
  CRPN_HOST_DEVICE PackedChannels(const Scalar* from, int count) : words_{} {
#pragma unroll
    for (int channel = 0; channel < kCount; ++channel) {
      if (channel < count) {
        put(channel, from[channel]);
      }
    }
  }

  CRPN_HOST_DEVICE Scalar operator[](int channel) const {
    Bits bits;
    if constexpr (kPerWord > 0) {
      bits = static_cast<Bits>(words_[channel / kPerWord] >> (channel % kPerWord * kBits));
    } else {
      bits = words_[2 * channel] | static_cast<Bits>(words_[2 * channel + 1]) << 32;
    }
    Scalar value;
    std::memcpy(&value, &bits, sizeof(Scalar));
    return value;
  }

 private:
  static constexpr int kBits = 8 * static_cast<int>(sizeof(Scalar));
  static constexpr int kPerWord = 32 / kBits;
  using Bits = std::conditional_t<
      kBits == 16, uint16_t, std::conditional_t<kBits == 32, uint32_t, uint64_t>>;

  CRPN_HOST_DEVICE void put(int channel, Scalar value) {
    Bits bits;
    std::memcpy(&bits, &value, sizeof(Scalar));
    if constexpr (kPerWord > 0) {
      words_[channel / kPerWord] |= static_cast<uint32_t>(bits) << (channel % kPerWord * kBits);
    } else {
      words_[2 * channel] = static_cast<uint32_t>(bits);
      words_[2 * channel + 1] = static_cast<uint32_t>(bits >> 32);
    }
  }

  uint32_t words_[kVectorBytes / 4];
};

// Whether whole vectors of channels can be read when runs of so many channels follow each other.
inline bool in_vectors(const void* data, int64_t run, int vector_channels) {
  return reinterpret_cast<uintptr_t>(data) % kVectorBytes == 0 && run % vector_channels == 0;
}

}  // namespace cascade_rpn_d2
