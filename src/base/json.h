// JSON as checkpoints carry it: config.json, tokenizer.json, index files, safetensors headers.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace krait {

// What a document is made of, in the order of the text. An InputError thrown by a method reaches
// the caller with the source, line and column put before its message.
class JsonEvents {
 public:
  virtual ~JsonEvents() = default;
  virtual void scalar(nlohmann::json&& value) = 0;  // null, boolean, number or string
  virtual void key(std::string&& name) = 0;         // the value follows
  virtual void begin_object() = 0;
  virtual void end_object() = 0;
  virtual void begin_array() = 0;
  virtual void end_array() = 0;
};

// Parses one JSON document. Beyond the standard it accepts the literals Infinity, -Infinity and
// NaN, which Python writes, and a leading byte order mark. Refuses duplicate keys, nesting deeper
// than 256, invalid UTF-8 and bytes after the document. `source` names the text in messages. Throws
// InputError: "source:line:column: what is wrong" (columns count characters, from 1).
nlohmann::json parse_json(std::string_view text, const std::string& source);

// The same with the members of objects in the order of the text, and without Infinity and NaN. (The
// library's own reader looks through all members of an object for each new one: quadratic time.)
nlohmann::ordered_json parse_ordered_json(std::string_view text, const std::string& source);

// The same as parse_json for a whole file. Throws InputError when it cannot be read or is larger than 256 MiB.
nlohmann::json read_json_file(const std::string& path);

// The same without building a tree, for documents too large for one. Duplicate keys are left to
// `events`.
void parse_json_events(std::string_view text, const std::string& source, JsonEvents& events);

// Text from a file as it may stand in a message: in quotes, escaped to printable ASCII, cut after
// 80 bytes.
std::string quote(std::string_view text);

}  // namespace krait
