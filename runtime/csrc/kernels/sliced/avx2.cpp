// The bit-sliced family for AVX2: full adders of five operations, 256 positions at a time.
#include <string.h>

#include "core/border.h"
#include "core/target.h"
#include "kernels/sliced/sliced.h"

#if defined(__x86_64__)
#include <immintrin.h>

BNN_TARGET_BEGIN("avx2,fma")

namespace bnn {
namespace {

typedef __m256i Vec;
constexpr bool kFewRegisters = true;

BNN_INLINE Vec zeros() { return _mm256_setzero_si256(); }
BNN_INLINE Vec all_or_none(int64_t bit) { return _mm256_set1_epi64x(-(bit & 1)); }
BNN_INLINE Vec bit_and(Vec a, Vec b) { return _mm256_and_si256(a, b); }
BNN_INLINE Vec bit_xor(Vec a, Vec b) { return _mm256_xor_si256(a, b); }
// An adder shares a ^ b between sum3 and majority, a subtractor b ^ c between sum3 and borrow; what
// arrives last, a carry, passes through two operations only.
BNN_INLINE Vec sum3(Vec a, Vec b, Vec c) { return bit_xor(bit_xor(a, b), c); }
BNN_INLINE Vec majority(Vec a, Vec b, Vec c) {
  return _mm256_or_si256(bit_and(a, b), bit_and(bit_xor(a, b), c));
}
BNN_INLINE Vec borrow(Vec a, Vec b, Vec c) {
  return _mm256_or_si256(_mm256_andnot_si256(b, c), _mm256_andnot_si256(bit_xor(b, c), a));
}
BNN_INLINE Vec choose(Vec mask, Vec yes, Vec no) {
  return _mm256_or_si256(bit_and(mask, yes), _mm256_andnot_si256(mask, no));
}
BNN_INLINE Vec or_and(Vec a, Vec b, Vec c) { return _mm256_or_si256(a, bit_and(b, c)); }
BNN_INLINE Vec load_words(const void* words) {
  return _mm256_loadu_si256(static_cast<const Vec*>(words));
}
BNN_INLINE Vec shift_left(Vec x) { return _mm256_slli_epi64(x, 1); }
BNN_INLINE Vec shift_right(Vec x) { return _mm256_srli_epi64(x, 1); }
BNN_INLINE Vec move_words(Vec keep, uint32_t mask, Vec index, Vec x) {
  // Bytes 2 * index and 2 * index + 1: bit 4 tells the half, which shuffles ignore.
  const Vec bytes = _mm256_add_epi16(_mm256_mullo_epi16(index, _mm256_set1_epi16(0x0202)),
                                     _mm256_set1_epi16(0x0100));
  const Vec low = _mm256_shuffle_epi8(_mm256_permute4x64_epi64(x, 0x44), bytes);
  const Vec high = _mm256_shuffle_epi8(_mm256_permute4x64_epi64(x, 0xee), bytes);
  const Vec moved = _mm256_blendv_epi8(low, high, _mm256_slli_epi16(bytes, 3));
  const Vec unit = _mm256_set_epi16(-0x8000, 0x4000, 0x2000, 0x1000, 0x800, 0x400, 0x200, 0x100,
                                    0x80, 0x40, 0x20, 0x10, 8, 4, 2, 1);
  const Vec bits = bit_and(_mm256_set1_epi16(static_cast<int16_t>(mask)), unit);
  return _mm256_blendv_epi8(keep, moved, _mm256_cmpeq_epi16(bits, unit));
}
BNN_INLINE Vec broadcast32(int32_t x) { return _mm256_set1_epi32(x); }
BNN_INLINE void spread_bits(uint16_t bits, int32_t* to) {
  const Vec all = _mm256_set1_epi32(bits);
  const Vec low = _mm256_set_epi32(0x80, 0x40, 0x20, 0x10, 8, 4, 2, 1);
  const Vec high = _mm256_slli_epi32(low, 8);
  Vec* out = reinterpret_cast<Vec*>(to);
  _mm256_store_si256(out, _mm256_cmpeq_epi32(bit_and(all, low), low));
  _mm256_store_si256(out + 1, _mm256_cmpeq_epi32(bit_and(all, high), high));
}

// Each builds on the one before.
#include "kernels/sliced/sums.inc"

#include "kernels/sliced/layer.inc"

// ---- counts as numbers
// ------------------------------------------------------------------------------------------------

// Exchanges the bits of *a above `mask` in each lane with those of *b below it.
template <int kShift>
BNN_INLINE void swap_bits(Vec mask, Vec* a, Vec* b) {
  const Vec differ = bit_and(bit_xor(_mm256_srli_epi64(*a, kShift), *b), mask);
  *b = bit_xor(*b, differ);
  *a = bit_xor(*a, _mm256_slli_epi64(differ, kShift));
}

// Eight planes become numbers: byte i of x[j] is that of position 8 * i + j.
BNN_INLINE void make_bytes(Vec (&x)[8]) {
  const Vec ones = _mm256_set1_epi8(0x55), twos = _mm256_set1_epi8(0x33);
  const Vec fours = _mm256_set1_epi8(0x0f);
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) swap_bits<1>(ones, &x[i], &x[i + 1]);
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) swap_bits<2>(twos, &x[i + i / 2 * 2], &x[i + i / 2 * 2 + 2]);
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) swap_bits<4>(fours, &x[i], &x[i + 4]);
}

// In each half: word j of x[i] <-> word i of x[j].
BNN_INLINE void transpose_words(Vec (&x)[8]) {
  Vec t[8];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {  // words i and i + 4 ...
    t[2 * i] = _mm256_unpacklo_epi16(x[i], x[i + 4]);
    t[2 * i + 1] = _mm256_unpackhi_epi16(x[i], x[i + 4]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    x[2 * i] = _mm256_unpacklo_epi16(t[i], t[i + 4]);
    x[2 * i + 1] = _mm256_unpackhi_epi16(t[i], t[i + 4]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    t[2 * i] = _mm256_unpacklo_epi16(x[i], x[i + 4]);
    t[2 * i + 1] = _mm256_unpackhi_epi16(x[i], x[i + 4]);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) x[i] = t[i];
}

void unpack_numbers(const Vec* planes, void* numbers) {
  Vec low[8], high[8], words[2][8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    low[i] = planes[i];
    high[i] = planes[8 + i];
  }
  make_bytes(low);
  make_bytes(high);
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    words[0][i] = _mm256_unpacklo_epi8(low[i], high[i]);
    words[1][i] = _mm256_unpackhi_epi8(low[i], high[i]);
  }
  transpose_words(words[0]);
  transpose_words(words[1]);
  // Eight positions in each half of a vector; those of the upper halves come 128 positions later.
  __m128i* out = static_cast<__m128i*>(numbers);
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) {
    const Vec eight = words[i / 8][i % 8];
    _mm_store_si128(out + i, _mm256_castsi256_si128(eight));
    _mm_store_si128(out + 16 + i, _mm256_extracti128_si256(eight, 1));
  }
}

constexpr int kPooledLanes = 8;

BNN_INLINE Vec first_lanes(int32_t lanes) {
  return _mm256_cmpgt_epi32(broadcast32(lanes), _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0));
}

// Rectified scale * (total - 2 * count) + shift, of counts [lanes][2] those at `second`.
BNN_INLINE __m256 pooled_values(const uint16_t* counts, bool second, Vec mask, int32_t total,
                                float scale, float shift) {
  const Vec pairs = _mm256_maskload_epi32(reinterpret_cast<const int32_t*>(counts), mask);
  const Vec count = second ? _mm256_srli_epi32(pairs, 16) : bit_and(pairs, broadcast32(0xffff));
  const Vec twice = _mm256_slli_epi32(count, 1);
  const __m256 x = _mm256_cvtepi32_ps(_mm256_sub_epi32(broadcast32(total), twice));
  const __m256 value = _mm256_fmadd_ps(_mm256_set1_ps(scale), x, _mm256_set1_ps(shift));
  return _mm256_max_ps(value, _mm256_setzero_ps());
}

BNN_INLINE void write_pooled(const uint16_t* counts, bool second, int32_t lanes, int32_t total,
                             float scale, float shift, float* y) {
  const Vec mask = first_lanes(lanes);
  _mm256_maskstore_ps(y, mask, pooled_values(counts, second, mask, total, scale, shift));
}

// As levels, see bnn.h.
BNN_INLINE void write_levels(const uint16_t* counts, bool second, int32_t lanes, int32_t total,
                             float scale, float shift, float inverse_step, uint8_t* y) {
  const __m256 value = pooled_values(counts, second, first_lanes(lanes), total, scale, shift);
  const __m256 scaled = _mm256_mul_ps(value, _mm256_set1_ps(inverse_step));
  const Vec levels = _mm256_cvtps_epi32(_mm256_min_ps(scaled, _mm256_set1_ps(255.0f)));
  const __m128i halves =
      _mm_packus_epi32(_mm256_castsi256_si128(levels), _mm256_extracti128_si256(levels, 1));
  uint8_t bytes[8];
  _mm_storel_epi64(reinterpret_cast<__m128i*>(bytes), _mm_packus_epi16(halves, halves));
  if (lanes == 8) {
    memcpy(y, bytes, sizeof bytes);
  } else {
    for (int32_t i = 0; i < lanes; ++i) y[i] = bytes[i];
  }
}

#include "kernels/sliced/pool.inc"

// ---- planes of floats
// ------------------------------------------------------------------------------------------------

// Bit i: lane i of four vectors of 0 or -1.
BNN_INLINE uint32_t mask32(Vec a, Vec b, Vec c, Vec d) {
  const Vec bytes = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
  const Vec order = _mm256_set_epi32(7, 3, 6, 2, 5, 1, 4, 0);
  return static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_permutevar8x32_epi32(bytes, order)));
}

constexpr int block_rows(int) { return 1; }

// The bits of kWords * 16 floats of one row for all layers.
template <int kWords>
BNN_INLINE void compare_block(const SlicedCompareJob& job, int64_t row, int64_t offset) {
  const int64_t width = job.shape.width;
  const float* x = job.x + row * width;
  constexpr int kVectors = 2 * kWords < 4 ? 4 : 2 * kWords;
  __m256 values[kVectors];
  const Vec step = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
#pragma GCC unroll 8
  for (int i = 0; i < kVectors; ++i) {
    const int64_t left = width - 8 * i;
    const Vec lanes = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(left)), step);
    values[i] = _mm256_maskload_ps(x + (left > 0 ? 8 * i : 0), lanes);
  }
  for (int32_t layer = 0; layer < job.layer_count; ++layer) {
    const __m256 threshold = _mm256_set1_ps(job.thresholds[layer]);
    uint64_t bits = 0;
    Vec above[kVectors];
#pragma GCC unroll 8
    for (int i = 0; i < kVectors; ++i)
      above[i] = _mm256_castps_si256(_mm256_cmp_ps(values[i], threshold, _CMP_GE_OQ));
#pragma GCC unroll 2
    for (int i = 0; i < kVectors; i += 4) {
      const uint32_t mask = mask32(above[i], above[i + 1], above[i + 2], above[i + 3]);
      bits |= static_cast<uint64_t>(mask) << 8 * i;
    }
    memcpy(static_cast<char*>(job.planes[layer]) + offset, &bits, 2 * kWords);
  }
}

#include "kernels/sliced/compare.inc"

}  // namespace

const SlicedKernels kAvx2Sliced = {
    compare_floats, nullptr, {sizeof(Vec), spread_planes, count_outputs, pool_outputs}, 2, 5, 3600};

}  // namespace bnn

BNN_TARGET_END
#endif
