// Validates the descriptions of stem, transition and head and writes them in the layout of the
// float kernels.
#include <string.h>

#include "floats.h"

namespace bnn {
namespace {

constexpr int64_t kMaxInt8Taps = 1 << 16;  // 255 * 127 times this fits an int32

size_t weight_bytes(const ConvolutionRecord& record, const Kernels& kernels) {
  return record.is_int8 ? static_cast<size_t>(kernels.int8.weight_bytes) : sizeof(float);
}

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

// taps: of one output.
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

// A flat convolution (1x1, stride 1) sees the map
// as one long row.
ConvolutionRecord lay_out(const bnn_convolution& convolution, int32_t height, int32_t width,
                          bool flat, const Kernels& kernels, Layout* layout) {
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
  record.inverse_step = record.is_int8 ? convolution.int8->inverse_step : 0.0f;
  record.outputs = record.is_int8 ? kernels.int8.outputs : kernels.floats.outputs;
  record.pitch = round_up(
      round_up(record.out_width, kMaxLanes) + (record.kernel - 1) / record.stride, kMaxLanes);
  record.tap_count = row_channels(record) / record.groups * record.kernel * record.kernel;
  const int64_t padded =
      record.groups * round_up(record.channels_out / record.groups, record.outputs);
  record.weight = layout->take(padded * record.tap_count, weight_bytes(record, kernels));
  record.bias = layout->take(padded, sizeof(float));
  if (record.is_int8) {
    record.scale = layout->take(padded, sizeof(float));
    record.start = layout->take(padded, sizeof(int32_t));
  }
  return record;
}

// Floats or quads of one padded row.
int64_t row_elements(const ConvolutionRecord& record) {
  return row_channels(record) * record.stride * record.pitch;
}

// The weights of one output, taps in the order (quad, row, column); returns what its sums begin
// with.
int32_t write_quad_weights(const int8_t* weight, const ConvolutionRecord& record,
                           const Int8Kernels& int8, uint8_t* to) {
  const int64_t channels = record.channels_in / record.groups;
  const int64_t area = int64_t{record.kernel} * record.kernel;
  int32_t sum = 0;
  for (int64_t tap = 0; tap < record.tap_count; ++tap) {
    int8_t quad[4] = {};
    for (int64_t k = 0; k < 4 && tap / area * 4 + k < channels; ++k) {
      quad[k] = weight[(tap / area * 4 + k) * area + tap % area];
      sum += quad[k];
    }
    int8.pack_weights(quad, to + tap * record.outputs * int8.weight_bytes);
  }
  return int8.offset * sum;
}

void write_convolution(const bnn_convolution& convolution, const ConvolutionRecord& record,
                       const Kernels& kernels, void* part) {
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
          write_quad_weights(int8.weight + output * taps, record, kernels.int8,
                             at<uint8_t>(part, record.weight) + first * kernels.int8.weight_bytes);
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

// [class / 64][quad][class % 64][4]
void write_dense_quads(const bnn_int8& int8, const HeadRecord& record, const Kernels& kernels,
                       void* part) {
  const int64_t channels = record.channels, quads = round_up(channels, 4) / 4;
  for (int64_t k = 0; k < record.classes; ++k) {
    int8_t* weight = at<int8_t>(part, record.weight) +
                     (k / kDenseBlock * quads * kDenseBlock + k % kDenseBlock) * 4;
    int32_t sum = 0;
    for (int64_t c = 0; c < channels; ++c) {
      weight[c / 4 * kDenseBlock * 4 + c % 4] = int8.weight[k * channels + c];
      sum += int8.weight[k * channels + c];
    }
    at<int32_t>(part, record.start)[k] = kernels.int8.offset * sum;
    at<float>(part, record.output_scale)[k] = int8.scale[k];
  }
}

int check_stem(const bnn_stem* stem) {
  if (check_pointer("bnn_stem", stem) != BNN_OK ||
      check_range("bnn_stem: height", stem->height, 1, kMaxSide) != BNN_OK ||
      check_range("bnn_stem: width", stem->width, 1, kMaxSide) != BNN_OK ||
      check_range("bnn_stem: convolution_count", stem->convolution_count, 1, kMaxConvolutions) !=
          BNN_OK ||
      check_pointer("bnn_stem: convolutions", stem->convolutions) != BNN_OK) {
    return BNN_EARGUMENT;
  }
  int32_t height = stem->height, width = stem->width;
  for (int32_t i = 0; i < stem->convolution_count; ++i) {
    const bnn_convolution& convolution = stem->convolutions[i];
    if (check_convolution("bnn_stem: a convolution", convolution, height, width) != BNN_OK)
      return BNN_EARGUMENT;
    if (i > 0 && convolution.channels_in != stem->convolutions[i - 1].channels_out) {
      return fail(BNN_EARGUMENT, "bnn_stem: convolution %d: expected %d channels in, found %d", i,
                  stem->convolutions[i - 1].channels_out, convolution.channels_in);
    }
    if (i == 0 && convolution.int8 != nullptr) {
      return fail(BNN_EARGUMENT,
                  "bnn_stem: convolution 0: expected float arithmetic, found 8-bit, which would "
                  "lose the sign of its input");
    }
    height = window_outputs(convolution.window, height);
    width = window_outputs(convolution.window, width);
  }
  return stem->pool.kernel == 0 ? static_cast<int>(BNN_OK)
                                : check_window("bnn_stem: pool", stem->pool, height, width);
}

// Kernel 0 means no pool, whatever the other fields say: nothing may depend on them.
bnn_window normal_pool(const bnn_window& pool) { return pool.kernel == 0 ? bnn_window{} : pool; }

int64_t pool_row(const bnn_window& window, int32_t width) {
  return int64_t{width} + window.padding_before + window.padding_after + kMaxLanes;
}

// 4 TiB: sizes in bytes stay far from overflow.
constexpr int64_t kMaxFloats = int64_t{1} << 40;

}  // namespace
}  // namespace bnn

int bnn_stem_prepare(const bnn_stem* stem, void* part, size_t* bytes) {
  using namespace bnn;
  if (check_pointer("bnn_stem_prepare: bytes", bytes) != BNN_OK || check_stem(stem) != BNN_OK)
    return BNN_EARGUMENT;
  const Kernels* kernels = active_kernels();
  if (kernels == nullptr) return BNN_EUNSUPPORTED;
  StemRecord record;
  memset(&record, 0, sizeof record);
  record.step_count = stem->convolution_count;
  record.pool = normal_pool(stem->pool);
  Layout layout, member;
  layout.take(1, sizeof record);
  int32_t height = stem->height, width = stem->width, channels = 0;
  for (int32_t i = 0; i < record.step_count; ++i) {
    StemStep& step = record.steps[i];
    step.convolution = lay_out(stem->convolutions[i], height, width, false, *kernels, &layout);
    height = step.convolution.out_height;
    width = step.convolution.out_width;
    channels = step.convolution.channels_out;
    const int64_t ring = row_elements(step.convolution) * (step.convolution.kernel + 1);
    step.ring = member.take(ring, sizeof(float));
    if (i > 0 && needs_row(step.convolution)) {
      const ConvolutionRecord& before = record.steps[i - 1].convolution;
      record.steps[i - 1].row =
          member.take(int64_t{before.channels_out} * before.out_width, sizeof(float));
    }
    if (step.convolution.is_int8 && step.convolution.stride != 1) {
      step.quads =
          member.take(row_channels(step.convolution) * step.convolution.in_width, sizeof(uint32_t));
    }
  }
  record.pool_height = window_outputs(record.pool, height);
  record.pool_width = window_outputs(record.pool, width);
  record.ring = member.take(int64_t{record.pool.kernel} * channels * width, sizeof(float));
  record.scratch = member.take(pool_row(record.pool, width), sizeof(float));

  bool write;
  const int status = open_part("bnn_stem_prepare", part, bytes, layout.bytes(), &write);
  if (status != BNN_OK || !write) return status;
  memset(part, 0, layout.bytes());
  write_header(&record, *kernels, Kind::kStem, layout.bytes(), Layout(), member,
               {stem->convolutions[0].channels_in, stem->height, stem->width},
               {channels, record.pool_height, record.pool_width});
  *static_cast<StemRecord*>(part) = record;
  for (int32_t i = 0; i < record.step_count; ++i)
    write_convolution(stem->convolutions[i], record.steps[i].convolution, *kernels, part);
  return BNN_OK;
}

int bnn_transition_prepare(const bnn_transition* transition, void* part, size_t* bytes) {
  using namespace bnn;
  if (check_pointer("bnn_transition_prepare: bytes", bytes) != BNN_OK ||
      check_pointer("bnn_transition", transition) != BNN_OK ||
      check_range("bnn_transition: height", transition->height, 1, kMaxSide) != BNN_OK ||
      check_range("bnn_transition: width", transition->width, 1, kMaxSide) != BNN_OK) {
    return BNN_EARGUMENT;
  }
  const bnn_window pool = normal_pool(transition->pool);
  if (pool.kernel != 0 &&
      check_window("bnn_transition: pool", pool, transition->height, transition->width) != BNN_OK) {
    return BNN_EARGUMENT;
  }
  const int32_t height = window_outputs(pool, transition->height);
  const int32_t width = window_outputs(pool, transition->width);
  const bnn_convolution& convolution = transition->convolution;
  const bnn_window& window = convolution.window;
  if (check_convolution("bnn_transition: convolution", convolution, height, width) != BNN_OK)
    return BNN_EARGUMENT;
  if (window.kernel != 1 || window.stride != 1) {
    return fail(
        BNN_EARGUMENT,
        "bnn_transition: expected a convolution with kernel 1 and stride 1, found %d and %d",
        window.kernel, window.stride);
  }
  const int32_t channels = convolution.channels_in, groups = transition->shuffle_groups;
  if (groups < 1 || channels % groups != 0) {
    return fail(BNN_EARGUMENT,
                "bnn_transition: expected shuffle groups that divide %d channels, found %d",
                channels, groups);
  }
  if (check_finite("bnn_transition: scale", transition->scale, channels) != BNN_OK ||
      check_finite("bnn_transition: shift", transition->shift, channels) != BNN_OK) {
    return BNN_EARGUMENT;
  }
  const Kernels* kernels = active_kernels();
  if (kernels == nullptr) return BNN_EUNSUPPORTED;

  TransitionRecord record;
  memset(&record, 0, sizeof record);
  record.height = transition->height;
  record.width = transition->width;
  record.pool_height = height;
  record.pool_width = width;
  record.shuffle_groups = groups;
  record.pool = pool;
  Layout layout, common, member;
  layout.take(1, sizeof record);
  record.scale = layout.take(channels, sizeof(float));
  record.shift = layout.take(channels, sizeof(float));
  record.convolution = lay_out(convolution, height, width, true, *kernels, &layout);
  const int64_t planes = channels * record.convolution.pitch;
  if (check_range("bnn_transition: values before the convolution", planes, 0, kMaxFloats) != BNN_OK)
    return BNN_EARGUMENT;
  const bool is_int8 = record.convolution.is_int8 != 0;
  record.planes = common.take(planes, is_int8 ? sizeof(uint8_t) : sizeof(float));
  record.panel = member.take(
      row_channels(record.convolution) * (is_int8 ? kernels->int8.pixels : kernels->floats.pixels),
      sizeof(float));
  record.scratch = member.take(pool_row(pool, transition->width), sizeof(float));
  record.pooled = member.take(is_int8 ? record.convolution.pitch : 0, sizeof(float));

  bool write;
  const int status = open_part("bnn_transition_prepare", part, bytes, layout.bytes(), &write);
  if (status != BNN_OK || !write) return status;
  memset(part, 0, layout.bytes());
  write_header(&record, *kernels, Kind::kTransition, layout.bytes(), common, member,
               {channels, transition->height, transition->width},
               {convolution.channels_out, height, width});
  *static_cast<TransitionRecord*>(part) = record;
  memcpy(at<float>(part, record.scale), transition->scale,
         static_cast<size_t>(channels) * sizeof(float));
  memcpy(at<float>(part, record.shift), transition->shift,
         static_cast<size_t>(channels) * sizeof(float));
  write_convolution(convolution, record.convolution, *kernels, part);
  return BNN_OK;
}

int bnn_head_prepare(const bnn_head* head, void* part, size_t* bytes) {
  using namespace bnn;
  if (check_pointer("bnn_head_prepare: bytes", bytes) != BNN_OK ||
      check_pointer("bnn_head", head) != BNN_OK ||
      check_range("bnn_head: height", head->height, 1, kMaxSide) != BNN_OK ||
      check_range("bnn_head: width", head->width, 1, kMaxSide) != BNN_OK ||
      check_range("bnn_head: channels_in", head->channels_in, 1, kMaxChannels) != BNN_OK ||
      check_range("bnn_head: classes", head->classes, 1, 1 << 20) != BNN_OK ||
      check_finite("bnn_head: scale", head->scale, head->channels_in) != BNN_OK ||
      check_finite("bnn_head: shift", head->shift, head->channels_in) != BNN_OK ||
      check_finite("bnn_head: bias", head->bias, head->classes) != BNN_OK ||
      (head->int8 != nullptr
           ? check_int8("bnn_head: 8-bit", *head->int8, head->classes, head->channels_in)
           : check_finite("bnn_head: weight", head->weight,
                          int64_t{head->channels_in} * head->classes)) != BNN_OK) {
    return BNN_EARGUMENT;
  }
  const Kernels* kernels = active_kernels();
  if (kernels == nullptr) return BNN_EUNSUPPORTED;
  const int64_t channels = head->channels_in, classes = head->classes;
  HeadRecord record;
  memset(&record, 0, sizeof record);
  record.channels = head->channels_in;
  record.classes = head->classes;
  record.pixels = int64_t{head->height} * head->width;
  record.is_int8 = head->int8 != nullptr;
  record.inverse_step = record.is_int8 ? head->int8->inverse_step : 0.0f;
  Layout layout, common, member;
  layout.take(1, sizeof record);
  record.scale = layout.take(channels, sizeof(float));
  record.shift = layout.take(channels, sizeof(float));
  const int64_t padded = round_up(classes, kDenseBlock);
  record.weight = record.is_int8 ? layout.take(padded * round_up(channels, 4), sizeof(int8_t))
                                 : layout.take(padded * channels, sizeof(float));
  record.bias = layout.take(padded, sizeof(float));
  record.means = common.take(channels, sizeof(float));
  if (record.is_int8) {
    record.output_scale = layout.take(padded, sizeof(float));
    record.start = layout.take(padded, sizeof(int32_t));
    record.levels = member.take(round_up(channels, 4), sizeof(uint8_t));
  }

  bool write;
  const int status = open_part("bnn_head_prepare", part, bytes, layout.bytes(), &write);
  if (status != BNN_OK || !write) return status;
  memset(part, 0, layout.bytes());
  write_header(&record, *kernels, Kind::kHead, layout.bytes(), common, member,
               {head->channels_in, head->height, head->width}, {head->classes, 1, 1});
  *static_cast<HeadRecord*>(part) = record;
  memcpy(at<float>(part, record.scale), head->scale, static_cast<size_t>(channels) * sizeof(float));
  memcpy(at<float>(part, record.shift), head->shift, static_cast<size_t>(channels) * sizeof(float));
  memcpy(at<float>(part, record.bias), head->bias, static_cast<size_t>(classes) * sizeof(float));
  if (record.is_int8) {
    write_dense_quads(*head->int8, record, *kernels, part);
    return BNN_OK;
  }
  float* weight = at<float>(part, record.weight);  // [class / 64][channel][class % 64]
  for (int64_t k = 0; k < classes; ++k) {
    for (int64_t c = 0; c < channels; ++c) {
      weight[(k / kDenseBlock * channels + c) * kDenseBlock + k % kDenseBlock] =
          head->weight[k * channels + c];
    }
  }
  return BNN_OK;
}
