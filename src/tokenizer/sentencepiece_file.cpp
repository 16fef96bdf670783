// Reads a tokenizer.model: every field that matters is checked before the library sees the model.
#include "krait/error.h"
#include "krait/tokenizer.h"
#include "src/base/file.h"
#include "src/base/json.h"
#include "src/base/utf8.h"
#include "src/tokenizer/protobuf.h"
#include "src/tokenizer/sentencepiece.h"
#include "src/tokenizer/sentencepiece_model.h"

namespace krait {
namespace {

constexpr size_t kMaxFileBytes = size_t{16} << 20;  // the largest known has 4 MiB

class ModelReader {
 public:
  explicit ModelReader(const std::string& path) : path_(path) {}

  SentencepieceModel read() {
    const std::string bytes = read_text_file(path_, kMaxFileBytes);
    ProtobufReader reader(bytes, path_, "");
    for (ProtobufField field; reader.next(field);) {
      switch (field.number) {
        case 1: read_piece(field); break;
        case 2: read_trainer(field.text("trainer_spec")); break;
        case 3: read_normalizer(field.text("normalizer_spec")); break;
        case 5: read_denormalizer(field.text("denormalizer_spec")); break;
        default: break;  // self_test_data, and what later versions may add
      }
    }
    check_sentencepiece_model(
        model_, {path_, {"pieces[", "].piece"}, {"pieces[", "].score"}, {"pieces[", "].type"}});
    find_bos();
    return std::move(model_);
  }

 private:
  void read_piece(const ProtobufField& entry) {
    const std::string place = "pieces[" + std::to_string(model_.pieces.size()) + "]";
    std::string_view piece;
    float score = 0;
    int32_t type = GgufTokenType::normal;
    ProtobufReader reader(entry.text(place), path_, place);
    for (ProtobufField field; reader.next(field);) {
      switch (field.number) {
        case 1: piece = field.text("piece"); break;
        case 2: score = field.real("score"); break;
        case 3: type = field.integer("type", GgufTokenType::normal, GgufTokenType::byte); break;
        default: break;
      }
    }
    model_.pieces.emplace_back(piece);
    model_.scores.push_back(score);
    model_.types.push_back(type);
  }

  void read_trainer(std::string_view bytes) {
    ProtobufReader reader(bytes, path_, "trainer_spec");
    for (ProtobufField field; reader.next(field);) {
      switch (field.number) {
        case 3: read_algorithm(field); break;
        case 24:
          if (field.boolean("treat_whitespace_as_suffix"))
            field.fail("treat_whitespace_as_suffix", "true", "false");
          break;
        case 35: model_.byte_fallback = field.boolean("byte_fallback"); break;
        case 44: read_unknown_surface(field); break;
        case 46: bos_piece_ = field.text("bos_piece"); break;
        default: break;  // how it was trained
      }
    }
  }

  void read_algorithm(const ProtobufField& field) {
    const int32_t type = field.integer("model_type", INT32_MIN, INT32_MAX);
    model_.algorithm = static_cast<SentencepieceModel::Algorithm>(type);
    if (model_.algorithm != SentencepieceModel::Algorithm::unigram &&
        model_.algorithm != SentencepieceModel::Algorithm::bpe)
      field.fail("model_type", std::to_string(type), "1 (unigram) or 2 (BPE)");
  }

  void read_unknown_surface(const ProtobufField& field) {
    model_.unknown_surface = field.text("unk_surface");
    if (!is_valid_utf8(model_.unknown_surface))
      field.fail("unk_surface", quote(model_.unknown_surface), "UTF-8");
  }

  void read_normalizer(std::string_view bytes) {
    ProtobufReader reader(bytes, path_, "normalizer_spec");
    for (ProtobufField field; reader.next(field);) {
      switch (field.number) {
        case 2: model_.charsmap = field.text("precompiled_charsmap"); break;
        case 3: model_.add_dummy_prefix = field.boolean("add_dummy_prefix"); break;
        case 4: model_.remove_extra_whitespaces = field.boolean("remove_extra_whitespaces"); break;
        case 5:
          if (!field.boolean("escape_whitespaces"))
            field.fail("escape_whitespaces", "false", "true");
          break;
        default: break;  // the name of the rules, or their source
      }
    }
  }

  void read_denormalizer(std::string_view bytes) {
    ProtobufReader reader(bytes, path_, "denormalizer_spec");
    for (ProtobufField field; reader.next(field);)
      if (field.number == 2 && !field.text("precompiled_charsmap").empty())
        field.fail("precompiled_charsmap", "there", "none: text is decoded as the pieces spell it");
  }

  // The format has no word for "put BOS first"; models that have that piece were trained so.
  void find_bos() {
    for (size_t id = 0; id < model_.pieces.size(); ++id)
      if (model_.types[id] == GgufTokenType::control && model_.pieces[id] == bos_piece_)
        model_.bos = static_cast<int32_t>(id);
  }

  const std::string& path_;
  SentencepieceModel model_;
  std::string bos_piece_ = "<s>";
};

}  // namespace

SentencepieceModel read_sentencepiece_model(const std::string& path) {
  return ModelReader(path).read();
}

std::unique_ptr<Tokenizer> load_tokenizer_sentencepiece(const std::string& path) {
  return std::make_unique<SentencepieceTokenizer>(read_sentencepiece_model(path), path);
}

}  // namespace krait
