// Reads a Hugging Face tokenizer.json (huggingface/tokenizers, tokenizers/src/tokenizer/
// serialization.rs): one object for each stage of the work, told apart by "type".
#include <memory>
#include <string>

#include "krait/tokenizer.h"
#include "src/base/json.h"
#include "src/tokenizer/byte_level_json.h"
#include "src/tokenizer/json_field.h"
#include "src/tokenizer/metaspace_json.h"

namespace krait {

std::unique_ptr<Tokenizer> load_tokenizer_json(const std::string& path) {
  const nlohmann::json document = read_json_file(path);
  const JsonField root(document, path);
  // Truncation and padding are for batches of equal length; generation wants neither.
  root.expect_members({"version", "truncation", "padding", "added_tokens", "normalizer",
                       "pre_tokenizer", "post_processor", "decoder", "model"});
  const JsonField version = root["version"];
  if (!version.is_null() && version.string() != "1.0") version.fail("\"1.0\"");
  return writes_spaces_as_characters(root) ? read_metaspace_tokenizer(root)
                                           : read_byte_level_tokenizer(root);
}

}  // namespace krait
