// From an image to a network's input: resampling as Pillow does it, turning, a table of levels.
//
// Coefficients are computed in double precision as Pillow's Image.resize does, made whole numbers
// of 2^-22, and each pass rounds to 8 bits: so every pixel has the bits of Pillow's. The passes run
// one behind the other, the rows between them in a ring that the first cache holds.
#include "kernels/resize/resize.h"

#include <string.h>

#include "parts/part.h"

namespace bnn {
namespace {

constexpr int32_t kMaxImageSide = 1 << 20;
constexpr int64_t kLevels = 256;

double absolute(double x) { return x < 0.0 ? -x : x; }

double area(double x) { return x > -0.5 && x <= 0.5 ? 1.0 : 0.0; }

double bilinear(double x) {
  const double distance = absolute(x);
  return distance < 1.0 ? 1.0 - distance : 0.0;
}

double bicubic(double x) {  // Keys, a = -1/2; operations in Pillow's order
  const double d = absolute(x);
  if (d < 1.0) return ((-0.5 + 2.0) * d - (-0.5 + 3.0)) * d * d + 1;
  return d < 2.0 ? (((d - 5) * d + 8) * d - 4) * -0.5 : 0.0;
}

struct Filter {
  double (*weigh)(double);
  double support;
};
const Filter kFilters[] = {{area, 0.5}, {bilinear, 1.0}, {bicubic, 2.0}};  // by BNN_FILTER_*
constexpr int32_t kFilterCount = static_cast<int32_t>(sizeof kFilters / sizeof kFilters[0]);

// One direction: what of the image's side becomes the output's.
struct Axis {
  int32_t size;       // of the image
  float first, last;  // of the box
  int32_t side;       // of the output
  Filter filter;

  double scale() const { return static_cast<double>(last - first) / side; }
  double filter_scale() const { return scale() < 1.0 ? 1.0 : scale(); }
  double support() const { return filter.support * filter_scale(); }
  double centre(int32_t i) const { return static_cast<double>(first) + (i + 0.5) * scale(); }
  int32_t begin(int32_t i) const {
    const int32_t begin = static_cast<int32_t>(centre(i) - support() + 0.5);
    return begin < 0 ? 0 : begin;
  }
  int32_t end(int32_t i) const {
    const int32_t end = static_cast<int32_t>(centre(i) + support() + 0.5);
    return end > size ? size : end;
  }
  // No output has more.
  int64_t most_pairs() const {
    const int64_t most = 2 * static_cast<int64_t>(support()) + 3;
    return ((most < size ? most : size) + 1) / 2;
  }
};

// The coefficients of all outputs of an axis, and the first pixel of each. With `pairs` pairs an
// output looks at 2 * pairs pixels, inside the image where that has as many.
struct Taps {
  int64_t pairs;
  int32_t* first;  // [side]
  int16_t* taps;   // [side][pairs][kPairSize]
};

// weights [2 * most_pairs] is scratch.
void fill_taps(const Axis& axis, double* weights, Taps* taps) {
  int32_t most = 1;
  for (int32_t i = 0; i < axis.side; ++i) {
    const int32_t count = axis.end(i) - axis.begin(i);
    if (count > most) most = count;
  }
  const int64_t pairs = taps->pairs = (most + 1) / 2;
  const int64_t spare = axis.size - 2 * pairs, last_first = spare < 0 ? 0 : spare;
  memset(taps->taps, 0, static_cast<size_t>(axis.side * pairs * kPairSize) * sizeof(int16_t));
  const double inverse = 1.0 / axis.filter_scale();
  for (int32_t i = 0; i < axis.side; ++i) {
    const int32_t begin = axis.begin(i), count = axis.end(i) - begin;
    const double centre = axis.centre(i);
    double sum = 0.0;
    for (int32_t x = 0; x < count; ++x) {
      weights[x] = axis.filter.weigh((x + begin - centre + 0.5) * inverse);
      sum += weights[x];
    }
    const int32_t first = begin < last_first ? begin : static_cast<int32_t>(last_first);
    taps->first[i] = first;
    int16_t* out = taps->taps + i * pairs * kPairSize;
    for (int32_t x = 0; x < count; ++x) {
      const double weight = (sum != 0.0 ? weights[x] / sum : weights[x]) * (1 << kResizeBits);
      const int32_t k = static_cast<int32_t>(weight < 0 ? weight - 0.5 : weight + 0.5);
      const int32_t tap = x + begin - first;
      int16_t* pair = out + tap / 2 * kPairSize + tap % 2;
      pair[0] = static_cast<int16_t>(k & ((1 << kLowBits) - 1));
      pair[2] = static_cast<int16_t>(k >> kLowBits);
    }
  }
}

// Where a pixel of the image as stored goes in the upright one.
struct Turn {
  int64_t start, step_x, step_y;
};

Turn find_turn(int32_t orientation, int64_t side) {
  const bool swapped = orientation >= 5;
  const bool right_to_left = orientation == 2 || orientation == 3 || orientation == 7 ||
                             orientation == 8;  // of the stored x
  const bool bottom_to_top =
      orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  const int64_t along_x = swapped ? side : 1, along_y = swapped ? 1 : side;
  return {(right_to_left ? (side - 1) * along_x : 0) + (bottom_to_top ? (side - 1) * along_y : 0),
          right_to_left ? -along_x : along_x, bottom_to_top ? -along_y : along_y};
}

// A row of pixels -> its place in each of the planes.
void write_levels(const uint8_t* row, const float* levels, int64_t side, const Turn& turn,
                  float* out) {
  const int64_t plane = side * side;
  for (int64_t x = 0; x < side; ++x, row += kPixelBytes, out += turn.step_x) {
    out[0] = levels[row[0]];
    out[plane] = levels[kLevels + row[1]];
    out[2 * plane] = levels[2 * kLevels + row[2]];
  }
}

// The memory that one call needs.
struct Room {
  size_t weights, first[2], taps[2], lines, ring, result, pointers, bytes;
  int64_t line_bytes, pitch, capacity;

  Room(const Axis& across, const Axis& down) {
    const int64_t pairs[2] = {across.most_pairs(), down.most_pairs()};
    line_bytes = round_up((across.size + 1) * int64_t{kPixelBytes}, kRowBytes);
    pitch = round_up(int64_t{across.side} * kPixelBytes, kRowBytes);
    capacity = 2 * pairs[1] + kRowsTogether;
    Layout layout;
    weights = layout.take(2 * (pairs[0] > pairs[1] ? pairs[0] : pairs[1]), sizeof(double));
    for (int i = 0; i < 2; ++i) {
      first[i] = layout.take(across.side, sizeof(int32_t));
      taps[i] = layout.take(across.side * pairs[i] * kPairSize, sizeof(int16_t));
    }
    lines = layout.take(2 * kRowsTogether, static_cast<size_t>(line_bytes));
    ring = layout.take(capacity, static_cast<size_t>(pitch));
    result = layout.take(kRowsTogether, static_cast<size_t>(pitch));
    pointers = layout.take(2 * pairs[1], sizeof(uint8_t*));
    bytes = layout.bytes();
  }
};

// One call: what the two orders of the passes share.
class Resizer {
 public:
  Resizer(const ResizeKernels& kernels, const bnn_view& view, const Axis& across, const Axis& down,
          const Room& room, const float* levels, float* out, void* workspace)
      : kernels_(kernels),
        view_(view),
        room_(room),
        side_(across.side),
        row_bytes_(int64_t{view.width} * view.pixel_bytes),
        levels_(levels),
        out_(out),
        turn_(find_turn(view.orientation, across.side)),
        ring_(at<uint8_t>(workspace, room.ring)),
        lines_(at<uint8_t>(workspace, room.lines)),
        result_(at<uint8_t>(workspace, room.result)),
        rows_(at<const uint8_t*>(workspace, room.pointers)) {
    across_.first = at<int32_t>(workspace, room.first[0]);
    across_.taps = at<int16_t>(workspace, room.taps[0]);
    down_.first = at<int32_t>(workspace, room.first[1]);
    down_.taps = at<int16_t>(workspace, room.taps[1]);
    fill_taps(across, at<double>(workspace, room.weights), &across_);
    fill_taps(down, at<double>(workspace, room.weights), &down_);
    memset(ring_, 0, static_cast<size_t>(room.capacity * room.pitch));  // what is beyond a row
  }

  void run_across_first() {
    int64_t next = down_.first[0];  // row of the image that is not yet in the ring
    for (int64_t y = 0; y < side_; ++y) {
      for (; next < find_end(y); next += kRowsTogether) {
        AcrossJob job = make_job();
        for (int i = 0; i < kRowsTogether; ++i) {
          job.rows[i] = prepare_row(find_row(next + i), find_line(i));
          job.out[i] = find_slot(next + i);
        }
        kernels_.across(job);
      }
      point_to_rows(y, true);
      kernels_.down({rows_, find_taps(y), down_.pairs, room_.pitch, result_});
      write(result_, y);
    }
  }

  void run_down_first() {
    const bool is_narrow = row_bytes_ < kRowBytes;  // too narrow for a kernel: copied to the ring
    const int64_t bytes = is_narrow ? kRowBytes : row_bytes_;
    int64_t next = down_.first[0];
    for (int64_t start = 0; start < side_; start += kRowsTogether) {
      AcrossJob job = make_job();
      for (int i = 0; i < kRowsTogether; ++i) {
        const int64_t y = start + i < side_ ? start + i : side_ - 1;
        for (; is_narrow && next < find_end(y); ++next)
          memcpy(find_slot(next), find_row(next), static_cast<size_t>(row_bytes_));
        point_to_rows(y, is_narrow);
        uint8_t* line = find_line(kRowsTogether + i);
        kernels_.down({rows_, find_taps(y), down_.pairs, bytes, line});
        job.rows[i] = prepare_row(line, find_line(i));
        job.out[i] = result_ + i * room_.pitch;
      }
      kernels_.across(job);
      for (int i = 0; i < kRowsTogether && start + i < side_; ++i) write(job.out[i], start + i);
    }
  }

 private:
  int64_t find_end(int64_t y) const {
    const int64_t end = down_.first[y] + 2 * down_.pairs;
    return end < view_.height ? end : view_.height;
  }
  const int16_t* find_taps(int64_t y) const { return down_.taps + y * down_.pairs * kPairSize; }
  // Rows beyond the image have the factor 0.
  int64_t clamp(int64_t row) const { return row < view_.height ? row : view_.height - 1; }
  const uint8_t* find_row(int64_t row) const { return view_.pixels + clamp(row) * view_.row_bytes; }
  uint8_t* find_line(int i) const { return lines_ + i * room_.line_bytes; }
  uint8_t* find_slot(int64_t row) const { return ring_ + row % room_.capacity * room_.pitch; }

  void point_to_rows(int64_t y, bool in_ring) {
    for (int64_t tap = 0; tap < 2 * down_.pairs; ++tap) {
      const int64_t row = clamp(down_.first[y] + tap);
      rows_[tap] = in_ring ? find_slot(row) : find_row(row);
    }
  }

  // A row as kernels read it; grey or one of too few pixels is copied to `line`.
  const uint8_t* prepare_row(const uint8_t* row, uint8_t* line) const {
    const int64_t pixels = 2 * across_.pairs;
    if (view_.pixel_bytes == kPixelBytes && pixels <= view_.width) return row;
    if (view_.pixel_bytes == 1) {
      for (int64_t x = 0; x < view_.width; ++x) {
        const uint32_t pixel = row[x] * 0x01010101u;
        memcpy(line + x * kPixelBytes, &pixel, kPixelBytes);
      }
    } else {
      memcpy(line, row, static_cast<size_t>(row_bytes_));
    }
    for (int64_t x = view_.width; x < pixels; ++x) memset(line + x * kPixelBytes, 0, kPixelBytes);
    return line;
  }

  AcrossJob make_job() const { return {{}, across_.first, across_.taps, side_, across_.pairs, {}}; }

  void write(const uint8_t* row, int64_t y) {
    write_levels(row, levels_, side_, turn_, out_ + turn_.start + y * turn_.step_y);
  }

  const ResizeKernels& kernels_;
  const bnn_view& view_;
  const Room& room_;
  const int64_t side_, row_bytes_;
  const float* levels_;
  float* out_;
  const Turn turn_;
  uint8_t *ring_, *lines_, *result_;
  const uint8_t** rows_;
  Taps across_, down_;
};

// Pillow 13 begins with the columns where those shrink by more than twice what the rows do; that
// decides what is rounded first.
bool begins_with_columns(const bnn_view& view, int32_t side) {
  return view.height > side && view.height - side > 2 * (view.width - side);
}

int check_edges(const char* what, float low, float high, int32_t size) {
  if (low >= 0.0f && low <= high && high <= static_cast<float>(size)) return BNN_OK;
  return fail(BNN_EARGUMENT, "bnn_resize: %s: expected 0 <= %g <= %g <= %d", what,
              static_cast<double>(low), static_cast<double>(high), size);
}

int check_view(const bnn_view& view) {
  if (check_range("bnn_resize: width", view.width, 1, kMaxImageSide) != BNN_OK ||
      check_range("bnn_resize: height", view.height, 1, kMaxImageSide) != BNN_OK ||
      check_range("bnn_resize: filter", view.filter, 0, kFilterCount - 1) != BNN_OK ||
      check_range("bnn_resize: orientation", view.orientation, 1, 8) != BNN_OK ||
      check_edges("box, left and right", view.box[0], view.box[2], view.width) != BNN_OK ||
      check_edges("box, top and bottom", view.box[1], view.box[3], view.height) != BNN_OK) {
    return BNN_EARGUMENT;
  }
  if (view.pixel_bytes != 1 && view.pixel_bytes != kPixelBytes) {
    return fail(BNN_EARGUMENT, "bnn_resize: pixel_bytes: expected 1 or %d, found %d", kPixelBytes,
                view.pixel_bytes);
  }
  return check_range("bnn_resize: row_bytes", view.row_bytes,
                     int64_t{view.width} * view.pixel_bytes, int64_t{1} << 40);
}

}  // namespace
}  // namespace bnn

int bnn_resize(const bnn_view* view, const float* levels, int32_t side, float* out, void* workspace,
               size_t* workspace_bytes) {
  using namespace bnn;
  if (check_pointer("bnn_resize: view", view) != BNN_OK || check_view(*view) != BNN_OK ||
      check_range("bnn_resize: side", side, 1, kMaxSide) != BNN_OK ||
      check_pointer("bnn_resize: workspace_bytes", workspace_bytes) != BNN_OK) {
    return BNN_EARGUMENT;
  }
  const Kernels* kernels = active_kernels();
  if (kernels == nullptr) return BNN_EUNSUPPORTED;
  const Filter& filter = kFilters[view->filter];
  const Axis across = {view->width, view->box[0], view->box[2], side, filter};
  const Axis down = {view->height, view->box[1], view->box[3], side, filter};
  const Room room(across, down);
  if (workspace == nullptr) {
    *workspace_bytes = room.bytes;
    return BNN_OK;
  }
  if (check_pointer("bnn_resize: pixels", view->pixels) != BNN_OK ||
      check_pointer("bnn_resize: levels", levels) != BNN_OK ||
      check_pointer("bnn_resize: out", out) != BNN_OK) {
    return BNN_EARGUMENT;
  }
  if (!is_aligned(workspace)) {
    return fail(BNN_EARGUMENT, "bnn_resize: expected a workspace aligned to %d bytes, found %p",
                BNN_ALIGNMENT, workspace);
  }
  if (*workspace_bytes < room.bytes) {
    return fail(BNN_ESIZE,
                "bnn_resize: expected a workspace of %zu bytes, found %zu; ask with workspace NULL",
                room.bytes, *workspace_bytes);
  }
  Resizer resizer(kernels->resize, *view, across, down, room, levels, out, workspace);
  if (begins_with_columns(*view, side)) {
    resizer.run_down_first();
  } else {
    resizer.run_across_first();
  }
  return BNN_OK;
}
