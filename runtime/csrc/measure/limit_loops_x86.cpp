// The instruction limits of AVX2 and AVX-512, as loops over registers; see measure/limit_loops.h.
#include "core/target.h"
#include "measure/limit_loops.h"

#if defined(__x86_64__)
#include <immintrin.h>

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored \
    "-Wmaybe-uninitialized"  // GCC 12: undefined vectors inside its own intrinsics
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

namespace bnn {
namespace {

typedef void Loop(int64_t rounds);

// ---- AVX2 ----
BNN_TARGET_BEGIN("avx2,fma")

void fma_avx2(int64_t rounds) {
  __m256 sum[12], a = _mm256_setzero_ps(), b = _mm256_setzero_ps();
  BNN_FORGET(a);
  BNN_FORGET(b);
#pragma GCC unroll 12
  for (int i = 0; i < 12; ++i) {
    sum[i] = _mm256_setzero_ps();
    BNN_FORGET(sum[i]);
  }
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 24
    for (int i = 0; i < 24; ++i) sum[i % 12] = _mm256_fmadd_ps(a, b, sum[i % 12]);
  }
#pragma GCC unroll 12
  for (int i = 0; i < 12; ++i) BNN_USE(sum[i]);
}

// As add_products of kernels/floats/avx2.cpp: pairs of products of 16-bit integers.
void pairs_avx2(int64_t rounds) {
  __m256i sum[6], x = _mm256_setzero_si256(), w = x;
  BNN_FORGET(w);
#pragma GCC unroll 6
  for (int i = 0; i < 6; ++i) {
    sum[i] = _mm256_setzero_si256();
    BNN_FORGET(sum[i]);
  }
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) {
      BNN_FORGET(x);
      sum[i % 6] = _mm256_add_epi32(sum[i % 6], _mm256_madd_epi16(x, w));
      BNN_FORGET(sum[i % 6]);
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < 6; ++i) BNN_USE(sum[i]);
}

// As nibbles_4x64: rows of a table of 16 x 16, one shuffle and one addition for 32 outputs. Three
// pixels at a time keep clear of the 16 registers.
void nibbles_avx2(int64_t rounds) {
  __m256i sum[6], row[3], w0 = _mm256_setzero_si256(), w1 = w0;
#pragma GCC unroll 6
  for (int i = 0; i < 6; ++i) {
    sum[i] = _mm256_setzero_si256();
    BNN_FORGET(sum[i]);
  }
#pragma GCC unroll 3
  for (int i = 0; i < 3; ++i) {
    row[i] = _mm256_setzero_si256();
    BNN_FORGET(row[i]);
  }
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 4
    for (int step = 0; step < 4; ++step) {
      BNN_FORGET(w0);
      BNN_FORGET(w1);
#pragma GCC unroll 3
      for (int i = 0; i < 3; ++i) {
        sum[2 * i] = _mm256_add_epi8(sum[2 * i], _mm256_shuffle_epi8(row[i], w0));
        BNN_FORGET(sum[2 * i]);
        sum[2 * i + 1] = _mm256_add_epi8(sum[2 * i + 1], _mm256_shuffle_epi8(row[i], w1));
        BNN_FORGET(sum[2 * i + 1]);
      }
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < 6; ++i) BNN_USE(sum[i]);
}

void xor_shuffle_avx2(int64_t rounds) {
  __m256i sum[4], x = _mm256_setzero_si256(), w = x, table = x, low = x;
  BNN_FORGET(table);
  BNN_FORGET(low);
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    sum[i] = _mm256_setzero_si256();
    BNN_FORGET(sum[i]);
  }
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      BNN_FORGET(x);
      BNN_FORGET(w);
      const __m256i differ = _mm256_xor_si256(x, w);
      const __m256i high = _mm256_and_si256(_mm256_srli_epi16(differ, 4), low);
      sum[i] = _mm256_add_epi8(sum[i], _mm256_shuffle_epi8(table, _mm256_and_si256(differ, low)));
      sum[i] = _mm256_add_epi8(sum[i], _mm256_shuffle_epi8(table, high));
      BNN_FORGET(sum[i]);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) BNN_USE(sum[i]);
}

void adders_avx2(int64_t rounds) {
  __m256i sum[4], a = _mm256_setzero_si256(), b = a;
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    sum[i] = _mm256_setzero_si256();
    BNN_FORGET(sum[i]);
  }
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      BNN_FORGET(a);
      BNN_FORGET(b);
      const __m256i half = _mm256_xor_si256(sum[i], a);
      const __m256i carry = _mm256_or_si256(_mm256_and_si256(sum[i], a), _mm256_and_si256(half, b));
      BNN_USE(carry);
      sum[i] = _mm256_xor_si256(half, b);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) BNN_USE(sum[i]);
}

BNN_TARGET_END

constexpr bnn_limit kAvx2List[] = {
    {"fused multiply-add", kFloatMac, 24 * 8},
    {"multiply and add pairs of 16 bits, add", kInt8Mac, 12 * 16},
    {"table row per four bits", kBinaryMac, 24 * 32 * 4},
    {"exclusive-or, shuffle popcount, add", kBinaryMac, 4 * 256},
    {"full adder of five operations", kFullAdder, 4 * 256},
};
Loop* const kAvx2Loops[] = {fma_avx2, pairs_avx2, nibbles_avx2, xor_shuffle_avx2, adders_avx2};

// ---- AVX-512 ----
#if !defined(BNN_EMULATE_AVX512)  // emulated, its instructions tell nothing of the CPU
BNN_TARGET_BEGIN("avx512f,avx512bw,avx512vnni,avx512vpopcntdq,avx2,fma")

void fma_avx512(int64_t rounds) {
  __m512 sum[24], a = _mm512_setzero_ps(), b = _mm512_setzero_ps();
  BNN_FORGET(a);
  BNN_FORGET(b);
#pragma GCC unroll 24
  for (int i = 0; i < 24; ++i) {
    sum[i] = _mm512_setzero_ps();
    BNN_FORGET(sum[i]);
  }
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 24
    for (int i = 0; i < 24; ++i) sum[i] = _mm512_fmadd_ps(a, b, sum[i]);
  }
#pragma GCC unroll 24
  for (int i = 0; i < 24; ++i) BNN_USE(sum[i]);
}

void dot_avx512(int64_t rounds) {
  __m512i sum[24], x = _mm512_setzero_si512(), w = x;
  BNN_FORGET(x);
  BNN_FORGET(w);
#pragma GCC unroll 24
  for (int i = 0; i < 24; ++i) {
    sum[i] = _mm512_setzero_si512();
    BNN_FORGET(sum[i]);
  }
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 24
    for (int i = 0; i < 24; ++i)  // GCC 12 copies the sum of the intrinsic
      asm volatile("vpdpbusd %2, %1, %0" : "+v"(sum[i]) : "v"(x), "v"(w));
  }
#pragma GCC unroll 24
  for (int i = 0; i < 24; ++i) BNN_USE(sum[i]);
}

void popcount_avx512(int64_t rounds) {
  __m512i sum[8], x = _mm512_setzero_si512(), w = x;
  BNN_FORGET(w);
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    sum[i] = _mm512_setzero_si512();
    BNN_FORGET(sum[i]);
  }
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      BNN_FORGET(x);
      sum[i] = _mm512_add_epi32(sum[i], _mm512_popcnt_epi32(_mm512_xor_si512(x, w)));
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) BNN_USE(sum[i]);
}

// As prefix_tile: two words are two exclusive-ors, a carry, its popcount and an addition.
void running_avx512(int64_t rounds) {
  __m512i sum[8], last[8], x0 = _mm512_setzero_si512(), x1 = x0, w0 = x0, w1 = x0;
  BNN_FORGET(w0);
  BNN_FORGET(w1);
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    sum[i] = last[i] = _mm512_setzero_si512();
    BNN_FORGET(sum[i]);
    BNN_FORGET(last[i]);
  }
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 16
    for (int k = 0; k < 16; ++k) {  // twice each, so that `last` can change its register unmoved
      const int i = k / 2;
      BNN_FORGET(x0);
      BNN_FORGET(x1);
      const __m512i p0 = _mm512_xor_si512(x0, w0), p1 = _mm512_xor_si512(x1, w1);
      const __m512i carry = _mm512_ternarylogic_epi32(p0, p1, last[i], 0x3a);
      sum[i] = _mm512_add_epi32(sum[i], _mm512_popcnt_epi32(carry));
      last[i] = p1;
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    BNN_USE(sum[i]);
    BNN_USE(last[i]);
  }
}

void adders_avx512(int64_t rounds) {
  __m512i sum[8], a = _mm512_setzero_si512(), b = a;
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    sum[i] = _mm512_setzero_si512();
    BNN_FORGET(sum[i]);
  }
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      BNN_FORGET(a);
      BNN_FORGET(b);
      const __m512i carry = _mm512_ternarylogic_epi32(sum[i], a, b, 0xe8);  // majority
      BNN_USE(carry);
      sum[i] = _mm512_ternarylogic_epi32(sum[i], a, b, 0x96);  // exclusive-or of three
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) BNN_USE(sum[i]);
}

BNN_TARGET_END

constexpr bnn_limit kAvx512List[] = {
    {"fused multiply-add", kFloatMac, 24 * 16},
    {"dot products of four bytes", kInt8Mac, 24 * 64},
    {"running exclusive-or, popcount of carries", kBinaryMac, 16 * 2 * 512},
    {"exclusive-or, popcount, add", kBinaryMac, 8 * 512},
    {"full adder of two ternary operations", kFullAdder, 8 * 512},
};
Loop* const kAvx512Loops[] = {fma_avx512, dot_avx512, running_avx512, popcount_avx512,
                              adders_avx512};
#endif

}  // namespace

const LimitTable kAvx2Limits = {kAvx2List, kAvx2Loops, 5};
#if !defined(BNN_EMULATE_AVX512)
const LimitTable kAvx512Limits = {kAvx512List, kAvx512Loops, 5};
#endif

}  // namespace bnn
#endif
