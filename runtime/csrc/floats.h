// The layout of prepared float parts, shared by the file that writes them and the file that runs
// them.
#ifndef BNN_FLOATS_H_
#define BNN_FLOATS_H_

#include "part.h"

namespace bnn {

struct ConvolutionRecord {
  int32_t channels_in, channels_out, groups, relu;
  int32_t kernel, stride, before;  // before: padding at the top and left
  int32_t in_height, in_width, out_height, out_width;
  int32_t outputs;  // FloatKernels::outputs it was packed for
  int64_t rows, pitch, tap_count;
  uint64_t taps, weight, bias;  // offsets inside the part
  uint64_t planes;              // offset inside the workspace
  uint64_t result;  // offset inside the workspace, when the next step needs other planes or a pool
};

constexpr int kMaxConvolutions = 8;

struct StemRecord {
  PartHeader header;
  int32_t convolution_count;
  int32_t pool_height, pool_width;  // of its output
  bnn_window pool;
  uint64_t row;  // offset inside the workspace
  ConvolutionRecord convolutions[kMaxConvolutions];
};

struct TransitionRecord {
  PartHeader header;
  int32_t height, width, pool_height, pool_width, shuffle_groups;
  bnn_window pool;
  uint64_t scale, shift;  // offsets inside the part
  uint64_t row;           // offset inside the workspace
  ConvolutionRecord convolution;
};

struct HeadRecord {
  PartHeader header;
  int32_t channels, classes;
  int64_t pixels;
  uint64_t scale, shift, weight, bias;  // offsets inside the part
  uint64_t means;                       // offset inside the workspace
};

}  // namespace bnn
#endif  // BNN_FLOATS_H_
