// Runs prepared stems, transitions and heads on one image with the float kernels of their
// implementation.
#include "floats.h"

#include <string.h>

namespace bnn {
namespace {

float* first_pixel(const ConvolutionRecord& record,
                   float* planes) {  // of the image inside planes of stride 1
  return planes + record.before * record.pitch + record.before;
}

// Zeros around the image in planes of stride 1, whose inside the previous step writes.
void clear_border(const ConvolutionRecord& record, float* planes) {
  const size_t row_bytes = static_cast<size_t>(record.pitch) * sizeof(float);
  const size_t left = static_cast<size_t>(record.before) * sizeof(float);
  for (int64_t channel = 0; channel < record.channels_in; ++channel) {
    for (int64_t y = 0; y < record.rows; ++y) {
      float* row = planes + (channel * record.rows + y) * record.pitch;
      if (y < record.before || y >= record.before + record.in_height) {
        memset(row, 0, row_bytes);
      } else {
        memset(row, 0, left);
        const int64_t end = record.before + record.in_width;
        memset(row + end, 0, row_bytes - static_cast<size_t>(end) * sizeof(float));
      }
    }
  }
}

// Spreads x [channels][height][width] over planes of any stride, zeros around it.
void fill_planes(const ConvolutionRecord& record, const float* x, float* planes) {
  const int64_t stride = record.stride, before = record.before;
  const int64_t columns =
      int64_t{record.out_width - 1} * stride + record.kernel;  // padded ones that are read
  for (int64_t channel = 0; channel < record.channels_in; ++channel) {
    for (int64_t y = 0; y < record.rows; ++y) {
      float* row = planes + (channel * record.rows + y) * stride * record.pitch;
      memset(row, 0, static_cast<size_t>(stride * record.pitch) * sizeof(float));
      const int64_t from = y - before;
      if (from < 0 || from >= record.in_height) continue;
      const float* in = x + (channel * record.in_height + from) * record.in_width;
      const int64_t end = before + record.in_width < columns ? before + record.in_width : columns;
      for (int64_t phase = 0; phase < stride; ++phase) {
        int64_t column = phase;  // the phase's first padded column inside the image
        while (column < before) column += stride;
        float* out = row + phase * record.pitch + column / stride;
        for (; column < end; column += stride) *out++ = in[column - before];
      }
    }
  }
}

void convolve(const ConvolutionRecord& record, const void* part, const Kernels& kernels,
              const float* planes, float* y, int64_t y_channel, int64_t y_row) {
  ConvolutionJob job;
  job.x = planes;
  job.x_row = record.stride * record.pitch;
  job.x_group = record.channels_in / record.groups * record.rows * job.x_row;
  job.taps = at<int64_t>(part, record.taps);
  job.tap_count = record.tap_count;
  job.stride = record.stride;
  job.groups = record.groups;
  job.group_out = record.channels_out / record.groups;
  job.weight = at<float>(part, record.weight);
  job.bias = at<float>(part, record.bias);
  job.relu = record.relu != 0;
  job.height = record.out_height;
  job.width = record.out_width;
  job.y = y;
  job.y_channel = y_channel;
  job.y_row = y_row;
  kernels.floats.convolve(job);
}

}  // namespace

void run_stem(const void* part, const Kernels& kernels, const float* x, float* y, void* workspace) {
  const StemRecord& stem = *static_cast<const StemRecord*>(part);
  const ConvolutionRecord* steps = stem.convolutions;
  const int32_t last = stem.convolution_count - 1;
  fill_planes(steps[0], x, at<float>(workspace, steps[0].planes));
  for (int32_t i = 0; i <= last; ++i) {
    const ConvolutionRecord& step = steps[i];
    const float* planes = at<float>(workspace, step.planes);
    const int64_t pixels = int64_t{step.out_height} * step.out_width;
    float* result = at<float>(workspace, step.result);
    if (i == last) {
      convolve(step, part, kernels, planes, stem.pool.kernel != 0 ? result : y, pixels,
               step.out_width);
    } else if (steps[i + 1].stride == 1) {  // straight into the next step's planes
      float* next = at<float>(workspace, steps[i + 1].planes);
      clear_border(steps[i + 1], next);
      convolve(step, part, kernels, planes, first_pixel(steps[i + 1], next),
               steps[i + 1].rows * steps[i + 1].pitch, steps[i + 1].pitch);
    } else {
      convolve(step, part, kernels, planes, result, pixels, step.out_width);
      fill_planes(steps[i + 1], result, at<float>(workspace, steps[i + 1].planes));
    }
  }
  if (stem.pool.kernel == 0) return;
  const ConvolutionRecord& step = steps[last];
  const int64_t pixels = int64_t{step.out_height} * step.out_width;
  const int64_t pooled = int64_t{stem.pool_height} * stem.pool_width;
  for (int64_t channel = 0; channel < step.channels_out; ++channel) {
    kernels.floats.pool({at<float>(workspace, step.result) + channel * pixels, step.out_height,
                         step.out_width, nullptr, nullptr, stem.pool, false, y + channel * pooled,
                         stem.pool_height, stem.pool_width, at<float>(workspace, stem.row)});
  }
}

void run_transition(const void* part, const Kernels& kernels, const float* x, float* y,
                    void* workspace) {
  const TransitionRecord& transition = *static_cast<const TransitionRecord*>(part);
  const ConvolutionRecord& step = transition.convolution;
  const int64_t pixels = int64_t{transition.height} * transition.width;
  const int64_t pooled = int64_t{transition.pool_height} * transition.pool_width;
  const int64_t groups = transition.shuffle_groups, each = step.channels_in / groups;
  float* planes = at<float>(workspace, step.planes);
  for (int64_t channel = 0; channel < step.channels_in; ++channel) {
    float* plane = planes + (channel % each * groups + channel / each) * step.pitch;  // shuffled
    kernels.floats.pool({x + channel * pixels, transition.height, transition.width,
                         at<float>(part, transition.scale) + channel,
                         at<float>(part, transition.shift) + channel, transition.pool, true, plane,
                         transition.pool_height, transition.pool_width,
                         at<float>(workspace, transition.row)});
    memset(plane + pooled, 0, static_cast<size_t>(step.pitch - pooled) * sizeof(float));
  }
  convolve(step, part, kernels, planes, y, pooled, pooled);
}

void run_head(const void* part, const Kernels& kernels, const float* x, float* y, void* workspace) {
  const HeadRecord& head = *static_cast<const HeadRecord*>(part);
  float* means = at<float>(workspace, head.means);
  kernels.floats.mean(x, at<float>(part, head.scale), at<float>(part, head.shift), head.channels,
                      head.pixels, means);
  kernels.floats.dense(means, at<float>(part, head.weight), at<float>(part, head.bias),
                       head.channels, head.classes, y);
}

void report_floats(const void* part, Text* text) {
  const PartHeader& header = *static_cast<const PartHeader*>(part);
  if (header.kind == Kind::kStem) {
    const StemRecord& stem = *static_cast<const StemRecord*>(part);
    for (int32_t i = 0; i < stem.convolution_count; ++i) {
      const ConvolutionRecord& step = stem.convolutions[i];
      text->add("%s{\"layer\": \"convolution%d %dx%dx%d\", \"kernel\": \"float_tile\"}",
                i > 0 ? ", " : "[", i, step.channels_out, step.out_height, step.out_width);
    }
    text->add("]");
  } else if (header.kind == Kind::kTransition) {
    text->add("[{\"layer\": \"convolution %dx%dx%d\", \"kernel\": \"float_tile\"}]",
              header.output[0], header.output[1], header.output[2]);
  } else {
    text->add("[{\"layer\": \"dense %d\", \"kernel\": \"float_dense\"}]", header.output[0]);
  }
}

}  // namespace bnn
