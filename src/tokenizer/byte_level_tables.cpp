// A byte-level tokenizer in the words of GGUF files.
#include <algorithm>
#include <string>
#include <utility>

#include "src/base/json.h"
#include "src/tokenizer/byte_level.h"
#include "src/tokenizer/gguf_tables.h"

namespace krait {
namespace {

// The name under which llama.cpp knows the pre-tokeniser; with that of Llama 3 it takes whole words
// as tokens whatever the merges say, and only there.
std::string pre_tokenizer_name(const PreTokenizer& pre_tokenizer, bool whole_words) {
  const std::vector<SplitStep>& steps = pre_tokenizer.steps();
  if (steps == llama3_steps()) {
    if (!whole_words) fail_gguf("the pre-tokenizer is that of Llama 3, without ignore_merges");
    return "llama-bpe";
  }
  if (whole_words) fail_gguf("ignore_merges without the pre-tokenizer of Llama 3");
  if (steps == gpt2_steps()) return "gpt-2";
  if (steps == falcon_steps()) return "falcon";
  fail_gguf("the pre-tokenizer is none of GPT-2's, Falcon's and Llama 3's");
}

}  // namespace

VocabularyTables ByteLevelTokenizer::tables() const {
  // NFC is passed over: GGUF cannot say it and llama.cpp does without, so that its readers cut text
  // of decomposed characters in other tokens.
  for (const NormalForm form : normalizer_.forms())
    if (form != NormalForm::nfc) fail_gguf("the normalizer is another than NFC");
  if (add_prefix_space_) fail_gguf("add_prefix_space of the pre-tokenizer is true");
  VocabularyTables tables;
  tables.model = "gpt2";
  tables.pre = pre_tokenizer_name(pre_tokenizer_, parts().bpe->whole_words());
  add_tokens(*parts().vocabulary, parts().added_tokens, tables);
  for (const Merge& merge : parts().bpe->merges()) {
    const std::string_view left = parts().vocabulary->text(merge.left);
    const std::string_view right = parts().vocabulary->text(merge.right);
    std::string line = std::string(left) + " " + std::string(right);
    if (std::count(line.begin(), line.end(), ' ') != 1)
      fail_gguf("a merge is of tokens with spaces in them: " + quote(line));
    tables.merges.push_back(std::move(line));
  }
  add_template(parts().prefix, parts().suffix, tables);
  return tables;
}

}  // namespace krait
