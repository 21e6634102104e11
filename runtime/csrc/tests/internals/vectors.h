// The tests of vectors: every operation against a loop over its lanes.
//
// One file for each instruction set includes vectors_*.inc of the kernels in its target region, and
// behind each the operations' tests (*_operations.inc), which a vector without one would not
// compile.
#ifndef BNN_TESTS_VECTORS_H_
#define BNN_TESTS_VECTORS_H_

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "tests/internals/random.h"
#include "tests/internals/report.h"

namespace bnn {

// What was found out about each operation of a vector, over all rounds.
class Findings {
 public:
  void note(const char* operation, bool passed);
  void report(const char* implementation, const char* vector, Report report) const;

 private:
  static constexpr int kMost = 64;
  struct {
    const char* operation;
    bool passed;
  } findings_[kMost];
  int count_ = 0;
};

struct VectorTest {
  const char* implementation;  // that the CPU has to run
  const char* vector;
  void (*run)(Findings* findings);
};

// vectors_<name>.cpp
extern const VectorTest kGenericVectors[1];
#if defined(__x86_64__)
extern const VectorTest kAvx2Vectors[2];
extern const VectorTest kAvx512Vectors[3];
#elif defined(__aarch64__)
extern const VectorTest kNeonVectors[2];
extern const VectorTest kNeonDotVectors[1];
#endif

constexpr int kRounds = 200;

// Finite and infinite floats, zeros of both signs, denormal ones, those that lie between integers.
inline float odd_float(Random* random) {
  static const float kOdd[] = {0.0f, -0.0f,  INFINITY, -INFINITY, NAN,    1e-42f, -1e-42f, 0.5f,
                               1.5f, 254.5f, 255.0f,   1e30f,     -1e30f, 1.0f,   -2.5f,   3.4e38f};
  const uint32_t word = random->word();
  if (word % 4 == 0) return kOdd[word / 4 % (sizeof kOdd / sizeof kOdd[0])];
  return random->number() * (word % 4 == 1 ? 300.0f : 2.0f);
}

// The same bits, or both not a number.
inline bool is_same(float a, float b) {
  return (isnan(a) && isnan(b)) || memcmp(&a, &b, sizeof a) == 0;
}

}  // namespace bnn
#endif  // BNN_TESTS_VECTORS_H_
