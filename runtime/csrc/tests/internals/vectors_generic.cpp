// Tests the vector of the generic implementation, which is one float.
#include "core/target.h"
#include "tests/internals/vectors.h"

namespace bnn {
namespace {

#include "kernels/floats/vectors_generic.inc"

#include "tests/internals/float_operations.inc"

#include "tests/internals/int8_operations.inc"

void test_both(Findings* findings) {
  test_floats(findings);
  test_int8(findings);
}

}  // namespace

const VectorTest kGenericVectors[1] = {{"generic", "floats", test_both}};

}  // namespace bnn
