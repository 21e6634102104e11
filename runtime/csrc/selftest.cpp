// Stand-alone check of the library through its C ABI: every implementation that this machine can
// run against generic.
//
// Fixed seeds, no arguments, one line per check, exit code 0 if all agree. Runs where there is no
// Python: under an emulator, on a board, in a sanitizer build.
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bnn.h"

namespace {

int checks = 0, failures = 0;

void check(bool passed, const char* implementation, const char* what) {
  ++checks;
  failures += !passed;
  printf("%s %-8s %s\n", passed ? "ok  " : "FAIL", implementation, what);
}

// Any failing call ends the run: the inputs below are all valid.
void require(int status, const char* what) {
  if (status == BNN_OK) return;
  printf("FAIL %s: %s\n", what, bnn_error());
  exit(1);
}

struct Random {  // xorshift64*
  uint64_t state;
  uint32_t word() {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return static_cast<uint32_t>((state * 0x2545f4914f6cdd1du) >> 32);
  }
  float number() {
    return static_cast<float>(static_cast<int32_t>(word())) / 2147483648.0f;
  }  // -1..1
};

// Memory of one check, freed together; a canary behind each piece finds writes beyond its end.
struct Memory {
  static constexpr int kMost = 256;
  static constexpr size_t kCanary = 64;
  unsigned char* pieces[kMost];
  size_t sizes[kMost];
  int count = 0;

  void* take(size_t bytes) {
    if (count == kMost) abort();
    const size_t rounded = (bytes + kCanary - 1) / kCanary * kCanary;
    void* piece = aligned_alloc(BNN_ALIGNMENT, rounded + 2 * kCanary);
    if (piece == nullptr) abort();
    memset(piece, 0, rounded + kCanary);
    memset(static_cast<char*>(piece) + bytes, 0xa5, kCanary);
    pieces[count] = static_cast<unsigned char*>(piece);
    sizes[count++] = bytes;
    return piece;
  }
  float* floats(size_t n, Random* random, float scale = 1.0f) {
    float* values = static_cast<float*>(take(n * sizeof(float)));
    for (size_t i = 0; i < n && random != nullptr; ++i) values[i] = random->number() * scale;
    return values;
  }
  uint32_t* words(size_t n, Random* random) {
    uint32_t* values = static_cast<uint32_t*>(take(n * sizeof(uint32_t)));
    for (size_t i = 0; i < n && random != nullptr; ++i) values[i] = random->word();
    return values;
  }
  bool release() {
    bool intact = true;
    for (int i = 0; i < count; ++i) {
      for (size_t k = 0; k < kCanary; ++k) intact = intact && pieces[i][sizes[i] + k] == 0xa5;
      free(pieces[i]);
    }
    count = 0;
    return intact;
  }
};

// Compares one result of an implementation with the one of generic, bit for bit.
template <typename Run>
void compare(const char* implementation, const char* what, size_t bytes, Memory* memory, Run run) {
  void* expected = memory->take(bytes);
  void* found = memory->take(bytes);
  require(bnn_select("generic"), "select");
  run(expected);
  require(bnn_select(implementation), "select");
  run(found);
  const bool same = memcmp(expected, found, bytes) == 0;
  check(memory->release() && same, implementation, what);
}

void check_pack(const char* implementation, size_t channels) {
  Random random = {channels};
  Memory memory;
  const size_t rows = 19;
  float* x = memory.floats(rows * channels, &random);
  float* threshold = memory.floats(channels, &random, 0.5f);
  const float odd[] = {0.0f, -0.0f, NAN, INFINITY, -INFINITY, 1e-42f, -1e-42f};
  for (size_t i = 0; i < rows * channels; i += 5) x[i] = odd[i % 7];
  for (size_t i = 0; i < channels; i += 3) threshold[i] = i % 2 ? 0.0f : odd[3 + i / 2 % 2];
  uint32_t* flip = memory.words(channels / 32, &random);
  char what[64];
  snprintf(what, sizeof what, "pack %zu channels", channels);
  compare(implementation, what, rows * channels / 8, &memory, [&](void* words) {
    require(bnn_pack(x, threshold, flip, rows, static_cast<int64_t>(channels),
                     static_cast<uint32_t*>(words)),
            what);
  });
}

void check_convolution(const char* implementation, size_t channels, size_t height, size_t width,
                       size_t outputs, int32_t padding) {
  Random random = {channels * 31 + height};
  Memory memory;
  const size_t words = channels / 32;
  uint32_t* x = memory.words(2 * height * width * words, &random);
  uint32_t* weight = memory.words(outputs * 9 * words, &random);
  memset(weight, 0xff, 9 * words * sizeof *weight);  // one output of ones
  memset(x, 0, height * width * words * sizeof *x);  // one image of zeros: the largest counts
  char what[96];
  snprintf(what, sizeof what, "conv3x3 %zux%zux%zu to %zu, padding %d", channels, height, width,
           outputs, padding);
  compare(implementation, what, 2 * height * width * outputs * sizeof(int32_t), &memory,
          [&](void* mismatches) {
            size_t bytes = 0;
            const auto call = [&](void* workspace) {
              require(bnn_conv3x3(x, weight, 2, static_cast<int64_t>(height),
                                  static_cast<int64_t>(width), static_cast<int64_t>(channels),
                                  static_cast<int64_t>(outputs), padding,
                                  static_cast<int32_t*>(mismatches), workspace, &bytes),
                      what);
            };
            call(nullptr);
            call(memory.take(bytes));
          });
}

// Prepares a part for the active implementation and runs it on n images.
template <typename Description>
void run_part(int (*prepare)(const Description*, void*, size_t*), const Description& description,
              const float* x, int64_t n, void* y, Memory* memory) {
  size_t bytes = 0;
  require(prepare(&description, nullptr, &bytes), "prepare");
  void* part = memory->take(bytes);
  require(prepare(&description, part, &bytes), "prepare");
  bnn_part_info info;
  require(bnn_part_describe(part, bytes, &info), "describe");
  void* workspace = memory->take(info.workspace_bytes);
  require(bnn_part_run(part, bytes, x, n, static_cast<float*>(y), workspace, info.workspace_bytes),
          "run");
}

// Weights that are hard to spread over classes of equal size: constant outputs, outputs equal to
// their neighbour, few ones, few zeros.
void skew_weights(uint32_t* weight, size_t words, Random* random) {
  for (size_t i = 0; i < 64 * 9 * words; ++i) {
    const size_t output = i / (9 * words);
    if (output % 6 == 0) weight[i] = output % 4 != 0 ? 0u : ~0u;
    if (output % 6 == 2) weight[i] = weight[i - 9 * words];
    if (output % 6 == 3) weight[i] &= random->word() & random->word();
    if (output % 6 == 4) weight[i] |= random->word();
  }
}

// is_straining: skewed weights, and images whose bits are all one or all zero.
void check_stage(const char* implementation, int32_t channels_in, int32_t height, int32_t width,
                 int32_t padding, bool is_straining = false) {
  Random random = {static_cast<uint64_t>(channels_in + 7 * height + padding + 2)};
  Memory memory;
  constexpr int kLayers = 5;  // dense, improvement, dense, dense, improvement
  bnn_binary_layer layers[kLayers];
  int32_t channels = channels_in;
  for (int i = 0; i < kLayers; ++i) {
    bnn_binary_layer& layer = layers[i];
    layer.channels = channels;
    layer.is_improvement = i == 1 || i == 4;
    const size_t words = static_cast<size_t>(channels) / 32;
    uint32_t* weight = memory.words(64 * 9 * words, &random);
    if (is_straining) skew_weights(weight, words, &random);
    layer.weight = weight;
    layer.flip = memory.words(words, is_straining ? nullptr : &random);
    float* threshold = memory.floats(static_cast<size_t>(channels), &random);
    for (int32_t c = channels_in; c < channels; ++c)
      threshold[c] = floorf(threshold[c] * 40.0f) * (c % 3 ? 1.0f : 0.5f);
    threshold[channels - 1] = INFINITY;
    if (!is_straining) threshold[0] = -INFINITY;
    layer.threshold = threshold;
    if (!layer.is_improvement) channels += 64;
  }
  const bnn_stage stage = {channels_in, height, width, 64, padding, kLayers, layers};
  const size_t pixels = static_cast<size_t>(height) * static_cast<size_t>(width);
  const size_t values = static_cast<size_t>(channels_in) * pixels;
  float* x = memory.floats(2 * values, &random);
  for (size_t i = 0; i < 2 * values && is_straining; ++i) x[i] = i < values ? 2.0f : -2.0f;
  const char* force = getenv("BNN_FORCE_KERNEL");
  char what[96];
  snprintf(what, sizeof what, "stage %dx%dx%d, padding %d%s%s%s", channels_in, height, width,
           padding, is_straining ? ", straining" : "", force != nullptr ? ", " : "",
           force != nullptr ? force : "");
  compare(implementation, what, 2 * static_cast<size_t>(channels) * pixels * sizeof(float), &memory,
          [&](void* y) { run_part(bnn_stage_prepare, stage, x, 2, y, &memory); });
}

bnn_convolution make_convolution(int32_t in, int32_t out, int32_t groups, bnn_window window,
                                 int32_t relu, Memory* memory, Random* random) {
  const size_t area = static_cast<size_t>(window.kernel) * static_cast<size_t>(window.kernel);
  const size_t count = static_cast<size_t>(out) * static_cast<size_t>(in / groups) * area;
  const float* weight = memory->floats(count, random);
  return {weight, memory->floats(static_cast<size_t>(out), random), in, out, groups, window, relu};
}

void check_stem(const char* implementation, int32_t height, int32_t width) {
  Random random = {static_cast<uint64_t>(height * 100 + width)};
  Memory memory;
  const bnn_convolution convolutions[] = {
      make_convolution(3, 16, 1, {3, 2, 1, 1}, 1, &memory, &random),
      make_convolution(16, 16, 4, {3, 1, 1, 1}, 0, &memory, &random),
      make_convolution(16, 20, 2, {5, 2, 2, 1}, 1, &memory, &random),
  };
  const bnn_stem stem = {height, width, 3, convolutions, {3, 2, 1, 1}};
  const float* x =
      memory.floats(2 * 3 * static_cast<size_t>(height) * static_cast<size_t>(width), &random);
  char what[64];
  snprintf(what, sizeof what, "stem %dx%d", height, width);
  // More room than the output needs.
  const size_t bytes =
      2 * 20 * static_cast<size_t>(height) * static_cast<size_t>(width) * sizeof(float);
  compare(implementation, what, bytes, &memory,
          [&](void* y) { run_part(bnn_stem_prepare, stem, x, 2, y, &memory); });
}

void check_transition(const char* implementation, int32_t channels, int32_t height, int32_t width,
                      int32_t groups, int32_t shuffle) {
  Random random = {static_cast<uint64_t>(channels + height)};
  Memory memory;
  const bnn_convolution convolution =
      make_convolution(channels, 32, groups, {1, 1, 0, 0}, 0, &memory, &random);
  const bnn_transition transition = {memory.floats(static_cast<size_t>(channels), &random),
                                     memory.floats(static_cast<size_t>(channels), &random),
                                     height,
                                     width,
                                     {2, 2, 0, 0},
                                     shuffle,
                                     convolution};
  const size_t pixels = static_cast<size_t>(height) * static_cast<size_t>(width);
  const float* x = memory.floats(static_cast<size_t>(channels) * pixels, &random, 30.0f);
  char what[64];
  snprintf(what, sizeof what, "transition %dx%dx%d, groups %d, shuffle %d", channels, height, width,
           groups, shuffle);
  compare(implementation, what, 32 * pixels * sizeof(float), &memory,
          [&](void* y) { run_part(bnn_transition_prepare, transition, x, 1, y, &memory); });
}

void check_head(const char* implementation, int32_t channels, int32_t side, int32_t classes) {
  Random random = {static_cast<uint64_t>(channels + classes)};
  Memory memory;
  const size_t c = static_cast<size_t>(channels), k = static_cast<size_t>(classes);
  const bnn_head head = {memory.floats(c, &random),
                         memory.floats(c, &random),
                         memory.floats(c * k, &random),
                         memory.floats(k, &random),
                         channels,
                         side,
                         side,
                         classes};
  const float* x = memory.floats(2 * c * static_cast<size_t>(side * side), &random, 30.0f);
  char what[64];
  snprintf(what, sizeof what, "head %dx%dx%d to %d", channels, side, side, classes);
  compare(implementation, what, 2 * k * sizeof(float), &memory,
          [&](void* y) { run_part(bnn_head_prepare, head, x, 2, y, &memory); });
}

// The environment names the family that counts; generic has popcount only.
void check_forced(const char* implementation, const char* family) {
  Memory memory;
  bnn_binary_layer layer = {};
  layer.channels = 64;
  layer.weight = memory.words(64 * 9 * 2, nullptr);
  layer.flip = memory.words(2, nullptr);
  layer.threshold = memory.floats(64, nullptr);
  const bnn_stage stage = {64, 14, 14, 64, -1, 1, &layer};
  require(bnn_select(implementation), "select");
  size_t bytes = 0;
  require(bnn_stage_prepare(&stage, nullptr, &bytes), "prepare");
  void* part = memory.take(bytes);
  require(bnn_stage_prepare(&stage, part, &bytes), "prepare");
  char text[256], expected[64], what[64];
  require(bnn_part_report(part, bytes, text, sizeof text), "report");
  const bool is_generic = strcmp(implementation, "generic") == 0;
  snprintf(expected, sizeof expected, "\"kernel\": \"%s\"", is_generic ? "popcount" : family);
  snprintf(what, sizeof what, "counts by %s", family);
  const bool is_named = strstr(text, expected) != nullptr;
  check(memory.release() && is_named, implementation, what);
}

// Stages by each kernel family: all numbers of planes, all lengths of rows.
void check_families(const char* name) {
  static const int32_t kMaps[][2] = {{1, 1},   {2, 3},   {7, 7},   {14, 14}, {5, 17},
                                     {16, 16}, {28, 28}, {9, 56},  {33, 20}, {3, 64},
                                     {64, 1},  {8, 56},  {17, 14}, {1, 33}};
  static const int32_t kChannels[] = {32, 160, 416, 928, 1600};
  static const char* const kFamilies[] = {"popcount", "sliced"};  // the latter stays in force
  for (const char* family : kFamilies) {
    setenv("BNN_FORCE_KERNEL", family, 1);
    check_forced(name, family);
    for (const int32_t channels : kChannels) check_stage(name, channels, 3, 5, 0);
  }
  for (int32_t padding = -1; padding <= 1; ++padding) {
    check_stage(name, 32, 2, 4, padding, true);
    check_stage(name, 224, 2, 4, padding, true);
    for (const auto& map : kMaps) check_stage(name, 32, map[0], map[1], padding);
    check_stage(name, 1856, 2, 3, padding);  // too many channels for planes: popcount
  }
  check_stage(name, 64, 56, 56, 0);
  unsetenv("BNN_FORCE_KERNEL");
}

void check_implementation(const char* name) {
  const size_t widths[] = {32, 64, 96, 160, 224, 288};
  for (const size_t channels : widths) {
    check_pack(name, channels);
    for (int32_t padding = -1; padding <= 1; ++padding) {
      check_convolution(name, channels, 1, 1, 1, padding);
      check_convolution(name, channels, 3, 2, 65, padding);
      check_convolution(name, channels, 5, 7, 64, padding);
    }
  }
  check_convolution(name, 1856, 3, 3, 64, -1);
  check_convolution(name, 7264, 1, 2, 3, -1);  // counts up to 65,376
  for (int32_t padding = -1; padding <= 1; ++padding) {
    check_stage(name, 32, 1, 1, padding);
    check_stage(name, 64, 8, 8, padding);
    check_stage(name, 160, 5, 7, padding);
  }
  check_families(name);
  check_stem(name, 32, 32);
  check_stem(name, 29, 70);
  check_transition(name, 64, 8, 8, 1, 1);
  check_transition(name, 96, 14, 10, 4, 16);
  check_head(name, 96, 4, 10);
  check_head(name, 70, 7, 101);
}

}  // namespace

int main() {
  const bnn_implementation* list;
  int32_t count;
  require(bnn_implementations(&list, &count), "implementations");
  require(bnn_select(nullptr), "select");
  printf("active: %s\n", bnn_active());
  for (int32_t i = 0; i < count; ++i) {
    if (list[i].supported) {
      check_implementation(list[i].name);
    } else {
      printf("skip %-8s needs %s\n", list[i].name, list[i].features);
    }
  }
  printf("%d checks, %d failed\n", checks, failures);
  return failures == 0 ? 0 : 1;
}
