// Validates convolutions of either arithmetic and writes them in the layout of their kernels.
#include <string.h>

#include "parts/floats.h"

namespace bnn {
namespace {

constexpr int64_t kMaxInt8Taps = 1 << 16;  // 255 * 127 times this fits an int32

int check_positive(const char* what, const float* values, int64_t count) {
  if (check_finite(what, values, count) != BNN_OK) return BNN_EARGUMENT;
  for (int64_t i = 0; i < count; ++i) {
    if (values[i] <= 0.0f) {
      return fail(BNN_EARGUMENT, "%s: expected positive values, found %g at %lld", what,
                  static_cast<double>(values[i]), static_cast<long long>(i));
    }
  }
  return BNN_OK;
}

// The weights of one output, taps in the order (cell, row, column); returns what its sums begin
// with.
int32_t write_cell_weights(const int8_t* weight, const ConvolutionRecord& record,
                           const Int8Kernels& int8, uint32_t* to) {
  const int64_t channels = record.channels_in / record.groups;
  const int64_t area = int64_t{record.kernel} * record.kernel, together = record.cell_channels;
  int32_t sum = 0;
  for (int64_t tap = 0; tap < record.tap_count; ++tap) {
    int8_t cell[4] = {};
    const int64_t first = tap / area * together;
    for (int64_t k = 0; k < together && first + k < channels; ++k) {
      cell[k] = weight[(first + k) * area + tap % area];
      sum += cell[k];
    }
    to[tap * record.outputs] = int8.pack_weights(cell);
  }
  return int8.offset * sum;
}

// The terms of a column of the window, which has these weights from top to bottom: see bnn.h.
void transform_weights(double top, double middle, double bottom, float (&term)[kTerms]) {
  constexpr double kNear2 = kNear * kNear, kFar2 = kFar * kFar;
  const auto at_point = [&](double x, double divisor) {
    return static_cast<float>(((top + x * x * bottom) + x * middle) / divisor);
  };
  term[0] = static_cast<float>(top / (kNear2 * kFar2));
  term[1] = at_point(kNear, 2 * kNear2 * (kNear2 - kFar2));
  term[2] = at_point(-kNear, 2 * kNear2 * (kNear2 - kFar2));
  term[3] = at_point(kFar, 2 * kFar2 * (kFar2 - kNear2));
  term[4] = at_point(-kFar, 2 * kFar2 * (kFar2 - kNear2));
  term[5] = static_cast<float>(bottom);
}

// [block][pass][channel in][column][terms of a pass][outputs], the bias [block][outputs].
void write_winograd(const bnn_convolution& convolution, const ConvolutionRecord& record,
                    const Kernels& kernels, void* part) {
  const int64_t channels = record.channels_in / record.groups;
  const int64_t group_out = record.channels_out / record.groups, outputs = record.outputs;
  const int64_t blocks = round_up(group_out, outputs) / outputs;
  const int64_t together = kernels.floats.winograd.together, columns = channels * 3;
  for (int64_t output = 0; output < record.channels_out; ++output) {
    const int64_t inside = output % group_out;
    const int64_t block = output / group_out * blocks + inside / outputs;
    float* weight = at<float>(part, record.weight) + block * record.tap_count * outputs;
    for (int64_t i = 0; i < columns; ++i) {
      const float* from = convolution.weight + (output * channels + i / 3) * 9 + i % 3;
      float term[kTerms];
      transform_weights(from[0], from[3], from[6], term);
      for (int64_t t = 0; t < kTerms; ++t) {
        const int64_t tap = (t / together * columns + i) * together + t % together;
        weight[tap * outputs + inside % outputs] = term[t];
      }
    }
    if (convolution.bias != nullptr)
      at<float>(part, record.bias)[block * outputs + inside % outputs] = convolution.bias[output];
  }
}

}  // namespace

int32_t block_outputs(const ConvolutionRecord& record, const Kernels& kernels) {
  return record.is_int8        ? kernels.int8.outputs
         : is_winograd(record) ? kernels.floats.winograd.outputs
                               : kernels.floats.outputs;
}

int64_t weight_count(const ConvolutionRecord& record) {
  const int64_t rows = is_winograd(record) ? kTerms : record.kernel;
  return row_channels(record) / record.groups * rows * record.kernel;
}

int check_int8(const char* what, const bnn_int8& int8, int64_t outputs, int64_t taps) {
  if (check_pointer(what, int8.weight) != BNN_OK ||
      check_positive(what, int8.scale, outputs) != BNN_OK ||
      check_positive(what, &int8.inverse_step, 1) != BNN_OK) {
    return BNN_EARGUMENT;
  }
  if (taps > kMaxInt8Taps) {
    return fail(BNN_EARGUMENT, "%s: expected at most %lld 8-bit weights an output, found %lld",
                what, static_cast<long long>(kMaxInt8Taps), static_cast<long long>(taps));
  }
  for (int64_t i = 0; i < outputs * taps; ++i) {
    if (int8.weight[i] == -128) {
      return fail(BNN_EARGUMENT, "%s: expected 8-bit weights of -127..127, found -128 at %lld",
                  what, static_cast<long long>(i));
    }
  }
  return BNN_OK;
}

int check_convolution(const char* what, const bnn_convolution& convolution, int32_t height,
                      int32_t width) {
  const int32_t in = convolution.channels_in, out = convolution.channels_out,
                groups = convolution.groups;
  if (check_range(what, in, 1, kMaxChannels) != BNN_OK ||
      check_range(what, out, 1, kMaxChannels) != BNN_OK ||
      check_range(what, groups, 1, kMaxChannels) != BNN_OK) {
    return BNN_EARGUMENT;
  }
  if (in % groups != 0 || out % groups != 0) {
    return fail(BNN_EARGUMENT, "%s: expected groups that divide %d and %d channels, found %d", what,
                in, out, groups);
  }
  if (check_window(what, convolution.window, height, width) != BNN_OK) return BNN_EARGUMENT;
  const int64_t area = int64_t{convolution.window.kernel} * convolution.window.kernel;
  const int64_t taps = in / groups * area;
  const int status = convolution.int8 != nullptr
                         ? check_int8(what, *convolution.int8, out, taps)
                         : check_finite(what, convolution.weight, int64_t{out} * taps);
  if (status != BNN_OK) return status;
  return convolution.bias == nullptr ? static_cast<int>(BNN_OK)
                                     : check_finite(what, convolution.bias, out);
}

ConvolutionRecord lay_out_convolution(const bnn_convolution& convolution, int32_t height,
                                      int32_t width, bool flat, const Kernels& kernels,
                                      Layout* layout) {
  ConvolutionRecord record;
  memset(&record, 0, sizeof record);
  record.channels_in = convolution.channels_in;
  record.channels_out = convolution.channels_out;
  record.groups = convolution.groups;
  record.relu = convolution.relu != 0;
  record.kernel = convolution.window.kernel;
  record.stride = convolution.window.stride;
  record.before = convolution.window.padding_before;
  record.in_height = flat ? 1 : height;
  record.in_width = flat ? height * width : width;
  record.out_height = flat ? 1 : window_outputs(convolution.window, height);
  record.out_width = flat ? height * width : window_outputs(convolution.window, width);
  record.is_int8 = convolution.int8 != nullptr;
  record.cell_channels = record.is_int8 ? kernels.int8.channels : 0;
  record.inverse_step = record.is_int8 ? convolution.int8->inverse_step : 0.0f;
  record.outputs = block_outputs(record, kernels);
  record.pitch = round_up(
      round_up(record.out_width, kMaxLanes) + (record.kernel - 1) / record.stride, kMaxLanes);
  // Rows a multiple of 256 bytes apart would meet in a few sets of the L1 cache.
  if (!flat && record.pitch % (4 * kMaxLanes) == 0) record.pitch += kMaxLanes;
  record.tap_count = weight_count(record);
  const int64_t padded =
      record.groups * round_up(record.channels_out / record.groups, record.outputs);
  record.weight = layout->take(padded * record.tap_count, sizeof(float));  // or a cell's
  record.bias = layout->take(padded, sizeof(float));
  if (record.is_int8) {
    record.scale = layout->take(padded, sizeof(float));
    record.start = layout->take(padded, sizeof(int32_t));
  }
  return record;
}

void write_convolution(const bnn_convolution& convolution, const ConvolutionRecord& record,
                       const Kernels& kernels, void* part) {
  if (is_winograd(record)) return write_winograd(convolution, record, kernels, part);
  const int64_t group_out = record.channels_out / record.groups;
  const int64_t blocks = round_up(group_out, record.outputs) / record.outputs;
  for (int64_t output = 0; output < record.channels_out; ++output) {
    const int64_t inside = output % group_out;
    const int64_t block = output / group_out * blocks + inside / record.outputs;
    const int64_t lane = inside % record.outputs;
    const int64_t first = block * record.tap_count * record.outputs + lane;
    const int64_t padded = block * record.outputs + lane;
    if (record.is_int8) {
      const int64_t taps =
          int64_t{record.channels_in / record.groups} * record.kernel * record.kernel;
      const bnn_int8& int8 = *convolution.int8;
      at<float>(part, record.scale)[padded] = int8.scale[output];
      at<int32_t>(part, record.start)[padded] =
          write_cell_weights(int8.weight + output * taps, record, kernels.int8,
                             at<uint32_t>(part, record.weight) + first);
    } else {
      float* weight = at<float>(part, record.weight) + first;
      for (int64_t tap = 0; tap < record.tap_count; ++tap) {
        weight[tap * record.outputs] = convolution.weight[output * record.tap_count + tap];
      }
    }
    if (convolution.bias != nullptr) {
      at<float>(part, record.bias)[padded] = convolution.bias[output];
    }
  }
}

}  // namespace bnn
