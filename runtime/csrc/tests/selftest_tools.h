// What the self-test needs around its checks: counting them, seeded values, guarded memory.
#ifndef BNN_SELFTEST_TOOLS_H_
#define BNN_SELFTEST_TOOLS_H_

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bnn.h"
#include "tests/internals/random.h"

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

// Memory of one check, freed together; a canary behind each piece finds writes beyond its end.
struct Memory {
  static constexpr int kMost = 512;
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

// Prepares a part for the active implementation.
template <typename Description>
bnn_part prepare_part(int (*prepare)(const Description*, void*, size_t*),
                      const Description& description, Memory* memory) {
  size_t bytes = 0;
  require(prepare(&description, nullptr, &bytes), "prepare");
  void* part = memory->take(bytes);
  require(prepare(&description, part, &bytes), "prepare");
  return {part, bytes};
}

// Runs a prepared part on n images.
inline void run_prepared(const bnn_part& part, const float* x, int64_t n, void* y, Memory* memory) {
  bnn_part_info info;
  require(bnn_part_describe(part.part, part.bytes, &info), "describe");
  require(bnn_part_run(part.part, part.bytes, x, n, static_cast<float*>(y),
                       memory->take(info.workspace_bytes), info.workspace_bytes),
          "run");
}

template <typename Description>
void run_part(int (*prepare)(const Description*, void*, size_t*), const Description& description,
              const float* x, int64_t n, void* y, Memory* memory) {
  run_prepared(prepare_part(prepare, description, memory), x, n, y, memory);
}

}  // namespace
#endif  // BNN_SELFTEST_TOOLS_H_
