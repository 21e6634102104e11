// Runs all parts of a network in a row.
// Fuses stages with the transitions behind them, places maps and workspaces in one block of memory,
// and lets a team compute each image.
//
// Several images go through the parts one after the other as far as maps are large, then together
// part by part, so that lists and weights, which are large there, come from memory once.
#include "core/pool.h"
#include "kernels/sliced/sliced.h"
#include "parts/part.h"

namespace bnn {
namespace {

constexpr int32_t kMaxParts = 1024;

const PartHeader& header_of(const bnn_part& part) {
  return *static_cast<const PartHeader*>(part.part);
}

// One or two parts that run together.
struct Unit {
  const bnn_part* first;
  const bnn_part* fused;  // the transition, or NULL
  bool together;          // images run through it together, and through all behind it
  const PartHeader& last() const { return header_of(fused != nullptr ? *fused : *first); }
  uint64_t common_bytes(int64_t images) const {
    const int64_t n = together ? images : 1;
    return together_bytes(first->part, n) +
           (fused != nullptr ? static_cast<uint64_t>(stage_images(first->part, n)) *
                                   header_of(*fused).common_bytes
                             : 0);
  }
  uint64_t member_bytes() const {
    return header_of(*first).member_bytes + (fused != nullptr ? header_of(*fused).member_bytes : 0);
  }
};

Unit unit_at(const bnn_part* parts, int32_t count, int32_t i) {
  const PartHeader& header = header_of(parts[i]);
  const bool pair = i + 1 < count && header.kind == Kind::kStage &&
                    header_of(parts[i + 1]).kind == Kind::kTransition &&
                    can_fuse(parts[i].part, parts[i + 1].part);
  return {&parts[i], pair ? &parts[i + 1] : nullptr, false};
}

// Calls visit(unit, turn, is_last).
template <typename Visit>
void visit_units(const bnn_part* parts, int32_t count, Visit visit) {
  int32_t turn = 0;
  bool together = false;
  for (int32_t i = 0; i < count; ++turn) {
    Unit unit = unit_at(parts, count, i);
    unit.together = together = together || pays_together(unit.first->part);
    i += unit.fused != nullptr ? 2 : 1;
    visit(unit, turn, i == count);
  }
}

// Where things lie in the workspace.
struct Places {
  uint64_t maps[2];  // between units, which take turns
  uint64_t shared;   // what images run through together begins with: the map of each
  uint64_t common, members, member_bytes, bytes;
  int64_t images;  // that run together at most
};

// images: that run together at most.
Places place(const bnn_part* parts, int32_t count, int32_t threads, int64_t images) {
  uint64_t maps[2] = {0, 0}, shared = 0, common = 0, member = 0;
  uint64_t input = 0;  // bytes of the map between the unit before and this one
  bool was_together = false;
  const auto raise = [](uint64_t* most, uint64_t value) {
    if (value > *most) *most = value;
  };
  visit_units(parts, count, [&](const Unit& unit, int32_t turn, bool is_last) {
    if (unit.together && !was_together) {
      shared = input * static_cast<uint64_t>(images);
    } else if (turn > 0) {
      raise(&maps[(turn - 1) % 2], input * static_cast<uint64_t>(unit.together ? images : 1));
    }
    input = is_last ? 0 : static_cast<uint64_t>(output_floats(unit.last())) * sizeof(float);
    was_together = unit.together;
    raise(&common, unit.common_bytes(images));
    raise(&member, unit.member_bytes());
  });
  Layout layout;
  Places places;
  for (int i = 0; i < 2; ++i) places.maps[i] = layout.take(static_cast<int64_t>(maps[i]), 1);
  places.shared = layout.take(static_cast<int64_t>(shared), 1);
  places.common = layout.take(static_cast<int64_t>(common), 1);
  places.members = layout.take(threads, static_cast<size_t>(member));
  places.member_bytes = member;
  places.bytes = layout.bytes();
  places.images = images;
  return places;
}

int check_parts(const char* function, const bnn_part* parts, int32_t count) {
  if (check_pointer(function, parts) != BNN_OK ||
      check_range(function, count, 1, kMaxParts) != BNN_OK) {
    return BNN_EARGUMENT;
  }
  for (int32_t i = 0; i < count; ++i) {
    int status = BNN_OK;
    if (open_header(function, parts[i].part, parts[i].bytes, &status) == nullptr) return status;
    if (i == 0) continue;
    const int32_t (&from)[3] = header_of(parts[i - 1]).output;
    const int32_t (&to)[3] = header_of(parts[i]).input;
    if (from[0] != to[0] || from[1] != to[1] || from[2] != to[2]) {
      return fail(BNN_EARGUMENT,
                  "%s: part %d: expected the output %dx%dx%d of the part before as input, found "
                  "%dx%dx%d",
                  function, i, from[0], from[1], from[2], to[0], to[1], to[2]);
    }
  }
  return BNN_OK;
}

struct Job {
  const bnn_part* parts;
  int32_t count;
  const float* x;
  int64_t n;
  float* y;
  void* workspace;
  Places places;
  Profile* profile;
};

bool is_before_together(const Job& job, const Unit& unit) {
  const bnn_part* next = (unit.fused != nullptr ? unit.fused : unit.first) + 1;
  return next < job.parts + job.count && pays_together(next->part);
}

void run_unit(const Unit& unit, const Job& job, const Team& team, void* common, void* own,
              int64_t n, const float* x, float* y) {
  const PartHeader& header = header_of(*unit.first);
  const int32_t index = static_cast<int32_t>(unit.first - job.parts);
  const Run run = {find_kernels(header.implementation), team, {common, own}, job.profile, index};
  if (unit.fused == nullptr) {
    run_together(unit.first->part, run, n, x, y);
    return;
  }
  const Run transition_run = {
      find_kernels(header_of(*unit.fused).implementation),
      team,
      {at<void>(common, together_bytes(unit.first->part, n)), at<void>(own, header.member_bytes)},
      job.profile,
      index + 1};
  run_fused(unit.first->part, unit.fused->part, run, transition_run, n, x, y);
}

// Those up to the first unit through which images run together, or those from it on: n images.
void run_units(const Job& job, const Team& team, bool together, int64_t n, int64_t image) {
  const Places& places = job.places;
  void* common = at<void>(job.workspace, places.common);
  void* own = at<void>(job.workspace,
                       places.members + static_cast<uint64_t>(team.member) * places.member_bytes);
  const float* x = job.x + image * input_floats(header_of(job.parts[0]));
  visit_units(job.parts, job.count, [&](const Unit& unit, int32_t turn, bool is_last) {
    const int64_t outputs = output_floats(unit.last());
    float* y = at<float>(job.workspace, places.maps[turn % 2]);
    if (is_last) {
      y = job.y + image * outputs;
    } else if (!unit.together && is_before_together(job, unit)) {
      y = at<float>(job.workspace, places.shared) + image % places.images * outputs;
    }
    if (unit.together == together) {
      run_unit(unit, job, team, common, own, n, x, y);
      team.meet();
    }
    x = y;
  });
}

void run_images(void* argument, const Team& team) {
  const Job& job = *static_cast<const Job*>(argument);
  for (int64_t first = 0; first < job.n; first += job.places.images) {
    const int64_t left = job.n - first, n = left < job.places.images ? left : job.places.images;
    for (int64_t image = first; image < first + n; ++image) run_units(job, team, false, 1, image);
    run_units(job, team, true, n, first);
  }
}

// The most images for which the workspace has room; 0: not for one.
int64_t fit_images(const bnn_part* parts, int32_t count, int32_t threads, int64_t n, size_t bytes) {
  int64_t images = n < kTogether ? n : kTogether;
  if (images < 1) images = 1;
  while (images > 1 && place(parts, count, threads, images).bytes > bytes) --images;
  return images;
}

int check_workspace(const char* function, size_t bytes, const Places& places, int32_t threads) {
  if (bytes >= places.bytes) return BNN_OK;
  return fail(BNN_ESIZE,
              "%s: expected a workspace of %llu bytes for %d threads, found %zu; see "
              "bnn_network_workspace",
              function, static_cast<unsigned long long>(places.bytes), threads, bytes);
}

}  // namespace
}  // namespace bnn

int bnn_network_workspace(const bnn_part* parts, int32_t count, int32_t threads, int64_t n,
                          size_t* bytes) {
  using namespace bnn;
  const int status = check_parts("bnn_network_workspace", parts, count);
  if (status != BNN_OK) return status;
  if (check_range("bnn_network_workspace: threads", threads, 1, 1 << 16) != BNN_OK ||
      check_pointer("bnn_network_workspace: bytes", bytes) != BNN_OK) {
    return BNN_EARGUMENT;
  }
  const int64_t images = n < 1 ? 1 : n < kTogether ? n : kTogether;
  *bytes = place(parts, count, threads, images).bytes;
  return BNN_OK;
}

int bnn_network_run(const bnn_part* parts, int32_t count, const float* x, int64_t n, float* y,
                    void* workspace, size_t workspace_bytes, bnn_pool* pool, int32_t threads) {
  using namespace bnn;
  const int status = check_parts("bnn_network_run", parts, count);
  if (status != BNN_OK) return status;
  if (check_range("bnn_network_run: threads", threads, 1, 1 << 16) != BNN_OK ||
      check_run("bnn_network_run", x, n, y, workspace) != BNN_OK) {
    return BNN_EARGUMENT;
  }
  if (threads > pool_threads(pool)) threads = pool_threads(pool);
  const int64_t images = fit_images(parts, count, threads, n, workspace_bytes);
  Job job = {parts, count, x, n, y, workspace, place(parts, count, threads, images), nullptr};
  if (check_workspace("bnn_network_run", workspace_bytes, job.places, threads) != BNN_OK) {
    return BNN_ESIZE;
  }
  run_team(pool, threads, run_images, &job);
  return BNN_OK;
}

const char* bnn_phase_name(int32_t phase) {
  static const char* const kNames[BNN_PHASES] = {"binarize", "spread", "count",
                                                 "write",    "pool",   "multiply"};
  return phase >= 0 && phase < BNN_PHASES ? kNames[phase] : nullptr;
}

int bnn_network_profile(const bnn_part* parts, int32_t count, const float* x, float* y,
                        void* workspace, size_t workspace_bytes, double* nanoseconds) {
  using namespace bnn;
  const int status = check_parts("bnn_network_profile", parts, count);
  if (status != BNN_OK) return status;
  if (check_run("bnn_network_profile", x, 1, y, workspace) != BNN_OK ||
      check_pointer("bnn_network_profile: nanoseconds", nanoseconds) != BNN_OK) {
    return BNN_EARGUMENT;
  }
  Job job = {parts, count, x, 1, y, workspace, place(parts, count, 1, 1), nullptr};
  if (check_workspace("bnn_network_profile", workspace_bytes, job.places, 1) != BNN_OK) {
    return BNN_ESIZE;
  }
  for (int32_t i = 0; i < count * BNN_PHASES; ++i) nanoseconds[i] = 0.0;
  Profile profile(nanoseconds);
  job.profile = &profile;
  run_images(&job, team_of_one());
  return BNN_OK;
}
