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
  int64_t pitch, tap_count;
  uint64_t weight, bias;  // offsets inside the part
};

constexpr int kMaxConvolutions = 8;

// A convolution of a stem takes its window's rows from a ring of kernel + 1 padded rows (see
// kernels.h); the last one is zeros.
struct StemStep {
  ConvolutionRecord convolution;
  // Offsets inside a member's workspace.
  uint64_t ring;
  uint64_t row;  // [channels_out][out_width], where the next ring has phases
};

struct StemRecord {
  PartHeader header;
  int32_t step_count;
  int32_t pool_height, pool_width;  // of its output
  bnn_window pool;
  // Offsets inside a member's workspace.
  uint64_t ring;     // [pool.kernel][channels][width]
  uint64_t scratch;  // see PoolJob
  StemStep steps[kMaxConvolutions];
};

struct TransitionRecord {
  PartHeader header;
  int32_t height, width, pool_height, pool_width, shuffle_groups;
  bnn_window pool;
  uint64_t scale, shift;  // offsets inside the part
  uint64_t planes;        // offset inside the common workspace: [channels][pitch], shuffled
  // Offsets inside a member's workspace.
  uint64_t panel;    // [channels][FloatKernels::pixels], some pixels of planes
  uint64_t scratch;  // see PoolJob
  ConvolutionRecord convolution;
};

struct HeadRecord {
  PartHeader header;
  int32_t channels, classes;
  int64_t pixels;
  uint64_t scale, shift, weight, bias;  // offsets inside the part
  uint64_t means;                       // offset inside the common workspace
};

}  // namespace bnn
#endif  // BNN_FLOATS_H_
