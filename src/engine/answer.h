// The tokens of an answer in a chat, as they are drawn.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "krait/engine.h"
#include "src/engine/continuation.h"

namespace krait {

class Answer {
 public:
  // `session` stands after the message, and `text` begins there with the same options.
  Answer(Session& session, const GenerateOptions& options, Continuation& text)
      : session_(session), options_(options), text_(text) {}

  // Until the text is over. The session has then been fed ids().
  void write();

  // To the last moment when the state stood right behind the text that had been given out: there
  // ends an answer that ends in a stop string, or inside a character. Returns the length of the
  // text until then.
  size_t go_back();

  const std::vector<int32_t>& ids() const noexcept { return ids_; }

 private:
  std::optional<int32_t> take(const std::function<std::optional<int32_t>()>& draw);
  void write_looking();
  void write_freely();

  Session& session_;
  const GenerateOptions& options_;
  Continuation& text_;
  std::vector<int32_t> ids_;
  Snapshot start_;  // where the device runs ahead; the moment is then found by reading
  struct Mark {
    Snapshot snapshot;  // null with start_
    size_t ids = 0;
    size_t length = 0;  // of the text
  } mark_;
};

}  // namespace krait
