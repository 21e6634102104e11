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
  int64_t tap_count;      // of an output; 8-bit: cell_channels each; Winograd: terms of all columns
  // Offsets inside the part.
  uint64_t weight, bias;
  uint64_t scale, start;  // 8-bit: see CellRowJob
};

// Whether a convolution of a stem goes by Winograd's F(4, 3). Its shape alone decides, on every
// CPU: the sums have another order then.
inline bool is_winograd(const ConvolutionRecord& record) {
  return record.kernel == 3 && record.stride == 1 && !record.is_int8;
}

// Rows of its output that it computes at once, and rows of its input that they need.
inline int64_t rows_at_once(const ConvolutionRecord& record) {
  return is_winograd(record) ? kTermRows : 1;
}
inline int64_t window_rows(const ConvolutionRecord& record) {
  return is_winograd(record) ? kTerms : record.kernel;
}

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

// parts/convolution_prepare.cpp. Outputs of a block, and weights of one output.
int32_t block_outputs(const ConvolutionRecord& record, const Kernels& kernels);
int64_t weight_count(const ConvolutionRecord& record);
// taps: of one output.
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

// A convolution of a stem takes its window's rows from a ring of padded rows (see core/kernels.h);
// one more, behind it, is zeros.
struct StemStep {
  ConvolutionRecord convolution;
  // Offsets inside a member's workspace.
  uint64_t ring;
  uint64_t cells;  // [cells][in_width], where its ring has cells and phases
  // [rows at once][channels_out][out_width], where the next ring has cells or phases
  uint64_t row;
};

// Whether the convolution in front of it computes its rows beside its ring.
inline bool needs_row(const ConvolutionRecord& next) { return next.is_int8 || next.stride != 1; }

struct StemRecord {
  PartHeader header;
  int32_t step_count;
  int32_t pool_height, pool_width;  // of its output
  bnn_window pool;
  // Offsets inside a member's workspace.
  uint64_t ring;     // [pool_slots][channels][width]
  uint64_t scratch;  // see PoolJob
  uint64_t terms;    // of one group, see WinogradJob
  uint64_t tops;     // where pools_registers: [2][channels of a group][row_pitch]
  uint64_t above;    // and [channels][row_pitch]
  StemStep steps[kMaxConvolutions];
};

// Rows that come at once go up to three beyond those that were asked for.
inline int64_t ring_slots(const StemRecord& stem, int32_t i) {
  return window_rows(stem.steps[i].convolution) +
         (i > 0 ? rows_at_once(stem.steps[i - 1].convolution) - 1 : 0);
}
inline const ConvolutionRecord& last_step(const StemRecord& stem) {
  return stem.steps[stem.step_count - 1].convolution;
}
inline int64_t pool_slots(const StemRecord& stem) {
  return stem.pool.kernel == 0 ? 0 : stem.pool.kernel + rows_at_once(last_step(stem)) - 1;
}
// Whether the pool takes the larger rows while they are in registers.
inline bool pools_registers(const StemRecord& stem) {
  const bnn_window& pool = stem.pool;
  return is_winograd(last_step(stem)) && pool.kernel == 3 && pool.stride == 2 &&
         pool.padding_before == 1 && pool.padding_after <= 1;
}
inline int64_t row_pitch(const StemRecord& stem) {
  return round_up(last_step(stem).out_width, kMaxLanes);
}
// Floats of the terms of the largest group.
inline int64_t term_floats(const StemRecord& stem) {
  int64_t most = 0;
  for (int32_t i = 0; i < stem.step_count; ++i) {
    const ConvolutionRecord& step = stem.steps[i].convolution;
    const int64_t count = step.channels_in / step.groups * kTerms * step.pitch;
    if (is_winograd(step) && count > most) most = count;
  }
  return most;
}

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
