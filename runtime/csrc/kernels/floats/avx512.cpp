// Float parts on AVX-512, in tiles of 8 channels x 48 pixels in registers.
// The tiles are of floats or, with the dot products of VNNI, of four 8-bit channels in the place of
// a float.
#include <string.h>

#include "core/requires.h"
#include "core/target.h"
#include "kernels/floats/tables.h"

#if defined(__x86_64__)
#include "core/intrinsics.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored \
    "-Wmaybe-uninitialized"  // GCC 12: undefined vectors inside its own intrinsics
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

BNN_TARGET_BEGIN("avx512f,avx512bw,avx512vnni,avx2,fma")

namespace bnn {
namespace {

#include "kernels/floats/vectors_avx512.inc"

// Each builds on those before.
#include "kernels/floats/convolve.inc"

#include "kernels/floats/few.inc"

#include "kernels/floats/pool.inc"

#include "kernels/floats/winograd.inc"

#include "kernels/floats/int8.inc"

}  // namespace

const FloatKernels kAvx512Floats = {kOutputs,
                                    kVectors * kLanes,
                                    convolve_row,
                                    copy_columns,
                                    split_row,
                                    pool_row,
                                    mean,
                                    dense,
                                    {kTermOutputs, kTermsTogether, transform_rows, winograd_rows}};

const Int8Kernels kAvx512Int8 = {
    kOutputs,          kCellVectors * kLanes, kCellChannels, kOffset,    pack_cell_weights,
    convolve_cell_row, quantize_cells,        quantize,      fill_panel, dense_quads};

}  // namespace bnn

BNN_TARGET_END
#endif
