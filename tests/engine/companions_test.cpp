// What lies beside a model's weights or in its GGUF file: chat template, padding and unknown token.
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "krait/engine.h"
#include "krait/error.h"
#include "src/formats/gguf.h"
#include "tests/formats/gguf_bytes.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

namespace krait {
namespace {

using test::text_pair;
using test::u32_pair;
using testing::AllOf;
using testing::HasSubstr;

class Companions : public testing::Test {
 protected:
  // A GGUF file of nothing but metadata, as the model.
  ModelFiles model(const std::vector<std::string>& pairs) {
    test::GgufParts parts;
    parts.pairs.insert(parts.pairs.end(), pairs.begin(), pairs.end());
    ModelFiles files;
    files.path = folder_.write("model.gguf", parts.bytes());
    files.checkpoint = open_gguf(files.path);
    files.config.embedding_rows = 10;
    return files;
  }

  test::TempFolder folder_;
};

TEST_F(Companions, ChatTemplateOfAGgufFileUnlessAFileBesideItHasOne) {
  const ModelFiles files = model({text_pair("tokenizer.chat_template", "from GGUF")});
  EXPECT_EQ(chat_template(files), "from GGUF");
  folder_.write("tokenizer_config.json", R"({"chat_template": "from the config"})");
  EXPECT_EQ(chat_template(files), "from the config");
  folder_.write("chat_template.jinja", "from the file\n");
  EXPECT_EQ(chat_template(files), "from the file\n");
}

TEST_F(Companions, NoChatTemplate) { EXPECT_EQ(chat_template(model({})), std::nullopt); }

TEST_F(Companions, ChatTemplateOfTheWrongType) {
  const ModelFiles files = model({u32_pair("tokenizer.chat_template", 1)});
  EXPECT_THAT(test::message_of<InputError>([&] { chat_template(files); }),
              AllOf(HasSubstr(files.path), HasSubstr("tokenizer.chat_template is number")));
}

TEST_F(Companions, AuxiliaryIdsOfAGgufFile) {
  const AuxiliaryIds ids = auxiliary_ids(model({u32_pair("tokenizer.ggml.padding_token_id", 3),
                                                u32_pair("tokenizer.ggml.unknown_token_id", 9)}));
  EXPECT_EQ(ids.pad, 3);
  EXPECT_EQ(ids.unk, 9);
}

TEST_F(Companions, AuxiliaryIdsOutsideTheEmbeddingAreNone) {
  const AuxiliaryIds ids =
      auxiliary_ids(model({u32_pair("tokenizer.ggml.padding_token_id", 10),
                           u32_pair("tokenizer.ggml.unknown_token_id", 0xffffffff)}));
  EXPECT_EQ(ids.pad, -1);
  EXPECT_EQ(ids.unk, -1);
}

}  // namespace
}  // namespace krait
