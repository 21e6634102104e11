// Runs prepared transitions and heads on one image with the kernels of their implementation.
// Reports the kernels of all float parts, too.
#include "parts/floats.h"

#include "parts/stage.h"

namespace bnn {

void set_row_job(const ConvolutionRecord& record, const void* part, const int64_t* columns,
                 RowJob* job) {
  job->x_channel = record.stride * record.pitch;
  job->columns = columns;
  job->kernel = record.kernel;
  job->channels = record.channels_in / record.groups;
  job->group_out = record.channels_out / record.groups;
  job->blocks = {0, record.groups * (round_up(job->group_out, record.outputs) / record.outputs)};
  job->weight = at<float>(part, record.weight);
  job->bias = at<float>(part, record.bias);
  job->relu = record.relu != 0;
  job->width = record.out_width;
}

void set_cell_job(const ConvolutionRecord& record, const void* part, const int64_t* columns,
                  CellRowJob* job) {
  job->x_cell = record.stride * record.pitch;
  job->columns = columns;
  job->kernel = record.kernel;
  job->cells = group_cells(record);
  job->group_out = record.channels_out / record.groups;
  job->blocks = {0, record.groups * (round_up(job->group_out, record.outputs) / record.outputs)};
  job->weight = at<uint32_t>(part, record.weight);
  job->start = at<int32_t>(part, record.start);
  job->scale = at<float>(part, record.scale);
  job->bias = at<float>(part, record.bias);
  job->relu = record.relu != 0;
  job->width = record.out_width;
}

template <typename T>
T* transition_plane(const void* part, const Workspace& workspace, int64_t channel) {
  const TransitionRecord& transition = *static_cast<const TransitionRecord*>(part);
  const int64_t groups = transition.shuffle_groups;
  const int64_t each = transition.convolution.channels_in / groups;
  return at<T>(workspace.common, transition.planes) +
         (channel % each * groups + channel / each) * transition.convolution.pitch;
}
template float* transition_plane(const void* part, const Workspace& workspace, int64_t channel);
template uint8_t* transition_plane(const void* part, const Workspace& workspace, int64_t channel);

void pool_channel(const void* part, const Run& run, int64_t channel, const float* x) {
  const TransitionRecord& transition = *static_cast<const TransitionRecord*>(part);
  const bnn_window& pool = transition.pool;
  const int64_t kernel = pool.kernel > 0 ? pool.kernel : 1;
  const int64_t stride = pool.kernel > 0 ? pool.stride : 1;
  const ConvolutionRecord& step = transition.convolution;
  float* plane = step.is_int8 ? at<float>(run.workspace.own, transition.pooled)
                              : transition_plane<float>(part, run.workspace, channel);
  for (int64_t y = 0; y < transition.pool_height; ++y) {
    const int64_t top = y * stride - (pool.kernel > 0 ? pool.padding_before : 0);
    const int64_t first = top < 0 ? 0 : top;
    const int64_t end =
        top + kernel < transition.height ? top + kernel : int64_t{transition.height};
    const float* rows[kMaxKernel];
    for (int64_t i = first; i < end; ++i) rows[i - first] = x + i * transition.width;
    run.kernels->floats.pool_row(
        {rows, end - first, transition.width, 1, 0, at<float>(part, transition.scale) + channel,
         at<float>(part, transition.shift) + channel, pool, true, plane + y * transition.pool_width,
         transition.pool_width, 0, at<float>(run.workspace.own, transition.scratch)});
  }
  if (step.is_int8) {
    run.kernels->int8.quantize(plane, step.out_width, step.inverse_step,
                               transition_plane<uint8_t>(part, run.workspace, channel));
  }
  run.mark(kPool);
}

const float* transition_scale(const void* part) {
  return at<float>(part, static_cast<const TransitionRecord*>(part)->scale);
}

const float* transition_shift(const void* part) {
  return at<float>(part, static_cast<const TransitionRecord*>(part)->shift);
}

float transition_inverse_step(const void* part) {
  const ConvolutionRecord& step = static_cast<const TransitionRecord*>(part)->convolution;
  return step.is_int8 ? step.inverse_step : 0.0f;
}

bool pools_halves(const void* part) {
  const bnn_window& pool = static_cast<const TransitionRecord*>(part)->pool;
  return pool.kernel == 2 && pool.stride == 2 && pool.padding_before == 0 &&
         pool.padding_after == 0;
}

namespace {

// Calls visit(first pixel, pixels, blocks of outputs) for this member's share of a map's tiles.
template <typename Visit>
void visit_tiles(const Team& team, int64_t pixels, int64_t tile, int64_t blocks, Visit visit) {
  const int64_t tiles = round_up(pixels, tile) / tile;
  const Range share = team.share(tiles * blocks);
  for (int64_t i = share.begin; i < share.end;) {
    const int64_t first = i / blocks * tile;
    const int64_t end = share.end - i / blocks * blocks;
    const Range some = {i % blocks, end < blocks ? end : blocks};
    i += some.end - some.begin;
    visit(first, pixels - first < tile ? pixels - first : tile, some);
  }
}

void convolve_floats(const void* part, const Run& run, float* y) {
  const TransitionRecord& transition = *static_cast<const TransitionRecord*>(part);
  const ConvolutionRecord& step = transition.convolution;
  const FloatKernels& floats = run.kernels->floats;
  const int64_t pixels = step.out_width, column = 0;
  RowJob job;
  set_row_job(step, part, &column, &job);
  float* panel = at<float>(run.workspace.own, transition.panel);
  const float* rows = panel;
  const float* planes = at<float>(run.workspace.common, transition.planes);
  job.rows = &rows;
  job.x_channel = floats.pixels;
  job.y_channel = pixels;
  visit_tiles(run.team, pixels, floats.pixels, job.blocks.end,
              [&](int64_t first, int64_t width, const Range& blocks) {
                job.blocks = blocks;
                job.width = width;
                job.y = y + first;
                floats.copy_columns(planes + first, step.pitch, step.channels_in, width, panel);
                floats.convolve_row(job);
              });
}

void convolve_levels(const void* part, const Run& run, float* y) {
  const TransitionRecord& transition = *static_cast<const TransitionRecord*>(part);
  const ConvolutionRecord& step = transition.convolution;
  const Int8Kernels& int8 = run.kernels->int8;
  const int64_t pixels = step.out_width, column = 0;
  const int64_t channels = step.channels_in / step.groups;
  CellRowJob job;
  set_cell_job(step, part, &column, &job);
  uint32_t* panel = at<uint32_t>(run.workspace.own, transition.panel);
  const uint32_t* rows = panel;
  const uint8_t* planes = at<uint8_t>(run.workspace.common, transition.planes);
  job.rows = &rows;
  job.x_cell = int8.pixels;
  job.y_channel = pixels;
  visit_tiles(run.team, pixels, int8.pixels, job.blocks.end,
              [&](int64_t first, int64_t width, const Range& blocks) {
                job.blocks = blocks;
                job.width = width;
                job.y = y + first;
                for (int64_t group = 0; group < step.groups; ++group) {
                  int8.fill_panel(planes + group * channels * step.pitch + first, step.pitch,
                                  channels, width, panel + group * job.cells * int8.pixels);
                }
                int8.convolve_row(job);
              });
}

}  // namespace

void convolve_planes(const void* part, const Run& run, float* y) {
  if (static_cast<const TransitionRecord*>(part)->convolution.is_int8) {
    convolve_levels(part, run, y);
  } else {
    convolve_floats(part, run, y);
  }
  run.mark(kMultiply);
}

void run_transition(const void* part, const Run& run, const float* x, float* y) {
  const TransitionRecord& transition = *static_cast<const TransitionRecord*>(part);
  const int64_t pixels = int64_t{transition.height} * transition.width;
  const Range channels = run.team.share(transition.convolution.channels_in);
  for (int64_t channel = channels.begin; channel < channels.end; ++channel)
    pool_channel(part, run, channel, x + channel * pixels);
  run.team.meet();
  convolve_planes(part, run, y);
}

namespace {

constexpr int64_t kHeadBytes = 1 << 17;  // of weights that all images are multiplied with in turn

// Of some classes.
void multiply_means(const HeadRecord& head, const void* part, const Run& run, const float* means,
                    int64_t first, int64_t classes, float* y) {
  const float* bias = at<float>(part, head.bias) + first;
  if (head.is_int8) {
    const Int8Kernels& int8 = run.kernels->int8;
    const int64_t quads = round_up(head.channels, 4) / 4;
    uint32_t* levels = at<uint32_t>(run.workspace.own, head.levels);
    levels[quads - 1] = 0;
    int8.quantize(means, head.channels, head.inverse_step, reinterpret_cast<uint8_t*>(levels));
    int8.dense(levels, at<int8_t>(part, head.weight) + first * quads * 4,
               at<int32_t>(part, head.start) + first, at<float>(part, head.output_scale) + first,
               bias, quads, classes, y + first);
  } else {
    run.kernels->floats.dense(means, at<float>(part, head.weight) + first * head.channels, bias,
                              head.channels, classes, y + first);
  }
}

}  // namespace

void run_head_together(const void* part, const Run& run, int64_t n, const float* x, float* y) {
  const HeadRecord& head = *static_cast<const HeadRecord*>(part);
  const auto means = [&](int64_t image) {
    return at<float>(run.workspace.common,
                     head.means + static_cast<uint64_t>(image) * head.header.common_bytes);
  };
  const Range channels = run.team.share(head.channels);
  for (int64_t image = 0; image < n; ++image) {
    run.kernels->floats.mean(
        x + (image * head.channels + channels.begin) * head.pixels,
        at<float>(part, head.scale) + channels.begin, at<float>(part, head.shift) + channels.begin,
        channels.end - channels.begin, head.pixels, means(image) + channels.begin);
  }
  run.team.meet();
  const Range blocks = run.team.share(round_up(head.classes, kDenseBlock) / kDenseBlock);
  const int64_t end =
      blocks.end * kDenseBlock < head.classes ? blocks.end * kDenseBlock : int64_t{head.classes};
  int64_t step = end > 0 ? end : kDenseBlock;  // all classes, or as many as stay in the cache
  if (n > 1 && !head.is_int8) {
    const int64_t block_bytes = int64_t{kDenseBlock} * head.channels * 4;
    step = (kHeadBytes / block_bytes + 1) * kDenseBlock;
  }
  for (int64_t first = blocks.begin * kDenseBlock; first < end; first += step) {
    const int64_t classes = end - first < step ? end - first : step;
    for (int64_t image = 0; image < n; ++image)
      multiply_means(head, part, run, means(image), first, classes, y + image * head.classes);
  }
  run.mark(kMultiply);
}

void run_head(const void* part, const Run& run, const float* x, float* y) {
  run_head_together(part, run, 1, x, y);
}

void report_floats(const void* part, Text* text) {
  const auto arithmetic = [](int32_t is_int8) { return is_int8 ? "int8" : "float"; };
  const PartHeader& header = *static_cast<const PartHeader*>(part);
  if (header.kind == Kind::kStem) {
    const StemRecord& stem = *static_cast<const StemRecord*>(part);
    for (int32_t i = 0; i < stem.step_count; ++i) {
      const ConvolutionRecord& step = stem.steps[i].convolution;
      text->add("%s{\"layer\": \"convolution%d %dx%dx%d\", \"kernel\": \"%s_%s\"}",
                i > 0 ? ", " : "[", i, step.channels_out, step.out_height, step.out_width,
                arithmetic(step.is_int8), is_winograd(step) ? "winograd" : "tile");
    }
    text->add("]");
  } else if (header.kind == Kind::kTransition) {
    text->add("[{\"layer\": \"convolution %dx%dx%d\", \"kernel\": \"%s_tile\"}]", header.output[0],
              header.output[1], header.output[2],
              arithmetic(static_cast<const TransitionRecord*>(part)->convolution.is_int8));
  } else {
    text->add("[{\"layer\": \"dense %d\", \"kernel\": \"%s_dense\"}]", header.output[0],
              arithmetic(static_cast<const HeadRecord*>(part)->is_int8));
  }
}

}  // namespace bnn
