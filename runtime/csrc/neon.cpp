// The NEON implementation (aarch64): CNT counts the bits of bytes, byte sums are widened in time.
//
// Counting, 32 outputs x 2 pixels in registers: exclusive-or, CNT and ADD for 128 binary
// multiply-adds. Each word of x is broadcast by a load and meets eight vectors of weights, each
// vector of weights meets two pixels. Sums stay in bytes, four of them for each output, and are
// widened by pairwise additions, which have one slow pipe on small cores.
#include "kernels.h"
#include "sliced.h"
#include "target.h"

#if defined(__aarch64__)
#include <arm_neon.h>

namespace bnn {
namespace {

// ---- packing
// -------------------------------------------------------------------------------------------------

// Lanes of all ones or zeros -> bits, lane 0 lowest.
BNN_INLINE uint32_t gather_bits(uint8x16_t mask) {
  static const uint8_t kBits[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  const uint8x16_t bits = vandq_u8(mask, vld1q_u8(kBits));
  return static_cast<uint32_t>(vaddv_u8(vget_low_u8(bits))) |
         static_cast<uint32_t>(vaddv_u8(vget_high_u8(bits))) << 8;
}

BNN_INLINE uint16x8_t above(const float* x, const float* t) {
  const uint32x4_t low = vcgeq_f32(vld1q_f32(x), vld1q_f32(t));
  return vcombine_u16(vmovn_u32(low), vmovn_u32(vcgeq_f32(vld1q_f32(x + 4), vld1q_f32(t + 4))));
}

void pack_floats_neon(const float* x, int64_t x_pitch, int64_t rows, const float* threshold,
                      const uint32_t* flip, int64_t words, uint32_t* out, int64_t out_pitch) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t word = 0; word < words; ++word) {
      uint32_t bits = 0;
      for (int64_t i = 0; i < 32; i += 16) {
        const float* in = x + row * x_pitch + word * 32 + i;
        const float* t = threshold + word * 32 + i;
        bits |= gather_bits(vcombine_u8(vmovn_u16(above(in, t)), vmovn_u16(above(in + 8, t + 8))))
                << i;
      }
      out[row * out_pitch + word] = bits ^ flip[word];
    }
  }
}

void pack_counts_neon(const uint16_t* counts, int64_t block_pitch, int64_t blocks, int64_t rows,
                      const uint16_t* limit, const uint32_t* flip, uint32_t* out,
                      int64_t out_pitch) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t word = 0; word < 2 * blocks; ++word) {
      const uint16_t* in = counts + word / 2 * block_pitch + row * kGrowth + word % 2 * 32;
      const uint16_t* t = limit + word * 32;
      uint32_t bits = 0;
      for (int64_t i = 0; i < 32; i += 16) {
        const uint16x8_t low = vcleq_u16(vld1q_u16(in + i), vld1q_u16(t + i));
        const uint16x8_t high = vcleq_u16(vld1q_u16(in + i + 8), vld1q_u16(t + i + 8));
        bits |= gather_bits(vcombine_u8(vmovn_u16(low), vmovn_u16(high))) << i;
      }
      out[row * out_pitch + word] = bits ^ flip[word];
    }
  }
}

// r[i] lane j <-> r[j] lane i
BNN_INLINE void transpose_4x4(float32x4_t (&r)[4]) {
  const float32x4x2_t a = vtrnq_f32(r[0], r[1]), b = vtrnq_f32(r[2], r[3]);
  r[0] = vcombine_f32(vget_low_f32(a.val[0]), vget_low_f32(b.val[0]));
  r[1] = vcombine_f32(vget_low_f32(a.val[1]), vget_low_f32(b.val[1]));
  r[2] = vcombine_f32(vget_high_f32(a.val[0]), vget_high_f32(b.val[0]));
  r[3] = vcombine_f32(vget_high_f32(a.val[1]), vget_high_f32(b.val[1]));
}

void transpose_neon(const float* x, int64_t x_pitch, int64_t rows, int64_t columns, float* y,
                    int64_t y_pitch) {
  for (int64_t row = 0; row < rows; row += 4) {
    for (int64_t column = 0; column < columns; column += 4) {
      if (row + 4 <= rows && column + 4 <= columns) {
        float32x4_t r[4];
        for (int i = 0; i < 4; ++i) r[i] = vld1q_f32(x + (row + i) * x_pitch + column);
        transpose_4x4(r);
        for (int i = 0; i < 4; ++i) vst1q_f32(y + (column + i) * y_pitch + row, r[i]);
      } else {
        for (int64_t i = row; i < rows && i < row + 4; ++i) {
          for (int64_t k = column; k < columns && k < column + 4; ++k)
            y[k * y_pitch + i] = x[i * x_pitch + k];
        }
      }
    }
  }
}

void unpack_counts_neon(const uint16_t* counts, int64_t rows, int32_t total, float* y,
                        int64_t y_pitch) {
  const int32x4_t all = vdupq_n_s32(total);
  for (int64_t channel = 0; channel < kGrowth; channel += 4) {
    int64_t row = 0;
    for (; row + 4 <= rows; row += 4) {
      float32x4_t r[4];
      for (int i = 0; i < 4; ++i) {
        const uint32x4_t m = vmovl_u16(vld1_u16(counts + (row + i) * kGrowth + channel));
        r[i] = vcvtq_f32_s32(vsubq_s32(all, vreinterpretq_s32_u32(vaddq_u32(m, m))));
      }
      transpose_4x4(r);
      for (int i = 0; i < 4; ++i) vst1q_f32(y + (channel + i) * y_pitch + row, r[i]);
    }
    for (; row < rows; ++row) {
      for (int64_t i = channel; i < channel + 4; ++i) {
        y[i * y_pitch + row] = static_cast<float>(total - 2 * counts[row * kGrowth + i]);
      }
    }
  }
}

// ---- counting mismatches
// --------------------------------------------------------------------------------------------

constexpr int kPixels = 2;
constexpr int kOutputVectors = 8;  // of four outputs: half a block of 64
// A byte holds 255; each step adds at most 8.
constexpr int64_t kByteSteps = 255 / 8;

bool suits_all(int64_t, int64_t, int64_t) { return true; }
size_t weight_bytes_plain(int64_t words) {
  return static_cast<size_t>(kTaps * words * kGrowth) * sizeof(uint32_t);
}
size_t scratch_bytes_none(int64_t, int64_t, int64_t) { return 0; }

void pack_weights_plain(const uint32_t* weight, int64_t words, void* packed) {
  uint32_t* out = static_cast<uint32_t*>(packed);  // [tap][word][64]
  for (int64_t i = 0; i < kTaps * words; ++i) {
    for (int64_t output = 0; output < kGrowth; ++output)
      out[i * kGrowth + output] = weight[output * kTaps * words + i];
  }
}

// Adds the bytes' sums to the totals and starts new ones.
BNN_INLINE void widen(uint8x16_t (&sum)[kPixels][kOutputVectors],
                      uint32x4_t (&totals)[kPixels][kOutputVectors]) {
#pragma GCC unroll 2
  for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 8
    for (int v = 0; v < kOutputVectors; ++v) {
      totals[p][v] = vpadalq_u16(totals[p][v], vpaddlq_u8(sum[p][v]));
      sum[p][v] = vdupq_n_u8(0);
    }
  }
}

// Counts 2 pixels x 32 outputs over the three rows of the window.
BNN_INLINE void popcount_2x32(const uint32_t* const (&windows)[kPixels], int64_t row_words,
                              int64_t words, const uint32_t* weights,
                              uint32x4_t (&totals)[kPixels][kOutputVectors]) {
  uint8x16_t sum[kPixels][kOutputVectors];
#pragma GCC unroll 2
  for (int p = 0; p < kPixels; ++p) {
#pragma GCC unroll 8
    for (int v = 0; v < kOutputVectors; ++v) {
      totals[p][v] = vdupq_n_u32(0);
      sum[p][v] = vdupq_n_u8(0);
    }
  }
  const int64_t steps = 3 * words;  // the three pixels of a window's row are adjacent
  int64_t room = kByteSteps;
  for (int dy = 0; dy < 3; ++dy) {
    for (int64_t begin = 0, end = 0; begin < steps; begin = end) {
      end = begin + room < steps ? begin + room : steps;
      for (int64_t i = begin; i < end; ++i) {
        const uint32_t* w = weights + (dy * steps + i) * kGrowth;
        const uint8x16_t x0 = vreinterpretq_u8_u32(vld1q_dup_u32(windows[0] + dy * row_words + i));
        const uint8x16_t x1 = vreinterpretq_u8_u32(vld1q_dup_u32(windows[1] + dy * row_words + i));
#pragma GCC unroll 8
        for (int v = 0; v < kOutputVectors; ++v) {
          const uint8x16_t weight = vreinterpretq_u8_u32(vld1q_u32(w + v * 4));
          sum[0][v] = vaddq_u8(sum[0][v], vcntq_u8(veorq_u8(weight, x0)));
          sum[1][v] = vaddq_u8(sum[1][v], vcntq_u8(veorq_u8(weight, x1)));
        }
      }
      room -= end - begin;
      if (room == 0) {
        widen(sum, totals);
        room = kByteSteps;
      }
    }
  }
  widen(sum, totals);
}

void count_popcount_neon(const CountJob& job) {
  const int64_t row_words = (job.width + 2) * job.words, pixels = job.height * job.width;
  const uint32_t* weights = static_cast<const uint32_t*>(job.weights);
  for (int64_t pixel = 0; pixel < pixels; pixel += kPixels) {
    const uint32_t* windows[kPixels];
    for (int64_t p = 0; p < kPixels; ++p) {
      const int64_t i =
          pixel + p < pixels ? pixel + p : pixels - 1;  // the last tile repeats the last pixel
      windows[p] = job.map + i / job.width * row_words + i % job.width * job.words;
    }
    for (int64_t first = 0; first < kGrowth; first += 4 * kOutputVectors) {
      uint32x4_t totals[kPixels][kOutputVectors];
      popcount_2x32(windows, row_words, job.words, weights + first, totals);
      for (int64_t p = 0; p < kPixels && pixel + p < pixels; ++p) {
        uint16_t* counts = job.counts + (pixel + p) * kGrowth + first;
        for (int v = 0; v < kOutputVectors; ++v) {
          uint16x4_t m = vmovn_u32(totals[p][v]);
          if (job.add) m = vadd_u16(m, vld1_u16(counts + v * 4));
          vst1_u16(counts + v * 4, m);
        }
      }
    }
  }
}

const CountFamily kFamilies[] = {{"popcount", suits_all, weight_bytes_plain, pack_weights_plain,
                                  scratch_bytes_none, count_popcount_neon}};

// ---- floats: 8 channels x 12 pixels in registers
// --------------------------------------------------------------------

typedef float32x4_t Vec;
constexpr int kLanes = 4, kOutputs = 8, kVectors = 3;
BNN_INLINE Vec load(const float* p) { return vld1q_f32(p); }
BNN_INLINE void store(float* p, Vec v) { vst1q_f32(p, v); }
BNN_INLINE Vec broadcast(float x) { return vdupq_n_f32(x); }
struct Weights {  // of the eight outputs of a tile; multiply-adds take one lane of them
  float32x4_t low, high;
};
BNN_INLINE Weights load_weights(const float* p) { return {vld1q_f32(p), vld1q_f32(p + 4)}; }
BNN_INLINE Vec pick_weight(const Weights& w, int output) {
  return vdupq_n_f32(output < 4 ? w.low[output] : w.high[output - 4]);
}
BNN_INLINE Vec multiply_add(Vec a, Vec b, Vec c) { return vfmaq_f32(c, a, b); }
BNN_INLINE float fused(float a, float b, float c) { return __builtin_fmaf(a, b, c); }

#include "floats.inc"

}  // namespace

const Kernels kNeonKernels = {"neon",
                              "ASIMD",
                              pack_floats_neon,
                              pack_counts_neon,
                              transpose_neon,
                              unpack_counts_neon,
                              kFamilies,
                              1,
                              {kOutputs, convolve, pool, mean, dense},
                              &kNeonSliced};

}  // namespace bnn
#endif
