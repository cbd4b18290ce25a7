// CRPN_HOST_DEVICE: a function that host and device code share.
#pragma once

#ifdef __CUDACC__
#define CRPN_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define CRPN_HOST_DEVICE inline
#endif
