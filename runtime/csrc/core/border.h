// The one-pixel border of a packed map and the correction that turns it into padding 0.
#ifndef BNN_BORDER_H_
#define BNN_BORDER_H_

#include "core/kernels.h"

namespace bnn {

// A pixel's border class is a set of sides on which its window leaves the image.
constexpr int kTop = 1, kBottom = 2, kLeft = 4, kRight = 8, kBorderClasses = 16;

inline int border_class(int64_t y, int64_t x, int64_t height, int64_t width) {
  return (y == 0 ? kTop : 0) | (y == height - 1 ? kBottom : 0) | (x == 0 ? kLeft : 0) |
         (x == width - 1 ? kRight : 0);
}

// Fills the border of map [height + 2][width + 2][words]: ones for padding +1, else zeros (the bits
// of -1).
void fill_border(uint32_t* map, int64_t words, int64_t height, int64_t width, int32_t padding);

// With a border of zeros a tap outside the image counted popcount(its weights); padding 0 wants
// channels / 2 instead. correction [16][64]: what to add to the counts of a pixel of each border
// class, in some rows of the map. weight is [64][9][words].
void make_border_correction(const uint32_t* weight, int64_t words, int16_t* correction);
void correct_border(const int16_t* correction, int64_t height, int64_t width, Range rows,
                    uint16_t* counts);

}  // namespace bnn
#endif  // BNN_BORDER_H_
