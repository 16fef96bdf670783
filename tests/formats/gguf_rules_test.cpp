// One malformed GGUF file for every rule of the format.
#include <limits>

#include "krait/error.h"
#include "src/formats/gguf.h"
#include "tests/formats/gguf_bytes.h"
#include "tests/support/expect_error.h"

namespace krait {
namespace {

using namespace test;  // NOLINT: the pieces of files
using testing::AllOf;
using testing::HasSubstr;

std::string refusal(const std::string& file) {
  const std::string message =
      message_of<InputError>([&] { parse_gguf(std::as_bytes(std::span(file)), "x.gguf"); });
  EXPECT_THAT(message, HasSubstr("x.gguf: "));
  return message;
}

std::string with_pair(const std::string& bytes) {
  GgufParts file;
  file.pairs.push_back(bytes);
  return file.bytes();
}

// One tensor, its information given, and 1 KiB of data.
std::string with_tensor(const std::string& info) {
  GgufParts file;
  file.tensors = {info};
  file.data = std::string(1024, '\0');
  return file.bytes();
}

TEST(GgufRules, MagicIsGguf) {
  GgufParts file;
  file.magic = "GGML";
  EXPECT_THAT(refusal(file.bytes()), HasSubstr("does not begin with \"GGUF\""));
}

TEST(GgufRules, VersionZeroIsRefused) {
  GgufParts file;
  file.version = 0;
  EXPECT_THAT(refusal(file.bytes()), HasSubstr("version is 0; expected 2 or 3"));
}

TEST(GgufRules, VersionOneIsRefused) {
  GgufParts file;
  file.version = 1;
  EXPECT_THAT(refusal(file.bytes()), HasSubstr("version is 1; expected 2 or 3"));
}

TEST(GgufRules, LaterVersionsAreRefused) {
  GgufParts file;
  file.version = 4;
  EXPECT_THAT(refusal(file.bytes()), HasSubstr("version is 4; expected 2 or 3"));
}

TEST(GgufRules, BigEndianFilesAreNamedAsSuch) {
  GgufParts file;
  file.version = 3u << 24;
  EXPECT_THAT(refusal(file.bytes()), HasSubstr("big-endian"));
}

TEST(GgufRules, TensorCountFitsTheFile) {
  GgufParts file;
  file.more_tensors = 3;
  EXPECT_THAT(refusal(file.bytes()), HasSubstr("claims 3 tensors"));
}

TEST(GgufRules, TensorCountIsNotNegative) {
  GgufParts file;
  file.more_tensors = -1;
  EXPECT_THAT(refusal(file.bytes()), HasSubstr("claims 18446744073709551615 tensors"));
}

TEST(GgufRules, TensorCountOf2To63IsRefused) {
  GgufParts file;
  file.more_tensors = std::numeric_limits<int64_t>::min();
  EXPECT_THAT(refusal(file.bytes()), HasSubstr("claims 9223372036854775808 tensors"));
}

TEST(GgufRules, MetadataCountFitsTheFile) {
  GgufParts file;
  file.more_pairs = 1000;
  EXPECT_THAT(refusal(file.bytes()), HasSubstr("claims 1001 metadata keys"));
}

TEST(GgufRules, MetadataCountIsNotNegative) {
  GgufParts file;
  file.more_pairs = -2;
  EXPECT_THAT(refusal(file.bytes()), HasSubstr("claims 18446744073709551615 metadata keys"));
}

TEST(GgufRules, KeysHaveCharacters) {
  EXPECT_THAT(refusal(with_pair(u32_pair("", 1))), HasSubstr("a metadata key has 0 bytes"));
}

TEST(GgufRules, KeysHaveAtMost65535Bytes) {
  EXPECT_THAT(refusal(with_pair(u32_pair(std::string(65536, 'k'), 1))),
              HasSubstr("a metadata key has 65536 bytes; expected 1 to 65535"));
}

TEST(GgufRules, KeysArePrintableAscii) {
  EXPECT_THAT(refusal(with_pair(u32_pair("a b", 1))), HasSubstr("\"a b\" holds more than"));
  EXPECT_THAT(refusal(with_pair(u32_pair("ö", 1))), HasSubstr("printable ASCII"));
}

TEST(GgufRules, KeysAreUnique) {
  GgufParts file;
  file.pairs.insert(file.pairs.end(), {u32_pair("a", 1), text_pair("a", "b")});
  EXPECT_THAT(refusal(file.bytes()), HasSubstr("metadata key \"a\" occurs twice"));
}

TEST(GgufRules, KeyLengthFitsTheFile) {
  EXPECT_THAT(refusal(with_pair(raw(uint64_t{1} << 60))),
              HasSubstr("a metadata key needs 1152921504606846976 bytes"));
}

TEST(GgufRules, ValueTypeIsKnown) {
  EXPECT_THAT(refusal(with_pair(pair("k", 13, raw(uint64_t{0})))),
              HasSubstr("\"k\": value type is 13; expected 0 to 12"));
  EXPECT_THAT(refusal(with_pair(pair("k", -1, raw(uint64_t{0})))), HasSubstr("value type is -1"));
}

TEST(GgufRules, TextLengthFitsTheFile) {
  EXPECT_THAT(refusal(with_pair(pair("k", 8, raw(~uint64_t{0})))),
              HasSubstr("\"k\" needs 18446744073709551615 bytes"));
}

TEST(GgufRules, TextIsUtf8) {
  for (const char* text : {"ab\x80", "\xc0\xaf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
                           "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe2\x82", "\xc3"})
    EXPECT_THAT(refusal(with_pair(text_pair("k", text))), HasSubstr("\"k\" is not UTF-8: byte "));
  EXPECT_THAT(refusal(with_pair(text_pair("k", "ab\xff"))), HasSubstr("byte 2 is 255"));
}

TEST(GgufRules, BoolIsZeroOrOne) {
  EXPECT_THAT(refusal(with_pair(pair("k", 7, "\x02"))),
              HasSubstr("\"k\" is a bool of value 2; expected 0 or 1"));
  EXPECT_THAT(refusal(with_pair(array_pair("k", 7, 2, "\x01\xff"))), HasSubstr("value 255"));
}

TEST(GgufRules, ElementTypeIsKnown) {
  EXPECT_THAT(refusal(with_pair(array_pair("k", 99, 0, ""))),
              HasSubstr("\"k\": element type is 99; expected 0 to 12"));
}

TEST(GgufRules, ArraysDoNotNest) {
  EXPECT_THAT(refusal(with_pair(array_pair("k", 9, 0, ""))), HasSubstr("array of arrays"));
}

TEST(GgufRules, ArrayCountFitsTheFile) {
  EXPECT_THAT(refusal(with_pair(array_pair("k", 8, uint64_t{1} << 61, ""))),
              HasSubstr("\"k\" has 2305843009213693952 elements, but the file ends"));
  EXPECT_THAT(refusal(with_pair(array_pair("k", 0, ~uint64_t{0}, ""))), HasSubstr("the file ends"));
}

TEST(GgufRules, ArraysHaveALimitTogether) {
  const std::string some(1001, '\0'), most((size_t{1} << 25) - 1000, '\0');
  GgufParts file;
  file.pairs.push_back(array_pair("a", 0, some.size(), some));
  const std::string one = file.bytes();
  EXPECT_EQ(parse_gguf(std::as_bytes(std::span(one)), "x").metadata["a"].size(), some.size());
  file.pairs.push_back(array_pair("b", 0, most.size(), most));
  EXPECT_THAT(refusal(file.bytes()), HasSubstr("\"b\" has 33553432 elements; expected at most"));
}

TEST(GgufRules, ArchitectureIsThere) {
  GgufParts file;
  file.pairs = {};
  EXPECT_THAT(refusal(file.bytes()), HasSubstr("no metadata key general.architecture"));
}

TEST(GgufRules, ArchitectureIsText) {
  GgufParts file;
  file.pairs = {u32_pair("general.architecture", 1)};
  EXPECT_THAT(refusal(file.bytes()), HasSubstr("general.architecture is number"));
}

TEST(GgufRules, AlignmentIsU32) {
  EXPECT_THAT(refusal(with_pair(pair("general.alignment", 10, raw(uint64_t{32})))),
              HasSubstr("\"general.alignment\" has type 10; expected 4 (u32)"));
}

TEST(GgufRules, AlignmentIsAPowerOfTwoOfAtLeastEight) {
  for (const uint32_t alignment : {0u, 4u, 24u, 33u})
    EXPECT_THAT(refusal(with_pair(u32_pair("general.alignment", alignment))),
                HasSubstr("general.alignment is " + std::to_string(alignment) +
                          "; expected a power of two"));
}

TEST(GgufRules, SplitFilesAreRefusedByName) {
  EXPECT_THAT(refusal(with_pair(pair("split.count", 2, raw(uint16_t{3})))),
              AllOf(HasSubstr("split.count is 3"), HasSubstr("split model")));
  EXPECT_THAT(refusal(with_pair(text_pair("split.count", "3"))), HasSubstr("expected an integer"));
  const std::string whole = with_pair(pair("split.count", 2, raw(uint16_t{1})));
  EXPECT_NO_THROW(parse_gguf(std::as_bytes(std::span(whole)), "x"));
}

TEST(GgufRules, TensorNamesHaveCharacters) {
  EXPECT_THAT(refusal(with_tensor(tensor_info("", {1}, 0, 0))), HasSubstr("a name of 0 bytes"));
}

TEST(GgufRules, TensorNamesHaveAtMost63Bytes) {
  const std::string longest = with_tensor(tensor_info(std::string(63, 'n'), {1}, 0, 0));
  EXPECT_NO_THROW(parse_gguf(std::as_bytes(std::span(longest)), "x"));
  EXPECT_THAT(refusal(with_tensor(tensor_info(std::string(64, 'n'), {1}, 0, 0))),
              HasSubstr("a name of 64 bytes; expected 1 to 63"));
}

TEST(GgufRules, TensorNamesAreUtf8) {
  EXPECT_THAT(refusal(with_tensor(tensor_info("n\xff", {1}, 0, 0))),
              HasSubstr("the name of tensor 0 is not UTF-8"));
}

TEST(GgufRules, TensorNamesAreUnique) {
  GgufParts file;
  file.tensors = {tensor_info("t", {1}, 0, 0), tensor_info("t", {1}, 0, 32)};
  file.data = std::string(64, '\0');
  EXPECT_THAT(refusal(file.bytes()), HasSubstr("tensor \"t\" occurs twice"));
}

TEST(GgufRules, RankIsAtMostFour) {
  EXPECT_THAT(refusal(with_tensor(tensor_info("t", {1, 1, 1, 1, 1}, 0, 0))),
              HasSubstr("tensor \"t\" has 5 dimensions; expected at most 4"));
}

TEST(GgufRules, DimensionsArePositive) {
  EXPECT_THAT(refusal(with_tensor(tensor_info("t", {4, 0}, 0, 0))), HasSubstr("a dimension of 0"));
  EXPECT_THAT(refusal(with_tensor(tensor_info("t", {-4}, 0, 0))), HasSubstr("a dimension of -4"));
}

TEST(GgufRules, ElementsCanBeCounted) {
  EXPECT_THAT(refusal(with_tensor(tensor_info("t", {int64_t{1} << 32, int64_t{1} << 32}, 0, 0))),
              HasSubstr("more elements than 64 bits can count"));
}

TEST(GgufRules, BytesCanBeCounted) {
  EXPECT_THAT(refusal(with_tensor(tensor_info("t", {int64_t{1} << 62}, 0, 0))),
              HasSubstr("more bytes than 64 bits can count"));
}

TEST(GgufRules, RemovedTypesAreRefused) {
  for (const uint32_t type : {4u, 5u, 31u, 32u, 33u, 36u, 37u, 38u})
    EXPECT_THAT(refusal(with_tensor(tensor_info("t", {256}, type, 0))),
                HasSubstr("has element type " + std::to_string(type) + "; expected one that"));
}

TEST(GgufRules, UnknownTypesAreRefused) {
  for (const uint32_t type : {97u, 1000u, ~0u})
    EXPECT_THAT(refusal(with_tensor(tensor_info("t", {256}, type, 0))),
                HasSubstr("has element type " + std::to_string(type)));
}

TEST(GgufRules, RowsAreWholeBlocks) {
  EXPECT_THAT(refusal(with_tensor(tensor_info("t", {16, 2}, 8, 0))),
              HasSubstr("type q8_0 has rows of 16 elements; expected a multiple of 32"));
  EXPECT_THAT(refusal(with_tensor(tensor_info("t", {128, 2}, 12, 0))),
              HasSubstr("expected a multiple of 256"));
  EXPECT_THAT(refusal(with_tensor(tensor_info("t", {}, 8, 0))), HasSubstr("rows of 1 elements"));
}

TEST(GgufRules, OffsetsAreAligned) {
  EXPECT_THAT(refusal(with_tensor(tensor_info("t", {1}, 0, 16))),
              HasSubstr("offset 16; expected a multiple of 32"));
}

TEST(GgufRules, TensorsLieOneAfterTheOther) {
  EXPECT_THAT(refusal(with_tensor(tensor_info("t", {1}, 0, 32))),
              HasSubstr("offset 32; expected 0"));
  GgufParts file;
  file.data = std::string(256, '\0');
  for (const uint64_t offset : {uint64_t{0}, uint64_t{32}, uint64_t{96}, ~uint64_t{31}}) {
    file.tensors = {tensor_info("a", {9}, 0, 0), tensor_info("b", {1}, 0, offset)};
    EXPECT_THAT(refusal(file.bytes()),
                HasSubstr("tensor \"b\" has offset " + std::to_string(offset) + "; expected 64"));
  }
}

TEST(GgufRules, DataLieInTheFile) {
  EXPECT_THAT(refusal(with_tensor(tensor_info("t", {257}, 0, 0))),
              HasSubstr("1028 bytes at offset 0, but the file has only 1024 bytes of data"));
  EXPECT_THAT(refusal(with_tensor(tensor_info("t", {int64_t{1} << 60}, 0, 0))),
              HasSubstr("only 1024 bytes"));
}

TEST(GgufRules, DataBeginInTheFile) {
  GgufParts file;
  file.alignment = 1;
  file.tensors = {tensor_info("t", {1}, 0, 0)};
  EXPECT_THAT(refusal(file.bytes()), HasSubstr("ends before the tensors' data"));
}

}  // namespace
}  // namespace krait
