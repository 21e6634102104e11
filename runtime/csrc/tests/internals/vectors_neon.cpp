// Tests the vectors of NEON: four floats, with and without dot products, and 128 positions.
#include "core/requires.h"
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

namespace pairs {
namespace single = sliced;

#include "kernels/sliced/pairs_neon.inc"
}  // namespace pairs

bool is_equal(Vec a, Vec b) {
  const Bits x = bits_of(a), y = bits_of(b);
  return memcmp(&x, &y, sizeof x) == 0;
}

// Every operation of a pair is that of its halves.
void test_pairs(Random* random, Findings* findings) {
  Vec halves[3][2];
  pairs::Vec x[3];
  for (int i = 0; i < 3; ++i) {
    for (Vec& half : halves[i]) half = vector_of(random_bits(random));
    x[i] = {halves[i][0], halves[i][1]};
  }
  const auto note = [&](const char* name, pairs::Vec found, auto expect) {
    Vec scratch[1];
    for (int v = 0; v < 2; ++v) {
      const Vec expected = expect(halves[0][v], halves[1][v], halves[2][v]);
      findings->note(name, is_equal(*pairs::part_of(&found, v, 1, scratch), expected));
    }
  };
  note("zeros", pairs::zeros(), [](Vec, Vec, Vec) { return zeros(); });
  note("bit_and", pairs::bit_and(x[0], x[1]), [](Vec a, Vec b, Vec) { return bit_and(a, b); });
  note("bit_xor", pairs::bit_xor(x[0], x[1]), [](Vec a, Vec b, Vec) { return bit_xor(a, b); });
  note("sum3", pairs::sum3(x[0], x[1], x[2]), sum3);
  note("majority", pairs::majority(x[0], x[1], x[2]), majority);
  note("borrow", pairs::borrow(x[0], x[1], x[2]), borrow);
}

// Whether planes of weights 1 and 2 and four bits are the new planes and a carry of weight 4.
bool adds_up(const Vec (&before)[2], const Bits (&x)[4], const Vec (&after)[2], Vec carry) {
  const Bits planes[5] = {bits_of(before[0]), bits_of(before[1]), bits_of(after[0]),
                          bits_of(after[1]), bits_of(carry)};
  for (int i = 0; i < kPositions; ++i) {
    int sum = planes[0].position(i) + 2 * planes[1].position(i);
    for (const Bits& bits : x) sum += bits.position(i);
    if (sum != planes[2].position(i) + 2 * planes[3].position(i) + 4 * planes[4].position(i)) {
      return false;
    }
  }
  return true;
}

// Entries as indices of the vectors behind each other, of one vector and of a pair.
void test_four(Random* random, Findings* findings) {
  static Bits vectors[(1 << 16) + 1];  // as many as an index of 16 bits names, and one behind it
  uint16_t entries[4];
  Bits x[2][4];
  for (int i = 0; i < 4; ++i) {  // not two of them neighbours
    entries[i] = static_cast<uint16_t>(i << 14 | random->word() % ((1 << 14) - 1));
    for (int v = 0; v < 2; ++v) x[v][i] = vectors[entries[i] + v] = random_bits(random);
  }
  const char* elements = reinterpret_cast<const char*>(vectors);
  Vec before[2][2];
  for (auto& planes : before) {
    for (Vec& plane : planes) plane = vector_of(random_bits(random));
  }
  Vec planes[2] = {before[0][0], before[0][1]};
  const Vec carry = add_four(elements, entries, planes);
  findings->note("add_four", adds_up(before[0], x[0], planes, carry));
  pairs::Vec both[2] = {{before[0][0], before[1][0]}, {before[0][1], before[1][1]}};
  const pairs::Vec carries = pairs::add_four(elements, entries, both);
  findings->note("add_four", adds_up(before[0], x[0], {both[0].a, both[1].a}, carries.a));
  findings->note("add_four", adds_up(before[1], x[1], {both[0].b, both[1].b}, carries.b));
}

void test_both(Findings* findings) {
  test_sliced(findings);
  test_compare(findings);
  Random random = {4};
  for (int round = 0; round < kRounds; ++round) {
    test_pairs(&random, findings);
    test_four(&random, findings);
  }
}
}  // namespace sliced

}  // namespace

const VectorTest kNeonVectors[2] = {{"neon", "floats", floats::test_both},
                                    {"neon", "sliced", sliced::test_both}};
const VectorTest kNeonDotVectors[1] = {{"neon_dot", "floats", floats::dot::test_int8}};

}  // namespace bnn
#endif
