// One rendering: what it has used of its limits, and the making of values, which is charged to
// them.
#pragma once

#include <cstddef>
#include <ctime>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "krait/chat_template.h"
#include "src/template/value.h"

namespace krait::jinja {

class Namespace;
struct Scope;

class Run {
 public:
  static constexpr int kMaxValueDepth = 200;
  static constexpr int kMaxCallDepth = 400;  // evaluations below each other

  Run(const std::string& name, const TemplateLimits& limits, const std::tm& now)
      : name_(name), limits_(limits), now_(now) {}
  ~Run();
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  // Throws InputError: "NAME:LINE: message".
  [[noreturn]] void fail(const std::string& message) const;

  // Each throws InputError where a limit is reached.
  void step(size_t count = 1);
  void scan(size_t bytes) { step(1 + bytes / 16); }  // before work that grows with a text
  void charge(size_t bytes);                         // before memory is taken
  void write(std::string_view text, std::string& out);

  Value string(std::string text);
  Value list(std::vector<Value> items, bool is_tuple = false);
  Value dict(std::vector<std::pair<Value, Value>> items);  // of equal keys, the last value counts
  Value function(std::string name, std::function<Value(Run&, const Arguments&)> call,
                 int bound_depth = 0);
  Value object(std::shared_ptr<Object> object);

  // Namespaces and the scopes of macros can refer to themselves. They live as long as the run,
  // which empties them at its end.
  Value make_namespace(std::shared_ptr<Namespace> made);
  void keep(const std::shared_ptr<Scope>& scope);

  const std::tm& now() const noexcept { return now_; }

  int line = 1;  // of the source, for messages

 private:
  friend class CallDepth;
  int checked_depth(int depth) const;

  const std::string& name_;
  const TemplateLimits limits_;
  const std::tm now_;
  size_t steps_ = 0;
  size_t value_bytes_ = 0;
  size_t output_bytes_ = 0;
  int call_depth_ = 0;
  std::vector<std::shared_ptr<Namespace>> namespaces_;
  std::vector<std::shared_ptr<Scope>> scopes_;
};

// Counts one level of evaluation while it lives.
class CallDepth {
 public:
  explicit CallDepth(Run& run) : run_(run) {
    if (run_.call_depth_ >= Run::kMaxCallDepth)
      run_.fail("evaluation nested deeper than " + std::to_string(Run::kMaxCallDepth) + " levels");
    ++run_.call_depth_;
  }
  ~CallDepth() { --run_.call_depth_; }
  CallDepth(const CallDepth&) = delete;
  CallDepth& operator=(const CallDepth&) = delete;

 private:
  Run& run_;
};

}  // namespace krait::jinja
