// The layout of prepared float parts, shared by the files that write them and those that run them.
#ifndef BNN_FLOATS_H_
#define BNN_FLOATS_H_

#include "parts/part.h"

namespace bnn {

struct ConvolutionRecord {
  int32_t channels_in, channels_out, groups, relu;
  int32_t kernel, stride, before;  // before: padding at the top and left
  int32_t in_height, in_width, out_height, out_width;
  int32_t outputs;  // of a block, that it was packed for
  int32_t is_int8;
  int32_t cell_channels;  // 8-bit: that it was packed for
  float inverse_step;     // 8-bit: see bnn_int8
  int64_t pitch;          // of a padded row, in floats or cells
  int64_t tap_count;      // of an output; 8-bit: cell_channels each
  // Offsets inside the part.
  uint64_t weight, bias;
  uint64_t scale, start;  // 8-bit: see CellRowJob
};

inline int64_t group_cells(const ConvolutionRecord& record) {
  return round_up(record.channels_in / record.groups, record.cell_channels) / record.cell_channels;
}

// Of a padded row: channels of floats, or cells.
inline int64_t row_channels(const ConvolutionRecord& record) {
  return record.is_int8 ? record.groups * group_cells(record) : record.channels_in;
}

// Of a padded row: floats or cells.
inline int64_t row_elements(const ConvolutionRecord& record) {
  return row_channels(record) * record.stride * record.pitch;
}

// parts/convolution_prepare.cpp. taps: of one output.
int check_int8(const char* what, const bnn_int8& int8, int64_t outputs, int64_t taps);
int check_convolution(const char* what, const bnn_convolution& convolution, int32_t height,
                      int32_t width);
// A flat convolution (1x1, stride 1) sees the map as one long row.
ConvolutionRecord lay_out_convolution(const bnn_convolution& convolution, int32_t height,
                                      int32_t width, bool flat, const Kernels& kernels,
                                      Layout* layout);
void write_convolution(const bnn_convolution& convolution, const ConvolutionRecord& record,
                       const Kernels& kernels, void* part);

// parts/floats.cpp. Set what depends on the record alone.
void set_row_job(const ConvolutionRecord& record, const void* part, const int64_t* columns,
                 RowJob* job);
void set_cell_job(const ConvolutionRecord& record, const void* part, const int64_t* columns,
                  CellRowJob* job);

constexpr int kMaxConvolutions = 8;

// A convolution of a stem takes its window's rows from a ring of kernel + 1 padded rows (see
// core/kernels.h); the last one is zeros.
struct StemStep {
  ConvolutionRecord convolution;
  // Offsets inside a member's workspace.
  uint64_t ring;
  uint64_t cells;  // [cells][in_width], where its ring has cells and phases
  uint64_t row;    // [channels_out][out_width], where the next ring has cells or phases
};

// Whether the convolution in front of it computes its rows beside its ring.
inline bool needs_row(const ConvolutionRecord& next) { return next.is_int8 || next.stride != 1; }

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
  // Offset inside the common workspace: floats or levels [channels][pitch], shuffled.
  uint64_t planes;
  // Offsets inside a member's workspace.
  uint64_t panel;    // floats or cells [channels or cells][pixels of a tile], of planes
  uint64_t scratch;  // see PoolJob
  uint64_t pooled;   // 8-bit: floats of one channel
  ConvolutionRecord convolution;
};

struct HeadRecord {
  PartHeader header;
  int32_t channels, classes;
  int64_t pixels;
  int32_t is_int8;
  float inverse_step;
  // Offsets inside the part.
  uint64_t scale, shift, weight, bias;
  uint64_t output_scale, start;  // 8-bit: see Int8Kernels::dense
  uint64_t means;                // offset inside the common workspace
  uint64_t levels;               // offset inside a member's workspace, 8-bit: of the means
};

}  // namespace bnn
#endif  // BNN_FLOATS_H_
