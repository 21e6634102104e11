// Resampling an image: the two passes that an implementation fills in, and their coefficients.
//
// A coefficient is a whole number of 2^-22, k = high * 2^15 + low with 0 <= low < 2^15, so that
// both halves are factors of a 16-bit multiplication. Coefficients come in pairs, of neighbours
// that are added up: [low of the first, low of the second, high of the first, high of the second].
// Sums are taken modulo 2^32, which the true ones fit.
#ifndef BNN_RESIZE_H_
#define BNN_RESIZE_H_

#include <stdint.h>

namespace bnn {

constexpr int kResizeBits = 22;    // behind the point of a coefficient
constexpr int kLowBits = 15;       // of its lower half
constexpr int kPairSize = 4;       // 16-bit numbers of a pair
constexpr int kPixelBytes = 4;     // red, green, blue and one more
constexpr int kRowsTogether = 4;   // rows that share the loads of their coefficients
constexpr int64_t kRowBytes = 32;  // the least of a DownJob

// Columns of some rows: out[row][column] = sum over taps of rows[row][first[column] + tap].
struct AcrossJob {
  const uint8_t* rows[kRowsTogether];  // of pixels
  const int32_t* first;                // [columns]
  const int16_t* taps;                 // [columns][pairs][kPairSize]
  int64_t columns, pairs;
  uint8_t* out[kRowsTogether];  // [columns] pixels
};

// One row: out = sum over taps of rows[tap].
struct DownJob {
  const uint8_t* const* rows;  // [2 * pairs]
  const int16_t* taps;         // [pairs][kPairSize]
  int64_t pairs;
  int64_t bytes;  // kRowBytes or more
  uint8_t* out;
};

struct ResizeKernels {
  void (*across)(const AcrossJob& job);
  void (*down)(const DownJob& job);
};

// kernels/resize/<implementation>.cpp
extern const ResizeKernels kGenericResize;
#if defined(__x86_64__)
extern const ResizeKernels kAvx2Resize;
#elif defined(__aarch64__)
extern const ResizeKernels kNeonResize;
#endif

}  // namespace bnn
#endif  // BNN_RESIZE_H_
