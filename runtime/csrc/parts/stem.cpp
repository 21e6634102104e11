// Runs prepared stems on one image.
//
// A stem computes row after row of its pooled output: every convolution keeps only the rows that
// the next one's window needs, so that nothing leaves the L2 cache in between.
#include <string.h>

#include "parts/floats.h"

namespace bnn {
namespace {

// One row of floats to cells.
void quantize_row(const ConvolutionRecord& record, const Int8Kernels& int8, const float* x,
                  int64_t x_channel, uint32_t* y, int64_t y_cell) {
  const int64_t channels = record.channels_in / record.groups, cells = group_cells(record);
  for (int64_t group = 0; group < record.groups; ++group) {
    int8.quantize_cells(x + group * channels * x_channel, x_channel, channels, record.in_width,
                        record.inverse_step, y + group * cells * y_cell, y_cell);
  }
}

// Spreads one row of cells over the phases of a padded row.
void spread_cells(const ConvolutionRecord& record, const uint32_t* x, uint32_t* padded) {
  const int64_t stride = record.stride, before = record.before, width = record.in_width;
  const int64_t columns = int64_t{record.out_width - 1} * stride + record.kernel;  // that are read
  const int64_t end = before + width < columns ? before + width : columns;
  const int64_t cells = row_channels(record);
  for (int64_t cell = 0; cell < cells; ++cell, x += width, padded += stride * record.pitch) {
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
      CellRowJob job;
      set_cell_job(step, part_, columns_[i], &job);
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
      uint32_t* cells = at<uint32_t>(own_, stem_.steps[i].cells);
      quantize_row(step, int8_, row, step.in_width, cells, step.in_width);
      spread_cells(step, cells, ring_row<uint32_t>(i, slot));
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

}  // namespace bnn
