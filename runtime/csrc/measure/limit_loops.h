// The loops over registers of each implementation: what its instructions can do at best.
#ifndef BNN_LIMIT_LOOPS_H_
#define BNN_LIMIT_LOOPS_H_

#include "bnn.h"

namespace bnn {

struct LimitTable {
  const bnn_limit* limits;
  void (*const* loops)(int64_t rounds);  // one for each limit
  int32_t count;
};

constexpr const char* kFloatMac = "float MAC";
constexpr const char* kInt8Mac = "8-bit MAC";
constexpr const char* kBinaryMac = "binary MAC";
constexpr const char* kFullAdder = "full adder";

extern const LimitTable kGenericLimits;
#if defined(__x86_64__)
extern const LimitTable kAvx2Limits;
extern const LimitTable kAvx512Limits;
#elif defined(__aarch64__)
extern const LimitTable kNeonLimits, kNeonDotLimits;
#endif

}  // namespace bnn

// Makes the compiler forget what it knows of a value that stays in a register: it computes again
// what depends on it, and adds to it in the order written. Costs no instruction.
#if defined(__x86_64__)
#define BNN_FORGET(value) asm volatile("" : "+v"(value))
#define BNN_USE(value) asm volatile("" ::"v"(value))
#elif defined(__aarch64__)
#define BNN_FORGET(value) asm volatile("" : "+w"(value))
#define BNN_USE(value) asm volatile("" ::"w"(value))
#else
#define BNN_FORGET(value) asm volatile("" : "+m"(value))
#define BNN_USE(value) asm volatile("" ::"m"(value))
#endif

#endif  // BNN_LIMIT_LOOPS_H_
