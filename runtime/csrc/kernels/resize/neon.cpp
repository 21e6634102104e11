// Resampling on NEON: products of 16-bit numbers into 32-bit sums (SMLAL), by lanes of a pair.
#include <string.h>

#include "core/target.h"
#include "kernels/resize/resize.h"

#if defined(__aarch64__)
#include <arm_neon.h>

namespace bnn {
namespace {

// Four sums, in halves as the coefficients are.
struct Sums {
  int32x4_t low, high;
};

BNN_INLINE Sums begin() { return {vdupq_n_s32(1 << (kResizeBits - 1)), vdupq_n_s32(0)}; }

// Adds the first neighbour's four levels and the second's.
BNN_INLINE void add_pair(Sums* sums, int16x4_t first, int16x4_t second, int16x4_t pair) {
  sums->low = vmlal_lane_s16(sums->low, first, pair, 0);
  sums->low = vmlal_lane_s16(sums->low, second, pair, 1);
  sums->high = vmlal_lane_s16(sums->high, first, pair, 2);
  sums->high = vmlal_lane_s16(sums->high, second, pair, 3);
}

BNN_INLINE uint16x4_t finish(const Sums& sums) {
  const int32x4_t whole = vaddq_s32(sums.low, vshlq_n_s32(sums.high, kLowBits));
  return vqmovun_s32(vshrq_n_s32(whole, kResizeBits));
}

BNN_INLINE int16x8_t widen(uint8x8_t bytes) { return vreinterpretq_s16_u16(vmovl_u8(bytes)); }

void across_neon(const AcrossJob& job) {
  const int16_t* taps = job.taps;
  for (int64_t column = 0; column < job.columns; ++column) {
    const int64_t start = int64_t{job.first[column]} * kPixelBytes;
    Sums sums[kRowsTogether];
    for (int i = 0; i < kRowsTogether; ++i) sums[i] = begin();
    for (int64_t pair = 0; pair < job.pairs; ++pair, taps += kPairSize) {
      const int16x4_t factors = vld1_s16(taps);
      for (int i = 0; i < kRowsTogether; ++i) {
        const int16x8_t pixels = widen(vld1_u8(job.rows[i] + start + pair * 2 * kPixelBytes));
        add_pair(&sums[i], vget_low_s16(pixels), vget_high_s16(pixels), factors);
      }
    }
    for (int i = 0; i < kRowsTogether; i += 2) {
      const uint8x8_t bytes = vqmovn_u16(vcombine_u16(finish(sums[i]), finish(sums[i + 1])));
      const uint32x2_t pixels = vreinterpret_u32_u8(bytes);
      const uint32_t first = vget_lane_u32(pixels, 0), second = vget_lane_u32(pixels, 1);
      memcpy(job.out[i] + column * kPixelBytes, &first, kPixelBytes);
      memcpy(job.out[i + 1] + column * kPixelBytes, &second, kPixelBytes);
    }
  }
}

void down_neon(const DownJob& job) {
  for (int64_t next = 0; next < job.bytes; next += 16) {
    const int64_t start = next + 16 <= job.bytes ? next : job.bytes - 16;  // the last: again
    Sums sums[4] = {begin(), begin(), begin(), begin()};
    for (int64_t pair = 0; pair < job.pairs; ++pair) {
      const int16x4_t factors = vld1_s16(job.taps + pair * kPairSize);
      const uint8x16_t above = vld1q_u8(job.rows[2 * pair] + start);
      const uint8x16_t below = vld1q_u8(job.rows[2 * pair + 1] + start);
      const int16x8_t a[2] = {widen(vget_low_u8(above)), widen(vget_high_u8(above))};
      const int16x8_t b[2] = {widen(vget_low_u8(below)), widen(vget_high_u8(below))};
      for (int i = 0; i < 2; ++i) {
        add_pair(&sums[2 * i], vget_low_s16(a[i]), vget_low_s16(b[i]), factors);
        add_pair(&sums[2 * i + 1], vget_high_s16(a[i]), vget_high_s16(b[i]), factors);
      }
    }
    const uint8x8_t front = vqmovn_u16(vcombine_u16(finish(sums[0]), finish(sums[1])));
    const uint8x8_t back = vqmovn_u16(vcombine_u16(finish(sums[2]), finish(sums[3])));
    vst1q_u8(job.out + start, vcombine_u8(front, back));
  }
}

}  // namespace

const ResizeKernels kNeonResize = {across_neon, down_neon};

}  // namespace bnn
#endif
