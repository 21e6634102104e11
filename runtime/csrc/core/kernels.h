// The functions that one implementation (one instruction set) fills in; everything else is common.
//
// Layouts shared by all implementations
// - map: packed words of one image with a border of one pixel, [height + 2][width + 2][words].
// - counts: mismatches of one block of 64 output channels, uint16 [height * width][64].
// - padded row for a float convolution: [channels][stride][pitch]; a padded column q is element
//   q / stride of phase q % stride, so that the pixels one tap reads for consecutive outputs are
//   consecutive in memory.
// - cell: the levels of some consecutive channels of one pixel in a uint32, the first one in its
//   lowest bits: four bytes or, where bytes cannot be multiplied exactly, two halves. It takes the
//   place of a float in padded rows. A group's last cell is padded with zeros.
// - quad: the levels of four consecutive channels of the head, the first one in the lowest byte.
#ifndef BNN_KERNELS_H_
#define BNN_KERNELS_H_

#include "bnn.h"
#include "core/team.h"

namespace bnn {

constexpr int kGrowth = 64;           // output channels of one binary layer: one block of counts
constexpr int kTaps = 9;              // of the 3x3 window
constexpr int64_t kMaxCount = 65535;  // counts are uint16
constexpr int kDenseBlock = 64;       // classes side by side in the head's weights
constexpr int kTerms = 6;             // of a convolution by Winograd's F(4, 3), see WinogradJob
constexpr int kTermRows = 4;          // of outputs that they give
constexpr float kNear = 0.75f, kFar = 1.5f;  // its points beside 0: plus and minus these
constexpr int kMaxLanes = 16;                // floats in the widest vector; planes are padded to it
constexpr int64_t kSlack = 64;               // bytes beyond a map or scratch that kernels may touch

// One binary layer on one image: counts (=, or += when add) the mismatches of all windows of the
// map.
struct CountJob {
  const void* weights;  // written by pack_weights of the same family
  uint32_t* map;        // kernels may overwrite it
  int64_t words, height, width;
  uint16_t* counts;
  bool add;
  void* scratch;  // scratch_bytes() of it, aligned
};

// One way to count mismatches. The border's bits are ordinary bits here: correcting it for padding
// 0 is not its task.
struct CountFamily {
  const char* name;
  bool (*suits)(int64_t words, int64_t height, int64_t width);
  size_t (*weight_bytes)(int64_t words);
  void (*pack_weights)(const uint32_t* weight, int64_t words, void* packed);  // from [64][9][words]
  size_t (*scratch_bytes)(int64_t words, int64_t height, int64_t width);
  void (*count)(const CountJob& job);
};

// Some outputs of a float convolution along one row. Outputs are computed in blocks of
// FloatKernels::outputs, whole blocks per group; a block's weights are [tap][outputs], taps in the
// order (channel in, row, column), padded with zeros.
struct RowJob {
  const float* const* rows;  // [kernel] the window's rows: where its first column is for output 0
  int64_t x_channel;         // floats between two channels
  const int64_t* columns;    // [kernel] floats between the window's first column and each
  int64_t kernel;
  int64_t channels, group_out;  // in and out of one group
  Range blocks;
  const float* weight;  // [blocks][tap][outputs]
  const float* bias;    // [blocks][outputs]
  bool relu;
  int64_t width;  // of the output
  float* y;       // of channel 0
  int64_t y_channel;
};

// scale * x + shift if scale is given, max pool, ReLU if asked: one row of the output.
struct PoolJob {
  const float* const* rows;  // [row_count] the window's rows that lie inside the map
  int64_t row_count, width;
  int64_t channels, x_channel;
  const float* scale;  // [channels], or both NULL
  const float* shift;
  bnn_window window;  // kernel 0: no pool
  bool relu;
  float* y;
  int64_t out_width, y_channel;
  float* scratch;  // [padding_before + width + padding_after + kMaxLanes]
};

// Four rows of the outputs of one group of a float 3x3 convolution that moves by one position, by
// Winograd's F(4, 3) down the rows: from terms, which transform_rows makes of six rows of inputs.
// Outputs are computed in blocks of WinogradKernels::outputs. A block's weights are
// [pass][channel in][column][terms of a pass][outputs], padded with zeros.
struct WinogradJob {
  const float* terms;  // [channels][kTerms][pitch]: where the window's first column is for output 0
  int64_t pitch;
  int64_t channels, outputs;  // in and out of the group
  const float* weight;
  const float* bias;  // [blocks][outputs]
  bool relu;
  int64_t width;  // of the output
  // The rows of the group's first output; NULL: not wanted. With `above`: the larger of the rows
  // -1, 0, 1 and that of the rows 1, 2, 3, whole vectors, no NULL.
  float* y[kTermRows];
  int64_t y_channel;
  float* above;  // NULL, or in: the row in front of these four; out: the last of them
  int64_t rows;  // of the four inside the map; with `above`, the others are minus infinity
};

struct WinogradKernels {
  int outputs;   // of a block
  int together;  // terms of a pass
  // Six rows [channels][pitch] -> [channels][kTerms][pitch], as far as `width` outputs read them
  void (*transform_rows)(const float* const* rows, int64_t channels, int64_t pitch, int64_t width,
                         float* y);
  void (*rows)(const WinogradJob& job);
};

struct FloatKernels {
  int outputs;  // output channels of a block, see RowJob
  int pixels;   // of the widest tile
  void (*convolve_row)(const RowJob& job);
  // y [channels][pixels] = the first width floats of each channel of x
  void (*copy_columns)(const float* x, int64_t x_channel, int64_t channels, int64_t width,
                       float* y);
  // x [count] -> its even and its odd columns
  void (*split_row)(const float* x, int64_t count, float* even, float* odd);
  void (*pool_row)(const PoolJob& job);
  // y[c] = mean over pixels of max(scale[c] * x[c][pixel] + shift[c], 0), summed in the order of
  // the pixels
  void (*mean)(const float* x, const float* scale, const float* shift, int64_t channels,
               int64_t pixels, float* y);
  // y[k] = bias[k] + sum over c of x[c] * weight[k / 64][c][k % 64]
  void (*dense)(const float* x, const float* weight, const float* bias, int64_t channels,
                int64_t classes, float* y);
  WinogradKernels winograd;
};

// RowJob in 8-bit arithmetic: what it says of floats holds for cells here. A block's weights are
// [tap][outputs] as Int8Kernels::pack_weights makes them, taps in the order (cell in, row, column).
struct CellRowJob {
  const uint32_t* const* rows;
  int64_t x_cell;  // between two cells of channels
  const int64_t* columns;
  int64_t kernel;
  int64_t cells, group_out;
  Range blocks;
  const uint32_t* weight;
  const int32_t* start;  // [blocks][outputs] what the sums begin with
  const float* scale;    // [blocks][outputs]
  const float* bias;     // [blocks][outputs]
  bool relu;
  int64_t width;
  float* y;
  int64_t y_channel;
};

struct Int8Kernels {
  int outputs, pixels;  // of a block, of the widest tile
  int channels;         // of a cell: 4 or 2
  int32_t offset;       // that the kernels subtract from a level: sums begin with offset * weights
  uint32_t (*pack_weights)(const int8_t* weights);  // [channels] those of a cell for one output
  void (*convolve_row)(const CellRowJob& job);
  // x [channels][width] of one group -> cells
  void (*quantize_cells)(const float* x, int64_t x_channel, int64_t channels, int64_t width,
                         float inverse_step, uint32_t* y, int64_t y_cell);
  // x [count] -> levels
  void (*quantize)(const float* x, int64_t count, float inverse_step, uint8_t* y);
  // Levels [channels][width] of one group -> cells [pixels], the last ones arbitrary; reads whole
  // vectors.
  void (*fill_panel)(const uint8_t* x, int64_t x_channel, int64_t channels, int64_t width,
                     uint32_t* y);
  // y[k] = bias[k] + scale[k] * sum over quads of x * weight[k / 64][quad][k % 64]
  void (*dense)(const uint32_t* x, const int8_t* weight, const int32_t* start, const float* scale,
                const float* bias, int64_t quads, int64_t classes, float* y);
};

struct ResizeKernels;  // kernels/resize/resize.h
struct SlicedKernels;  // kernels/sliced/sliced.h

struct Kernels {
  const char* name;
  const char* features;
  // out[row][word] = (x[row][channel] >= threshold[channel]) ^ flip, rows x_pitch floats and
  // out_pitch words apart
  void (*pack_floats)(const float* x, int64_t x_pitch, int64_t rows, const float* threshold,
                      const uint32_t* flip, int64_t words, uint32_t* out, int64_t out_pitch);
  // out[row][2 * block + i] = (counts[block][row][channel] <= limit[channel]) ^ flip, blocks
  // block_pitch counts apart
  void (*pack_counts)(const uint16_t* counts, int64_t block_pitch, int64_t blocks, int64_t rows,
                      const uint16_t* limit, const uint32_t* flip, uint32_t* out,
                      int64_t out_pitch);
  // y[column][row] = x[row][column]
  void (*transpose)(const float* x, int64_t x_pitch, int64_t rows, int64_t columns, float* y,
                    int64_t y_pitch);
  // y[channel][row] = total - 2 * counts[row][channel], 64 channels
  void (*unpack_counts)(const uint16_t* counts, int64_t rows, int32_t total, float* y,
                        int64_t y_pitch);
  const CountFamily* families;  // in order of preference; the last one suits every layer
  int family_count;
  const FloatKernels& floats;
  const Int8Kernels& int8;
  const ResizeKernels& resize;
  const SlicedKernels* sliced;  // NULL: none
};

}  // namespace bnn
#endif  // BNN_KERNELS_H_
