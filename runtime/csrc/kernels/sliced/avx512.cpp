// The bit-sliced family for AVX-512: full adders of two operations, 512 positions at a time.
// For 256 positions see kernels/sliced/avx512_half.cpp.
#include <string.h>

#include "core/border.h"
#include "core/requires.h"
#include "core/target.h"
#include "kernels/sliced/sliced.h"

#if defined(__x86_64__)
#include "core/intrinsics.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // see kernels/popcount/avx512.cpp
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

BNN_TARGET_BEGIN("avx512f,avx512bw,avx512vbmi,gfni,prfchw,avx2,fma")

namespace bnn {
namespace {

#include "kernels/sliced/vectors_avx512.inc"

// Each builds on those before.
#include "kernels/sliced/sums.inc"

#include "kernels/sliced/groups.inc"

#include "kernels/sliced/elements.inc"

#include "kernels/sliced/layer.inc"

#include "kernels/sliced/pool.inc"

#include "kernels/sliced/compare.inc"

}  // namespace

static_assert(sizeof(Vec) == kAvx512Sizes.full, "shapes are made of these sizes");

const SlicedKernels kAvx512Sliced = {compare_floats,
                                     &kAvx512SlicedHalf,
                                     {sizeof(Vec), spread_planes, count_outputs, pool_outputs},
                                     kAvx512Sizes};

}  // namespace bnn

BNN_TARGET_END
#endif
