// The self-test's checks of resizing: wide and narrow images, either order, every filter.
#ifndef BNN_SELFTEST_RESIZE_H_
#define BNN_SELFTEST_RESIZE_H_

#include "tests/selftest_tools.h"

namespace {

struct ResizeCase {
  int32_t width, height, pixel_bytes, side;
};

const ResizeCase kResizeCases[] = {
    {512, 341, 4, 160}, {90, 160, 4, 40}, {512, 341, 1, 160}, {90, 160, 1, 40}, {7, 300, 4, 33},
    {300, 7, 4, 33},    {3, 90, 1, 9},    {1, 1, 4, 5},       {5, 4, 1, 1},     {40, 40, 4, 40},
};

// `inset`: how much smaller the box is than the image on each side, in hundredths.
void check_resize(const char* implementation, const ResizeCase& size, int32_t filter,
                  int32_t orientation, int32_t inset) {
  Random random = {static_cast<uint64_t>(size.width * 1000 + size.height)};
  Memory memory;
  const size_t bytes = static_cast<size_t>(size.width * size.height * size.pixel_bytes);
  uint8_t* pixels = static_cast<uint8_t*>(memory.take(bytes));
  for (size_t i = 0; i < bytes; ++i) {
    const uint32_t word = random.word();  // half of them at the ends: sums beyond 0..255
    pixels[i] = static_cast<uint8_t>(word & 256 ? word : word & 512 ? 255 : 0);
  }
  const float* levels = memory.floats(3 * 256, &random);
  const float part = static_cast<float>(inset) / 100.0f;
  const float width = static_cast<float>(size.width), height = static_cast<float>(size.height);
  const bnn_view view = {
      pixels,           int64_t{size.width} * size.pixel_bytes,
      size.width,       size.height,
      size.pixel_bytes, filter,
      orientation,      {width * part, height * part, width * (1 - part), height * (1 - part)}};
  char what[96];
  snprintf(what, sizeof what, "resize %dx%dx%d to %d, filter %d, orientation %d, inset %d",
           size.width, size.height, size.pixel_bytes, size.side, filter, orientation, inset);
  const size_t out_bytes = static_cast<size_t>(3 * size.side * size.side) * sizeof(float);
  compare(implementation, what, out_bytes, &memory, [&](void* out) {
    size_t room = 0;
    require(bnn_resize(&view, levels, size.side, nullptr, nullptr, &room), what);
    require(
        bnn_resize(&view, levels, size.side, static_cast<float*>(out), memory.take(room), &room),
        what);
  });
}

void check_resizing(const char* implementation) {
  for (const ResizeCase& size : kResizeCases) {
    for (int32_t filter = BNN_FILTER_AREA; filter <= BNN_FILTER_BICUBIC; ++filter) {
      check_resize(implementation, size, filter, 1, 0);
      check_resize(implementation, size, filter, 2 + filter * 2, 13);
    }
  }
}

}  // namespace
#endif  // BNN_SELFTEST_RESIZE_H_
