// Float parts on AVX2, in tiles of 4 channels x 24 pixels of floats, or of 4 x 16 in 8 bits.
#include <string.h>

#include "core/requires.h"
#include "core/target.h"
#include "kernels/floats/tables.h"

#if defined(__x86_64__)
#include <immintrin.h>

BNN_TARGET_BEGIN("avx2,fma")

namespace bnn {
namespace {

#include "kernels/floats/vectors_avx2.inc"

// Each builds on those before.
#include "kernels/floats/convolve.inc"

#include "kernels/floats/pool.inc"

#include "kernels/floats/winograd.inc"

#include "kernels/floats/int8.inc"

}  // namespace

const FloatKernels kAvx2Floats = {kOutputs,
                                  kVectors * kLanes,
                                  convolve_row,
                                  copy_columns,
                                  split_row,
                                  pool_row,
                                  mean,
                                  dense,
                                  {kTermOutputs, kTermsTogether, transform_rows, winograd_rows}};

const Int8Kernels kAvx2Int8 = {
    kOutputs,          kCellVectors * kLanes, kCellChannels, kOffset,    pack_cell_weights,
    convolve_cell_row, quantize_cells,        quantize,      fill_panel, dense_quads};

}  // namespace bnn

BNN_TARGET_END
#endif
