#include "src/cli/score_stream.h"

#include <numbers>

#include <fmt/format.h>
#include <unistd.h>

#include "src/cli/line_reader.h"

namespace krait::cli {
namespace {

constexpr size_t kMaxLineBytes = 65536;

// Surprise: -log2 of the probability.
double bits(const ScoredToken& token) { return -token.logprob / std::numbers::ln2; }

struct Line {
  int64_t number = 0;
  std::string text;
  std::vector<ScoredToken> tokens;
  double bits = 0;

  double bits_per_byte() const { return bits / static_cast<double>(text.size()); }
};

nlohmann::ordered_json to_json(const Line& line, const Tokenizer& tokenizer) {
  auto tokens = nlohmann::ordered_json::array();
  for (const ScoredToken& t : line.tokens)
    tokens.push_back(
        {{"id", t.id}, {"text", tokenizer.token_bytes(t.id, true)}, {"bits", bits(t)}});
  return {{"line", line.number},
          {"text", line.text},
          {"bits", line.bits},
          {"bits_per_byte", line.bits_per_byte()},
          {"tokens", std::move(tokens)}};
}

std::string to_row(const Line& line) {
  std::string_view text = line.text;
  if (text.ends_with('\n')) text.remove_suffix(1);
  return fmt::format("{:>8} {:>10.2f} {:>9.3f}  {}\n", line.number, line.bits, line.bits_per_byte(),
                     escaped(text));
}

// So that the first token, too, has something before it: the token that texts start or end with.
void feed_start(const Engine& engine, Session& session) {
  const SpecialIds& special = engine.special();
  const int32_t start = special.bos >= 0       ? special.bos
                        : !special.eos.empty() ? special.eos.front()
                                               : -1;
  if (start >= 0) session.feed({&start, 1});
}

}  // namespace

void score_stream(Engine& engine, bool json, Console& console) {
  const auto session = engine.session(History::discard);
  feed_start(engine, *session);
  LineReader lines(STDIN_FILENO, "standard input", kMaxLineBytes);
  int64_t tokens = 0, bytes = 0;
  double total_bits = 0;
  bool is_new = true;  // not a further piece of a line that was cut
  if (!json) console.write("    line       bits bits/byte  text\n");
  for (Line line; auto text = lines.next();) {
    if (is_new) ++line.number;
    is_new = text->ends_with('\n');
    line.text = std::move(*text);
    line.tokens = score_next(engine, *session, engine.encode_continuation(line.text), {},
                             &Console::interrupted());
    if (Console::interrupted()) throw Interrupted{};
    line.bits = 0;
    for (const ScoredToken& token : line.tokens) line.bits += bits(token);
    if (json) {
      console.write_json(to_json(line, *engine.tokenizer()));
    } else {
      console.write(to_row(line));
    }
    tokens += static_cast<int64_t>(line.tokens.size());
    bytes += static_cast<int64_t>(line.text.size());
    total_bits += line.bits;
  }
  if (bytes > 0)
    console.note(fmt::format("{} bytes, {} tokens, {:.4f} bits per byte", bytes, tokens,
                             total_bits / static_cast<double>(bytes)));
}

}  // namespace krait::cli
