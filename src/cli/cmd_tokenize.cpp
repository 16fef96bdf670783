#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "krait/error.h"
#include "src/cli/command.h"

namespace krait::cli {
namespace {

constexpr const char* kExamples =
    R"(JSON gives the tokens as the vocabulary spells them, the table as they read.

Examples:
  krait tokenize -p "Hello, world"
  krait tokenize -m ./my-model -f book.txt --json
  krait tokenize --decode 12,34,56)";

struct Flags {
  OutputFlags output;
  OpenOptions open;
  PromptFlags prompt;
  std::optional<std::vector<int32_t>> decode;
  bool no_special = false;
};

void print_text(const Flags& flags, Console& console, const Tokenizer& tokenizer) {
  const std::string text = decode(tokenizer, *flags.decode, !flags.no_special);
  if (flags.output.json) {
    console.write_json({{"ids", *flags.decode}, {"text", text}});
  } else {
    console.write(text + "\n");
  }
}

// In pieces: of a long text neither a tree nor the whole output is in memory.
template <class Show>
void write_list(Console& console, const std::vector<int32_t>& ids, const Show& show,
                std::string_view separator = ",") {
  constexpr size_t kPieceBytes = 1 << 16;
  std::string piece;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (i > 0) piece += separator;
    piece += show(ids[i]);
    if (piece.size() < kPieceBytes) continue;
    console.write(piece);
    piece.clear();
  }
  console.write(piece);
}

void print_tokens(const Flags& flags, Console& console, const Tokenizer& tokenizer) {
  const std::string text = read_prompt(flags.prompt).text;
  const std::vector<int32_t> ids = tokenizer.encode(
      text, {.add_special_tokens = !flags.no_special, .parse_special_tokens = !flags.no_special});
  if (flags.output.json) {
    console.write("{\"ids\":[");
    write_list(console, ids, [](int32_t id) { return std::to_string(id); });
    console.write("],\"tokens\":[");
    write_list(console, ids, [&](int32_t id) {
      return nlohmann::json(tokenizer.token_text(id))
          .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    });
    console.write("]}\n");
    return;
  }
  write_list(
      console, ids,
      [&](int32_t id) {
        return fmt::format("{:>8}  {}\n", id, escaped(tokenizer.token_bytes(id, true)));
      },
      "");
  console.note(fmt::format("{} tokens, {} bytes", ids.size(), text.size()));
}

int run(const Flags& flags, Console& console) {
  if (flags.decode && (flags.prompt.text || flags.prompt.file))
    throw InputError("--decode goes without --prompt and --file: give only one");
  OpenOptions open = flags.open;
  open.warn = log_warnings();
  const ModelFiles files = open_model_files(open);
  if (!files.tokenizer)
    throw InputError(files.path + " has no tokenizer; give one with --tokenizer FILE");
  if (flags.decode) {
    print_text(flags, console, *files.tokenizer);
  } else {
    print_tokens(flags, console, *files.tokenizer);
  }
  return kExitSuccess;
}

}  // namespace

Command add_tokenize(CLI::App& program) {
  CLI::App* app =
      program.add_subcommand("tokenize", "Show how a text is cut into tokens, or turn ids to text");
  app->footer(kExamples);
  const auto flags = std::make_shared<Flags>();
  add_prompt_flags(*app, flags->prompt);
  add_text(*app, "--decode", "1,2,3", "Print the text of these ids", [=](const std::string& text) {
    flags->decode = parse_ids("--decode", text);
  })->group("Prompt");
  app->add_flag("--no-special", flags->no_special,
                "Read special tokens in the text as plain text, add none, and leave them out of "
                "decoded text")
      ->group("Prompt");
  add_model_flags(*app, flags->open);
  add_output_flags(*app, flags->output);
  return command<Flags>(app, flags, run);
}

}  // namespace krait::cli
