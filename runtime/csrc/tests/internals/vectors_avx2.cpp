// Tests the vectors of AVX2: eight floats and 256 positions.
#include "core/target.h"
#include "kernels/sliced/sliced.h"
#include "tests/internals/vectors.h"

#if defined(__x86_64__)
#include <immintrin.h>

BNN_TARGET_BEGIN("avx2,fma")

namespace bnn {
namespace {

namespace floats {
#include "kernels/floats/vectors_avx2.inc"

#include "tests/internals/float_operations.inc"

#include "tests/internals/int8_operations.inc"

void test_both(Findings* findings) {
  test_floats(findings);
  test_int8(findings);
}
}  // namespace floats

namespace sliced {
#include "kernels/sliced/vectors_avx2.inc"

#include "tests/internals/sliced_operations.inc"

#include "tests/internals/compare_operations.inc"

void test_both(Findings* findings) {
  test_sliced(findings);
  test_compare(findings);
}
}  // namespace sliced

}  // namespace

const VectorTest kAvx2Vectors[2] = {{"avx2", "floats", floats::test_both},
                                    {"avx2", "sliced", sliced::test_both}};

}  // namespace bnn

BNN_TARGET_END
#endif
