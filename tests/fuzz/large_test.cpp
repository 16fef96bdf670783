// A megabyte of what takes a careless parser quadratic time, memory or stack. The fuzzers' inputs
// are too small to show it.
#include <algorithm>
#include <ctime>
#include <functional>
#include <ostream>

#include <gtest/gtest.h>

#include "tests/formats/gguf_bytes.h"
#include "tests/formats/torch_bytes.h"
#include "tests/fuzz/target.h"

namespace krait::fuzz {
namespace {

constexpr size_t kBytes = 1 << 20;
// A second is promised, and most take a tenth of that. Slow machines and sanitizers get more: what
// is quadratic takes minutes.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr double kSeconds = 20;
#else
constexpr double kSeconds = 3;
#endif

// head, then parts with their number in the place of '#' as long as they fit, then tail.
std::string large(const std::string& head, const std::string& part, const std::string& tail) {
  std::string out = head;
  for (size_t i = 0; out.size() + part.size() + 8 + tail.size() < kBytes; ++i) {
    std::string next = part;
    for (size_t at; (at = next.find('#')) != next.npos;) next.replace(at, 1, std::to_string(i));
    out += next;
  }
  if (!out.empty() && out.back() == ',') out.pop_back();
  return out + tail;
}

double seconds_of(const std::string& name, const std::string& input) {
  const auto target = std::find_if(targets().begin(), targets().end(),
                                   [&](const Target& t) { return t.name == name; });
  timespec from{}, to{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
  run(*target, input);
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
  return static_cast<double>(to.tv_sec - from.tv_sec) +
         static_cast<double>(to.tv_nsec - from.tv_nsec) * 1e-9;
}

struct Case {
  const char* target;
  const char* name;
  std::function<std::string()> make;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.target << " " << c.name; }

Case text(const char* target, const char* name, const std::string& head, const std::string& part,
          const std::string& tail) {
  return {target, name, [=] { return large(head, part, tail); }};
}

std::string many_keys() {
  test::GgufParts file;
  for (size_t i = 0; i < kBytes / 24; ++i)
    file.pairs.push_back(test::pair("k" + std::to_string(i), 7, std::string(1, '\1')));
  return file.bytes();
}

std::string many_tensors() {
  test::GgufParts file;
  for (size_t i = 0; i < kBytes / 64; ++i)
    file.tensors.push_back(test::tensor_info("t" + std::to_string(i), {4}, 0, i * 32));
  file.data = std::string(file.tensors.size() * 32, '\0');
  return file.bytes();
}

// A vocabulary and merges of pairs of its tokens.
std::string many_tokens(const std::string& model) {
  std::string tokens, types, scores, merges;
  const size_t count = kBytes / 48;
  for (size_t i = 0; i < count; ++i) {
    tokens += test::gguf_text(i < 2 ? std::string(1, "ab"[i]) : "a" + std::to_string(i));
    types += test::raw(int32_t{1});
    scores += test::raw(-static_cast<float>(i));
    merges += test::gguf_text("a b");
  }
  test::GgufParts file;
  file.pairs.push_back(test::text_pair("tokenizer.ggml.model", model));
  file.pairs.push_back(test::array_pair("tokenizer.ggml.tokens", 8, count, tokens));
  file.pairs.push_back(test::array_pair("tokenizer.ggml.token_type", 5, count, types));
  file.pairs.push_back(model == "llama"
                           ? test::array_pair("tokenizer.ggml.scores", 6, count, scores)
                           : test::array_pair("tokenizer.ggml.merges", 8, count, merges));
  return file.bytes();
}

std::string pickled(const std::string& part) { return "\x80\x02" + large("", part, "."); }

// One long tuple as the shape of many tensors.
std::string one_shape_many_tensors() {
  std::string shape = "(";
  for (int i = 0; i < 100'000; ++i) shape += "K\1";
  const std::string storage = test::storage("FloatStorage", "0", 1);
  const std::string begin = "\x80\x02" + shape + std::string("tq\0", 3) + storage + "q\1" +
                            test::global("torch._utils", "_rebuild_tensor_v2") + "q\2";
  return large(begin, std::string("h\2(h\1K\0h\0h\0\x89}tR", 16), ".");
}

std::string many_members() {
  std::vector<test::ZipPart> parts;
  for (size_t i = 0; i < kBytes / 110; ++i)
    parts.push_back({"archive/data/" + std::to_string(i), ""});
  return test::zip(parts);
}

std::string vocabulary(const std::string& part, const std::string& merges) {
  return large(
      R"({"version":"1.0","added_tokens":[],"normalizer":null,"pre_tokenizer":)"
      R"({"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true},)"
      R"("post_processor":null,"decoder":{"type":"ByteLevel","add_prefix_space":false,)"
      R"("trim_offsets":true,"use_regex":true},"model":{"type":"BPE","vocab":{)",
      part, "},\"merges\":[" + merges + "]}}");
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const char* target : {"json", "config", "batch_request", "tokenizer_json"}) {
    all.push_back(text(target, "arrays", "", "[", ""));
    all.push_back(text(target, "objects", "", "{\"a\":", ""));
    all.push_back(text(target, "keys", "{", "\"k#\":1,", "}"));
    all.push_back(text(target, "numbers", "[", "NaN,", "]"));
    all.push_back(
        text(target, "same_keys", "{\"prompt\":\"\",\"metadata\":[", "{\"a\":{}},", "]}"));
    all.push_back(text(target, "string", "{\"model_type\":\"", "\\u0001", "\"}"));
  }
  all.insert(
      all.end(),
      {text("batch_request", "metadata", "{\"prompt\":\"\",\"metadata\":{", "\"k#\":1,", "}}"),
       text("batch_request", "logit_bias", "{\"prompt\":\"\",\"logit_bias\":{", "\"#\":1,", "}}"),
       text("batch_request", "stop", "{\"prompt\":\"\",\"stop\":[", "\"#\",", "]}"),
       text("batch_request", "ids", "{\"prompt\":[", "#,", "]}"),
       text("batch_request", "messages", "{\"messages\":[", "{\"role\":\"#\"},", "]}"),
       text("config", "architectures", "{\"architectures\":[", "\"#\",", "]}"),
       {"tokenizer_json", "vocabulary", [] { return vocabulary("\"t#\":#,", ""); }},
       text("tokenizer_json", "added", "{\"added_tokens\":[",
            "{\"id\":#,\"content\":\"<#>\",\"special\":true},", "]}"),
       text("safetensors", "header", std::string("\xf8\xff\x0f\0\0\0\0\0{", 9),
            "\"k#\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},", "}"),
       {"gguf", "keys", many_keys},
       {"gguf", "tensors", many_tensors},
       {"gguf", "gpt2", [] { return many_tokens("gpt2"); }},
       {"gguf", "llama", [] { return many_tokens("llama"); }},
       {"pickle", "marks", [] { return pickled("("); }},
       {"pickle", "tuples", [] { return pickled(")\x85\x86"); }},
       {"pickle", "lists", [] { return pickled("](NNNe"); }},
       {"pickle", "nested", [] { return pickled("]a"); }},
       {"pickle", "one_shape", one_shape_many_tensors},
       {"torch", "members", many_members},
       text("sentencepiece", "pieces", "", std::string("\n\x0b\n\4a###\x15\0\0\0\0", 14), ""),
       text("chat_template", "text", "", "a{{", ""),
       text("chat_template", "comments", "", "{# #}", ""),
       text("chat_template", "prints", "", "{{ a# }}", ""),
       text("chat_template", "sets", "", "{% set a# = 1 %}", ""),
       text("chat_template", "joined", "{{ ''", " ~ 'a'", " }}"),
       text("chat_template", "members", "{{ {", "'k#': #,", "} }}"),
       text("chat_template", "spaces", "", " \n", "{%- if 1 -%}"),
       text("chat_template", "macros", "", "{% macro m#() %}{% endmacro %}", "")});
  return all;
}

class Large : public testing::TestWithParam<Case> {};

TEST_P(Large, TakesLinearTime) {
  const std::string input = GetParam().make();
  EXPECT_GT(input.size(), kBytes / 3);
  const double seconds = seconds_of(GetParam().target, input);
  RecordProperty("milliseconds", static_cast<int>(seconds * 1000));
  EXPECT_LT(seconds, kSeconds) << input.size() << " bytes";
}

INSTANTIATE_TEST_SUITE_P(All, Large, testing::ValuesIn(cases()), [](const auto& test) {
  return std::string(test.param.target) + "_" + test.param.name;
});

}  // namespace
}  // namespace krait::fuzz
