#include "src/formats/safetensors.h"

#include <vector>

#include "krait/error.h"
#include "tests/formats/safetensors_bytes.h"
#include "tests/support/expect_error.h"

namespace krait {
namespace {

using test::as_bytes;
using test::entry;
using test::safetensors;
using test::with_length;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

std::vector<WeightsEntry> parse(const std::string& file) {
  return parse_safetensors(as_bytes(file), "x.safetensors");
}

std::string refusal(const std::string& file) {
  const std::string message = test::message_of<InputError>([&] { parse(file); });
  EXPECT_THAT(message, StartsWith("x.safetensors"));
  return message;
}

std::string refused_header(const std::string& header, size_t data_bytes = 0) {
  return refusal(safetensors(header, std::string(data_bytes, 'd')));
}

std::string refused_entry(const std::string& text, size_t data_bytes = 4) {
  return refused_header("{\"t\":" + text + "}", data_bytes);
}

TEST(Safetensors, ReadsEveryTypeThatKraitHas) {
  struct Case {
    const char* stored;
    DType type;
    size_t bytes;
  };
  for (const Case& c : {Case{"F32", DType::f32, 4},
                        {"F16", DType::f16, 2},
                        {"BF16", DType::bf16, 2},
                        {"F64", DType::f64, 8},
                        {"I8", DType::i8, 1},
                        {"I16", DType::i16, 2},
                        {"I32", DType::i32, 4},
                        {"I64", DType::i64, 8},
                        {"U8", DType::u8, 1},
                        {"BOOL", DType::boolean, 1}}) {
    const std::string data(6 * c.bytes, 'd');
    const std::string file =
        safetensors("{" + entry("t", c.stored, "[2,3]", 0, data.size()) + "}", data);
    const auto entries = parse(file);
    ASSERT_EQ(entries.size(), 1) << c.stored;
    EXPECT_EQ(entries[0].name, "t");
    EXPECT_EQ(entries[0].unread_type, "") << c.stored;
    EXPECT_EQ(entries[0].tensor.dtype, c.type) << c.stored;
    EXPECT_EQ(entries[0].tensor.shape, (Shape{2, 3}));
    EXPECT_EQ(entries[0].tensor.data.size(), data.size()) << c.stored;
  }
}

TEST(Safetensors, RemembersTypesThatKraitDoesNotRead) {
  struct Case {
    const char* stored;
    size_t bits;
  };
  for (const Case& c : {Case{"F8_E4M3", 8},
                        {"F8_E5M2", 8},
                        {"F8_E8M0", 8},
                        {"F8_E4M3FNUZ", 8},
                        {"F8_E5M2FNUZ", 8},
                        {"F6_E2M3", 6},
                        {"F6_E3M2", 6},
                        {"F4", 4},
                        {"U16", 16},
                        {"U32", 32},
                        {"U64", 64},
                        {"C64", 64}}) {
    const size_t bytes = 4 * c.bits / 8;
    const std::string header = "{" + entry("t", c.stored, "[4]", 0, bytes) + "}";
    const std::string file = safetensors(header, std::string(bytes, 'd'));
    EXPECT_EQ(parse(file).at(0).unread_type, c.stored);
    EXPECT_THAT(refused_header(header, bytes + 1), HasSubstr("cover")) << c.stored;
  }
}

TEST(Safetensors, SortsByNameAndFindsTheRightBytes) {
  const std::string file =
      safetensors("{" + entry("z", "U8", "[2]", 0, 2) + "," + entry("a", "U8", "[3]", 3, 6) + "," +
                      entry("m", "I8", "[1]", 2, 3) + "}",
                  "zzmaaa");
  const auto entries = parse(file);
  ASSERT_EQ(entries.size(), 3);
  const std::vector<std::string> names = {"a", "m", "z"};
  const std::vector<std::string> data = {"aaa", "m", "zz"};
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(entries[i].name, names[i]);
    const auto bytes = entries[i].tensor.data;
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()), data[i]);
  }
}

TEST(Safetensors, AllowsAnyHeaderLength) {
  for (size_t pad = 0; pad < 9; ++pad) {
    const std::string header = "{" + entry("t", "F32", "[1]", 0, 4) + "}" + std::string(pad, ' ');
    const float value = 2.5f;
    std::string data(4, '\0');
    std::memcpy(data.data(), &value, 4);
    const std::string file = safetensors(header, data);
    const auto entries = parse(file);
    float read = 0;
    copy_to_f32(entries.at(0).tensor, 0, 1, &read, "t");
    EXPECT_EQ(read, value) << pad;
  }
}

TEST(Safetensors, AllowsScalarsAndEmptyTensors) {
  const std::string file =
      safetensors("{" + entry("e", "F32", "[0]", 0, 0) + "," + entry("s", "F32", "[]", 0, 4) + "," +
                      entry("f", "BF16", "[3,0,5]", 4, 4) + "," +
                      entry("g", "F32", "[0,9223372036854775807]", 4, 4) + "}",
                  "ssss");
  const auto entries = parse(file);
  ASSERT_EQ(entries.size(), 4);
  EXPECT_EQ(entries[0].tensor.elements(), 0);
  EXPECT_EQ(entries[1].tensor.shape, (Shape{3, 0, 5}));
  EXPECT_TRUE(entries[1].tensor.data.empty());
  EXPECT_EQ(entries[3].tensor.shape, Shape{});
  EXPECT_EQ(entries[3].tensor.data.size(), 4);
}

TEST(Safetensors, AllowsAFileWithoutTensors) {
  EXPECT_TRUE(parse(safetensors("{}")).empty());
  EXPECT_TRUE(parse(safetensors("{\"__metadata__\":{\"format\":\"pt\"}}")).empty());
}

TEST(Safetensors, AllowsEscapedAndUnicodeNames) {
  const std::string file =
      safetensors("{" + entry("\\u0061\\n", "U8", "[1]", 0, 1) + "," +
                      entry("é", "U8", "[1]", 1, 2) + "," + entry("", "U8", "[0]", 2, 2) + "}",
                  "12");
  const auto entries = parse(file);
  EXPECT_EQ(entries.at(0).name, "");
  EXPECT_EQ(entries.at(1).name, "a\n");
  EXPECT_EQ(entries.at(2).name, "é");
}

// Rule 1: lengths.
TEST(MalformedSafetensors, FileShorterThanTheLength) {
  for (size_t size = 0; size < 8; ++size)
    EXPECT_THAT(refusal(std::string(size, '\0')), HasSubstr("expected at least 8"));
}

TEST(MalformedSafetensors, HeaderLongerThanTheLimit) {
  EXPECT_THAT(refusal(with_length(100'000'001, "{}")), HasSubstr("header length 100000001"));
  EXPECT_THAT(refusal(with_length(UINT64_MAX, "{}")),
              HasSubstr("header length 18446744073709551615"));
  EXPECT_THAT(refusal(with_length(UINT64_MAX - 7, "{}")), HasSubstr("header length"));
}

TEST(MalformedSafetensors, HeaderLongerThanTheFile) {
  EXPECT_THAT(refusal(with_length(3, "{}")),
              AllOf(HasSubstr("cut short"), HasSubstr("only 2 follow")));
  EXPECT_THAT(refusal(with_length(100'000'000, "{}")), HasSubstr("cut short"));
}

TEST(MalformedSafetensors, GitLfsPointer) {
  EXPECT_THAT(refusal("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n"),
              HasSubstr("git lfs pull"));
}

// Rule 2: one JSON object in UTF-8.
TEST(MalformedSafetensors, HeaderThatIsNoObject) {
  for (const char* header : {"", "[]", "1", "\"a\"", "null", " {}", "\xef\xbb\xbf{}"})
    EXPECT_THAT(refused_header(header), HasSubstr("does not start with '{'")) << header;
}

TEST(MalformedSafetensors, HeaderThatIsNoJson) {
  for (const char* header : {"{", "{}}", "{} {}", "{\"a\"}", "{\"a\":NaN2}", "{,}", "{}x"})
    EXPECT_THAT(refused_header(header), HasSubstr("x.safetensors (header):1:")) << header;
}

TEST(MalformedSafetensors, HeaderThatIsNoUtf8) {
  EXPECT_THAT(refused_header("{" + entry("\xff", "U8", "[0]", 0, 0) + "}"), HasSubstr("UTF-8"));
  EXPECT_THAT(refused_header("{" + entry("\xc0\x80", "U8", "[0]", 0, 0) + "}"), HasSubstr("UTF-8"));
}

TEST(MalformedSafetensors, HeaderPaddedWithZeros) {
  EXPECT_THAT(refused_header(std::string("{}\0\0", 4)), HasSubstr("NUL byte"));
}

TEST(MalformedSafetensors, HeaderNestedTooDeep) {
  EXPECT_THAT(refused_header("{\"a\":" + std::string(100'000, '[')), HasSubstr("array"));
}

// Rule 3: keys and metadata.
TEST(MalformedSafetensors, DuplicateTensor) {
  const std::string twice = entry("t", "U8", "[1]", 0, 1) + "," + entry("t", "U8", "[1]", 1, 2);
  EXPECT_THAT(refused_header("{" + twice + "}", 2), HasSubstr("duplicate key \"t\""));
  const std::string escaped =
      entry("t", "U8", "[1]", 0, 1) + "," + entry("\\u0074", "U8", "[1]", 1, 2);
  EXPECT_THAT(refused_header("{" + escaped + "}", 2), HasSubstr("duplicate key \"t\""));
}

TEST(MalformedSafetensors, DuplicateMetadata) {
  EXPECT_THAT(refused_header(R"({"__metadata__":{},"__metadata__":{}})"),
              HasSubstr("duplicate key \"__metadata__\""));
  EXPECT_THAT(refused_header(R"({"__metadata__":{"a":"1","a":"2"}})"),
              HasSubstr("duplicate key \"a\""));
}

TEST(MalformedSafetensors, MetadataThatIsNoObjectOfStrings) {
  for (const char* value : {"1", "\"a\"", "[]", "null", "NaN"})
    EXPECT_THAT(refused_header("{\"__metadata__\":" + std::string(value) + "}"),
                HasSubstr("\"__metadata__\" is"))
        << value;
  for (const char* value : {"1", "[]", "{}", "null", "true", "Infinity"})
    EXPECT_THAT(refused_header("{\"__metadata__\":{\"k\":" + std::string(value) + "}}"),
                HasSubstr("\"__metadata__\" holds"))
        << value;
}

// Rule 4: the fields of a tensor.
TEST(MalformedSafetensors, TensorThatIsNoObject) {
  for (const char* value : {"1", "\"F32\"", "[]", "null", "true"})
    EXPECT_THAT(refused_entry(value),
                AllOf(HasSubstr("\"t\" is"), HasSubstr("expected an object")));
}

TEST(MalformedSafetensors, MissingField) {
  EXPECT_THAT(refused_entry(R"({"shape":[1],"data_offsets":[0,4]})"),
              AllOf(HasSubstr("tensor \"t\""), HasSubstr("has no \"dtype\"")));
  EXPECT_THAT(refused_entry(R"({"dtype":"F32","data_offsets":[0,4]})"),
              HasSubstr("has no \"shape\""));
  EXPECT_THAT(refused_entry(R"({"dtype":"F32","shape":[1]})"),
              HasSubstr("has no \"data_offsets\""));
  EXPECT_THAT(refused_entry("{}"), HasSubstr("has no"));
}

TEST(MalformedSafetensors, ExtraField) {
  EXPECT_THAT(refused_entry(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1})"),
              HasSubstr("unknown key \"x\""));
}

TEST(MalformedSafetensors, DuplicateField) {
  EXPECT_THAT(refused_entry(R"({"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]})"),
              HasSubstr("duplicate key \"dtype\""));
  EXPECT_THAT(refused_entry(R"({"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]})"),
              HasSubstr("duplicate key \"shape\""));
  EXPECT_THAT(
      refused_entry(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4],"data_offsets":[0,4]})"),
      HasSubstr("duplicate key \"data_offsets\""));
}

TEST(MalformedSafetensors, DtypeThatIsNoString) {
  for (const char* value : {"1", "[]", "{}", "null", "[\"F32\"]"})
    EXPECT_THAT(refused_entry("{\"dtype\":" + std::string(value) +
                              ",\"shape\":[1],\"data_offsets\":[0,4]}"),
                AllOf(HasSubstr("\"dtype\" is"), HasSubstr("expected a string")))
        << value;
}

TEST(MalformedSafetensors, ShapeThatIsNoArrayOfNaturalNumbers) {
  for (const char* value :
       {"1", "\"1\"", "{}", "null", "[-1]", "[1.0]", "[1e0]", "[\"1\"]", "[[1]]", "[null]",
        "[true]", "[{}]", "[-0]", "[NaN]", "[9223372036854775808]", "[18446744073709551616]"})
    EXPECT_THAT(refused_entry("{\"dtype\":\"F32\",\"shape\":" + std::string(value) +
                              ",\"data_offsets\":[0,4]}"),
                AllOf(HasSubstr("tensor \"t\": \"shape\""), HasSubstr("non-negative integers")))
        << value;
}

TEST(MalformedSafetensors, TooManyDimensions) {
  const auto shape = [](int rank) {
    std::string text = "[1";
    for (int i = 1; i < rank; ++i) text += ",1";
    return text + "]";
  };
  EXPECT_EQ(parse(safetensors("{" + entry("t", "F32", shape(64), 0, 4) + "}", "dddd")).size(), 1);
  EXPECT_THAT(refused_header("{" + entry("t", "F32", shape(65), 0, 4) + "}", 4),
              HasSubstr("more than 64 dimensions"));
}

TEST(MalformedSafetensors, OffsetsThatAreNoPairOfNaturalNumbers) {
  for (const char* value :
       {"0", "\"0\"", "{}", "null", "[0,-4]", "[0,4.0]", "[0,\"4\"]", "[[0,4]]"})
    EXPECT_THAT(refused_entry("{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":" +
                              std::string(value) + "}"),
                AllOf(HasSubstr("\"data_offsets\""), HasSubstr("non-negative integers")))
        << value;
  for (const char* value : {"[]", "[0]", "[0,4,4]"})
    EXPECT_THAT(refused_entry("{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":" +
                              std::string(value) + "}"),
                HasSubstr("expected 2"))
        << value;
}

// Rule 5: offsets against shape and type.
TEST(MalformedSafetensors, OffsetsRunningBackwards) {
  EXPECT_THAT(refused_header("{" + entry("t", "F32", "[1]", 4, 0) + "}", 4),
              HasSubstr("backwards"));
}

TEST(MalformedSafetensors, OffsetsBeyondTheData) {
  EXPECT_THAT(refused_header("{" + entry("t", "F32", "[2]", 0, 8) + "}", 7),
              AllOf(HasSubstr("tensor \"t\""), HasSubstr("only 7 bytes")));
  EXPECT_THAT(refused_header("{" + entry("t", "F32", "[1]", UINT64_MAX - 4, UINT64_MAX) + "}", 4),
              HasSubstr("only 4 bytes"));
}

TEST(MalformedSafetensors, SizeThatTheShapeContradicts) {
  EXPECT_THAT(refused_header("{" + entry("t", "F32", "[2]", 0, 4) + "}", 4),
              AllOf(HasSubstr("[2] of F32"), HasSubstr("needs 8")));
  EXPECT_THAT(refused_header("{" + entry("t", "F16", "[1]", 0, 4) + "}", 4), HasSubstr("needs 2"));
  EXPECT_THAT(refused_header("{" + entry("t", "F32", "[0]", 0, 4) + "}", 4), HasSubstr("needs 0"));
}

TEST(MalformedSafetensors, ShapeWhoseSizeOverflows) {
  for (const char* shape :
       {"[4294967296,4294967296]", "[9223372036854775807,2]", "[4611686018427387904,4,0]",
        "[0,4611686018427387904,4]", "[3037000500,3037000500]"})
    EXPECT_THAT(refused_header("{" + entry("t", "U8", shape, 0, 0) + "}"),
                HasSubstr("more elements than 63 bits"))
        << shape;
  // Elements fit, bits do not: 2^61 of 32 bits wrap to 0 bytes.
  EXPECT_THAT(refused_header("{" + entry("t", "F32", "[2305843009213693952]", 0, 0) + "}"),
              HasSubstr("more bits than 64 bits"));
}

TEST(MalformedSafetensors, SizeThatIsNoWholeNumberOfBytes) {
  EXPECT_THAT(refused_header("{" + entry("t", "F4", "[3]", 0, 1) + "}", 1),
              HasSubstr("whole bytes"));
  EXPECT_THAT(refused_header("{" + entry("t", "F6_E2M3", "[3]", 0, 2) + "}", 2),
              HasSubstr("whole bytes"));
}

// Rule 6: the tensors cover the data.
TEST(MalformedSafetensors, HoleAtTheStart) {
  EXPECT_THAT(refused_header("{" + entry("t", "U8", "[1]", 1, 2) + "}", 2), HasSubstr("hole"));
}

TEST(MalformedSafetensors, HoleBetweenTensors) {
  EXPECT_THAT(
      refused_header(
          "{" + entry("a", "U8", "[1]", 0, 1) + "," + entry("b", "U8", "[1]", 2, 3) + "}", 3),
      AllOf(HasSubstr("tensor \"b\""), HasSubstr("hole"), HasSubstr("expected 1")));
}

TEST(MalformedSafetensors, HoleAtTheEnd) {
  EXPECT_THAT(refused_header("{" + entry("a", "U8", "[1]", 0, 1) + "}", 2),
              HasSubstr("2 bytes of data follow the header; its tensors cover 1"));
  EXPECT_THAT(refused_header("{}", 1), HasSubstr("cover 0"));
}

TEST(MalformedSafetensors, OverlappingTensors) {
  EXPECT_THAT(
      refused_header(
          "{" + entry("a", "U8", "[2]", 0, 2) + "," + entry("b", "U8", "[2]", 1, 3) + "}", 3),
      AllOf(HasSubstr("tensor \"b\""), HasSubstr("inside"), HasSubstr("expected 2")));
  EXPECT_THAT(
      refused_header(
          "{" + entry("a", "U8", "[2]", 0, 2) + "," + entry("b", "U8", "[2]", 0, 2) + "}", 2),
      HasSubstr("inside"));
}

TEST(MalformedSafetensors, EmptyTensorInsideAnother) {
  EXPECT_THAT(
      refused_header(
          "{" + entry("a", "U8", "[2]", 0, 2) + "," + entry("b", "U8", "[0]", 1, 1) + "}", 2),
      HasSubstr("inside"));
}

// Rule 7: types.
TEST(MalformedSafetensors, UnknownType) {
  for (const char* type : {"", "f32", "F33", "float32", "F3", "F32 "})
    EXPECT_THAT(refused_header("{" + entry("t", type, "[1]", 0, 4) + "}", 4),
                HasSubstr("unknown dtype \"" + std::string(type) + "\""));
}

}  // namespace
}  // namespace krait
