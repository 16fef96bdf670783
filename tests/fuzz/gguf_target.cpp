// GGUF files: metadata and tensor table, and what is read from the metadata: tokenizer and config.
#include "krait/error.h"
#include "krait/model.h"
#include "krait/tokenizer.h"
#include "src/formats/gguf.h"
#include "tests/fuzz/gguf_mutator.h"
#include "tests/fuzz/target.h"

namespace krait::fuzz {
namespace {

template <class Action>
void try_to(const Action& action) {
  try {
    action();
  } catch (const InputError&) {
  }
}

void run(std::string_view input) {
  const GgufContents contents = parse_gguf(std::as_bytes(std::span(input)), "input");
  for (const GgufEntry& entry : contents.tensors)
    if (entry.unread_type.empty()) try_to([&] { touch(entry.tensor); });
  try_to([&] {
    if (const auto tokenizer = load_tokenizer_gguf(contents.metadata, "input"))
      decode(*tokenizer, tokenizer->encode("Hello  world 12\xff\n<s>\xf0\x9f\x90\x8d"));
  });
  try_to([&] {
    const MemoryFile file(input);
    read_model_config(*open_gguf(file.path()), [](const std::string&) {});
  });
}

const Registration kTarget({"gguf", run, mutate_gguf});

}  // namespace
}  // namespace krait::fuzz
