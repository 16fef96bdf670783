#include "krait/error.h"
#include "krait/tokenizer.h"
#include "tests/fuzz/target.h"

namespace krait::fuzz {
namespace {

void run(std::string_view input) {
  const MemoryFile file(input);
  const auto tokenizer = load_tokenizer_sentencepiece(file.path());
  for (const std::string_view text : {"Hello  world 123'll\r\n<s> ", "\xf0\x9f\x90\x8d \xff\xc3"})
    decode(*tokenizer, tokenizer->encode(text));
  for (int32_t id = 0; id < 16; ++id) tokenizer->token_bytes(id, true);
  try {
    tokenizer->tables();
  } catch (const InputError&) {  // GGUF has no words for every tokenizer
  }
}

const Registration kTarget({"sentencepiece", run});

}  // namespace
}  // namespace krait::fuzz
