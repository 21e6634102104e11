// Resampling one byte after the other, what the other implementations are compared with.
#include "core/target.h"
#include "kernels/resize/resize.h"

namespace bnn {
namespace {

BNN_INLINE uint32_t coefficient(const int16_t* pair, int64_t i) {
  const uint32_t high = static_cast<uint32_t>(static_cast<int32_t>(pair[2 + i]));
  return (high << kLowBits) + static_cast<uint32_t>(pair[i]);
}

BNN_INLINE uint8_t round_sum(uint32_t sum) {
  const int32_t level = static_cast<int32_t>(sum + (1u << (kResizeBits - 1))) >> kResizeBits;
  return static_cast<uint8_t>(level < 0 ? 0 : level > 255 ? 255 : level);
}

void across_generic(const AcrossJob& job) {
  for (int64_t column = 0; column < job.columns; ++column) {
    const int16_t* taps = job.taps + column * job.pairs * kPairSize;
    for (int row = 0; row < kRowsTogether; ++row) {
      const uint8_t* in = job.rows[row] + int64_t{job.first[column]} * kPixelBytes;
      uint32_t sums[kPixelBytes] = {};
      for (int64_t pair = 0; pair < job.pairs; ++pair, in += 2 * kPixelBytes) {
        const uint32_t first = coefficient(taps + pair * kPairSize, 0);
        const uint32_t second = coefficient(taps + pair * kPairSize, 1);
        for (int i = 0; i < kPixelBytes; ++i)
          sums[i] += first * in[i] + second * in[kPixelBytes + i];
      }
      for (int i = 0; i < kPixelBytes; ++i)
        job.out[row][column * kPixelBytes + i] = round_sum(sums[i]);
    }
  }
}

void down_generic(const DownJob& job) {
  for (int64_t next = 0; next < job.bytes; next += kRowBytes) {
    const int64_t start =
        next + kRowBytes <= job.bytes ? next : job.bytes - kRowBytes;  // the last: again
    uint32_t sums[kRowBytes] = {};
    for (int64_t pair = 0; pair < job.pairs; ++pair) {
      const uint32_t first = coefficient(job.taps + pair * kPairSize, 0);
      const uint32_t second = coefficient(job.taps + pair * kPairSize, 1);
      const uint8_t *above = job.rows[2 * pair] + start, *below = job.rows[2 * pair + 1] + start;
      for (int64_t i = 0; i < kRowBytes; ++i) sums[i] += first * above[i] + second * below[i];
    }
    for (int64_t i = 0; i < kRowBytes; ++i) job.out[start + i] = round_sum(sums[i]);
  }
}

}  // namespace

const ResizeKernels kGenericResize = {across_generic, down_generic};

}  // namespace bnn
