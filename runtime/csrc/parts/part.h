// What all prepared parts have in common: the header, the layout behind it, checks of descriptions.
#ifndef BNN_PART_H_
#define BNN_PART_H_

#include "core/kernels.h"
#include "core/profile.h"
#include "core/status.h"
#include "kernels/dispatch.h"

namespace bnn {

enum class Kind : uint32_t { kStem = 1, kStage = 2, kTransition = 3, kHead = 4 };

// The first bytes of every prepared part. Positions inside a part are offsets from its first byte.
struct PartHeader {
  uint64_t magic;
  uint32_t abi;
  Kind kind;
  char implementation[16];
  uint64_t bytes;
  uint64_t common_bytes;  // of workspace: for all members of a team,
  uint64_t member_bytes;  // and for each
  int32_t input[3], output[3];
};

// Memory for one run of a part by a team.
struct Workspace {
  void* common;
  void* own;  // this member's
};

// Cuts aligned pieces from a block whose size is not known yet.
class Layout {
 public:
  size_t take(int64_t count, size_t size) {
    const size_t at = bytes_;
    bytes_ +=
        (static_cast<size_t>(count) * size + BNN_ALIGNMENT - 1) / BNN_ALIGNMENT * BNN_ALIGNMENT;
    return at;
  }
  size_t bytes() const { return bytes_; }

 private:
  size_t bytes_ = 0;
};

template <typename T>
inline T* at(void* base, size_t offset) {
  return reinterpret_cast<T*>(static_cast<char*>(base) + offset);
}
template <typename T>
inline const T* at(const void* base, size_t offset) {
  return reinterpret_cast<const T*>(static_cast<const char*>(base) + offset);
}

inline bool is_aligned(const void* pointer) {
  return reinterpret_cast<uintptr_t>(pointer) % BNN_ALIGNMENT == 0;
}
inline int64_t round_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// Limits that keep every product of sizes far from overflow.
constexpr uint64_t kMaxBytes = uint64_t{1} << 48;  // of workspace
constexpr int32_t kMaxChannels = 1 << 16, kMaxSide = 1 << 14, kMaxKernel = 31, kMaxLayers = 1024;

// parts/parts.cpp. `what` names the function and field in the message.
int check_window(const char* what, const bnn_window& window, int32_t height, int32_t width);
inline int32_t window_outputs(const bnn_window& window, int32_t side) {
  if (window.kernel == 0) return side;
  return (side + window.padding_before + window.padding_after - window.kernel) / window.stride + 1;
}

// Answers a call without a part (only *bytes is wanted), or checks that the part can take `needed`
// bytes. Returns BNN_OK and *write = true when the part is to be written.
int open_part(const char* function, void* part, size_t* bytes, size_t needed, bool* write);
void write_header(void* part, const Kernels& kernels, Kind kind, size_t bytes, const Layout& common,
                  const Layout& member, const int32_t (&input)[3], const int32_t (&output)[3]);

// Finds the kernels a part was prepared for. NULL with *status set when the bytes are no usable
// part.
const Kernels* open_header(const char* function, const void* part, size_t bytes, int* status);
// The arguments that all calls have that run parts.
int check_run(const char* function, const float* x, int64_t n, const float* y,
              const void* workspace);

// parts/check.cpp. For a part whose header is valid: NULL, or what is impossible in its record.
const char* check_part(const void* part, const Kernels& kernels);

// One member's share of one image through a part whose header and record are valid. The workspace
// is aligned and large enough. y is complete when all members have returned.
struct Run {
  const Kernels* kernels;
  Team team;
  Workspace workspace;
  Profile* profile = nullptr;
  int32_t part = 0;  // its index there

  void mark(Phase phase) const {
    if (profile != nullptr) profile->mark(part, phase);
  }
};
void run_stem(const void* part, const Run& run, const float* x, float* y);
void run_stage(const void* part, const Run& run, const float* x, float* y);
void run_transition(const void* part, const Run& run, const float* x, float* y);
void run_head(const void* part, const Run& run, const float* x, float* y);
void run_any(const void* part, const Run& run, const float* x, float* y);

// Whether lists or weights of a part are read once for several images that run through it together,
// and the common workspace of so many.
bool pays_together(const void* part);
uint64_t together_bytes(const void* part, int64_t n);
// Images one behind the other, with the bits of run_any for each.
void run_together(const void* part, const Run& run, int64_t n, const float* x, float* y);
void run_stage_together(const void* part, const Run& run, int64_t n, const float* x, float* y);
void run_head_together(const void* part, const Run& run, int64_t n, const float* x, float* y);
uint64_t stage_together_bytes(const void* part, int64_t n);
// Of n: the images that a stage has at hand at a time.
int64_t stage_images(const void* part, int64_t n);
inline int64_t input_floats(const PartHeader& header) {
  return int64_t{1} * header.input[0] * header.input[1] * header.input[2];
}
inline int64_t output_floats(const PartHeader& header) {
  return int64_t{1} * header.output[0] * header.output[1] * header.output[2];
}

// A stage whose output is pooled by the transition behind it as it is produced, where they allow
// that; the stage itself has no output then. `workspace` holds what both parts need.
bool can_fuse(const void* stage, const void* transition);
// Each of n images has a common workspace of the transition, one behind the other.
void run_fused(const void* stage, const void* transition, const Run& stage_run,
               const Run& transition_run, int64_t n, const float* x, float* y);

// Text that is cut off, not overrun, at its capacity.
struct Text {
  char* at;
  size_t capacity, used;
  __attribute__((format(printf, 2, 3))) void add(const char* format, ...);
};
void report_stage(const void* part, const Kernels& kernels, Text* text);
void report_floats(const void* part, Text* text);

}  // namespace bnn
#endif  // BNN_PART_H_
