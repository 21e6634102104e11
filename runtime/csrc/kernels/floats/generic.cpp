// Float parts in the generic implementation: the same tiles as elsewhere, with one lane.
#include <string.h>

#include "core/requires.h"
#include "core/target.h"
#include "kernels/floats/tables.h"

namespace bnn {
namespace {

#include "kernels/floats/vectors_generic.inc"

// Each builds on those before.
#include "kernels/floats/convolve.inc"

#include "kernels/floats/pool.inc"

#include "kernels/floats/winograd.inc"

#include "kernels/floats/int8.inc"

}  // namespace

const FloatKernels kGenericFloats = {kOutputs,
                                     kVectors * kLanes,
                                     convolve_row,
                                     copy_columns,
                                     split_row,
                                     pool_row,
                                     mean,
                                     dense,
                                     {kTermOutputs, kTermsTogether, transform_rows, winograd_rows}};

const Int8Kernels kGenericInt8 = {
    kOutputs,          kCellVectors * kLanes, kCellChannels, kOffset,    pack_cell_weights,
    convolve_cell_row, quantize_cells,        quantize,      fill_panel, dense_quads};

}  // namespace bnn
