// Resampling one byte after the other, what the other implementations are compared with.
#include "resize.h"
#include "target.h"

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
      for (int64_t tap = 0; tap < 2 * job.pairs; ++tap) {
        const uint32_t k = coefficient(taps + tap / 2 * kPairSize, tap % 2);
        for (int i = 0; i < kPixelBytes; ++i) sums[i] += k * in[tap * kPixelBytes + i];
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
    for (int64_t tap = 0; tap < 2 * job.pairs; ++tap) {
      const uint32_t k = coefficient(job.taps + tap / 2 * kPairSize, tap % 2);
      const uint8_t* in = job.rows[tap] + start;
      for (int64_t i = 0; i < kRowBytes; ++i) sums[i] += k * in[i];
    }
    for (int64_t i = 0; i < kRowBytes; ++i) job.out[start + i] = round_sum(sums[i]);
  }
}

}  // namespace

const ResizeKernels kGenericResize = {across_generic, down_generic};

}  // namespace bnn
