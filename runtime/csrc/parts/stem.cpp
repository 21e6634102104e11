// Runs prepared stems on one image.
//
// A stem computes row after row of its pooled output, or four rows at once where a convolution goes
// by Winograd: every convolution keeps only the rows that the next one's window needs, so that
// nothing leaves the L2 cache in between.
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
        last_(last_step(stem_)),
        floats_(run.kernels->floats),
        int8_(run.kernels->int8),
        own_(run.workspace.own),
        x_(x) {
    for (int32_t i = 0; i < stem_.step_count; ++i) {
      const ConvolutionRecord& step = stem_.steps[i].convolution;
      const size_t row = static_cast<size_t>(row_elements(step)) * sizeof(float);
      memset(ring_row<void>(i, 0), 0, row * static_cast<size_t>(ring_slots(stem_, i) + 1));
      next_[i] = 0;
      for (int64_t k = 0; k < step.kernel; ++k)
        columns_[i][k] = k % step.stride * step.pitch + k / step.stride;
    }
  }

  // Rows of the output, from the first one of a unit (see unit_rows) on.
  void run(const Range& rows, float* y) {
    const int64_t pixels = int64_t{stem_.pool_height} * stem_.pool_width;
    if (pools_registers(stem_)) {
      run_tiles(rows, y, pixels);
    } else if (stem_.pool.kernel == 0) {
      const auto place = [&](int64_t row) { return y + row * stem_.pool_width; };
      convolve_rows(stem_.step_count - 1, rows.begin, rows.end, place, pixels);
    } else {
      int64_t next = 0;
      for (int64_t row = rows.begin; row < rows.end; ++row)
        run_row(row, &next, y + row * stem_.pool_width, pixels);
    }
  }

 private:
  // One row of the pool, from convolved rows of which `next` is the first one not yet in the ring.
  void run_row(int64_t y, int64_t* next, float* to, int64_t to_channel) {
    const bnn_window& pool = stem_.pool;
    const int64_t top = y * pool.stride - pool.padding_before;
    const int64_t first = top < 0 ? 0 : top;
    const int64_t end =
        top + pool.kernel < last_.out_height ? top + pool.kernel : int64_t{last_.out_height};
    float* ring = at<float>(own_, stem_.ring);
    const int64_t row = int64_t{last_.channels_out} * last_.out_width, slots = pool_slots(stem_);
    const auto place = [&](int64_t i) { return ring + i % slots * row; };
    *next = convolve_rows(stem_.step_count - 1, *next < first ? first : *next, end, place,
                          last_.out_width);
    const float* rows[kMaxKernel];
    for (int64_t i = first; i < end; ++i) rows[i - first] = place(i);
    run_pool(rows, end - first, last_.channels_out, last_.out_width, to, to_channel);
  }

  void run_pool(const float* const* rows, int64_t count, int64_t channels, int64_t x_channel,
                float* y, int64_t y_channel) {
    floats_.pool_row({rows, count, last_.out_width, channels, x_channel, nullptr, nullptr,
                      stem_.pool, false, y, stem_.pool_width, y_channel,
                      at<float>(own_, stem_.scratch)});
  }

  // Rows of a pool that gets the larger ones of four rows as two, group by group.
  void run_tiles(const Range& rows, float* y, int64_t y_channel) {
    const int32_t last = stem_.step_count - 1;
    const int64_t group_out = last_.channels_out / last_.groups, pitch = row_pitch(stem_);
    float* tops = at<float>(own_, stem_.tops);
    float* above = at<float>(own_, stem_.above);
    for (int64_t i = 0; i < last_.channels_out * pitch; ++i) above[i] = -__builtin_inff();
    WinogradJob job;
    set_winograd_job(last, &job);
    job.y[0] = tops;
    job.y[1] = tops + group_out * pitch;
    job.y_channel = pitch;
    // The first unit of a later member begins with the last row of the four before.
    for (int64_t row = rows.begin - (rows.begin > 0 ? 2 : 0); row < rows.end; row += 2) {
      const float* window[kTerms];
      fetch_window(last, 2 * row, window);
      job.rows = last_.out_height - 2 * row;
      for (int64_t group = 0; group < last_.groups; ++group) {
        job.above = above + group * group_out * pitch;
        run_group(last, window, group, &job);
        for (int64_t i = 0; i < 2; ++i) {
          if (row + i < rows.begin || row + i >= rows.end) continue;
          const float* top = job.y[i];
          run_pool(&top, 1, group_out, pitch,
                   y + group * group_out * y_channel + (row + i) * stem_.pool_width, y_channel);
        }
      }
    }
  }

  template <typename T>
  T* ring_row(int32_t i, int64_t slot) {
    const int64_t bytes =
        slot * row_elements(stem_.steps[i].convolution) * static_cast<int64_t>(sizeof(float));
    return at<T>(own_, stem_.steps[i].ring + static_cast<uint64_t>(bytes));
  }

  // Rows [y, end) of step i's output, each to place(row), and those that come at once with them.
  // Returns the first row behind all these.
  template <typename Place>
  int64_t convolve_rows(int32_t i, int64_t y, int64_t end, Place place, int64_t to_channel) {
    const ConvolutionRecord& step = stem_.steps[i].convolution;
    const int64_t together = rows_at_once(step);
    while (y < end) {
      const int64_t first = y / together * together;
      float* to[kTermRows];
      for (int64_t k = 0; k < together; ++k) {
        const bool wanted = first + k >= y && first + k < step.out_height;
        to[k] = wanted ? place(first + k) : nullptr;
      }
      convolve(i, first, to, to_channel);
      y = first + together;
    }
    return y;
  }

  // Row y of step i's output, or the rows from y on that come at once.
  void convolve(int32_t i, int64_t y, float* const* to, int64_t to_channel) {
    const ConvolutionRecord& step = stem_.steps[i].convolution;
    if (is_winograd(step)) {
      const float* rows[kTerms];
      fetch_window(i, y, rows);
      WinogradJob job;
      set_winograd_job(i, &job);
      job.y_channel = to_channel;
      job.above = nullptr;
      for (int64_t group = 0; group < step.groups; ++group) {
        for (int64_t k = 0; k < kTermRows; ++k)
          job.y[k] = to[k] == nullptr ? nullptr : to[k] + group * job.outputs * to_channel;
        run_group(i, rows, group, &job);
      }
    } else if (step.is_int8) {
      const uint32_t* rows[kMaxKernel];
      CellRowJob job;
      set_cell_job(step, part_, columns_[i], &job);
      fetch_window(i, y, rows);
      job.rows = rows;
      job.y = *to;
      job.y_channel = to_channel;
      int8_.convolve_row(job);
    } else {
      const float* rows[kMaxKernel];
      RowJob job;
      set_row_job(step, part_, columns_[i], &job);
      fetch_window(i, y, rows);
      job.rows = rows;
      job.y = *to;
      job.y_channel = to_channel;
      floats_.convolve_row(job);
    }
  }

  void set_winograd_job(int32_t i, WinogradJob* job) {
    const ConvolutionRecord& step = stem_.steps[i].convolution;
    job->terms = at<float>(own_, stem_.terms);
    job->pitch = step.pitch;
    job->channels = step.channels_in / step.groups;
    job->outputs = step.channels_out / step.groups;
    job->relu = step.relu != 0;
    job->width = step.out_width;
    job->rows = kTermRows;
  }

  // Four rows of one group's outputs from the window's rows.
  void run_group(int32_t i, const float* const* rows, int64_t group, WinogradJob* job) {
    const ConvolutionRecord& step = stem_.steps[i].convolution;
    const int64_t padded = round_up(job->outputs, step.outputs);
    const float* own[kTerms];
    for (int64_t k = 0; k < kTerms; ++k) own[k] = rows[k] + group * job->channels * step.pitch;
    floats_.winograd.transform_rows(own, job->channels, step.pitch, step.out_width,
                                    at<float>(own_, stem_.terms));
    job->weight = at<float>(part_, step.weight) + group * padded * step.tap_count;
    job->bias = at<float>(part_, step.bias) + group * padded;
    floats_.winograd.rows(*job);
  }

  // The rows of the window of row y of step i, which are first computed. Those outside the map are
  // zeros.
  template <typename T>
  void fetch_window(int32_t i, int64_t y, const T** rows) {
    const ConvolutionRecord& step = stem_.steps[i].convolution;
    const int64_t top = y * step.stride - step.before, count = window_rows(step);
    const int64_t end = top + count < step.in_height ? top + count : int64_t{step.in_height};
    fetch_rows(i, top < 0 ? 0 : top, end);
    for (int64_t k = 0; k < count; ++k) {
      const bool inside = top + k >= 0 && top + k < step.in_height;
      rows[k] = ring_row<T>(i, inside ? slot(i, top + k) : ring_slots(stem_, i));
    }
  }

  int64_t slot(int32_t i, int64_t y) const { return y % ring_slots(stem_, i); }

  // Rows [y, end) of what step i reads, into its ring, as far as they are not there.
  void fetch_rows(int32_t i, int64_t y, int64_t end) {
    const ConvolutionRecord& step = stem_.steps[i].convolution;
    if (y < next_[i]) y = next_[i];
    if (i == 0) {
      const int64_t pixels = int64_t{step.in_height} * step.in_width;
      for (int64_t row = y; row < end; ++row) {
        spread_row(step, floats_, x_ + row * step.in_width, pixels,
                   ring_row<float>(i, slot(i, row)));
      }
      next_[i] = y < end ? end : y;
    } else if (!needs_row(step)) {  // as the step before computes them
      const auto place = [&](int64_t row) {
        return ring_row<float>(i, slot(i, row)) + step.before;
      };
      next_[i] = convolve_rows(i - 1, y, end, place, step.pitch);
    } else {
      float* own = at<float>(own_, stem_.steps[i - 1].row);
      const int64_t size = int64_t{step.channels_in} * step.in_width;
      const int64_t together = rows_at_once(stem_.steps[i - 1].convolution);
      const auto place = [&](int64_t row) { return own + row % together * size; };
      while (y < end) {
        int64_t next = convolve_rows(i - 1, y, y + 1, place, step.in_width);
        if (next > step.in_height) next = step.in_height;
        for (; y < next; ++y) spread(i, place(y), slot(i, y));
      }
      next_[i] = y;
    }
  }

  // A row of what step i reads, into a slot of its ring.
  void spread(int32_t i, const float* row, int64_t slot) {
    const ConvolutionRecord& step = stem_.steps[i].convolution;
    if (!step.is_int8) {
      spread_row(step, floats_, row, step.in_width, ring_row<float>(i, slot));
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
  const ConvolutionRecord& last_;
  const FloatKernels& floats_;
  const Int8Kernels& int8_;
  void* own_;
  const float* x_;
  int64_t next_[kMaxConvolutions];  // row of what a step reads that is fetched next
  int64_t columns_[kMaxConvolutions][kMaxKernel];
};

// Rows of the output that are shared out together: more members would compute some of them twice.
int64_t unit_rows(const StemRecord& stem) {
  if (stem.pool.kernel == 0) return rows_at_once(last_step(stem));
  return pools_registers(stem) ? 2 : 1;
}

}  // namespace

void run_stem(const void* part, const Run& run, const float* x, float* y) {
  const StemRecord& stem = *static_cast<const StemRecord*>(part);
  const int64_t unit = unit_rows(stem);
  const Range units = run.team.share(round_up(stem.pool_height, unit) / unit);
  const int64_t end = units.end * unit;
  if (units.begin < units.end) {
    StemWalk(part, run, x)
        .run({units.begin * unit, end < stem.pool_height ? end : int64_t{stem.pool_height}}, y);
  }
  run.mark(kMultiply);
}

}  // namespace bnn
