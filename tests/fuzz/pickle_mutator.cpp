#include "tests/fuzz/pickle_mutator.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <vector>

#include "tests/formats/torch_bytes.h"

namespace krait::fuzz {
namespace {

// One operation: its code, and a text with or without a length before it, or plain bytes.
struct Operation {
  char code;
  std::string argument;
};

// Bytes of argument of each operation that has any; of texts, the bytes of their length.
size_t fixed_bytes(char code) {
  switch (static_cast<uint8_t>(code)) {
    case 'J':
    case 'X':
    case 'r':
    case 'j': return 4;
    case 'M': return 2;
    case 'G': return 8;
    case 'K':
    case 'U':
    case 'q':
    case 'h':
    case 0x80:
    case 0x8a: return 1;
    default: return 0;
  }
}

bool has_length(char code) {
  return code == 'X' || code == 'U' || static_cast<uint8_t>(code) == 0x8a;
}

// Up to the first byte that is no whole operation; the rest is lost.
std::vector<Operation> operations_of(std::string_view input) {
  std::vector<Operation> operations;
  for (size_t at = 0; at < input.size();) {
    const char code = input[at++];
    size_t size = fixed_bytes(code);
    if (size > input.size() - at) break;
    if (has_length(code)) {
      uint32_t length = 0;
      std::memcpy(&length, input.data() + at, size);
      at += size;
      size = length;
    } else if (code == 'c') {
      const size_t module = input.find('\n', at);
      const size_t name = module == input.npos ? module : input.find('\n', module + 1);
      if (name == input.npos) break;
      size = name + 1 - at;
    }
    if (size > input.size() - at) break;
    operations.push_back({code, std::string(input.substr(at, size))});
    at += size;
  }
  return operations;
}

std::string bytes_of(const std::vector<Operation>& operations) {
  std::string out;
  for (const Operation& operation : operations) {
    out += operation.code;
    if (has_length(operation.code)) {
      const auto length = static_cast<uint32_t>(operation.argument.size());
      out.append(reinterpret_cast<const char*>(&length), fixed_bytes(operation.code));
    }
    out += operation.argument;
  }
  return out;
}

// What a mutation may put in: whole values, and single operations that work on them.
std::string fragment(Random& random) {
  static const std::vector<std::string> kFragments = {
      test::text("0"),
      test::text("state_dict"),
      test::integer(0),
      test::integer(-1),
      test::integer(INT64_MAX),
      test::integer(int64_t{1} << 31),
      test::ordered_dict(),
      test::storage("FloatStorage", "0", 4),
      test::storage("BFloat16Storage", "1", 1 << 30),
      test::tensor(test::storage("FloatStorage", "0", 4), 0, {2, 2}, {2, 1}),
      test::tensor(test::storage("FloatStorage", "0", 4), 0, {INT64_MAX, 0, 8}, {0, 0, 0}),
      test::global("torch._utils", "_rebuild_parameter"),
      "(",
      "t",
      ")",
      "]",
      "}",
      "a",
      "e",
      "s",
      "u",
      "R",
      "Q",
      "b",
      "\x85",
      "\x86",
      "\x87",
      "\x88",
      "N",
      std::string("q\0", 2),
      std::string("h\0", 2),
      "."};
  return kFragments[random() % kFragments.size()];
}

// Of a number all bytes may change, but not how many there are.
void mutate_argument(Operation& operation, Random& random, const MutateBytes& bytes) {
  const size_t size = operation.argument.size();
  if (has_length(operation.code) || operation.code == 'c') {
    operation.argument = bytes(operation.argument);
    const size_t most = fixed_bytes(operation.code) == 1 ? 255 : operation.argument.size();
    if (operation.argument.size() > most) operation.argument.resize(most);
  } else if (size > 0) {
    operation.argument[random() % size] = static_cast<char>(random());
  }
}

}  // namespace

std::string mutate_pickle(std::string_view input, Random& random, const MutateBytes& bytes) {
  std::vector<Operation> operations = operations_of(input);
  if (operations.empty() || random() % 8 == 0) return bytes(std::string(input));
  const size_t at = random() % operations.size();
  const auto place = operations.begin() + static_cast<std::ptrdiff_t>(at);
  switch (random() % 6) {
    case 0: operations.erase(place); break;
    case 1: operations.insert(place, operations[random() % operations.size()]); break;
    case 2: std::swap(*place, operations[random() % operations.size()]); break;
    case 3: {
      const std::vector<Operation> added = operations_of(fragment(random));
      operations.insert(place, added.begin(), added.end());
      break;
    }
    case 4: {  // a stretch of it once more, which is how values nest
      const size_t length = std::min<size_t>(1 + random() % 16, operations.size() - at);
      const std::vector<Operation> stretch(place, place + static_cast<std::ptrdiff_t>(length));
      operations.insert(
          operations.begin() + static_cast<std::ptrdiff_t>(random() % (operations.size() + 1)),
          stretch.begin(), stretch.end());
      break;
    }
    default: mutate_argument(*place, random, bytes);
  }
  return bytes_of(operations);
}

}  // namespace krait::fuzz
