// Seeded random numbers for the self-tests.
#ifndef BNN_TESTS_RANDOM_H_
#define BNN_TESTS_RANDOM_H_

#include <stdint.h>

struct Random {  // xorshift64*
  uint64_t state;
  uint32_t word() {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return static_cast<uint32_t>((state * 0x2545f4914f6cdd1du) >> 32);
  }
  float number() {
    return static_cast<float>(static_cast<int32_t>(word())) / 2147483648.0f;
  }  // -1..1
};

#endif  // BNN_TESTS_RANDOM_H_
