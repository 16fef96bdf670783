// What a tokenizer from a hostile file is put to.
#pragma once

#include <string_view>

#include "krait/error.h"
#include "krait/tokenizer.h"

namespace krait::fuzz {

inline void exercise(const Tokenizer& tokenizer) {
  for (const std::string_view text : {"Hello  world 123'll\r\n<s> ", "\xf0\x9f\x90\x8d \xff\xc3"})
    decode(tokenizer, tokenizer.encode(text));
  for (int32_t id = 0; id < 16; ++id) tokenizer.token_bytes(id, true);
  try {
    tokenizer.tables();
  } catch (const InputError&) {  // GGUF has no words for every tokenizer
  }
}

}  // namespace krait::fuzz
