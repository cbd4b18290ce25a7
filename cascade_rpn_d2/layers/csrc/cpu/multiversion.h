// CRPN_MULTIVERSION: a function compiled for several instruction sets, of which the best one is chosen
// at run time (GCC and Clang on x86-64 Linux); elsewhere it is compiled once. What it calls must be
// CRPN_INLINE to be part of every version.
#pragma once

// AddressSanitizer does not survive the resolvers, which run before its initialisation.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && \
    !defined(__SANITIZE_ADDRESS__) && (!defined(__clang__) || __clang_major__ >= 14)
#define CRPN_MULTIVERSION __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define CRPN_MULTIVERSION
#endif

#if defined(__GNUC__)
#define CRPN_INLINE inline __attribute__((always_inline))
#else
#define CRPN_INLINE inline
#endif
