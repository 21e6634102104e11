// The instruction limits of NEON, as loops over registers; see measure/limit_loops.h.
#include "core/target.h"
#include "measure/limit_loops.h"

#if defined(__aarch64__)
#include <arm_neon.h>

namespace bnn {
namespace {

void fma_neon(int64_t rounds) {
  float32x4_t sum[24], a = vdupq_n_f32(0), b = vdupq_n_f32(0);
  BNN_FORGET(a);
  BNN_FORGET(b);
#pragma GCC unroll 24
  for (int i = 0; i < 24; ++i) {
    sum[i] = vdupq_n_f32(0);
    BNN_FORGET(sum[i]);
  }
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 24
    for (int i = 0; i < 24; ++i) sum[i] = vfmaq_f32(sum[i], a, b);
  }
#pragma GCC unroll 24
  for (int i = 0; i < 24; ++i) BNN_USE(sum[i]);
}

// As add_products of kernels/floats/neon.cpp: two products of bytes fit 16 bits.
void bytes_neon(int64_t rounds) {
  int32x4_t sum[8];
  int8x16_t x = vdupq_n_s8(0), w = vdupq_n_s8(0);
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    sum[i] = vdupq_n_s32(0);
    BNN_FORGET(sum[i]);
  }
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      BNN_FORGET(x);
      BNN_FORGET(w);
      const int16x8_t products = vmull_s8(vget_low_s8(x), vget_low_s8(w));
      sum[i] = vpadalq_s16(sum[i], vmlal_high_s8(products, x, w));
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) BNN_USE(sum[i]);
}

void popcount_neon(int64_t rounds) {
  uint8x16_t sum[8], x = vdupq_n_u8(0), w = vdupq_n_u8(0);
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    sum[i] = vdupq_n_u8(0);
    BNN_FORGET(sum[i]);
  }
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      BNN_FORGET(x);
      BNN_FORGET(w);
      sum[i] = vaddq_u8(sum[i], vcntq_u8(veorq_u8(x, w)));
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) BNN_USE(sum[i]);
}

// Two words are two exclusive-ors, a carry by selection, its popcount and an addition; stored
// complements would take care of the carry's sign.
void running_neon(int64_t rounds) {
  uint8x16_t sum[8], last[8], x0 = vdupq_n_u8(0), x1 = x0, w0 = x0, w1 = x0;
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    sum[i] = last[i] = vdupq_n_u8(0);
    BNN_FORGET(sum[i]);
    BNN_FORGET(last[i]);
  }
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 16
    for (int k = 0; k < 16; ++k) {  // twice each, so that `last` can change its register unmoved
      const int i = k / 2;
      BNN_FORGET(x0);
      BNN_FORGET(x1);
      BNN_FORGET(w0);
      BNN_FORGET(w1);
      const uint8x16_t p0 = veorq_u8(x0, w0), p1 = veorq_u8(x1, w1);
      sum[i] = vaddq_u8(sum[i], vcntq_u8(vbslq_u8(p0, p1, last[i])));
      last[i] = p1;
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    BNN_USE(sum[i]);
    BNN_USE(last[i]);
  }
}

void adders_neon(int64_t rounds) {
  uint8x16_t sum[8], a = vdupq_n_u8(0), b = vdupq_n_u8(0);
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    sum[i] = vdupq_n_u8(0);
    BNN_FORGET(sum[i]);
  }
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      BNN_FORGET(a);
      BNN_FORGET(b);
      const uint8x16_t half = veorq_u8(sum[i], a);
      const uint8x16_t carry = vbslq_u8(half, b, a);
      BNN_USE(carry);
      sum[i] = veorq_u8(half, b);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) BNN_USE(sum[i]);
}

#if defined(__clang__)
BNN_TARGET_BEGIN("dotprod")
#else
BNN_TARGET_BEGIN("arch=armv8.2-a+dotprod")
#endif

void dot_neon(int64_t rounds) {
  int32x4_t sum[24];
  int8x16_t x = vdupq_n_s8(0), w = vdupq_n_s8(0);
  BNN_FORGET(x);
  BNN_FORGET(w);
#pragma GCC unroll 24
  for (int i = 0; i < 24; ++i) {
    sum[i] = vdupq_n_s32(0);
    BNN_FORGET(sum[i]);
  }
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 24
    for (int i = 0; i < 24; ++i) {
      sum[i] = vdotq_s32(sum[i], x, w);
      BNN_FORGET(sum[i]);
    }
  }
#pragma GCC unroll 24
  for (int i = 0; i < 24; ++i) BNN_USE(sum[i]);
}

BNN_TARGET_END

constexpr bnn_limit kList[] = {
    {"fused multiply-add", kFloatMac, 24 * 4},
    {"multiply bytes, add products, add pairs", kInt8Mac, 8 * 16},
    {"running exclusive-or, popcount of carries", kBinaryMac, 16 * 2 * 128},
    {"exclusive-or, popcount, add", kBinaryMac, 8 * 128},
    {"full adder of two exclusive-ors and a selection", kFullAdder, 8 * 128},
};
void (*const kLoops[])(int64_t) = {fma_neon, bytes_neon, running_neon, popcount_neon, adders_neon};

constexpr bnn_limit kDotList[] = {
    kList[0], kList[1], {"dot products of four bytes", kInt8Mac, 24 * 16},
    kList[2], kList[3], kList[4],
};
void (*const kDotLoops[])(int64_t) = {fma_neon,     bytes_neon,    dot_neon,
                                      running_neon, popcount_neon, adders_neon};

}  // namespace

const LimitTable kNeonLimits = {kList, kLoops, 5};
const LimitTable kNeonDotLimits = {kDotList, kDotLoops, 6};

}  // namespace bnn
#endif
