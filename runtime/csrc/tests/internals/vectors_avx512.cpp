// Tests the vectors of AVX-512: sixteen floats, 512 positions and 256 of them.
#include "core/requires.h"
#include "core/target.h"
#include "kernels/sliced/sliced.h"
#include "tests/internals/vectors.h"

#if defined(__x86_64__)
#include "core/intrinsics.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // see kernels/popcount/avx512.cpp
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

BNN_TARGET_BEGIN("avx512f,avx512bw,avx512vl,avx512vbmi,avx512vnni,gfni,avx2,fma")

namespace bnn {
namespace {

namespace floats {
#include "kernels/floats/vectors_avx512.inc"

#include "tests/internals/float_operations.inc"

#include "tests/internals/int8_operations.inc"

void test_both(Findings* findings) {
  test_floats(findings);
  test_int8(findings);
}
}  // namespace floats

namespace sliced {
#include "kernels/sliced/vectors_avx512.inc"

#include "tests/internals/sliced_operations.inc"

#include "tests/internals/compare_operations.inc"

#include "tests/internals/number_operations.inc"

void test_all(Findings* findings) {
  test_sliced(findings);
  test_compare(findings);
  test_sliced_numbers(findings);
}
}  // namespace sliced

namespace half {
#include "kernels/sliced/vectors_avx512_half.inc"

#include "tests/internals/sliced_operations.inc"

#include "tests/internals/number_operations.inc"

void test_both(Findings* findings) {
  test_sliced(findings);
  test_sliced_numbers(findings);
}
}  // namespace half

}  // namespace

const VectorTest kAvx512Vectors[3] = {{"avx512", "floats", floats::test_both},
                                      {"avx512", "sliced", sliced::test_all},
                                      {"avx512", "sliced half", half::test_both}};

}  // namespace bnn

BNN_TARGET_END
#endif
