// The bit-sliced family for AVX2: full adders of five operations, 256 positions at a time.
#include <string.h>

#include "core/border.h"
#include "core/requires.h"
#include "core/target.h"
#include "kernels/sliced/sliced.h"

#if defined(__x86_64__)
#include <immintrin.h>

BNN_TARGET_BEGIN("avx2,fma")

namespace bnn {
namespace {

#include "kernels/sliced/vectors_avx2.inc"

// Each builds on those before.
#include "kernels/sliced/sums.inc"

#include "kernels/sliced/groups.inc"

#include "kernels/sliced/elements.inc"

#include "kernels/sliced/layer.inc"

#include "kernels/sliced/pool.inc"

#include "kernels/sliced/compare.inc"

}  // namespace

static_assert(sizeof(Vec) == kAvx2Sizes.full, "shapes are made of these sizes");

const SlicedKernels kAvx2Sliced = {
    compare_floats, nullptr, {sizeof(Vec), spread_planes, count_outputs, pool_outputs}, kAvx2Sizes};

}  // namespace bnn

BNN_TARGET_END
#endif
