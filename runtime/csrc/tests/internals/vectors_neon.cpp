// Tests the vectors of NEON: four floats, with and without dot products, and 128 positions.
#include "core/target.h"
#include "kernels/sliced/sliced.h"
#include "tests/internals/vectors.h"

#if defined(__aarch64__)
#include <arm_neon.h>

namespace bnn {
namespace {

namespace floats {
#include "kernels/floats/vectors_neon.inc"

#include "tests/internals/float_operations.inc"

#include "tests/internals/int8_operations.inc"

void test_both(Findings* findings) {
  test_floats(findings);
  test_int8(findings);
}

#if defined(__clang__)
BNN_TARGET_BEGIN("dotprod")
#else
BNN_TARGET_BEGIN("arch=armv8.2-a+dotprod")
#endif

namespace dot {
#include "kernels/floats/vectors_neon_dot.inc"

#include "tests/internals/int8_operations.inc"
}  // namespace dot

BNN_TARGET_END
}  // namespace floats

namespace sliced {
#include "kernels/sliced/vectors_neon.inc"

#include "tests/internals/sliced_operations.inc"

#include "tests/internals/compare_operations.inc"

void test_both(Findings* findings) {
  test_sliced(findings);
  test_compare(findings);
}
}  // namespace sliced

}  // namespace

const VectorTest kNeonVectors[2] = {{"neon", "floats", floats::test_both},
                                    {"neon", "sliced", sliced::test_both}};
const VectorTest kNeonDotVectors[1] = {{"neon_dot", "floats", floats::dot::test_int8}};

}  // namespace bnn
#endif
