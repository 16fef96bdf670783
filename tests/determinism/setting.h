// One way of computing the same thing: what it gives may depend on the subject and the instruction
// set, and on nothing else.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "krait/engine.h"

namespace krait::test {

// What is computed.
struct Subject {
  std::string model;
  DType weights = DType::f32;
  DType act = DType::f32;

  std::string name() const;  // "falcon q8_0 f32"
};

// Every model with every type of weights that it can have, and of activations.
std::vector<Subject> subjects();

enum class Way {
  whole,        // one call
  steps,        // token by token
  interleaved,  // in pieces, other sessions doing something in between
  values,       // in pieces, the state copied, saved, loaded and restored in between
  batched,      // in steps with other sequences, whatever its slot and place
  text,         // not logits but a text with its log-probabilities, as one of a batch's
};
constexpr std::array kWays = {Way::whole,  Way::steps,   Way::interleaved,
                              Way::values, Way::batched, Way::text};

struct Setting {
  Subject subject;
  std::string isa = "auto";
  int32_t threads = 1;
  int32_t chunk = 0;  // tokens of a block; 0: the default
  Way way = Way::whole;
  uint32_t input = 0;   // number of the prompt
  uint32_t chance = 0;  // seed of what may not matter: pieces, slots, others

  std::string name() const;
};

// The plainest one that must give the same.
Setting reference_of(const Setting& setting);

// A setting of that subject and instruction set, all else drawn.
Setting draw_setting(const Subject& subject, const std::string& isa, std::mt19937& random);

// A hash of all logits, or of the text; nullopt where the weights cannot have that type.
std::optional<uint64_t> hash_of(const Setting& setting);

}  // namespace krait::test
