// The one-pixel border of a packed map and the correction that turns it into padding 0.
#include "core/border.h"

#include <string.h>

namespace bnn {

void fill_border(uint32_t* map, int64_t words, int64_t height, int64_t width, int32_t padding) {
  const int bits = padding > 0 ? 0xff : 0;
  const int64_t row_words = (width + 2) * words;
  const size_t row_bytes = static_cast<size_t>(row_words) * sizeof *map;
  const size_t pixel_bytes = static_cast<size_t>(words) * sizeof *map;
  memset(map, bits, row_bytes);
  memset(map + (height + 1) * row_words, bits, row_bytes);
  for (int64_t y = 1; y <= height; ++y) {
    memset(map + y * row_words, bits, pixel_bytes);
    memset(map + (y + 1) * row_words - words, bits, pixel_bytes);
  }
}

void make_border_correction(const uint32_t* weight, int64_t words, int16_t* correction) {
  for (int64_t output = 0; output < kGrowth; ++output) {
    int excess[kTaps];  // what a tap counts too little when it lies outside
    for (int64_t tap = 0; tap < kTaps; ++tap) {
      int ones = 0;
      for (int64_t word = 0; word < words; ++word) {
        ones += __builtin_popcount(weight[(output * kTaps + tap) * words + word]);
      }
      excess[tap] = static_cast<int>(words) * 16 - ones;
    }
    for (int border = 0; border < kBorderClasses; ++border) {
      int sum = 0;
      for (int tap = 0; tap < kTaps; ++tap) {
        const int dy = tap / 3, dx = tap % 3;
        const bool outside = (dy == 0 && (border & kTop)) || (dy == 2 && (border & kBottom)) ||
                             (dx == 0 && (border & kLeft)) || (dx == 2 && (border & kRight));
        if (outside) sum += excess[tap];
      }
      // Corrected counts lie in 0..65535, so that 16 bits of the correction are enough: sums wrap
      // around.
      correction[border * kGrowth + output] = static_cast<int16_t>(static_cast<uint16_t>(sum));
    }
  }
}

void correct_border(const int16_t* correction, int64_t height, int64_t width, Range rows,
                    uint16_t* counts) {
  for (int64_t y = rows.begin; y < rows.end; ++y) {
    const bool whole_row = y == 0 || y == height - 1;
    for (int64_t x = 0; x < width; x += whole_row || width == 1 || x == width - 1 ? 1 : width - 1) {
      const int16_t* add = correction + border_class(y, x, height, width) * kGrowth;
      uint16_t* at = counts + (y * width + x) * kGrowth;
      for (int i = 0; i < kGrowth; ++i)
        at[i] = static_cast<uint16_t>(at[i] + static_cast<uint16_t>(add[i]));
    }
  }
}

}  // namespace bnn
