// Runs prepared stems, transitions and heads on one image with the float kernels of their
// implementation.
//
// A stem computes row after row of its pooled output: every convolution keeps only the rows that
// the next one's window needs, so that nothing leaves the L2 cache in between.
#include "floats.h"

#include <string.h>

#include "stage.h"

namespace bnn {
namespace {

// Sets what depends on the record alone.
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

void set_quad_job(const ConvolutionRecord& record, const void* part, const int64_t* columns,
                  QuadRowJob* job) {
  job->x_quad = record.stride * record.pitch;
  job->columns = columns;
  job->kernel = record.kernel;
  job->quads = group_quads(record);
  job->group_out = record.channels_out / record.groups;
  job->blocks = {0, record.groups * (round_up(job->group_out, record.outputs) / record.outputs)};
  job->weight = at<uint8_t>(part, record.weight);
  job->start = at<int32_t>(part, record.start);
  job->scale = at<float>(part, record.scale);
  job->bias = at<float>(part, record.bias);
  job->relu = record.relu != 0;
  job->width = record.out_width;
}

// One row of floats to quads.
void quantize_row(const ConvolutionRecord& record, const Int8Kernels& int8, const float* x,
                  int64_t x_channel, uint32_t* y, int64_t y_quad) {
  const int64_t channels = record.channels_in / record.groups, quads = group_quads(record);
  for (int64_t group = 0; group < record.groups; ++group) {
    int8.quantize_quads(x + group * channels * x_channel, x_channel, channels, record.in_width,
                        record.inverse_step, y + group * quads * y_quad, y_quad);
  }
}

// Spreads one row of quads over the phases of a padded row.
void spread_quads(const ConvolutionRecord& record, const uint32_t* x, uint32_t* padded) {
  const int64_t stride = record.stride, before = record.before, width = record.in_width;
  const int64_t columns = int64_t{record.out_width - 1} * stride + record.kernel;  // that are read
  const int64_t end = before + width < columns ? before + width : columns;
  const int64_t quads = row_channels(record);
  for (int64_t quad = 0; quad < quads; ++quad, x += width, padded += stride * record.pitch) {
    for (int64_t phase = 0; phase < stride; ++phase) {
      const int64_t first = (phase - before % stride + stride) % stride;  // of its columns in x
      uint32_t* out = padded + phase * record.pitch + (before + first) / stride;
      for (int64_t i = first; i < end - before; i += stride) *out++ = x[i];
    }
  }
}

// Spreads one row of all channels over the phases of a padded row.
void spread_row(const ConvolutionRecord& record, const FloatKernels& floats, const float* x,
                int64_t x_channel, float* padded) {
  const int64_t stride = record.stride, before = record.before;
  const int64_t columns = int64_t{record.out_width - 1} * stride + record.kernel;  // that are read
  const int64_t end = before + record.in_width < columns ? before + record.in_width : columns;
  for (int64_t channel = 0; channel < record.channels_in; ++channel) {
    const float* in = x + channel * x_channel;
    float* out = padded + channel * stride * record.pitch;
    if (stride == 1) {
      memcpy(out + before, in, static_cast<size_t>(end - before) * sizeof *in);
    } else if (stride == 2) {
      float* first = out + before % 2 * record.pitch + before / 2;
      float* second = out + (before + 1) % 2 * record.pitch + (before + 1) / 2;
      floats.split_row(in, end - before, first, second);
    } else {
      for (int64_t column = before; column < end; ++column)
        out[column % stride * record.pitch + column / stride] = in[column - before];
    }
  }
}

// One member's walk down an image, from its first to its last row of the output.
class StemWalk {
 public:
  StemWalk(const void* part, const Run& run, const float* x)
      : part_(part),
        stem_(*static_cast<const StemRecord*>(part)),
        floats_(run.kernels->floats),
        int8_(run.kernels->int8),
        own_(run.workspace.own),
        x_(x) {
    for (int32_t i = 0; i < stem_.step_count; ++i) {
      const ConvolutionRecord& step = stem_.steps[i].convolution;
      const size_t row = static_cast<size_t>(row_elements(i)) * sizeof(float);
      memset(ring_row<void>(i, 0), 0, row * static_cast<size_t>(step.kernel + 1));
      next_[i] = 0;
      for (int64_t k = 0; k < step.kernel; ++k)
        columns_[i][k] = k % step.stride * step.pitch + k / step.stride;
    }
  }

  // One row of the last convolution.
  void last_row(int64_t y, float* to, int64_t to_channel) {
    convolve(stem_.step_count - 1, y, to, to_channel);
  }

  // One row of the pool, from convolved rows of which `next` is the first one not yet in the ring.
  void pool_row(int64_t y, int64_t* next, float* to, int64_t to_channel) {
    const ConvolutionRecord& last = stem_.steps[stem_.step_count - 1].convolution;
    const bnn_window& pool = stem_.pool;
    const int64_t top = y * pool.stride - pool.padding_before;
    const int64_t first = top < 0 ? 0 : top;
    const int64_t end =
        top + pool.kernel < last.out_height ? top + pool.kernel : int64_t{last.out_height};
    float* ring = at<float>(own_, stem_.ring);
    const int64_t row = int64_t{last.channels_out} * last.out_width;
    for (*next = *next < first ? first : *next; *next < end; ++*next)
      last_row(*next, ring + *next % pool.kernel * row, last.out_width);
    const float* rows[kMaxKernel];
    for (int64_t i = first; i < end; ++i) rows[i - first] = ring + i % pool.kernel * row;
    floats_.pool_row({rows, end - first, last.out_width, last.channels_out, last.out_width, nullptr,
                      nullptr, pool, false, to, stem_.pool_width, to_channel,
                      at<float>(own_, stem_.scratch)});
  }

 private:
  int64_t row_elements(int32_t i) const {
    const ConvolutionRecord& step = stem_.steps[i].convolution;
    return row_channels(step) * step.stride * step.pitch;
  }
  template <typename T>
  T* ring_row(int32_t i, int64_t slot) {
    const int64_t bytes = slot * row_elements(i) * static_cast<int64_t>(sizeof(float));
    return at<T>(own_, stem_.steps[i].ring + static_cast<uint64_t>(bytes));
  }
  bool is_inside(const ConvolutionRecord& step, int64_t padded) const {
    return padded >= step.before && padded < step.before + int64_t{step.in_height};
  }

  // Row y of step i: fetches the rows of its window first.
  void convolve(int32_t i, int64_t y, float* to, int64_t to_channel) {
    const ConvolutionRecord& step = stem_.steps[i].convolution;
    const int64_t top = y * step.stride;
    for (int64_t padded = next_[i] < top ? top : next_[i]; padded < top + step.kernel; ++padded) {
      if (is_inside(step, padded)) fetch(i, padded - step.before, padded % step.kernel);
    }
    next_[i] = top + step.kernel;
    if (step.is_int8) {
      const uint32_t* rows[kMaxKernel];
      QuadRowJob job;
      set_quad_job(step, part_, columns_[i], &job);
      job.rows = window_rows(i, top, rows);
      job.y = to;
      job.y_channel = to_channel;
      int8_.convolve_row(job);
    } else {
      const float* rows[kMaxKernel];
      RowJob job;
      set_row_job(step, part_, columns_[i], &job);
      job.rows = window_rows(i, top, rows);
      job.y = to;
      job.y_channel = to_channel;
      floats_.convolve_row(job);
    }
  }

  template <typename T>
  const T* const* window_rows(int32_t i, int64_t top, const T** rows) {
    const ConvolutionRecord& step = stem_.steps[i].convolution;
    for (int64_t k = 0; k < step.kernel; ++k) {
      const bool inside = is_inside(step, top + k);
      rows[k] = ring_row<T>(i, inside ? (top + k) % step.kernel : step.kernel);
    }
    return rows;
  }

  // Row y of what step i reads, into a slot of its ring.
  void fetch(int32_t i, int64_t y, int64_t slot) {
    const ConvolutionRecord& step = stem_.steps[i].convolution;
    float* to = ring_row<float>(i, slot);
    if (i == 0) {
      spread_row(step, floats_, x_ + y * step.in_width, int64_t{step.in_height} * step.in_width,
                 to);
      return;
    }
    if (!needs_row(step)) {  // as the step before computes it
      convolve(i - 1, y, to + step.before, step.pitch);
      return;
    }
    float* row = at<float>(own_, stem_.steps[i - 1].row);
    convolve(i - 1, y, row, step.in_width);
    if (!step.is_int8) {
      spread_row(step, floats_, row, step.in_width, to);
    } else if (step.stride == 1) {
      quantize_row(step, int8_, row, step.in_width, ring_row<uint32_t>(i, slot) + step.before,
                   step.pitch);
    } else {
      uint32_t* quads = at<uint32_t>(own_, stem_.steps[i].quads);
      quantize_row(step, int8_, row, step.in_width, quads, step.in_width);
      spread_quads(step, quads, ring_row<uint32_t>(i, slot));
    }
  }

  const void* part_;
  const StemRecord& stem_;
  const FloatKernels& floats_;
  const Int8Kernels& int8_;
  void* own_;
  const float* x_;
  int64_t next_[kMaxConvolutions];  // padded row that is fetched next
  int64_t columns_[kMaxConvolutions][kMaxKernel];
};

}  // namespace

void run_stem(const void* part, const Run& run, const float* x, float* y) {
  const StemRecord& stem = *static_cast<const StemRecord*>(part);
  const int64_t pixels = int64_t{stem.pool_height} * stem.pool_width;
  const Range rows = run.team.share(stem.pool_height);
  StemWalk walk(part, run, x);
  int64_t next = 0;
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    if (stem.pool.kernel == 0) {
      walk.last_row(row, y + row * stem.pool_width, pixels);
    } else {
      walk.pool_row(row, &next, y + row * stem.pool_width, pixels);
    }
  }
  run.mark(kMultiply);
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
  QuadRowJob job;
  set_quad_job(step, part, &column, &job);
  uint32_t* panel = at<uint32_t>(run.workspace.own, transition.panel);
  const uint32_t* rows = panel;
  const uint8_t* planes = at<uint8_t>(run.workspace.common, transition.planes);
  job.rows = &rows;
  job.x_quad = int8.pixels;
  job.y_channel = pixels;
  visit_tiles(run.team, pixels, int8.pixels, job.blocks.end,
              [&](int64_t first, int64_t width, const Range& blocks) {
                job.blocks = blocks;
                job.width = width;
                job.y = y + first;
                for (int64_t group = 0; group < step.groups; ++group) {
                  int8.fill_panel(planes + group * channels * step.pitch + first, step.pitch,
                                  channels, width, panel + group * job.quads * int8.pixels);
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

void run_head(const void* part, const Run& run, const float* x, float* y) {
  const HeadRecord& head = *static_cast<const HeadRecord*>(part);
  const FloatKernels& floats = run.kernels->floats;
  float* means = at<float>(run.workspace.common, head.means);
  const Range channels = run.team.share(head.channels);
  floats.mean(x + channels.begin * head.pixels, at<float>(part, head.scale) + channels.begin,
              at<float>(part, head.shift) + channels.begin, channels.end - channels.begin,
              head.pixels, means + channels.begin);
  run.team.meet();
  const Range blocks = run.team.share(round_up(head.classes, kDenseBlock) / kDenseBlock);
  const int64_t first = blocks.begin * kDenseBlock;
  const int64_t end = blocks.end * kDenseBlock;
  const int64_t classes = (end < head.classes ? end : head.classes) - first;
  const float* bias = at<float>(part, head.bias) + first;
  if (head.is_int8) {
    const Int8Kernels& int8 = run.kernels->int8;
    uint32_t* levels = at<uint32_t>(run.workspace.own, head.levels);
    int8.quantize_quads(means, 1, head.channels, 1, head.inverse_step, levels, 1);
    const int64_t quads = round_up(head.channels, 4) / 4;
    int8.dense(levels, at<int8_t>(part, head.weight) + first * quads * 4,
               at<int32_t>(part, head.start) + first, at<float>(part, head.output_scale) + first,
               bias, quads, classes, y + first);
  } else {
    floats.dense(means, at<float>(part, head.weight) + first * head.channels, bias, head.channels,
                 classes, y + first);
  }
  run.mark(kMultiply);
}

void report_floats(const void* part, Text* text) {
  const auto arithmetic = [](int32_t is_int8) { return is_int8 ? "int8" : "float"; };
  const PartHeader& header = *static_cast<const PartHeader*>(part);
  if (header.kind == Kind::kStem) {
    const StemRecord& stem = *static_cast<const StemRecord*>(part);
    for (int32_t i = 0; i < stem.step_count; ++i) {
      const ConvolutionRecord& step = stem.steps[i].convolution;
      text->add("%s{\"layer\": \"convolution%d %dx%dx%d\", \"kernel\": \"%s_tile\"}",
                i > 0 ? ", " : "[", i, step.channels_out, step.out_height, step.out_width,
                arithmetic(step.is_int8));
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
