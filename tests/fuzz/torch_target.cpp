// PyTorch files: the ZIP archive and the container before it, with the pickles inside.
#include "krait/error.h"
#include "src/formats/torch_containers.h"
#include "src/formats/torch_file.h"
#include "src/formats/zip.h"
#include "tests/formats/torch_bytes.h"
#include "tests/fuzz/pickle_mutator.h"
#include "tests/fuzz/target.h"

namespace krait::fuzz {
namespace {

void run(std::string_view input) {
  // Once as bytes that a sanitizer knows the end of, once as the file that is mapped.
  read_torch_container(std::as_bytes(std::span(input)), "input");
  const MemoryFile file(input);
  for (const WeightsEntry& entry : read_torch_file(file.path()).entries) {
    try {
      touch(entry.tensor);
    } catch (const InputError&) {  // of a type that is no weight
    }
  }
}

// Another content of one member, in an archive that holds together.
std::string mutate(std::string_view input, Random& random, const MutateBytes& bytes) {
  if (random() % 4 == 0) return bytes(std::string(input));
  try {
    std::vector<test::ZipPart> parts;
    for (const ZipMember& member : parse_zip(std::as_bytes(std::span(input)), "input"))
      parts.push_back({std::string(member.name),
                       {reinterpret_cast<const char*>(member.data.data()), member.data.size()}});
    if (parts.empty()) return bytes(std::string(input));
    test::ZipPart& part = parts[random() % parts.size()];
    if (random() % 8 == 0)
      part.name = bytes(part.name);
    else
      part.data =
          part.name.ends_with(".pkl") ? mutate_pickle(part.data, random, bytes) : bytes(part.data);
    return test::zip(parts, random() % 16 == 0);
  } catch (const InputError&) {
    return bytes(std::string(input));
  }
}

const Registration kTarget({"torch", run, mutate});

}  // namespace
}  // namespace krait::fuzz
