// JSON as checkpoints carry it: config.json, tokenizer.json, index files.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace krait {

// Parses one JSON document. Beyond the standard it accepts the literals Infinity, -Infinity and NaN,
// which Python writes. Refuses duplicate keys, nesting deeper than 256 and bytes after the document.
// `source` names the text in messages. Throws InputError with line and column.
nlohmann::json parse_json(std::string_view text, const std::string& source);

// The same for a whole file. Throws InputError when it cannot be read.
nlohmann::json read_json_file(const std::string& path);

}  // namespace krait
