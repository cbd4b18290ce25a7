// The three loops over channels that are all the CPU does besides GEMMs. Plain C++ that compilers turn
// into vector code; on x86-64 Linux they are compiled for several instruction sets and the best one is
// chosen at run time.
//
// `corners` are those of `count` samples, pixels and gradients are channels-last: a pixel's channels
// lie next to each other and `stride` is the distance between two pixels.
#pragma once

#include "../sampling.h"

namespace cascade_rpn_d2 {

// columns[i][c] = sum over the corners of share * pixels[corner][c]
void gather(
    const Corners<float>* corners, int64_t count, const float* pixels, int64_t stride,
    int64_t channels, float* columns);
void gather(
    const Corners<double>* corners, int64_t count, const double* pixels, int64_t stride,
    int64_t channels, double* columns);

// grad_pixels[corner][c] += share * grad_columns[i][c]
void scatter(
    const Corners<float>* corners, int64_t count, const float* grad_columns, int64_t stride,
    int64_t channels, float* grad_pixels);
void scatter(
    const Corners<double>* corners, int64_t count, const double* grad_columns, int64_t stride,
    int64_t channels, double* grad_pixels);

// slopes[i] = derivative of sum over c of grad_columns[i][c] * sample[i][c] by the position of i
void slopes(
    const Corners<float>* corners, int64_t count, const float* grad_columns, const float* pixels,
    int64_t stride, int64_t channels, Position<float>* slopes);
void slopes(
    const Corners<double>* corners, int64_t count, const double* grad_columns, const double* pixels,
    int64_t stride, int64_t channels, Position<double>* slopes);

}  // namespace cascade_rpn_d2
