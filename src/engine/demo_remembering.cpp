// Facts told at the beginning of a conversation and asked for at its end, in the words that the
// bundled chat model was trained on (tools/train/world.py).
#include <array>

#include "krait/conversation.h"
#include "krait/demo.h"
#include "krait/sampler.h"

namespace krait {
namespace {

// What is told, asked, and must come back.
struct Fact {
  const char* told;
  const char* question;
  const char* expected;
};
constexpr std::array<Fact, 3> kFacts = {{
    {"The golden key is under the mill.", "Where is the golden key?", "under the mill"},
    {"The fox loves honey cakes.", "What does the fox love?", "honey cakes"},
    {"The miller has the silver ring.", "What does the miller have?", "silver ring"},
}};

constexpr std::array kHeroes = {"a fox",  "a wolf",  "a raven", "a king",  "a tailor",
                                "a swan", "a witch", "a dwarf", "a goose", "a bear"};
constexpr std::array kThings = {"a well",   "a lamp",   "a bridge", "a crown", "a boat",
                                "a garden", "a mirror", "a tower",  "a harp"};
constexpr int64_t kAnswerTokens = 40;

std::string request(int64_t turn) {
  return "Tell me a story about " + std::string(kHeroes[turn % kHeroes.size()]) + " and " +
         kThings[turn % kThings.size()] + ".";
}

}  // namespace

int64_t remembering_turns(const RememberOptions& options) {
  return options.turns + 2 * std::ssize(kFacts);
}

std::optional<RememberResult> measure_remembering(Engine& engine, const ChatFormat& format,
                                                  const RememberOptions& options,
                                                  const std::function<void()>& on_turn) {
  Conversation talk(engine, format, 0);
  GenerateOptions tales;
  tales.max_tokens = options.tale_tokens;
  tales.sampling = options.sampling;
  tales.seed = options.seed;
  tales.interrupt = options.stop;
  GenerateOptions answers = tales;
  answers.max_tokens = kAnswerTokens;
  answers.sampling = {};
  answers.sampling.temperature = 0;

  std::string said;
  const auto turn = [&](const std::string& message, const GenerateOptions& how) {
    said = talk.say(message, how, {}).answer.text;
    if (on_turn) on_turn();
    return !(options.stop && options.stop->load(std::memory_order_relaxed));
  };
  for (const Fact& fact : kFacts)
    if (!turn(fact.told, answers)) return std::nullopt;
  const int64_t told = talk.counts().tokens;
  for (int64_t i = 0; i < options.turns; ++i)
    if (!turn(request(i), tales)) return std::nullopt;
  RememberResult result;
  result.distraction_tokens = talk.counts().tokens - told;
  for (const Fact& fact : kFacts) {
    if (!turn(fact.question, answers)) return std::nullopt;
    const bool right = said.find(fact.expected) != std::string::npos;
    result.facts.push_back({fact.told, fact.question, said, fact.expected, right});
  }
  return result;
}

}  // namespace krait
