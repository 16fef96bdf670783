#include "src/formats/pickle.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <optional>
#include <utility>

#include "krait/error.h"
#include "src/base/json.h"
#include "src/formats/pickled_tensors.h"

namespace krait {
namespace {

// Each operation costs at most some hundred bytes of memory. PyTorch spends about 40 on a tensor.
constexpr int64_t kMaxOperations = 4'000'000;
constexpr uint8_t kProto = 0x80, kStop = '.', kProtocol = 2;

// Well-formed UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<uint8_t>(text[i++]);
    if (lead < 0x80) continue;
    const int following = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    constexpr std::array<uint32_t, 4> kSmallest = {0, 0x80, 0x800, 0x10000};
    if (lead < 0xc2 || lead > 0xf4 || text.size() - i < static_cast<size_t>(following))
      return false;
    uint32_t code = lead & (0x3fU >> following);
    for (int k = 0; k < following; ++k) {
      const auto next = static_cast<uint8_t>(text[i++]);
      if ((next & 0xc0) != 0x80) return false;
      code = code << 6 | (next & 0x3fU);
    }
    if (code < kSmallest[following] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
      return false;
  }
  return true;
}

class Machine {
 public:
  Machine(std::span<const std::byte> bytes, size_t start, const std::string& source)
      : text_(reinterpret_cast<const char*>(bytes.data()), bytes.size()),
        at_(start),
        source_(source) {}
  Pickle run();

 private:
  [[noreturn]] void refuse(const std::string& what) const;
  [[noreturn]] void refuse_opcode(uint8_t opcode) const;

  std::string_view take(size_t count);
  template <class T>
  T number();
  std::string_view line();
  std::string_view string(size_t length);
  int64_t long_integer();

  void push(PickleValue value) { stack_.push_back(value); }
  PickleValue pop();
  std::vector<PickleValue> pop_items(size_t count);
  std::vector<PickleValue> pop_to_mark();
  template <class RefType>
  RefType make(std::vector<PickleValue> items);
  template <class RefType>
  void extend(std::vector<PickleValue> items, std::string_view action);

  bool run_constant(uint8_t opcode);
  bool run_sequence(uint8_t opcode);
  bool run_memo(uint8_t opcode);
  bool run_object(uint8_t opcode);
  void remember(size_t slot);
  void recall(size_t slot);
  void find_global();
  void build();

  std::string_view text_;
  size_t at_;
  size_t operation_at_ = 0;
  const std::string& source_;
  std::vector<PickleValue> stack_;
  std::vector<size_t> marks_;  // the height of the stack at each
  std::vector<PickleValue> memo_;
  std::map<std::string_view, uint32_t> storage_of_key_;
  Pickle pickle_;
};

// The last string on the stack is mostly the name of the tensor that is being built.
void Machine::refuse(const std::string& what) const {
  std::string message = source_ + ": pickle byte " + std::to_string(operation_at_) + ": " + what;
  const auto is_string = [](const PickleValue& value) {
    return std::holds_alternative<std::string_view>(value);
  };
  const auto name = std::find_if(stack_.rbegin(), stack_.rend(), is_string);
  if (name != stack_.rend()) message += " (after " + quote(std::get<std::string_view>(*name)) + ")";
  throw InputError(message);
}

void Machine::refuse_opcode(uint8_t opcode) const {
  constexpr std::string_view kDigits = "0123456789abcdef";
  const std::string_view name = pickle_opcode_name(opcode);
  refuse("opcode " + (name.empty() ? "" : std::string(name) + " ") + "0x" + kDigits[opcode >> 4] +
         kDigits[opcode & 15] +
         (name.empty() ? " does not exist" : " is not allowed; a checkpoint does not need it"));
}

std::string_view Machine::take(size_t count) {
  if (count > text_.size() - at_)
    refuse("it is cut short: " + std::to_string(count) + " bytes are announced, " +
           std::to_string(text_.size() - at_) + " are left");
  at_ += count;
  return text_.substr(at_ - count, count);
}

template <class T>
T Machine::number() {
  T value;
  std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
  return value;
}

std::string_view Machine::line() {
  const size_t end = text_.find('\n', at_);
  if (end == text_.npos) refuse("it is cut short inside the name of a global");
  const std::string_view name = take(end - at_);
  ++at_;
  return name;
}

std::string_view Machine::string(size_t length) {
  const std::string_view value = take(length);
  if (!is_utf8(value)) refuse("the string " + quote(value) + " is not UTF-8");
  return value;
}

int64_t Machine::long_integer() {
  const size_t length = number<uint8_t>();
  if (length > sizeof(int64_t))
    refuse("an integer of " + std::to_string(length) + " bytes; expected at most 8");
  const std::string_view digits = take(length);
  const bool negative = !digits.empty() && (digits.back() & 0x80) != 0;
  int64_t value = negative ? -1 : 0;
  std::memcpy(&value, digits.data(), length);
  return value;
}

PickleValue Machine::pop() {
  if (stack_.size() == (marks_.empty() ? 0 : marks_.back()))
    refuse("it needs a value; none is left");
  const PickleValue value = stack_.back();
  stack_.pop_back();
  return value;
}

std::vector<PickleValue> Machine::pop_items(size_t count) {
  if (stack_.size() - (marks_.empty() ? 0 : marks_.back()) < count)
    refuse("it needs " + std::to_string(count) + " values; fewer are left");
  const auto first = stack_.end() - static_cast<std::ptrdiff_t>(count);
  std::vector<PickleValue> items(first, stack_.end());
  stack_.erase(first, stack_.end());
  return items;
}

std::vector<PickleValue> Machine::pop_to_mark() {
  if (marks_.empty()) refuse("it needs a mark; there is none");
  std::vector<PickleValue> items = pop_items(stack_.size() - marks_.back());
  marks_.pop_back();
  return items;
}

template <class RefType>
RefType Machine::make(std::vector<PickleValue> items) {
  pickle_.sequences.push_back(std::move(items));
  return RefType{static_cast<uint32_t>(pickle_.sequences.size() - 1)};
}

// Appends to the list or dictionary on top of the stack.
template <class RefType>
void Machine::extend(std::vector<PickleValue> items, std::string_view action) {
  const PickleValue target = pop();
  if (!std::holds_alternative<RefType>(target))
    refuse("it " + std::string(action) + " " + std::string(kind_of(target)));
  std::vector<PickleValue>& into = pickle_.sequences[std::get<RefType>(target).index];
  into.insert(into.end(), items.begin(), items.end());
  push(target);
}

bool Machine::run_constant(uint8_t opcode) {
  switch (opcode) {
    case 'N': return push({}), true;
    case 0x88:
    case 0x89: return push(opcode == 0x88), true;
    case 'J': return push(int64_t{number<int32_t>()}), true;
    case 'K': return push(int64_t{number<uint8_t>()}), true;
    case 'M': return push(int64_t{number<uint16_t>()}), true;
    case 0x8a: return push(long_integer()), true;
    case 'G':  // big-endian, unlike everything else
      return push(std::bit_cast<double>(__builtin_bswap64(number<uint64_t>()))), true;
    case 'X': return push(string(number<uint32_t>())), true;
    case 'U': return push(string(number<uint8_t>())), true;
    default: return false;
  }
}

bool Machine::run_sequence(uint8_t opcode) {
  switch (opcode) {
    case '(': return marks_.push_back(stack_.size()), true;
    case ')': return push(make<TupleRef>({})), true;
    case 't': return push(make<TupleRef>(pop_to_mark())), true;
    case 0x85:
    case 0x86:
    case 0x87: return push(make<TupleRef>(pop_items(opcode - 0x84U))), true;
    case ']': return push(make<ListRef>({})), true;
    case '}': return push(make<DictRef>({})), true;
    case 'a': return extend<ListRef>(pop_items(1), "appends to"), true;
    case 'e': return extend<ListRef>(pop_to_mark(), "appends to"), true;
    case 's': return extend<DictRef>(pop_items(2), "sets an item of"), true;
    case 'u': {
      std::vector<PickleValue> items = pop_to_mark();
      if (items.size() % 2 != 0) refuse("a key without a value");
      return extend<DictRef>(std::move(items), "sets items of"), true;
    }
    default: return false;
  }
}

// Python numbers the slots one by one, so there are never more than objects.
void Machine::remember(size_t slot) {
  if (slot > memo_.size())
    refuse("memo slot " + std::to_string(slot) + "; expected at most " +
           std::to_string(memo_.size()));
  const PickleValue value = pop();
  push(value);
  if (slot == memo_.size())
    memo_.push_back(value);
  else
    memo_[slot] = value;
}

void Machine::recall(size_t slot) {
  if (slot >= memo_.size()) refuse("memo slot " + std::to_string(slot) + " was never filled");
  push(memo_[slot]);
}

bool Machine::run_memo(uint8_t opcode) {
  switch (opcode) {
    case 'q': return remember(number<uint8_t>()), true;
    case 'r': return remember(number<uint32_t>()), true;
    case 'h': return recall(number<uint8_t>()), true;
    case 'j': return recall(number<uint32_t>()), true;
    default: return false;
  }
}

void Machine::find_global() {
  const std::string_view module = line();
  const std::string_view name = line();
  const PickleGlobal* global = find_pickle_global(module, name);
  if (!global)
    refuse("GLOBAL " +
           quote(std::string(module.substr(0, 80)) + "." + std::string(name.substr(0, 80))) +
           " is not allowed; expected only what builds tensors and dictionaries");
  push(global);
}

// OrderedDict carries the versions of its modules as an attribute. Nobody needs them.
void Machine::build() {
  const PickleValue state = pop();
  const PickleValue object = pop();
  if (!std::holds_alternative<DictRef>(state) || !std::holds_alternative<DictRef>(object))
    refuse("BUILD of " + std::string(kind_of(object)) + " with " + std::string(kind_of(state)) +
           "; expected a dictionary and its attributes");
  push(object);
}

bool Machine::run_object(uint8_t opcode) {
  switch (opcode) {
    case 'c': return find_global(), true;
    case 'b': return build(), true;
    case 'Q': {
      const PickleValue id = pop();
      return push(make_storage(id, pickle_, storage_of_key_)), true;
    }
    case 'R': {
      const PickleValue arguments = pop();
      const PickleValue callable = pop();
      return push(call_global(callable, arguments, pickle_)), true;
    }
    default: return false;
  }
}

Pickle Machine::run() {
  operation_at_ = at_;
  if (number<uint8_t>() != kProto) refuse("it does not begin with PROTO");
  const auto protocol = number<uint8_t>();
  if (protocol != kProtocol)
    refuse("protocol " + std::to_string(protocol) + "; expected 2, as torch.save writes it");
  for (int64_t count = 0;; ++count) {
    operation_at_ = at_;
    if (count == kMaxOperations)
      refuse("more than " + std::to_string(kMaxOperations) + " operations");
    const auto opcode = number<uint8_t>();
    if (opcode == kStop) break;
    try {
      if (!run_constant(opcode) && !run_sequence(opcode) && !run_memo(opcode) &&
          !run_object(opcode))
        refuse_opcode(opcode);
    } catch (const PickleRefusal& refusal) {
      refuse(refusal.what);
    }
  }
  if (!marks_.empty() || stack_.size() != 1)
    refuse("STOP with " + std::to_string(stack_.size()) + " values and " +
           std::to_string(marks_.size()) + " marks on the stack; expected one value");
  pickle_.root = stack_.back();
  pickle_.end = at_;
  return std::move(pickle_);
}

}  // namespace

Pickle parse_pickle(std::span<const std::byte> bytes, size_t start, const std::string& source) {
  KRAIT_CHECK(start <= bytes.size());
  return Machine(bytes, start, source).run();
}

std::string_view kind_of(const PickleValue& value) noexcept {
  constexpr std::array<std::string_view, std::variant_size_v<PickleValue>> kKinds = {
      "None",    "a boolean", "an integer",   "a number",  "a string", "a global",
      "a tuple", "a list",    "a dictionary", "a storage", "a tensor"};
  return kKinds[value.index()];
}

}  // namespace krait
