// The generic implementation: loops one can check by eye.
// It is the oracle of the others and the last resort of odd CPUs.
#include "core/target.h"
#include "kernels/floats/tables.h"
#include "kernels/popcount/tables.h"
#include "kernels/resize/resize.h"

namespace bnn {
namespace {

// ---- packing ----

void pack_floats_generic(const float* x, int64_t x_pitch, int64_t rows, const float* threshold,
                         const uint32_t* flip, int64_t words, uint32_t* out, int64_t out_pitch) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t word = 0; word < words; ++word) {
      uint32_t bits = 0;
      for (int64_t i = 0; i < 32; ++i) {
        const int64_t channel = word * 32 + i;
        bits |= static_cast<uint32_t>(x[row * x_pitch + channel] >= threshold[channel]) << i;
      }
      out[row * out_pitch + word] = bits ^ flip[word];
    }
  }
}

void pack_counts_generic(const uint16_t* counts, int64_t block_pitch, int64_t blocks, int64_t rows,
                         const uint16_t* limit, const uint32_t* flip, uint32_t* out,
                         int64_t out_pitch) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t word = 0; word < 2 * blocks; ++word) {
      const uint16_t* in = counts + word / 2 * block_pitch + row * kGrowth + word % 2 * 32;
      uint32_t bits = 0;
      for (int64_t i = 0; i < 32; ++i)
        bits |= static_cast<uint32_t>(in[i] <= limit[word * 32 + i]) << i;
      out[row * out_pitch + word] = bits ^ flip[word];
    }
  }
}

void transpose_generic(const float* x, int64_t x_pitch, int64_t rows, int64_t columns, float* y,
                       int64_t y_pitch) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t column = 0; column < columns; ++column)
      y[column * y_pitch + row] = x[row * x_pitch + column];
  }
}

void unpack_counts_generic(const uint16_t* counts, int64_t rows, int32_t total, float* y,
                           int64_t y_pitch) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t channel = 0; channel < kGrowth; ++channel) {
      y[channel * y_pitch + row] = static_cast<float>(total - 2 * counts[row * kGrowth + channel]);
    }
  }
}

// ---- counting mismatches: for each pixel, tap and word, 64 output channels side by side ----

BNN_INLINE uint32_t popcount(uint32_t x) {
  x -= (x >> 1) & 0x55555555u;
  x = (x & 0x33333333u) + ((x >> 2) & 0x33333333u);
  return (((x + (x >> 4)) & 0x0f0f0f0fu) * 0x01010101u) >> 24;
}

bool suits_all(int64_t, int64_t, int64_t) { return true; }
size_t weight_bytes_generic(int64_t words) {
  return static_cast<size_t>(kTaps * words * kGrowth) * sizeof(uint32_t);
}
size_t scratch_bytes_generic(int64_t, int64_t, int64_t) { return 0; }

void pack_weights_generic(const uint32_t* weight, int64_t words, void* packed) {
  uint32_t* out = static_cast<uint32_t*>(packed);  // [tap][word][64]
  for (int64_t i = 0; i < kTaps * words; ++i) {
    for (int64_t output = 0; output < kGrowth; ++output)
      out[i * kGrowth + output] = weight[output * kTaps * words + i];
  }
}

void count_generic(const CountJob& job) {
  const int64_t row_words = (job.width + 2) * job.words;
  for (int64_t pixel = 0; pixel < job.height * job.width; ++pixel) {
    const uint32_t* window =
        job.map + pixel / job.width * row_words + pixel % job.width * job.words;
    const uint32_t* weight = static_cast<const uint32_t*>(job.weights);
    uint32_t sum[kGrowth] = {};
    for (int64_t dy = 0; dy < 3; ++dy) {
      // The three pixels of a window's row are adjacent.
      for (int64_t i = 0; i < 3 * job.words; ++i) {
        const uint32_t x = window[dy * row_words + i];
        for (int64_t output = 0; output < kGrowth; ++output)
          sum[output] += popcount(x ^ weight[output]);
        weight += kGrowth;
      }
    }
    uint16_t* counts = job.counts + pixel * kGrowth;
    for (int64_t output = 0; output < kGrowth; ++output) {
      counts[output] = static_cast<uint16_t>(sum[output] + (job.add ? counts[output] : 0u));
    }
  }
}

const CountFamily kFamilies[] = {{"popcount", suits_all, weight_bytes_generic, pack_weights_generic,
                                  scratch_bytes_generic, count_generic}};

}  // namespace

const Kernels kGenericKernels = {"generic",           "none",
                                 pack_floats_generic, pack_counts_generic,
                                 transpose_generic,   unpack_counts_generic,
                                 kFamilies,           1,
                                 kGenericFloats,      kGenericInt8,
                                 kGenericResize,      nullptr};

}  // namespace bnn
