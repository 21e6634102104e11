// Float parts on NEON, in tiles of 8 channels x 12 pixels in registers.
// The tiles are of floats or, with dot products, of four 8-bit channels in the place of a float;
// without them 8-bit tiles are of 8 x 8, since products need registers, too.
#include <string.h>

#include "core/requires.h"
#include "core/target.h"
#include "kernels/floats/tables.h"

#if defined(__aarch64__)
#include <arm_neon.h>

namespace bnn {
namespace {

#include "kernels/floats/vectors_neon.inc"

// Each builds on those before.
#include "kernels/floats/convolve.inc"

#include "kernels/floats/pool.inc"

#include "kernels/floats/winograd.inc"

#include "kernels/floats/int8.inc"

// ---- 8-bit with the dot products that ARMv8.2 may have: one instruction for four ----

#if defined(__clang__)
BNN_TARGET_BEGIN("dotprod")
#else
BNN_TARGET_BEGIN("arch=armv8.2-a+dotprod")
#endif

namespace dot {

#include "kernels/floats/vectors_neon_dot.inc"

#include "kernels/floats/int8.inc"

}  // namespace dot

BNN_TARGET_END

}  // namespace

const FloatKernels kNeonFloats = {kOutputs,
                                  kVectors * kLanes,
                                  convolve_row,
                                  copy_columns,
                                  split_row,
                                  pool_row,
                                  mean,
                                  dense,
                                  {kTermOutputs, kTermsTogether, transform_rows, winograd_rows}};

const Int8Kernels kNeonInt8 = {
    kOutputs,          kCellVectors * kLanes, kCellChannels, kOffset,    pack_cell_weights,
    convolve_cell_row, quantize_cells,        quantize,      fill_panel, dense_quads};

const Int8Kernels kNeonDotInt8 = {kOutputs,
                                  dot::kCellVectors * kLanes,
                                  kCellChannels,
                                  kOffset,
                                  pack_cell_weights,
                                  dot::convolve_cell_row,
                                  dot::quantize_cells,
                                  dot::quantize,
                                  dot::fill_panel,
                                  dot::dense_quads};

}  // namespace bnn
#endif
