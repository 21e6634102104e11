// What all prepared parts have in common: the header, the layout of the block behind it, checks of
// descriptions.
#ifndef BNN_PART_H_
#define BNN_PART_H_

#include "kernels.h"

namespace bnn {

enum class Kind : uint32_t { kStem = 1, kStage = 2, kTransition = 3, kHead = 4 };

// The first bytes of every prepared part. Positions inside a part are offsets from its first byte.
struct PartHeader {
  uint64_t magic;
  uint32_t abi;
  Kind kind;
  char implementation[16];
  uint64_t bytes;
  uint64_t workspace_bytes;
  int32_t input[3], output[3];
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
constexpr int32_t kMaxChannels = 1 << 16, kMaxSide = 1 << 14, kMaxKernel = 31, kMaxLayers = 1024;

// parts.cpp. `what` names the function and field in the message.
int check_range(const char* what, int64_t value, int64_t low, int64_t high);
int check_pointer(const char* what, const void* pointer);
int check_finite(const char* what, const float* values, int64_t count);
int check_window(const char* what, const bnn_window& window, int32_t height, int32_t width);
inline int32_t window_outputs(const bnn_window& window, int32_t side) {
  if (window.kernel == 0) return side;
  return (side + window.padding_before + window.padding_after - window.kernel) / window.stride + 1;
}

// Answers a call without a part (only *bytes is wanted), or checks that the part can take `needed`
// bytes. Returns BNN_OK and *write = true when the part is to be written.
int open_part(const char* function, void* part, size_t* bytes, size_t needed, bool* write);
void write_header(void* part, const Kernels& kernels, Kind kind, size_t bytes,
                  size_t workspace_bytes, const int32_t (&input)[3], const int32_t (&output)[3]);

// parts_check.cpp. For a part whose header is valid: NULL, or what is impossible in its record.
const char* check_part(const void* part, const Kernels& kernels);

// One image through a part whose header and record are valid; workspace is aligned and large
// enough.
void run_stem(const void* part, const Kernels& kernels, const float* x, float* y, void* workspace);
void run_stage(const void* part, const Kernels& kernels, const float* x, float* y, void* workspace);
void run_transition(const void* part, const Kernels& kernels, const float* x, float* y,
                    void* workspace);
void run_head(const void* part, const Kernels& kernels, const float* x, float* y, void* workspace);

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
