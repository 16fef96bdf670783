// What a text depends on: the model, the types of weights and activations, the instruction set.
// Hashes of the logits are on record, so that a change of bits is a decision; whatever else may be
// set changes none of them.
//
//   test_determinism                     some thousand settings
//   test_determinism --seconds=600       as many drawn at random as there is time for
//   test_determinism --write             the record anew; only where all instruction sets run
#include <chrono>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>

#include <gtest/gtest.h>

#include "src/backend/cpu/isa.h"
#include "tests/determinism/setting.h"

namespace krait {
namespace {

using test::hash_of, test::reference_of, test::Setting, test::Subject, test::subjects;

const std::string kRecord = std::string(KRAIT_TEST_GOLDEN) + "/determinism.txt";

std::string hex(uint64_t hash) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

// "hash ISA ISA" for each hash that there is; of a type that the weights cannot have "refused".
std::map<std::string, std::string> hashes_of(const Subject& subject) {
  std::map<std::string, std::string> by_isa;
  for (const std::string& isa : available_isas()) {
    Setting setting;
    setting.subject = subject;
    setting.isa = isa;
    const auto hash = hash_of(setting);
    by_isa[isa] = hash ? hex(*hash) : "refused";
  }
  return by_isa;
}

// Lines "model weights act hash isa…": the instruction sets that give the same bits.
std::map<std::string, std::map<std::string, std::string>> read_record() {
  std::map<std::string, std::map<std::string, std::string>> record;
  std::ifstream file(kRecord);
  EXPECT_TRUE(file) << kRecord;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string model, weights, act, hash, isa;
    if (line.starts_with("#") || !(words >> model >> weights >> act >> hash)) continue;
    while (words >> isa) record[model + " " + weights + " " + act][isa] = hash;
  }
  return record;
}

void write_record() {
  std::cout
      << "# Hashes of logits: model, weights, activations, hash, the instruction sets that give "
         "it.\n# Made by test_determinism --write.\n";
  for (const Subject& subject : subjects()) {
    std::map<std::string, std::string> isas_of;
    for (const auto& [isa, hash] : hashes_of(subject)) isas_of[hash] += " " + isa;
    for (const auto& [hash, isas] : isas_of)
      std::cout << subject.name() << " " << hash << isas << "\n";
  }
}

TEST(Determinism, EveryInstructionSetGivesTheBitsOnRecord) {
  auto record = read_record();
  for (const Subject& subject : subjects())
    for (const auto& [isa, hash] : hashes_of(subject))
      EXPECT_EQ(hash, record[subject.name()][isa])
          << subject.name() << " " << isa
          << ": if the change is meant, see test_determinism --write";
}

// False, and told, where a setting changes something.
bool agrees(const Setting& setting) {
  const auto expected = hash_of(reference_of(setting)), found = hash_of(setting);
  EXPECT_EQ(found, expected) << setting.name();
  return found == expected;
}

class NothingElse : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Isas, NothingElse, testing::ValuesIn(available_isas()),
                         [](const auto& suite) { return suite.param; });

TEST_P(NothingElse, ChangesABit) {
  std::mt19937 random(2);
  size_t turn = std::hash<std::string>{}(GetParam()) % test::kWays.size();
  for (const Subject& subject : subjects()) {
    Setting plain;
    plain.subject = subject;
    plain.isa = GetParam();
    const auto logits = hash_of(plain);
    if (!logits) continue;
    // Each way is met by every other subject, and by each number of threads and chunk soon enough.
    for (int i = 0; i < 3; ++i, ++turn) {
      Setting setting = draw_setting(subject, GetParam(), random);
      setting.way = test::kWays[turn % test::kWays.size()];
      if (setting.way == test::Way::text)
        agrees(setting);
      else
        EXPECT_EQ(hash_of(setting), logits) << setting.name();
    }
  }
  EXPECT_GT(turn, 100u);
}

int run_for(double seconds, uint32_t seed) {
  std::mt19937 random(seed);
  const std::vector<Subject> all = subjects();
  const std::vector<std::string> isas = available_isas();
  const auto start = std::chrono::steady_clock::now();
  int64_t settings = 0, failures = 0;
  while (std::chrono::steady_clock::now() - start < std::chrono::duration<double>(seconds)) {
    Setting setting =
        draw_setting(all[random() % all.size()], isas[random() % isas.size()], random);
    setting.input = static_cast<uint32_t>(random());
    ++settings;
    if (!agrees(setting)) ++failures;
  }
  std::cout << settings << " settings (seed " << seed << "), " << failures << " differ\n";
  return failures > 0;
}

}  // namespace
}  // namespace krait

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--write") return krait::write_record(), 0;
    if (argument.starts_with("--seconds="))
      return krait::run_for(std::stod(argument.substr(10)), std::random_device{}());
    std::cerr << "usage: test_determinism [--write | --seconds=S]\n";
    return 2;
  }
  return RUN_ALL_TESTS();
}
