// Prepared parts of any kind: their header is written and checked, and they are described and run.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "parts/part.h"

namespace bnn {
namespace {

constexpr uint64_t kMagic = 0x31305452504e4e42u;  // "BNNPRT01" in memory; also a byte-order mark

}  // namespace

const Kernels* open_header(const char* function, const void* part, size_t bytes, int* status) {
  if (part == nullptr || !is_aligned(part)) {
    *status = fail(BNN_EARGUMENT,
                   "%s: expected a part aligned to %d bytes, found %p; allocate it aligned",
                   function, BNN_ALIGNMENT, part);
    return nullptr;
  }
  if (bytes < sizeof(PartHeader)) {
    *status = fail(BNN_ESIZE, "%s: expected a part of at least %zu bytes, found %zu", function,
                   sizeof(PartHeader), bytes);
    return nullptr;
  }
  const PartHeader& header = *static_cast<const PartHeader*>(part);
  if (header.magic != kMagic || header.abi != BNN_ABI || header.kind < Kind::kStem ||
      header.kind > Kind::kHead ||
      header.implementation[sizeof header.implementation - 1] != '\0') {
    *status =
        fail(BNN_ESTATE,
             "%s: these bytes are no part that ABI %d prepared; call one of bnn_*_prepare first",
             function, BNN_ABI);
    return nullptr;
  }
  if (header.bytes > bytes) {
    *status = fail(BNN_ESIZE, "%s: the part has %llu bytes, found %zu; pass the whole buffer",
                   function, static_cast<unsigned long long>(header.bytes), bytes);
    return nullptr;
  }
  const Kernels* kernels = find_kernels(header.implementation);
  if (kernels == nullptr) {
    *status =
        fail(BNN_ESTATE,
             "%s: the part was prepared for '%s', which this machine cannot run; prepare it here",
             function, header.implementation);
    return nullptr;
  }
  const bool is_sized = header.common_bytes <= kMaxBytes && header.member_bytes <= kMaxBytes &&
                        header.common_bytes % BNN_ALIGNMENT == 0 &&
                        header.member_bytes % BNN_ALIGNMENT == 0;
  const char* fault = is_sized ? check_part(part, *kernels) : "workspace";
  if (fault != nullptr) {
    *status = fail(BNN_ESTATE,
                   "%s: expected a part as '%s' prepares it, found an impossible %s in its record; "
                   "prepare it again",
                   function, header.implementation, fault);
    return nullptr;
  }
  return kernels;
}

int check_window(const char* what, const bnn_window& window, int32_t height, int32_t width) {
  if (window.kernel < 1 || window.kernel > kMaxKernel || window.stride < 1 ||
      window.stride > kMaxKernel || window.padding_before < 0 ||
      window.padding_before >= window.kernel || window.padding_after < 0 ||
      window.padding_after >= window.kernel) {
    return fail(BNN_EARGUMENT,
                "%s: expected kernel and stride 1..%d, padding 0..kernel - 1, found kernel %d, "
                "stride %d, padding %d, %d",
                what, kMaxKernel, window.kernel, window.stride, window.padding_before,
                window.padding_after);
  }
  const int32_t side = height < width ? height : width;
  if (side + window.padding_before + window.padding_after < window.kernel) {
    return fail(BNN_EARGUMENT, "%s: the window of %d does not fit a padded map of %dx%d", what,
                window.kernel, height + window.padding_before + window.padding_after,
                width + window.padding_before + window.padding_after);
  }
  return BNN_OK;
}

int open_part(const char* function, void* part, size_t* bytes, size_t needed, bool* write) {
  *write = false;
  if (part == nullptr) {
    *bytes = needed;
    return BNN_OK;
  }
  if (!is_aligned(part)) {
    return fail(BNN_EARGUMENT,
                "%s: expected a part aligned to %d bytes, found %p; allocate it aligned", function,
                BNN_ALIGNMENT, part);
  }
  if (*bytes < needed) {
    return fail(BNN_ESIZE, "%s: expected a buffer of %zu bytes, found %zu; ask with part NULL",
                function, needed, *bytes);
  }
  *write = true;
  return BNN_OK;
}

void write_header(void* part, const Kernels& kernels, Kind kind, size_t bytes, const Layout& common,
                  const Layout& member, const int32_t (&input)[3], const int32_t (&output)[3]) {
  PartHeader& header = *static_cast<PartHeader*>(part);
  memset(&header, 0, sizeof header);
  header.magic = kMagic;
  header.abi = BNN_ABI;
  header.kind = kind;
  snprintf(header.implementation, sizeof header.implementation, "%s", kernels.name);
  header.bytes = bytes;
  header.common_bytes = common.bytes();
  header.member_bytes = member.bytes();
  memcpy(header.input, input, sizeof input);
  memcpy(header.output, output, sizeof output);
}

int check_run(const char* function, const float* x, int64_t n, const float* y,
              const void* workspace) {
  if (n < 0 || (n > 0 && (x == nullptr || y == nullptr))) {
    return fail(BNN_EARGUMENT,
                "%s: expected n >= 0 and pointers to x and y, found n %lld, x %p, y %p", function,
                static_cast<long long>(n), static_cast<const void*>(x),
                static_cast<const void*>(y));
  }
  if (workspace == nullptr || !is_aligned(workspace)) {
    return fail(BNN_EARGUMENT, "%s: expected a workspace aligned to %d bytes, found %p", function,
                BNN_ALIGNMENT, workspace);
  }
  return BNN_OK;
}

void run_any(const void* part, const Run& run, const float* x, float* y) {
  switch (static_cast<const PartHeader*>(part)->kind) {
    case Kind::kStem:
      return run_stem(part, run, x, y);
    case Kind::kStage:
      return run_stage(part, run, x, y);
    case Kind::kTransition:
      return run_transition(part, run, x, y);
    case Kind::kHead:
      return run_head(part, run, x, y);
  }
}

bool pays_together(const void* part) {
  switch (static_cast<const PartHeader*>(part)->kind) {
    case Kind::kStage:
      return stage_together_bytes(part, 2) > 0;
    case Kind::kHead:
      return true;
    default:
      return false;
  }
}

uint64_t together_bytes(const void* part, int64_t n) {
  const PartHeader& header = *static_cast<const PartHeader*>(part);
  if (header.kind == Kind::kHead) return header.common_bytes * static_cast<uint64_t>(n);
  const uint64_t several = header.kind == Kind::kStage && n > 1 ? stage_together_bytes(part, n) : 0;
  return several > header.common_bytes ? several : header.common_bytes;
}

void run_together(const void* part, const Run& run, int64_t n, const float* x, float* y) {
  const PartHeader& header = *static_cast<const PartHeader*>(part);
  if (header.kind == Kind::kHead) return run_head_together(part, run, n, x, y);
  if (header.kind == Kind::kStage && n > 1 && pays_together(part)) {
    return run_stage_together(part, run, n, x, y);
  }
  for (int64_t image = 0; image < n; ++image) {
    if (image > 0) run.team.meet();  // the workspace is free again
    run_any(part, run, x + image * input_floats(header), y + image * output_floats(header));
  }
}

void Text::add(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const size_t left = used < capacity ? capacity - used : 0;
  const int wanted = vsnprintf(left > 0 ? at + used : nullptr, left, format, arguments);
  va_end(arguments);
  if (wanted > 0) used += static_cast<size_t>(wanted);
}

}  // namespace bnn

int bnn_part_describe(const void* part, size_t bytes, bnn_part_info* info) {
  using namespace bnn;
  if (info == nullptr)
    return fail(BNN_EARGUMENT, "bnn_part_describe: expected a place for the answer, found NULL");
  int status = BNN_OK;
  const Kernels* kernels = open_header("bnn_part_describe", part, bytes, &status);
  if (kernels == nullptr) return status;
  const PartHeader& header = *static_cast<const PartHeader*>(part);
  static const char* const kNames[] = {"stem", "stage", "transition", "head"};
  info->kind = kNames[static_cast<uint32_t>(header.kind) - 1];
  info->implementation = kernels->name;
  memcpy(info->input, header.input, sizeof info->input);
  memcpy(info->output, header.output, sizeof info->output);
  info->workspace_bytes = header.common_bytes + header.member_bytes;
  return BNN_OK;
}

int bnn_part_report(const void* part, size_t bytes, char* json, size_t capacity) {
  using namespace bnn;
  int status = BNN_OK;
  const Kernels* kernels = open_header("bnn_part_report", part, bytes, &status);
  if (kernels == nullptr) return status;
  if (json == nullptr)
    return fail(BNN_EARGUMENT, "bnn_part_report: expected a place for the text, found NULL");
  Text text = {json, capacity, 0};
  if (static_cast<const PartHeader*>(part)->kind == Kind::kStage) {
    report_stage(part, *kernels, &text);
  } else {
    report_floats(part, &text);
  }
  if (text.used >= capacity) {
    return fail(BNN_ESIZE, "bnn_part_report: the text needs %zu bytes, found %zu", text.used + 1,
                capacity);
  }
  return BNN_OK;
}

int bnn_part_run(const void* part, size_t bytes, const float* x, int64_t n, float* y,
                 void* workspace, size_t workspace_bytes) {
  using namespace bnn;
  int status = BNN_OK;
  const Kernels* kernels = open_header("bnn_part_run", part, bytes, &status);
  if (kernels == nullptr) return status;
  const PartHeader& header = *static_cast<const PartHeader*>(part);
  if (check_run("bnn_part_run", x, n, y, workspace) != BNN_OK) return BNN_EARGUMENT;
  const uint64_t needed = header.common_bytes + header.member_bytes;
  if (workspace_bytes < needed) {
    return fail(
        BNN_ESIZE,
        "bnn_part_run: expected a workspace of %llu bytes, found %zu; see bnn_part_describe",
        static_cast<unsigned long long>(needed), workspace_bytes);
  }
  const Run run = {kernels, team_of_one(), {workspace, at<void>(workspace, header.common_bytes)}};
  const int64_t inputs = input_floats(header), outputs = output_floats(header);
  for (int64_t image = 0; image < n; ++image) {
    const float* from = x + image * inputs;
    float* to = y + image * outputs;
    run_any(part, run, from, to);
  }
  return BNN_OK;
}
