// Measures instruction limits: the loops of the active implementation, and the generic ones.
// The vectors of the generic ones are what the compiler makes of loops over arrays.
#include "measure/limit_loops.h"

#include <string.h>

#include "core/clock.h"
#include "core/status.h"
#include "kernels/dispatch.h"
#include "measure/runs.h"

namespace bnn {
namespace {

// 128 bits: what the baseline instruction set of x86-64 and of aarch64 has.
typedef uint32_t Words __attribute__((vector_size(16)));
typedef float Floats __attribute__((vector_size(16)));

void multiply_add_generic(int64_t rounds) {
  Floats sum[8], a = {}, b = {};
  for (int i = 0; i < 8; ++i) sum[i] = Floats{};
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      BNN_FORGET(a);
      sum[i] += a * b;
      BNN_FORGET(sum[i]);
    }
  }
  for (int i = 0; i < 8; ++i) BNN_USE(sum[i]);
}

void multiply_bytes_generic(int64_t rounds) {
  Words sum[8], a = {}, b = {};
  for (int i = 0; i < 8; ++i) sum[i] = Words{};
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      BNN_FORGET(a);
      sum[i] += a * b;
      BNN_FORGET(sum[i]);
    }
  }
  for (int i = 0; i < 8; ++i) BNN_USE(sum[i]);
}

void popcount_generic(int64_t rounds) {
  Words sum[4] = {}, x = {}, w = {};
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      BNN_FORGET(x);
      Words n = x ^ w;
      n -= (n >> 1) & 0x55555555u;
      n = (n & 0x33333333u) + ((n >> 2) & 0x33333333u);
      sum[i] += (((n + (n >> 4)) & 0x0f0f0f0fu) * 0x01010101u) >> 24;
      BNN_FORGET(sum[i]);
    }
  }
  for (int i = 0; i < 4; ++i) BNN_USE(sum[i]);
}

void adders_generic(int64_t rounds) {
  Words sum[4] = {}, a = {}, b = {};
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      BNN_FORGET(a);
      BNN_FORGET(b);
      const Words half = sum[i] ^ a;
      const Words carry = (sum[i] & a) | (half & b);
      BNN_USE(carry);
      sum[i] = half ^ b;
      BNN_FORGET(sum[i]);
    }
  }
  for (int i = 0; i < 4; ++i) BNN_USE(sum[i]);
}

constexpr bnn_limit kList[] = {
    {"multiply, add", kFloatMac, 8 * 4},
    {"multiply, add of 32-bit integers", kInt8Mac, 8 * 4},
    {"exclusive-or, popcount by arithmetic", kBinaryMac, 4 * 128},
    {"full adder of five operations", kFullAdder, 4 * 128},
};
void (*const kLoops[])(int64_t) = {multiply_add_generic, multiply_bytes_generic, popcount_generic,
                                   adders_generic};

struct Entry {
  const char* implementation;
  const LimitTable* table;
};

const Entry kTables[] = {
#if defined(__x86_64__)
#if !defined(BNN_EMULATE_AVX512)
    {"avx512", &kAvx512Limits},
#endif
    {"avx2", &kAvx2Limits},
#elif defined(__aarch64__)
    {"neon_dot", &kNeonDotLimits},
    {"neon", &kNeonLimits},
#endif
    {"generic", &kGenericLimits},
};

// NULL after a failure, which is then in bnn_error().
const LimitTable* active_limits() {
  const Kernels* kernels = active_kernels();
  if (kernels == nullptr) return nullptr;
  for (const Entry& entry : kTables) {
    if (strcmp(entry.implementation, kernels->name) == 0) return entry.table;
  }
  fail(BNN_EUNSUPPORTED,
       "bnn_limits: expected loops of '%s' in measure/limit_loops.cpp, found none; add them",
       kernels->name);
  return nullptr;
}

}  // namespace

const LimitTable kGenericLimits = {kList, kLoops, 4};

}  // namespace bnn

int bnn_limits(const bnn_limit** list, int32_t* count) {
  using namespace bnn;
  if (list == nullptr || count == nullptr)
    return fail(BNN_EARGUMENT, "bnn_limits: expected two pointers, found NULL");
  const LimitTable* table = active_limits();
  if (table == nullptr) return BNN_EUNSUPPORTED;
  *list = table->limits;
  *count = table->count;
  return BNN_OK;
}

int bnn_measure_limit(int32_t index, int64_t rounds, int32_t runs, double* nanoseconds) {
  using namespace bnn;
  const LimitTable* table = active_limits();
  if (table == nullptr) return BNN_EUNSUPPORTED;
  if (check_range("bnn_measure_limit: index", index, 0, table->count - 1) != BNN_OK ||
      check_range("bnn_measure_limit: rounds", rounds, 1, int64_t{1} << 40) != BNN_OK ||
      check_range("bnn_measure_limit: runs", runs, 1, kMostRuns) != BNN_OK ||
      check_pointer("bnn_measure_limit: nanoseconds", nanoseconds) != BNN_OK) {
    return BNN_EARGUMENT;
  }
  for (int32_t run = 0; run < runs; ++run) {
    const double start = read_clock();
    table->loops[index](rounds);
    nanoseconds[run] = read_clock() - start;
  }
  return BNN_OK;
}
