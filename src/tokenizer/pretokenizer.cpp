#include "src/tokenizer/pretokenizer.h"

#include <string>

#include "src/tokenizer/character_tables.h"

namespace krait {

Regex gpt2_pattern() {
  const std::string space = space_class();
  const std::string letter = letter_class();
  const std::string number = number_class();
  return Regex(
      "'s|'t|'re|'ve|'m|'ll|'d"
      "| ?[" +
      letter +
      "]+"
      "| ?[" +
      number +
      "]+"
      "| ?[^" +
      space + letter + number +
      "]+"
      "|[" +
      space + "]+(?![^" + space +
      "])"
      "|[" +
      space + "]+");
}

Regex digits_pattern(bool individual) {
  return Regex("[" + number_class() + (individual ? "]" : "]+"));
}

}  // namespace krait
