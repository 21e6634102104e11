// Registers pack, conv3x3, run_part and run_network of bnn.h as operators of torch.
// They check, allocate and call. Only torch's stable ABI is used, so that one binary serves every
// torch from 2.10 on.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "bnn.h"

namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;
using Shape = std::vector<int64_t>;

std::ostream& operator<<(std::ostream& stream, const Shape& shape) {
  stream << "[";
  for (size_t i = 0; i < shape.size(); ++i) stream << (i ? ", " : "") << shape[i];
  return stream << "]";
}

// Plain exceptions: STD_TORCH_CHECK would put the path of this file into every message.
template <typename... Parts>
void check(bool holds, const Parts&... message) {
  if (holds) return;
  std::ostringstream text;
  (text << ... << message);
  throw std::runtime_error(text.str());
}

void check_status(int status) { check(status == BNN_OK, bnn_error()); }

// The shape of a contiguous tensor on the CPU; any number of dimensions if `dimensions` is 0.
Shape check_tensor(const char* what, const Tensor& tensor, ScalarType dtype, size_t dimensions) {
  const Shape shape(tensor.sizes().begin(), tensor.sizes().end());
  check(tensor.is_cpu(), "bnn::", what, ": expected a tensor on the CPU, found another device");
  check(tensor.scalar_type() == dtype, "bnn::", what, ": expected dtype ", toString(dtype),
        ", found ", toString(tensor.scalar_type()));
  check(dimensions == 0 || shape.size() == dimensions, "bnn::", what, ": expected ", dimensions,
        " dimensions, found shape ", shape);
  check(tensor.is_contiguous(), "bnn::", what,
        ": expected a contiguous tensor, found other strides; call contiguous()");
  return shape;
}

// Aligned to 64 bytes, as all of torch's memory on the CPU is.
Tensor allocate(const Tensor& like, const Shape& shape, ScalarType dtype) {
  return torch::stable::new_empty(like, {shape.data(), shape.size()}, dtype);
}

const uint32_t* words_of(const Tensor& tensor) {
  return static_cast<const uint32_t*>(tensor.const_data_ptr());
}

// x float [..., C], threshold float [C], flip int32 [C / 32] -> words int32 [..., C / 32]
Tensor pack(const Tensor& x, const Tensor& threshold, const Tensor& flip) {
  Shape shape = check_tensor("pack: x", x, ScalarType::Float, 0);
  const Shape thresholds = check_tensor("pack: threshold", threshold, ScalarType::Float, 1);
  const Shape flips = check_tensor("pack: flip", flip, ScalarType::Int, 1);
  const int64_t channels = thresholds[0];
  check(
      !shape.empty() && shape.back() == channels && channels % 32 == 0 && flips[0] == channels / 32,
      "bnn::pack: expected x [..., C], threshold [C], flip [C / 32], C a multiple of 32, found ",
      shape, ", ", thresholds, ", ", flips);
  shape.back() = channels / 32;
  Tensor words = allocate(x, shape, ScalarType::Int);
  if (words.numel() == 0) return words;
  check_status(bnn_pack(x.const_data_ptr<float>(), threshold.const_data_ptr<float>(),
                        words_of(flip), x.numel() / channels, channels,
                        static_cast<uint32_t*>(words.mutable_data_ptr())));
  return words;
}

// Calls run(task, first image, number of images) on torch's threads, for n images in all.
template <typename RunImages>
void share_images(int64_t n, int64_t tasks, RunImages run) {
  std::mutex mutex;
  std::string error;  // bnn_error() belongs to the thread that failed
  torch::stable::parallel_for(0, tasks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t first = n * task / tasks, count = n * (task + 1) / tasks - first;
      if (run(task, first, count) == BNN_OK) continue;
      const std::lock_guard<std::mutex> lock(mutex);
      error = bnn_error();
    }
  });
  check(error.empty(), error);
}

// x words [N, H, W, C / 32], weight words [O, 3, 3, C / 32] -> mismatches int32 [N, H, W, O];
// torch's threads share out the images.
Tensor conv3x3(const Tensor& x, const Tensor& weight, int64_t padding) {
  const Shape in = check_tensor("conv3x3: x", x, ScalarType::Int, 4);
  const Shape window = check_tensor("conv3x3: weight", weight, ScalarType::Int, 4);
  check(window[1] == 3 && window[2] == 3 && window[3] == in[3],
        "bnn::conv3x3: expected weight [O, 3, 3, ", in[3], "] for x ", in, ", found ", window);
  check(padding >= -1 && padding <= 1, "bnn::conv3x3: expected padding -1, 0 or 1, found ",
        padding);
  Tensor mismatches = allocate(x, {in[0], in[1], in[2], window[0]}, ScalarType::Int);
  if (mismatches.numel() == 0) return mismatches;
  const int64_t n = in[0], inputs = x.numel() / n, outputs = mismatches.numel() / n;
  const uint32_t* from = words_of(x);
  int32_t* to = static_cast<int32_t*>(mismatches.mutable_data_ptr());
  const auto call = [&](int64_t first, int64_t count, void* workspace, size_t* bytes) {
    return bnn_conv3x3(from + first * inputs, words_of(weight), count, in[1], in[2], 32 * in[3],
                       window[0], static_cast<int32_t>(padding), to + first * outputs, workspace,
                       bytes);
  };
  const int64_t tasks = std::min<int64_t>(n, torch::stable::get_num_threads());
  size_t bytes = 0;
  check_status(call(0, (n + tasks - 1) / tasks, nullptr, &bytes));  // only asks for the size
  const size_t room = (bytes + BNN_ALIGNMENT - 1) / BNN_ALIGNMENT * BNN_ALIGNMENT;
  Tensor workspace = allocate(x, {tasks * static_cast<int64_t>(room) + 1}, ScalarType::Byte);
  char* rooms = static_cast<char*>(workspace.mutable_data_ptr());
  share_images(n, tasks, [&](int64_t task, int64_t first, int64_t count) {
    size_t most = room;
    return call(first, count, rooms + static_cast<size_t>(task) * room, &most);
  });
  return mismatches;
}

// x float [N, input...], part uint8 -> float [N, output...]; torch's threads share out the images.
Tensor run_part(const Tensor& x, const Tensor& part, const Shape& output) {
  const Shape in = check_tensor("run_part: x", x, ScalarType::Float, 4);
  const size_t bytes =
      static_cast<size_t>(check_tensor("run_part: part", part, ScalarType::Byte, 1)[0]);
  check(bytes > 0, "bnn::run_part: expected a prepared part, found an empty one; fill it first");
  bnn_part_info info;
  check_status(bnn_part_describe(part.const_data_ptr(), bytes, &info));
  const Shape input(info.input, info.input + 3);
  const Shape result(info.output, info.output + (std::string(info.kind) == "head" ? 1 : 3));
  check(std::equal(input.begin(), input.end(), in.begin() + 1) && output == result,
        "bnn::run_part: this ", info.kind, " maps ", input, " to ", result, " per image, found x ",
        in, " and output ", output);
  const int64_t n = in[0];
  Shape shape = output;
  shape.insert(shape.begin(), n);
  Tensor y = allocate(x, shape, ScalarType::Float);
  if (n == 0) return y;
  const int64_t tasks = std::min<int64_t>(n, torch::stable::get_num_threads());
  const size_t room = (info.workspace_bytes + BNN_ALIGNMENT - 1) / BNN_ALIGNMENT * BNN_ALIGNMENT;
  Tensor workspace = allocate(x, {tasks * static_cast<int64_t>(room) + 1}, ScalarType::Byte);
  const float* from = x.const_data_ptr<float>();
  float* to = y.mutable_data_ptr<float>();
  char* rooms = static_cast<char*>(workspace.mutable_data_ptr());
  const void* prepared = part.const_data_ptr();
  const int64_t inputs = x.numel() / n, outputs = y.numel() / n;
  share_images(n, tasks, [&](int64_t task, int64_t first, int64_t count) {
    return bnn_part_run(prepared, bytes, from + first * inputs, count, to + first * outputs,
                        rooms + static_cast<size_t>(task) * room, room);
  });
  return y;
}

// The threads that compute an image together, as many as torch has; made anew when that grows.
std::shared_ptr<bnn_pool> find_pool(int32_t threads) {
  static std::mutex mutex;
  static std::shared_ptr<bnn_pool> pool;
  static int32_t size = 0;
  const std::lock_guard<std::mutex> lock(mutex);
  if (threads > size) {
    bnn_pool* made = nullptr;
    check_status(bnn_pool_new(threads, &made));
    pool.reset(made, bnn_pool_free);
    size = threads;
  }
  return pool;
}

// x float [N, input...], parts uint8 -> float [N, output...]. torch's threads share out the images;
// a single one is computed by all of them together.
Tensor run_network(const Tensor& x, const std::vector<Tensor>& parts, const Shape& output) {
  const Shape in = check_tensor("run_network: x", x, ScalarType::Float, 4);
  check(!parts.empty(), "bnn::run_network: expected prepared parts, found none");
  std::vector<bnn_part> network;
  bnn_part_info info{};
  Shape input;
  for (const Tensor& part : parts) {
    const int64_t bytes = check_tensor("run_network: a part", part, ScalarType::Byte, 1)[0];
    check(bytes > 0,
          "bnn::run_network: expected a prepared part, found an empty one; fill it first");
    network.push_back({part.const_data_ptr(), static_cast<size_t>(bytes)});
    check_status(bnn_part_describe(part.const_data_ptr(), static_cast<size_t>(bytes), &info));
    if (input.empty()) input.assign(info.input, info.input + 3);
  }
  const Shape result(info.output, info.output + (std::string(info.kind) == "head" ? 1 : 3));
  check(std::equal(input.begin(), input.end(), in.begin() + 1) && output == result,
        "bnn::run_network: this network maps ", input, " to ", result, " per image, found x ", in,
        " and output ", output);
  const int64_t n = in[0];
  Shape shape = output;
  shape.insert(shape.begin(), n);
  Tensor y = allocate(x, shape, ScalarType::Float);
  if (n == 0) return y;
  const int32_t threads = static_cast<int32_t>(torch::stable::get_num_threads());
  const int64_t tasks = std::min<int64_t>(n, threads);
  const int32_t together = n == 1 ? threads : 1;
  const std::shared_ptr<bnn_pool> pool = together > 1 ? find_pool(together) : nullptr;
  const int32_t count = static_cast<int32_t>(network.size());
  size_t room = 0;
  check_status(
      bnn_network_workspace(network.data(), count, together, (n + tasks - 1) / tasks, &room));
  room = (room + BNN_ALIGNMENT - 1) / BNN_ALIGNMENT * BNN_ALIGNMENT;
  Tensor workspace = allocate(x, {tasks * static_cast<int64_t>(room) + 1}, ScalarType::Byte);
  const float* from = x.const_data_ptr<float>();
  float* to = y.mutable_data_ptr<float>();
  char* rooms = static_cast<char*>(workspace.mutable_data_ptr());
  share_images(n, tasks, [&](int64_t task, int64_t first, int64_t images) {
    return bnn_network_run(network.data(), count, from + first * (x.numel() / n), images,
                           to + first * (y.numel() / n), rooms + static_cast<size_t>(task) * room,
                           room, pool.get(), together);
  });
  return y;
}

}  // namespace

STABLE_TORCH_LIBRARY(bnn, m) {
  m.def("pack(Tensor x, Tensor threshold, Tensor flip) -> Tensor");
  m.def("conv3x3(Tensor x, Tensor weight, int padding) -> Tensor");
  m.def("run_part(Tensor x, Tensor part, int[] output) -> Tensor");
  m.def("run_network(Tensor x, Tensor[] parts, int[] output) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(bnn, CPU, m) {
  m.impl("pack", TORCH_BOX(&pack));
  m.impl("conv3x3", TORCH_BOX(&conv3x3));
  m.impl("run_part", TORCH_BOX(&run_part));
  m.impl("run_network", TORCH_BOX(&run_network));
}
