// Validates stems, transitions and heads and writes them in the layout of their kernels.
#include <string.h>

#include "parts/floats.h"

namespace bnn {
namespace {

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
    step.convolution =
        lay_out_convolution(stem->convolutions[i], height, width, false, *kernels, &layout);
    height = step.convolution.out_height;
    width = step.convolution.out_width;
    channels = step.convolution.channels_out;
    const int64_t ring = row_elements(step.convolution) * (ring_slots(record, i) + 1);
    step.ring = member.take(ring, sizeof(float));
    if (i > 0 && needs_row(step.convolution)) {
      const ConvolutionRecord& before = record.steps[i - 1].convolution;
      record.steps[i - 1].row =
          member.take(rows_at_once(before) * before.channels_out * before.out_width, sizeof(float));
    }
    if (step.convolution.is_int8 && step.convolution.stride != 1) {
      step.cells =
          member.take(row_channels(step.convolution) * step.convolution.in_width, sizeof(uint32_t));
    }
  }
  record.pool_height = window_outputs(record.pool, height);
  record.pool_width = window_outputs(record.pool, width);
  record.ring = member.take(pool_slots(record) * channels * width, sizeof(float));
  record.scratch = member.take(pool_row(record.pool, width), sizeof(float));
  record.terms = member.take(term_floats(record), sizeof(float));
  if (pools_registers(record)) {
    const int64_t group_out = channels / last_step(record).groups;
    record.tops = member.take(2 * group_out * row_pitch(record), sizeof(float));
    record.above = member.take(channels * row_pitch(record), sizeof(float));
  }

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
  record.convolution = lay_out_convolution(convolution, height, width, true, *kernels, &layout);
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
