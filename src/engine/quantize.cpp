#include "krait/quantize.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "krait/error.h"
#include "models/gguf_layout.h"
#include "models/mixer.h"
#include "models/weight_names.h"
#include "models/weight_policy.h"
#include "src/engine/gguf_vocabulary.h"
#include "src/engine/weight_converter.h"
#include "src/formats/gguf_writer.h"

namespace krait {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

// Types that may be asked for, and what general.file_type calls a file of them (LLAMA_FTYPE).
constexpr std::array<std::pair<DType, uint32_t>, 7> kFileTypes = {{
    {DType::f32, 0},
    {DType::f16, 1},
    {DType::bf16, 32},
    {DType::q8_0, 7},
    {DType::q4_0, 2},
    {DType::q4_k, 15},
    {DType::q6_k, 18},
}};
constexpr uint32_t kQuantizationVersion = 2;  // of the block layouts

struct Interrupted {};

uint32_t file_type(DType type) {
  const auto found = std::find_if(kFileTypes.begin(), kFileTypes.end(),
                                  [&](const auto& known) { return known.first == type; });
  if (found != kFileTypes.end()) return found->second;
  std::string names;
  for (const auto& [known, number] : kFileTypes)
    names += (names.empty() ? "" : ", ") + std::string(dtype_name(known));
  throw InputError("cannot quantize to " + std::string(dtype_name(type)) + ": expected one of " +
                   names);
}

// "tales" for "models/bundled/tales/" and for "tales.gguf".
std::string plain_name(const std::string& model) {
  fs::path path = model;
  if (!path.has_filename()) path = path.parent_path();
  return path.extension() == ".gguf" ? path.stem().string() : path.filename().string();
}

class Quantizer {
 public:
  Quantizer(const OpenOptions& open, const QuantizeOptions& options)
      : open_(open),
        options_(options),
        threads_(make_backend({"cpu", "auto", open.backend.threads})->info().threads),
        files_(open_model_files(open)),
        weights_(*files_.checkpoint),
        layout_(gguf_layout(*files_.checkpoint, files_.config, open.warn)) {}

  QuantizeResult run(const std::string& out) {
    refuse_own_files(out);
    warn_of_quantised_source();
    std::vector<GgufTensor> tensors;
    for (const GgufWeight& weight : layout_.weights) tensors.push_back(describe(weight));
    write_gguf(out, metadata(), tensors);
    return std::move(result_);
  }

 private:
  void refuse_own_files(const std::string& out) const;
  void warn_of_quantised_source() const;
  ordered_json metadata() const;
  ordered_json vocabulary() const;
  DType written_type(const GgufWeight& weight) const;
  GgufTensor describe(const GgufWeight& weight);
  void produce(const GgufWeight& weight, DType type, const GgufSink& sink);
  void count(const GgufWeight& weight, DType type);
  void advance(int64_t bytes);
  bool is_gguf() const { return files_.checkpoint->container() == "GGUF"; }

  const OpenOptions& open_;
  const QuantizeOptions& options_;
  int threads_;
  ModelFiles files_;
  Weights weights_;
  GgufLayout layout_;
  QuantizeResult result_;
  int64_t done_ = 0;  // bytes read
};

// Even though the file would take its name only at the end: a mistake, surely.
void Quantizer::refuse_own_files(const std::string& out) const {
  if (fs::path(out).extension() != ".gguf")
    throw InputError("cannot write " + out + ": expected a name that ends in .gguf");
  std::set<std::string> own;
  for (const std::string& name : files_.checkpoint->names())
    own.insert(files_.checkpoint->file_of(name));
  std::error_code ignored;  // no file there: not the same one
  for (const std::string& file : own)
    if (fs::equivalent(out, file, ignored))
      throw InputError("cannot write " + out + ": it is a file of the model to convert");
}

void Quantizer::warn_of_quantised_source() const {
  for (const GgufWeight& weight : layout_.weights) {
    const Tensor* stored = weights_.find(weight.canonical);
    const DType type = written_type(weight);
    if (!stored || !is_block_type(stored->dtype) || !is_block_type(type) || stored->dtype == type)
      continue;
    open_.warn(files_.path + ": tensor " + weights_.stored_name(weight.canonical) + " has type " +
               std::string(dtype_name(stored->dtype)) +
               " already; quantising again loses more than from the original weights");
    return;
  }
}

ordered_json Quantizer::metadata() const {
  ordered_json keys = {{"general.architecture", layout_.metadata["general.architecture"]},
                       {"general.type", "model"},
                       {"general.name", plain_name(files_.name)},
                       {"general.file_type", file_type(options_.type)},
                       {"general.quantization_version", kQuantizationVersion}};
  if (is_gguf()) {
    const auto& source = files_.checkpoint->config();
    if (const auto name = source.find("general.name"); name != source.end() && name->is_string())
      keys["general.name"] = *name;
  }
  keys.update(layout_.metadata);
  keys.update(vocabulary());
  return keys;
}

ordered_json Quantizer::vocabulary() const {
  ordered_json keys = gguf_without_vocabulary(files_.special);
  if (is_gguf() && open_.tokenizer.empty()) {
    keys = gguf_vocabulary(files_.checkpoint->config());
  } else {
    if (files_.tokenizer) keys = gguf_vocabulary(files_.tokenizer->tables(), files_.special);
    if (const auto text = chat_template(files_)) keys["tokenizer.chat_template"] = *text;
  }
  if (!keys.contains("tokenizer.ggml.tokens"))
    open_.warn(files_.path +
               ": no tokenizer goes into the file; other programs will take only ids");
  pad_gguf_vocabulary(keys, files_.config.embedding_rows);
  return keys;
}

DType Quantizer::written_type(const GgufWeight& weight) const {
  if (!weight.is_matrix) return DType::f32;
  return stored_weight_type(weight.canonical, weight.shape.back(), options_.type);
}

GgufTensor Quantizer::describe(const GgufWeight& weight) {
  const DType type = written_type(weight);
  count(weight, type);
  return {weight.name, type, weight.shape,
          [this, &weight, type](const GgufSink& sink) { produce(weight, type, sink); }};
}

void Quantizer::count(const GgufWeight& weight, DType type) {
  const DTypeInfo& info = dtype_info(type);
  const int64_t elements = element_count(weight.shape);
  const int64_t bytes = elements / info.block_elements * info.block_bytes;
  const Tensor* stored = weights_.find(weight.canonical);
  ++result_.tensors;
  result_.parameters += elements;
  result_.bytes_before += stored ? std::ssize(stored->data) : 0;
  result_.bytes_after += bytes;
  result_.bytes_by_dtype[std::string(info.name)] += bytes;
}

void Quantizer::produce(const GgufWeight& weight, DType type, const GgufSink& sink) {
  advance(0);
  const auto give = [&](const std::vector<float>& values) {
    sink(std::as_bytes(std::span(values)));
  };
  if (weight.source == GgufWeight::Source::zeros)
    return give(std::vector<float>(element_count(weight.shape)));
  const Tensor& tensor = *weights_.find(weight.canonical);
  if (weight.source == GgufWeight::Source::decay) {
    give(decay_values(weights_, weight.canonical));
    return advance(std::ssize(tensor.data));
  }
  const int64_t bytes_before = std::ssize(tensor.data);
  const int64_t elements = std::max<int64_t>(tensor.elements(), 1);
  const DTypeInfo& info = dtype_info(type);
  convert_weights(tensor, type, threads_, weights_.stored_name(weight.canonical),
                  [&](std::span<const std::byte> piece) {
                    sink(piece);
                    const auto share = static_cast<double>(std::ssize(piece)) / info.block_bytes *
                                       info.block_elements / static_cast<double>(elements);
                    advance(static_cast<int64_t>(share * static_cast<double>(bytes_before)));
                  });
  files_.checkpoint->release(tensor);
}

void Quantizer::advance(int64_t bytes) {
  files_.checkpoint->check_unchanged();  // after the last piece, too: before the file gets its name
  if (options_.interrupt && options_.interrupt->load(std::memory_order_relaxed))
    throw Interrupted{};
  done_ += bytes;
  if (options_.on_progress) options_.on_progress(done_, result_.bytes_before);
}

}  // namespace

std::optional<QuantizeResult> quantize(const OpenOptions& open, const std::string& out,
                                       const QuantizeOptions& options) {
  file_type(options.type);  // a wrong type is cheaper to find than a file
  try {
    return Quantizer(open, options).run(out);
  } catch (const Interrupted&) {
    return std::nullopt;
  }
}

}  // namespace krait
