// Single layers through the active implementation, for trainings, tests and benchmarks.
// The calls are bnn_pack and bnn_conv3x3.
#include <string.h>

#include "core/border.h"
#include "parts/part.h"

int bnn_pack(const float* x, const float* threshold, const uint32_t* flip, int64_t rows,
             int64_t channels, uint32_t* words) {
  using namespace bnn;
  if (check_range("bnn_pack: rows", rows, 0, int64_t{1} << 40) != BNN_OK ||
      check_range("bnn_pack: channels", channels, 32, kMaxChannels) != BNN_OK) {
    return BNN_EARGUMENT;
  }
  if (channels % 32 != 0) {
    return fail(BNN_EARGUMENT, "bnn_pack: channels: expected a multiple of 32, found %lld",
                static_cast<long long>(channels));
  }
  if (rows > 0 && (check_pointer("bnn_pack: x", x) != BNN_OK ||
                   check_pointer("bnn_pack: threshold", threshold) != BNN_OK ||
                   check_pointer("bnn_pack: flip", flip) != BNN_OK ||
                   check_pointer("bnn_pack: words", words) != BNN_OK)) {
    return BNN_EARGUMENT;
  }
  const Kernels* kernels = active_kernels();
  if (kernels == nullptr) return BNN_EUNSUPPORTED;
  kernels->pack_floats(x, channels, rows, threshold, flip, channels / 32, words, channels / 32);
  return BNN_OK;
}

int bnn_conv3x3(const uint32_t* x, const uint32_t* weight, int64_t n, int64_t height, int64_t width,
                int64_t channels, int64_t channels_out, int32_t padding, int32_t* mismatches,
                void* workspace, size_t* workspace_bytes) {
  using namespace bnn;
  if (check_range("bnn_conv3x3: n", n, 0, int64_t{1} << 31) != BNN_OK ||
      check_range("bnn_conv3x3: height", height, 1, kMaxSide) != BNN_OK ||
      check_range("bnn_conv3x3: width", width, 1, kMaxSide) != BNN_OK ||
      check_range("bnn_conv3x3: channels", channels, 32, kMaxCount / kTaps) != BNN_OK ||
      check_range("bnn_conv3x3: channels_out", channels_out, 1, kMaxChannels) != BNN_OK ||
      check_range("bnn_conv3x3: padding", padding, -1, 1) != BNN_OK ||
      check_pointer("bnn_conv3x3: workspace_bytes", workspace_bytes) != BNN_OK) {
    return BNN_EARGUMENT;
  }
  if (channels % 32 != 0) {
    return fail(BNN_EARGUMENT, "bnn_conv3x3: channels: expected a multiple of 32, found %lld",
                static_cast<long long>(channels));
  }
  const Kernels* kernels = active_kernels();
  if (kernels == nullptr) return BNN_EUNSUPPORTED;
  const int64_t words = channels / 32;
  const CountFamily* family = kernels->families;
  while (!family->suits(words, height, width)) ++family;

  Layout layout;
  const int64_t map_words = (height + 2) * (width + 2) * words;
  const size_t at_block = layout.take(kGrowth * kTaps * words, sizeof(uint32_t));
  const size_t at_weights = layout.take(1, family->weight_bytes(words));
  const size_t at_map = layout.take(map_words * 4 + kSlack, 1);
  const size_t at_counts = layout.take(height * width * kGrowth, sizeof(uint16_t));
  const size_t at_correction = layout.take(kBorderClasses * kGrowth, sizeof(int16_t));
  const size_t at_scratch =
      layout.take(static_cast<int64_t>(family->scratch_bytes(words, height, width)) + kSlack, 1);
  if (workspace == nullptr) {
    *workspace_bytes = layout.bytes();
    return BNN_OK;
  }
  if (check_pointer("bnn_conv3x3: x", x) != BNN_OK ||
      check_pointer("bnn_conv3x3: weight", weight) != BNN_OK ||
      check_pointer("bnn_conv3x3: mismatches", mismatches) != BNN_OK) {
    return BNN_EARGUMENT;
  }
  if (!is_aligned(workspace)) {
    return fail(BNN_EARGUMENT, "bnn_conv3x3: expected a workspace aligned to %d bytes, found %p",
                BNN_ALIGNMENT, workspace);
  }
  if (*workspace_bytes < layout.bytes()) {
    return fail(
        BNN_ESIZE,
        "bnn_conv3x3: expected a workspace of %zu bytes, found %zu; ask with workspace NULL",
        layout.bytes(), *workspace_bytes);
  }

  uint32_t* block = at<uint32_t>(workspace, at_block);
  uint32_t* map = at<uint32_t>(workspace, at_map);
  uint16_t* counts = at<uint16_t>(workspace, at_counts);
  int16_t* correction = at<int16_t>(workspace, at_correction);
  const int64_t row_words = (width + 2) * words;
  for (int64_t first = 0; first < channels_out; first += kGrowth) {
    const int64_t left = channels_out - first;
    const int64_t outputs = left < kGrowth ? left : kGrowth;
    memset(block, 0, static_cast<size_t>(kGrowth * kTaps * words) * sizeof *block);
    memcpy(block, weight + first * kTaps * words,
           static_cast<size_t>(outputs * kTaps * words) * sizeof *block);
    family->pack_weights(block, words, at<void>(workspace, at_weights));
    make_border_correction(block, words, correction);
    for (int64_t image = 0; image < n; ++image) {
      fill_border(map, words, height, width, padding);
      for (int64_t y = 0; y < height; ++y) {
        memcpy(map + (y + 1) * row_words + words, x + (image * height + y) * width * words,
               static_cast<size_t>(width * words) * sizeof *map);
      }
      family->count({at<void>(workspace, at_weights), map, words, height, width, counts, false,
                     at<void>(workspace, at_scratch)});
      if (padding == 0) correct_border(correction, height, width, {0, height}, counts);
      int32_t* out = mismatches + image * height * width * channels_out + first;
      for (int64_t pixel = 0; pixel < height * width; ++pixel) {
        for (int64_t i = 0; i < outputs; ++i)
          out[pixel * channels_out + i] = counts[pixel * kGrowth + i];
      }
    }
  }
  return BNN_OK;
}
