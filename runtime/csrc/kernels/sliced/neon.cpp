// The bit-sliced family for NEON: full adders of three operations, 128 positions at a time.
#include <string.h>

#include "core/border.h"
#include "core/requires.h"
#include "core/target.h"
#include "kernels/sliced/sliced.h"

#if defined(__aarch64__)
#include <arm_neon.h>

namespace bnn {
namespace {

#include "kernels/sliced/vectors_neon.inc"

// Each builds on those before.
#include "kernels/sliced/sums.inc"

namespace pairs {

namespace single = bnn;

#include "kernels/sliced/pairs_neon.inc"

#include "kernels/sliced/sums.inc"

}  // namespace pairs

#include "kernels/sliced/groups.inc"

#include "kernels/sliced/elements.inc"

#include "kernels/sliced/layer.inc"

#include "kernels/sliced/pool.inc"

#include "kernels/sliced/compare.inc"

}  // namespace

static_assert(sizeof(Vec) == kNeonSizes.full, "shapes are made of these sizes");

const SlicedKernels kNeonSliced = {
    compare_floats, nullptr, {sizeof(Vec), spread_planes, count_outputs, pool_outputs}, kNeonSizes};

}  // namespace bnn

#endif
