// The bit-sliced family for NEON: full adders of three operations, 128 positions at a time.
#include <string.h>

#include "core/border.h"
#include "core/target.h"
#include "kernels/sliced/sliced.h"

#if defined(__aarch64__)
#include <arm_neon.h>

namespace bnn {
namespace {

typedef uint64x2_t Vec;
constexpr bool kFewRegisters = false;

BNN_INLINE Vec zeros() { return vdupq_n_u64(0); }
BNN_INLINE Vec all_or_none(int64_t bit) { return vdupq_n_u64(static_cast<uint64_t>(-(bit & 1))); }
BNN_INLINE Vec bit_and(Vec a, Vec b) { return vandq_u64(a, b); }
BNN_INLINE Vec bit_xor(Vec a, Vec b) { return veorq_u64(a, b); }
BNN_INLINE Vec choose(Vec mask, Vec yes, Vec no) { return vbslq_u64(mask, yes, no); }
// An adder shares a ^ b between sum3 and majority, a subtractor b ^ c between sum3 of b, c, a and
// borrow: what arrives last, a carry, passes through one operation only.
BNN_INLINE Vec sum3(Vec a, Vec b, Vec c) { return bit_xor(bit_xor(a, b), c); }
BNN_INLINE Vec majority(Vec a, Vec b, Vec c) { return choose(bit_xor(a, b), c, a); }
BNN_INLINE Vec borrow(Vec a, Vec b, Vec c) { return choose(bit_xor(b, c), c, a); }
BNN_INLINE Vec or_and(Vec a, Vec b, Vec c) { return vorrq_u64(a, bit_and(b, c)); }
BNN_INLINE Vec load_words(const void* words) {
  return vld1q_u64(static_cast<const uint64_t*>(words));
}
BNN_INLINE Vec shift_left(Vec x) { return vshlq_n_u64(x, 1); }
BNN_INLINE Vec shift_right(Vec x) { return vshrq_n_u64(x, 1); }
BNN_INLINE Vec move_words(Vec keep, uint32_t mask, Vec index, Vec x) {
  static const uint16_t kUnit[8] = {1, 2, 4, 8, 16, 32, 64, 128};
  // Bytes 2 * index and 2 * index + 1.
  const uint16x8_t bytes = vmlaq_n_u16(vdupq_n_u16(0x0100), vreinterpretq_u16_u64(index), 0x0202);
  const uint8x16_t moved = vqtbl1q_u8(vreinterpretq_u8_u64(x), vreinterpretq_u8_u16(bytes));
  const uint16x8_t moves = vtstq_u16(vdupq_n_u16(static_cast<uint16_t>(mask)), vld1q_u16(kUnit));
  return choose(vreinterpretq_u64_u16(moves), vreinterpretq_u64_u8(moved), keep);
}
BNN_INLINE Vec broadcast32(int32_t x) { return vreinterpretq_u64_s32(vdupq_n_s32(x)); }
BNN_INLINE void spread_bits(uint16_t bits, int32_t* to) {
  const int32x4_t all = vdupq_n_s32(bits);
  static const int32_t kUnit[4] = {1, 2, 4, 8};
  int32x4_t unit = vld1q_s32(kUnit);
  for (int i = 0; i < 16; i += 4) {
    vst1q_s32(to + i, vreinterpretq_s32_u32(vtstq_s32(all, unit)));
    unit = vshlq_n_s32(unit, 4);
  }
}

// elements[index] in one instruction: the compiler would scale the index by another.
BNN_INLINE Vec load_scaled(const char* elements, uint64_t index) {
  Vec x;
  asm("ldr %q0, [%1, %2, lsl #4]"
      : "=w"(x)
      : "r"(elements), "r"(index), "m"(*reinterpret_cast<const char (*)[1 << 20]>(elements)));
  return x;
}

// Each builds on the one before.
#include "kernels/sliced/sums.inc"

#include "kernels/sliced/layer.inc"

// ---- counts as numbers
// ------------------------------------------------------------------------------------------------

// Exchanges the bits of *a above `mask` in each lane with those of *b below it.
template <int kShift>
BNN_INLINE void swap_bits(Vec mask, Vec* a, Vec* b) {
  const Vec down = vshrq_n_u64(*a, kShift), up = vshlq_n_u64(*b, kShift);
  *b = choose(mask, down, *b);
  *a = choose(mask, *a, up);
}

// Eight planes become numbers: byte i of x[j] is that of position 8 * i + j.
BNN_INLINE void make_bytes(Vec (&x)[8]) {
  const Vec ones = vreinterpretq_u64_u8(vdupq_n_u8(0x55));
  const Vec twos = vreinterpretq_u64_u8(vdupq_n_u8(0x33));
  const Vec fours = vreinterpretq_u64_u8(vdupq_n_u8(0x0f));
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) swap_bits<1>(ones, &x[i], &x[i + 1]);
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) swap_bits<2>(twos, &x[i + i / 2 * 2], &x[i + i / 2 * 2 + 2]);
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) swap_bits<4>(fours, &x[i], &x[i + 4]);
}

// One step of three that make word i of x[j] word j of x[i].
BNN_INLINE void zip_words(uint16x8_t (&x)[8]) {
  uint16x8_t t[8];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    t[2 * i] = vzip1q_u16(x[i], x[i + 4]);
    t[2 * i + 1] = vzip2q_u16(x[i], x[i + 4]);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) x[i] = t[i];
}

void unpack_numbers(const Vec* planes, void* numbers) {
  Vec low[8], high[8];
  uint16x8_t words[2][8];  // eight positions each, in the order of the map
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    low[i] = planes[i];
    high[i] = planes[8 + i];
  }
  make_bytes(low);
  make_bytes(high);
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    const uint8x16_t a = vreinterpretq_u8_u64(low[i]), b = vreinterpretq_u8_u64(high[i]);
    words[0][i] = vreinterpretq_u16_u8(vzip1q_u8(a, b));
    words[1][i] = vreinterpretq_u16_u8(vzip2q_u8(a, b));
  }
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) {
    zip_words(words[half]);
    zip_words(words[half]);
    zip_words(words[half]);
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i)
      vst1q_u16(static_cast<uint16_t*>(numbers) + (8 * half + i) * 8, words[half][i]);
  }
}

constexpr int kPooledLanes = 8;

// values = rectified scale * (total - 2 * count) + shift, of counts [lanes][2] those at `second`.
BNN_INLINE void pooled_values(const uint16_t* counts, bool second, int32_t lanes, int32_t total,
                              float scale, float shift, float (&values)[kPooledLanes]) {
  for (int i = 0; i < kPooledLanes; ++i) {
    const float x = static_cast<float>(total - 2 * (i < lanes ? counts[2 * i + second] : 0));
    const float value = __builtin_fmaf(scale, x, shift);
    values[i] = value > 0.0f ? value : 0.0f;
  }
}

BNN_INLINE void write_pooled(const uint16_t* counts, bool second, int32_t lanes, int32_t total,
                             float scale, float shift, float* y) {
  float values[kPooledLanes];
  pooled_values(counts, second, lanes, total, scale, shift, values);
  if (lanes == kPooledLanes) {
    memcpy(y, values, sizeof values);
  } else {
    for (int32_t i = 0; i < lanes; ++i) y[i] = values[i];
  }
}

// As levels, see bnn.h.
BNN_INLINE void write_levels(const uint16_t* counts, bool second, int32_t lanes, int32_t total,
                             float scale, float shift, float inverse_step, uint8_t* y) {
  float values[kPooledLanes];
  pooled_values(counts, second, lanes, total, scale, shift, values);
  uint16x4_t halves[2];
  for (int i = 0; i < 2; ++i) {
    const float32x4_t scaled = vmulq_n_f32(vld1q_f32(values + 4 * i), inverse_step);
    const float32x4_t most = vdupq_n_f32(255.0f);
    halves[i] = vmovn_u32(vcvtnq_u32_f32(vbslq_f32(vcltq_f32(scaled, most), scaled, most)));
  }
  uint8_t bytes[kPooledLanes];
  vst1_u8(bytes, vmovn_u16(vcombine_u16(halves[0], halves[1])));
  if (lanes == kPooledLanes) {
    memcpy(y, bytes, sizeof bytes);
  } else {
    for (int32_t i = 0; i < lanes; ++i) y[i] = bytes[i];
  }
}

#include "kernels/sliced/pool.inc"

// ---- planes of floats
// ------------------------------------------------------------------------------------------------

// The first lanes of four floats, zeros behind them.
BNN_INLINE float32x4_t load_some(const float* x, int64_t lanes) {
  float32x4_t value = vdupq_n_f32(0.0f);
  if (lanes >= 4) return vld1q_f32(x);
  if (lanes >= 1) value = vld1q_lane_f32(x, value, 0);
  if (lanes >= 2) value = vld1q_lane_f32(x + 1, value, 1);
  if (lanes >= 3) value = vld1q_lane_f32(x + 2, value, 2);
  return value;
}

// Bytes of all ones or zeros, those of 16 lanes.
BNN_INLINE uint8x16_t above(const float32x4_t* x, float32x4_t threshold) {
  uint16x8_t half[2];
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    half[i] = vuzp1q_u16(vreinterpretq_u16_u32(vcgeq_f32(x[2 * i], threshold)),
                         vreinterpretq_u16_u32(vcgeq_f32(x[2 * i + 1], threshold)));
  }
  return vuzp1q_u8(vreinterpretq_u8_u16(half[0]), vreinterpretq_u8_u16(half[1]));
}

constexpr int block_rows(int) { return 1; }

// The bits of kWords * 16 floats of one row for all layers.
template <int kWords>
BNN_INLINE void compare_block(const SlicedCompareJob& job, int64_t row, int64_t offset) {
  const int64_t width = job.shape.width;
  const float* x = job.x + row * width;
  static const uint8_t kUnit[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  const uint8x16_t unit = vld1q_u8(kUnit);
  float32x4_t values[4 * kWords];
#pragma GCC unroll 16
  for (int i = 0; i < 4 * kWords; ++i) {
    const int64_t left = width - 4 * i;
    values[i] = load_some(x + (left > 0 ? 4 * i : 0), left);
  }
  for (int32_t layer = 0; layer < job.layer_count; ++layer) {
    const float32x4_t threshold = vdupq_n_f32(job.thresholds[layer]);
    uint8x16_t bits[4];  // pairwise sums end with a byte for eight lanes
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      bits[i] = i < kWords ? vandq_u8(above(values + 4 * i, threshold), unit) : vdupq_n_u8(0);
    }
    const uint8x16_t fours = vpaddq_u8(vpaddq_u8(bits[0], bits[1]), vpaddq_u8(bits[2], bits[3]));
    const uint64_t row = vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(fours, fours)), 0);
    memcpy(static_cast<char*>(job.planes[layer]) + offset, &row, 2 * kWords);
  }
}

#include "kernels/sliced/compare.inc"

}  // namespace

const SlicedKernels kNeonSliced = {compare_floats,
                                   nullptr,
                                   {sizeof(Vec), spread_planes, count_outputs, pool_outputs},
                                   2,
                                   10,
                                   3600};

}  // namespace bnn

#endif
