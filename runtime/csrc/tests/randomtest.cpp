// Stand-alone check with random descriptions of parts, valid and invalid ones.
// What one implementation accepts all accept, each part runs in exactly the workspace it asked for
// whatever that holds, results agree bit for bit, and damaged parts are described or refused.
//
// Fixed seed; the argument is the number of descriptions (400). Made for a sanitizer build: buffers
// have the exact size, so that it finds every access beside them.
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <memory>
#include <vector>

#include "bnn.h"

namespace {

constexpr int kImages = 4;

void check(bool passed, const char* what) {
  if (passed) return;
  printf("FAIL %s: %s\n", what, bnn_error());
  exit(1);
}

uint64_t state = 20;

uint32_t word() {  // xorshift64*
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return static_cast<uint32_t>((state * 0x2545f4914f6cdd1du) >> 32);
}

int32_t pick(int32_t low, int32_t high) {
  return low + static_cast<int32_t>(word() % static_cast<uint32_t>(high - low + 1));
}

bool rarely() { return pick(0, 49) == 0; }

// A value that no field accepts, now and then instead of a good one.
int32_t maybe_bad(int32_t good) {
  const int32_t bad[] = {INT32_MIN, -1000, -10, -2, 1 << 30, INT32_MAX};
  return rarely() ? bad[pick(0, 5)] : good;
}

// Exactly `bytes` aligned bytes, filled at random.
struct Free {
  void operator()(void* memory) const { free(memory); }
};
using Block = std::unique_ptr<unsigned char, Free>;

Block block(size_t bytes) {
  void* memory = nullptr;
  if (posix_memalign(&memory, BNN_ALIGNMENT, bytes) != 0) abort();
  unsigned char* values = static_cast<unsigned char*>(memory);
  for (size_t i = 0; i < bytes; ++i) values[i] = static_cast<unsigned char>(word());
  return Block(values);
}

// What the pointers of one description point to.
std::vector<Block> kept;

// The product of sizes that may be bad; arrays for refused descriptions are never read.
size_t product(std::initializer_list<int32_t> sizes) {
  size_t count = 1;
  for (const int32_t size : sizes) {
    if (size < 1 || size > 4096) return 1;
    count *= static_cast<size_t>(size);
  }
  return count;
}

uint32_t* words(size_t count) {
  kept.push_back(block(count * sizeof(uint32_t)));
  return reinterpret_cast<uint32_t*>(kept.back().get());
}

// Mostly integers and halves around those that layers produce; infinite ones where `wild`.
float* floats(size_t count, bool wild = false) {
  float* values = reinterpret_cast<float*>(words(count));
  for (size_t i = 0; i < count; ++i) {
    values[i] = static_cast<float>(pick(-300, 300)) * (wild ? 0.5f : 0.0117f);
    if (wild && rarely()) values[i] = pick(0, 1) ? INFINITY : -INFINITY;
  }
  if (rarely() && rarely()) values[static_cast<size_t>(pick(0, 1 << 20)) % count] = NAN;
  return values;
}

bnn_window window(int32_t most) {
  const int32_t kernel = pick(1, most);
  return {maybe_bad(kernel), maybe_bad(pick(1, 3)), maybe_bad(pick(0, kernel - 1)),
          maybe_bad(pick(0, kernel - 1))};
}

bnn_window pool() {
  if (pick(0, 1)) return window(4);
  const int32_t garbage[] = {0, 1, -10, -1000, INT32_MIN, INT32_MAX};
  return {0, garbage[pick(0, 5)], garbage[pick(0, 5)], garbage[pick(0, 5)]};
}

const bnn_int8* int8(size_t outputs, size_t weights) {
  bnn_int8* int8 = reinterpret_cast<bnn_int8*>(words(sizeof(bnn_int8) / sizeof(uint32_t)));
  int8_t* weight = reinterpret_cast<int8_t*>(words(weights / 4 + 1));
  for (size_t i = 0; i < weights; ++i) {
    if (weight[i] == -128 && !rarely()) weight[i] = 127;
  }
  float* scale = floats(outputs);
  for (size_t i = 0; i < outputs; ++i) {
    if (!rarely()) scale[i] = 0.001f * fabsf(scale[i]) + 1e-6f;
  }
  *int8 = {rarely() ? nullptr : weight, scale,
           static_cast<float>(maybe_bad(pick(1, 4000))) * 0.01f};
  return int8;
}

bnn_convolution convolution(int32_t channels_in, bnn_window shape) {
  const int32_t divisor = pick(1, 3);
  const int32_t groups = maybe_bad(channels_in % divisor == 0 || rarely() ? divisor : 1);
  const int32_t in = maybe_bad(channels_in), out = maybe_bad(divisor * pick(1, 11));
  const int32_t each = groups > 0 && in >= groups ? in / groups : 1;
  const size_t count = product({out, each, shape.kernel, shape.kernel});
  const float* bias = pick(0, 1) ? floats(product({out})) : nullptr;
  const bnn_int8* arithmetic = pick(0, 1) ? int8(product({out}), count) : nullptr;
  return {
      rarely() ? nullptr : floats(count), bias, in, out, groups, shape, pick(-1, 1), arithmetic};
}

struct Results {
  bool accepted = false;
  size_t bytes = 0;
  Block y;
};

// Damages a copy of a part and asks what it is: an answer or a refusal, never a stray access.
void damage(const unsigned char* part, size_t bytes) {
  const Block copy = block(bytes);
  for (int i = 0; i < 32; ++i) {
    memcpy(copy.get(), part, bytes);
    for (int changes = pick(1, 3); changes > 0; --changes) {
      const size_t record = bytes < 1024 ? bytes : 1024;  // header and record come first
      copy.get()[word() % record] = static_cast<unsigned char>(pick(0, 1) ? word() : 255);
    }
    bnn_part_info info;
    char text[16384];
    if (bnn_part_describe(copy.get(), bytes, &info) == BNN_OK)
      bnn_part_report(copy.get(), bytes, text, sizeof text);
  }
}

// Prepares and runs a description on the active implementation.
template <typename Description>
Results run(int (*prepare)(const Description*, void*, size_t*), const Description& description,
            const std::vector<float>& values) {
  Results results;
  size_t bytes = 0;
  if (prepare(&description, nullptr, &bytes) != BNN_OK) {
    check(bnn_error()[0] != '\0', "a refusal without a reason");
    return results;
  }
  results.accepted = true;
  const Block part = block(bytes), before = block(bytes);
  check(prepare(&description, part.get(), &bytes) == BNN_OK, "prepare after asking for the size");
  memcpy(before.get(), part.get(), bytes);
  bnn_part_info info;
  check(bnn_part_describe(part.get(), bytes, &info) == BNN_OK, "describe");
  const size_t inputs = product({kImages, info.input[0], info.input[1], info.input[2]});
  results.bytes =
      product({kImages, info.output[0], info.output[1], info.output[2]}) * sizeof(float);
  const Block x = block(inputs * sizeof(float));
  for (size_t i = 0; i < inputs; ++i)
    reinterpret_cast<float*>(x.get())[i] = values[i % values.size()];
  results.y = block(results.bytes);
  const Block workspace = block(info.workspace_bytes);
  check(bnn_part_run(part.get(), bytes, reinterpret_cast<const float*>(x.get()), kImages,
                     reinterpret_cast<float*>(results.y.get()), workspace.get(),
                     info.workspace_bytes) == BNN_OK,
        "run");
  const bnn_part network = {part.get(), bytes};
  size_t size = 0;
  check(bnn_network_workspace(&network, 1, 1, kImages, &size) == BNN_OK, "workspace");
  const Block again = block(results.bytes), room = block(size);
  check(bnn_network_run(&network, 1, reinterpret_cast<const float*>(x.get()), kImages,
                        reinterpret_cast<float*>(again.get()), room.get(), size, nullptr,
                        1) == BNN_OK,
        "run together");
  check(memcmp(again.get(), results.y.get(), results.bytes) == 0, "images together differ");
  check(memcmp(before.get(), part.get(), bytes) == 0, "a run changed its part");
  damage(part.get(), bytes);
  return results;
}

// The description on every implementation. Returns whether they accept it.
template <typename Description>
bool compare(int (*prepare)(const Description*, void*, size_t*), const Description& description) {
  std::vector<float> values(997);
  for (float& value : values) value = static_cast<float>(pick(-3000, 3000)) * 0.0117f;
  const bnn_implementation* list;
  int32_t count;
  check(bnn_implementations(&list, &count) == BNN_OK, "implementations");
  check(bnn_select("generic") == BNN_OK, "select");
  const Results expected = run(prepare, description, values);
  for (int32_t i = 0; i < count - 1; ++i) {  // generic is the last
    if (!list[i].supported) continue;
    check(bnn_select(list[i].name) == BNN_OK, "select");
    const Results found = run(prepare, description, values);
    check(found.accepted == expected.accepted && found.bytes == expected.bytes &&
              (!found.accepted || memcmp(found.y.get(), expected.y.get(), found.bytes) == 0),
          list[i].name);
  }
  return expected.accepted;
}

bool check_stem() {
  bnn_convolution steps[4];
  const int32_t count = pick(1, 4);
  int32_t channels = pick(1, 6);
  for (int32_t i = 0; i < count; ++i) {
    steps[i] = convolution(channels, window(5));
    channels = steps[i].channels_out;
  }
  const bnn_stem stem = {maybe_bad(pick(1, 40)), maybe_bad(pick(1, 60)), maybe_bad(count), steps,
                         pool()};
  return compare(bnn_stem_prepare, stem);
}

// Weights for 64 outputs; now and then mostly ones or zeros, which makes other lists in the
// bit-sliced family.
uint32_t* weights(size_t words_each) {
  uint32_t* values = words(64 * words_each);
  if (pick(0, 3) == 0) {
    for (size_t i = 0; i + 1 < 64 * words_each; ++i)
      values[i] = i / words_each % 2 ? values[i] & values[i + 1] : values[i] | values[i + 1];
  }
  return values;
}

bool check_stage() {
  // What the library would choose, or either family: all agree.
  const char* const families[] = {"", "popcount", "sliced", "sliced"};
  setenv("BNN_FORCE_KERNEL", families[pick(0, 3)], 1);
  bnn_binary_layer layers[5];
  const int32_t count = pick(1, 5), channels_in = 32 * pick(1, rarely() ? 40 : 6);
  int32_t channels = channels_in;
  for (int32_t i = 0; i < count; ++i) {
    const int32_t improvement = i > 0 || rarely() ? pick(0, 1) : 0;
    const size_t size = static_cast<size_t>(channels);
    layers[i] = {rarely() ? nullptr : weights(9 * size / 32), floats(size, true), words(size / 32),
                 maybe_bad(channels), improvement};
    if (!improvement) channels += 64;
  }
  const bnn_stage stage = {maybe_bad(channels_in),
                           maybe_bad(pick(1, pick(0, 3) == 0 ? 34 : 9)),
                           maybe_bad(pick(1, pick(0, 3) == 0 ? 66 : 18)),
                           maybe_bad(64),
                           maybe_bad(pick(-1, 1)),
                           maybe_bad(count),
                           layers};
  return compare(bnn_stage_prepare, stage);
}

bool check_transition() {
  const int32_t shuffle = pick(1, 4), channels = shuffle * pick(1, 12);
  const bnn_window single = {rarely() ? 2 : 1, maybe_bad(1), 0, 0};
  const bnn_transition transition = {floats(product({channels})),
                                     floats(product({channels})),
                                     maybe_bad(pick(1, 20)),
                                     maybe_bad(pick(1, 20)),
                                     pool(),
                                     maybe_bad(shuffle),
                                     convolution(channels, single)};
  return compare(bnn_transition_prepare, transition);
}

bool check_head() {
  const int32_t channels = pick(1, 70), classes = pick(1, 140);
  const bnn_head head = {
      floats(product({channels})),
      floats(product({channels})),
      floats(product({channels, classes})),
      rarely() ? nullptr : floats(product({classes})),
      maybe_bad(channels),
      maybe_bad(pick(1, 9)),
      maybe_bad(pick(1, 9)),
      maybe_bad(classes),
      pick(0, 1) ? int8(product({classes}), product({channels, classes})) : nullptr};
  return compare(bnn_head_prepare, head);
}

}  // namespace

int main(int argc, char** argv) {
  const int descriptions = argc > 1 ? atoi(argv[1]) : 400;
  bool (*const kinds[])() = {check_stem, check_stage, check_transition, check_head};
  int accepted = 0;
  for (int i = 0; i < descriptions; ++i) {
    accepted += kinds[i % 4]();
    kept.clear();
  }
  printf("%d descriptions, %d accepted, 0 failed\n", descriptions, accepted);
  return 0;
}
